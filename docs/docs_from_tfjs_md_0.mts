const model = sequential({
  inputShape: [null, 2],
  layers: [
    layers.lstm({ units: 8, returnSequences: true, recurrentDropout: 0.1 }),
    layers.gru({ units: 8 }),
    layers.dense({ units: 2, activation: 'softmax' }),
  ],
});
model.compile({
  optimizer: optimizers.adam({ learningRate: 0.01 }),
  loss: 'sparseCategoricalCrossentropy',
  metrics: ['accuracy'],
});
model.summary();
await model.fit(train.x, train.y, {
  epochs: 3,
  batchSize: 16,
  validationSplit: 0.25,
  callbacks: [{ onEpochEnd: (epoch, logs) => console.log(epoch, logs.valAccuracy) }],
});
