// Goes on with a text, character by character, as a stream that remembers:
//   npx lookback train examples/ptb-characters/config.json --set data.dir=DIR
//   node examples/ptb-characters/write.mjs runs/ptb-characters/model.safetensors [TEXT] [LENGTH] [TEMPERATURE]
import { loadModel } from 'lookback';

const [path, begin = 'the company said', length = '200', temperature = '0.7'] =
  process.argv.slice(2);
const model = await loadModel(path);
const { vocabulary } = model.preprocessing.options.text;
let seed = 1;
const random = () => (seed = (seed * 48271) % 2147483647) / 2147483647; // the same text every time

function choose(probabilities) {
  const likely = probabilities.subarray(0, vocabulary.length);
  const weights = Array.from(likely, (p) => p ** (1 / +temperature));
  let left = random() * weights.reduce((sum, weight) => sum + weight, 0);
  return weights.findIndex((weight) => (left -= weight) <= 0);
}

const stream = model.createStream();
let text = begin.replaceAll(' ', '_');
let next;
for (const character of text) next = stream.step(character).data;
for (let count = 0; count < +length; count += 1) {
  const character = vocabulary[Math.max(0, choose(next))];
  text += character;
  next = stream.step(character).data;
}
console.log(text.replaceAll('_', ' '));
