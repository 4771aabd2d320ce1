// The open loop with a loss of one's own: forecasts that are too low cost three times as much as those too high.
//   node train.mjs [EPOCHS]
import { layers, optimizers, sequential } from 'lookback';

const [epochs = '30'] = process.argv.slice(2);
const [rows, steps] = [256, 24];
const wave = (row, step) => Math.sin(0.4 * step + row) + 0.3 * Math.sin(1.7 * row * step);
const x = new Float32Array(rows * steps).map((_, at) => wave(Math.floor(at / steps), at % steps));
const y = new Float32Array(rows).map((_, row) => wave(row, steps));

const model = sequential({
  inputShape: [steps, 1],
  layers: [layers.gru({ units: 16 }), layers.dense({ units: 1 })],
  seed: 1,
});
model.compile({
  optimizer: optimizers.adam({ learningRate: 0.01, clipNorm: 1 }),
  loss: 'meanSquaredError', // for evaluate; the loop below has its own
});

for (let epoch = 1; epoch <= Number(epochs); epoch += 1) {
  const outputs = await model.forward({ shape: [rows, steps, 1], data: x });
  let loss = 0;
  const gradient = outputs.data.map((value, row) => {
    const away = value - y[row];
    const weight = away < 0 ? 3 : 1;
    loss += (weight * away * away) / rows;
    return (2 * weight * away) / rows;
  });
  await model.backward({ shape: outputs.shape, data: gradient });
  await model.step();
  console.log(`epoch ${epoch} loss ${loss.toFixed(4)}`);
}
const forecasts = await model.predict({ shape: [rows, steps, 1], data: x });
const low = forecasts.data.filter((value, row) => value < y[row]).length;
console.log(`too low ${((100 * low) / rows).toFixed(1)} %`);
