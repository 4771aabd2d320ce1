// Sums that a trained model has not seen, and how far off it is by how far apart the two numbers stand:
//   npx lookback train examples/adding/config.json
//   node examples/adding/sums.mjs runs/adding/model.safetensors [STEPS]
import { datasets, loadModel } from 'lookback';

const [path, length = '100'] = process.argv.slice(2);
const steps = Number(length);
const model = await loadModel(path);
const { x, y } = datasets.adding({ steps, train: 1, test: 1000, seed: 2 }).test;
const { data: said } = await model.predict(x);

const bins = [0, 1, 2, 3].map(() => ({ rows: 0, off: 0 }));
y.data.forEach((sum, row) => {
  const value = (step) => x.data[2 * (row * steps + step)];
  const marked = (step) => x.data[2 * (row * steps + step) + 1] === 1;
  const [first, second] = Array.from({ length: steps }, (_, step) => step).filter(marked);
  const [a, b] = [value(first), value(second)].map((number) => number.toFixed(2));
  if (row < 5) console.log(`${a} + ${b} = ${sum.toFixed(2)}, said ${said[row].toFixed(2)}`);
  const bin = bins[Math.floor((4 * (second - first)) / steps)];
  bin.rows += 1;
  bin.off += Math.abs(said[row] - sum);
});
const shares = bins.map(({ rows, off }) => (rows ? (off / rows).toFixed(3) : 'none'));
console.log(`off on average, from near to far: ${shares.join(', ')}`);
