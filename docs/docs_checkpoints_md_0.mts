const options = {
  epochs: 4,
  batchSize: 16,
  checkpoint: { dir: 'checkpoints', everyUpdates: 100 },
  resume: true, // starts afresh where there is none
  callbacks: [callbacks.csvLogger({ path: 'log.csv' })],
};
const history = await model.fit(train, options);
console.log(history.epoch);
