const model = sequential({
  inputShape: [6, 2],
  layers: [layers.gru({ units: 4 }), layers.dense({ units: 2, activation: 'softmax' })],
  preprocessing: { input: { kind: 'minMax', shared: true }, labels: ['calm', 'busy'] },
});
model.compile({ optimizer: 'adam', loss: 'sparseCategoricalCrossentropy' });
const names = Array.from(train.y, (label) => ['calm', 'busy'][label]);
await model.fit(train.x, names, { verbose: 0 });
console.log((await model.predict(train.x)).labels); // [ 'calm', 'busy', ... ]
