// What a trained model says of the test digits, one digit a line:
//   npx lookback train examples/mnist/config.json --set data.dir=DIR
//   node examples/mnist/classify.mjs runs/mnist/model.safetensors DIR [IMAGES]
import { datasets, loadModel } from 'lookback';

const [path, dir, images = '1000'] = process.argv.slice(2);
const model = await loadModel(path);
const { test, classNames } = datasets.mnist({ dir });
const n = Math.min(+images, test.y.data.length);
const x = { shape: [n, test.steps, 1], data: test.x.data.subarray(0, n * test.steps) };
const { labels } = await model.predict(x); // names, because the model knows its classes

const seen = classNames.map(() => ({ right: 0, all: 0, wrong: new Set() }));
labels.forEach((label, row) => {
  const digit = seen[test.y.data[row]];
  digit.all += 1;
  if (label === classNames[test.y.data[row]]) digit.right += 1;
  else digit.wrong.add(label);
});
seen.forEach(({ right, all, wrong }, digit) => {
  const taken = wrong.size ? `, else taken for ${[...wrong].sort().join(' ')}` : '';
  console.log(`${digit}: ${right} of ${all}${taken}`);
});
const right = seen.reduce((sum, digit) => sum + digit.right, 0);
console.log(`accuracy ${(right / n).toFixed(4)} of ${n} images`);
