// What a trained model makes of each of the nine people of the test part, whom it has never seen:
//   npx lookback train examples/har/config.json
//   node examples/har/people.mjs runs/har/model.safetensors
import { datasets, loadModel } from 'lookback';

const [path] = process.argv.slice(2);
const model = await loadModel(path);
const { test, classNames } = datasets.har();
const { labels } = await model.predict(test.x); // names, because the model knows its classes

for (const person of new Set(test.subjects)) {
  const rows = [...test.subjects.keys()].filter((row) => test.subjects[row] === person);
  const mistakes = new Map();
  let right = 0;
  for (const row of rows) {
    const did = classNames[test.y.data[row]];
    const mistake = `${did} for ${labels[row]}`;
    if (labels[row] === did) right += 1;
    else mistakes.set(mistake, (mistakes.get(mistake) ?? 0) + 1);
  }
  const [worst] = [...mistakes].sort(([, a], [, b]) => b - a);
  const note = worst ? `; took ${worst[0]} ${worst[1]} times` : '';
  console.log(`person ${person}: ${right} of ${rows.length}${note}`);
}
