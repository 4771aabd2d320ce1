// How well a trained model understands each speaker of the test part:
//   npx lookback train examples/spoken-digits/config.json --set data.dir=DIR
//   node examples/spoken-digits/listen.mjs runs/spoken-digits/model.safetensors DIR
import { datasets, loadModel } from 'lookback';

const [path, dir] = process.argv.slice(2);
const model = await loadModel(path);
const { test, classNames, speakers } = datasets.spokenDigits({ dir });
const { labels } = await model.predict(test.x, { lengths: test.lengths });

speakers.forEach((speaker, number) => {
  const rows = [...test.subjects.keys()].filter((row) => test.subjects[row] === number);
  const wrong = rows.filter((row) => labels[row] !== classNames[test.y.data[row]]);
  const heard = wrong.map((row) => `${classNames[test.y.data[row]]} as ${labels[row]}`);
  const note = heard.length ? `; took ${heard.join(', ')}` : '';
  console.log(`${speaker}: ${rows.length - wrong.length} of ${rows.length}${note}`);
});
