const goodEnough = {
  onEpochEnd(epoch, logs, context) {
    if (logs.loss < 0.1) context.finish();
  },
};
await model.fit(train, { epochs: 4, checkpoint: { dir: 'good' }, callbacks: [goodEnough] });
