'use strict';
/**
 * Runs inside a project that installed the packed tarball: trains a small LARNN for three steps on one batch and checks
 * that it learned something, from CommonJS and from ESM alike. Prints one line.
 */
const assert = require('node:assert/strict');
const lookback = require('lookback');

const [rows, steps, features] = [8, 6, 2];

/** Sequences that rise or fall, and which of the two each does. */
function batch() {
  const x = new Float32Array(rows * steps * features);
  const y = new Int32Array(rows);
  for (let row = 0; row < rows; row++) {
    y[row] = row % 2;
    for (let t = 0; t < steps; t++) {
      for (let f = 0; f < features; f++) {
        const slope = y[row] === 1 ? 1 : -1;
        x[(row * steps + t) * features + f] = (slope * (t + 1)) / steps + row / 100;
      }
    }
  }
  return [{ shape: [rows, steps, features], data: x }, y];
}

async function main() {
  const { layers, losses, optimizers, sequential } = lookback;
  const esm = await import('lookback');
  assert.equal(esm.LookbackError, lookback.LookbackError, 'one class in both module systems');
  assert.equal(esm.sequential, sequential);

  const model = sequential({
    inputShape: [steps, features],
    layers: [
      layers.larnn({ units: 8, heads: 2, window: 3 }),
      layers.dense({ units: 2, activation: 'softmax' }),
    ],
    seed: 1,
  });
  model.compile({
    optimizer: optimizers.adam({ learningRate: 0.02 }),
    loss: losses.sparseCategoricalCrossentropy(),
  });
  const [x, y] = batch();
  const seen = [];
  for (let step = 0; step < 3; step++) seen.push((await model.trainOnBatch(x, y)).loss);
  assert.ok(seen.every(Number.isFinite), `losses ${seen.join(', ')}`);
  assert.ok(seen[2] < seen[0], `the loss did not fall: ${seen.join(', ')}`);
  model.dispose();
  console.log(`three steps, loss ${seen.map((loss) => loss.toFixed(4)).join(' -> ')}`);
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
