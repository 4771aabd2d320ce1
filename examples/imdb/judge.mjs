// What a trained model thinks of reviews as they were typed; tokens and vocabulary are part of the model:
//   npx lookback train examples/imdb/config.json --set data.dir=DIR
//   node examples/imdb/judge.mjs runs/imdb/model.safetensors 'A film to remember.' 'What a waste of time!'
import { loadModel } from 'lookback';

const [path, ...reviews] = process.argv.slice(2);
const model = await loadModel(path);
const { labels, data } = await model.predict(reviews);
reviews.forEach((review, row) => {
  const sure = Math.max(data[2 * row], data[2 * row + 1]);
  console.log(`${labels[row]} ${(100 * sure).toFixed(0)} %  ${review}`);
});
