/**
 * The adding problem (Hochreiter and Schmidhuber 1997): of two streams, one holds numbers and one marks two of them; the
 * answer is their sum. Always answering 1 costs 0.167; a network that has learned to hold a number over time costs next to
 * nothing. If this stays unsolved, some gradient through time is wrong, whatever the other tests say.
 */
import { datasets, layers, optimizers, sequential } from '../../lib';
import type { LayerSpec } from '../../lib';

const { train, test } = datasets.adding({ steps: 20, train: 4096, test: 512, seed: 11 });

async function solve(recurrent: LayerSpec, epochs: number): Promise<number> {
  const model = sequential({
    inputShape: [train.steps, train.features],
    layers: [recurrent, layers.dense({ units: 1 })],
    seed: 3,
  });
  model.compile({
    optimizer: optimizers.adam({ learningRate: 0.005, clipNorm: 1 }),
    loss: 'meanSquaredError',
  });
  await model.fit(train.x, train.y, { epochs, batchSize: 64, schedule: 'cosine', verbose: 0 });
  const { loss } = await model.evaluate(test.x, test.y);
  model.dispose();
  return loss ?? NaN;
}

it.each([
  ['lstm', layers.lstm({ units: 24 }), 15],
  ['larnn', layers.larnn({ units: 24, heads: 4, window: 8 }), 15],
  ['rra', layers.rra({ units: 24, K: 8 }), 15],
])(
  '%s solves the adding problem',
  async (_name, layer, epochs) => {
    expect(await solve(layer, epochs)).toBeLessThan(0.01);
  },
  180_000,
);
