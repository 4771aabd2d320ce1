model.summary({ explain: true }); // on the model's own device
model.summary({ explain: { on: 'h200', batchSize: 256 } }); // on a GPU that need not be there
const [plan] = model.explain({
  on: { multiprocessors: 132, sharedBytes: 232_448, maxCluster: 8 },
  steps: 784,
});
