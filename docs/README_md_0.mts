import { sequential, layers, optimizers, datasets, loadModel } from 'lookback';

const { train, test, classNames } = datasets.har();

const model = sequential({
  inputShape: [train.steps, train.features],
  layers: [
    layers.larnn({ units: 32, heads: 4, window: 16 }),
    layers.dense({ units: classNames.length, activation: 'softmax' }),
  ],
  seed: 1,
});
model.compile({
  optimizer: optimizers.adam({ learningRate: 0.002, clipNorm: 0.5 }),
  loss: 'sparseCategoricalCrossentropy',
  metrics: ['accuracy'],
});
await model.fit(train.x, train.y, { epochs: 10, batchSize: 64, validationSplit: 0.1 });
console.log(await model.evaluate(test.x, test.y));
await model.save('har.safetensors');

const served = await loadModel('har.safetensors');
console.log((await served.predict(test.x)).shape);
