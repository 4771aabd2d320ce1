const rows = Array.from({ length: 200 }, (_, hour) => ({ load: 900 + 80 * Math.sin(hour / 4) }));
const { train, preprocessing } = datasets.fromArrays(rows, {
  features: ['load'],
  target: 'load',
  steps: 12,
  split: { test: 0 },
});
const model = sequential({
  inputShape: [12, 1],
  layers: [layers.lstm({ units: 8 }), layers.dense({ units: 1 })],
  preprocessing: { ...preprocessing, input: 'standardize', target: 'standardize' },
});
model.compile({ optimizer: 'adam', loss: 'meanSquaredError' });
await model.fit(train, { epochs: 2, verbose: 0 });

const { data } = await model.predict(rows.slice(-12)); // rows as they are; about 900, not about 0
const stream = model.createStream();
for (const row of rows.slice(-12)) console.log(stream.step(row).data); // the last equals data to the bit
