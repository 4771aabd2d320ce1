for await (const event of model.fitEvents(train, { epochs: 5, validationData: held })) {
  if (event.type === 'epoch') console.log(event.epoch, event.logs.valLoss);
}
