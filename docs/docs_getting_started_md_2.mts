import { layers, losses, metrics, sequential } from 'lookback';

const classifier = sequential({
  inputShape: [train.x.shape[1], train.x.shape[2]],
  layers: [layers.larnn({ units: 16, heads: 4, window: 4 }), layers.dense({ units: 2 })],
});
classifier.compile({
  optimizer: 'adam',
  loss: losses.sparseCategoricalCrossentropy({ classWeight: [1, 2] }),
  metrics: ['accuracy', metrics.macroF1()],
});
await classifier.fit(train, { epochs: 2, validationData: held });
console.log(await classifier.evaluate(held));
console.log(await classifier.confusionMatrix(held));
