// How far a trained model is off, in degrees, against two answers that need no model:
//   npx lookback train examples/ett/config.json --set data.dir=DIR
//   node examples/ett/forecast.mjs runs/ett/model.safetensors DIR
import { readFileSync } from 'node:fs';
import { datasets, loadModel } from 'lookback';

const [path, dir] = process.argv.slice(2);
const model = await loadModel(path);
const { data } = JSON.parse(readFileSync(`${import.meta.dirname}/config.json`, 'utf8'));
const { steps, horizon, features } = data;
const { x, y } = datasets.ett({ dir, steps, horizon, features }).test;
const [n] = y.shape;
const before = (row, hours) => x.data[row * steps + steps - hours];

const { data: forecast } = await model.predict(x); // raw rows in, degrees out
const answers = {
  model: (row, hour) => forecast[row * horizon + hour],
  'as now': (row) => before(row, 1),
  'as a day ago': (row, hour) => before(row, 24 - hour),
};
for (const [name, answer] of Object.entries(answers)) {
  let sum = 0;
  for (let row = 0; row < n; row += 1)
    for (let hour = 0; hour < horizon; hour += 1)
      sum += Math.abs(answer(row, hour) - y.data[row * horizon + hour]);
  console.log(`${name}: off by ${(sum / (n * horizon)).toFixed(2)} degrees on average`);
}
