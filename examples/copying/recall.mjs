// Messages that a trained model has not seen, and what it says of them behind the delay:
//   npx lookback train examples/copying/config.json
//   node examples/copying/recall.mjs runs/copying/model.safetensors [DELAY]
import { datasets, loadModel } from 'lookback';

const [path, delay = '30'] = process.argv.slice(2);
const model = await loadModel(path);
const { x, y, steps } = datasets.copying({ delay: +delay, train: 1, test: 200, seed: 2 }).test;
const { data } = await model.predict(x);
const classes = data.length / y.data.length;

let right = 0;
for (let row = 0; row < 200; row += 1) {
  const asked = Array.from(y.data.subarray((row + 1) * steps - 10, (row + 1) * steps));
  const said = asked.map((_, place) => {
    const at = ((row + 1) * steps - 10 + place) * classes;
    const likely = data.subarray(at, at + classes);
    return likely.indexOf(Math.max(...likely));
  });
  right += said.filter((symbol, place) => symbol === asked[place]).length;
  if (row < 5) console.log(`${asked.join('')} recalled as ${said.join('')}`);
}
console.log(`${right} of 2000 symbols`);
