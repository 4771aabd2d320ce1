import { datasets, layers, sequential } from 'lookback';

const { train, test } = datasets.adding({ steps: 20, train: 2000, test: 200, seed: 1 });
const model = sequential({
  inputShape: [train.steps, train.features],
  layers: [layers.lstm({ units: 16 }), layers.dense({ units: 1 })],
  seed: 7,
});
model.compile({
  optimizer: { kind: 'adam', learningRate: 0.01, clipNorm: 1 },
  loss: 'meanSquaredError',
});
const history = await model.fit(train, { epochs: 10, batchSize: 50, validationSplit: 0.1 });
console.log(history.history.valLoss); // from 0.17, as without having learnt anything, to below 0.01
console.log(await model.evaluate(test));
