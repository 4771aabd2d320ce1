/**
 * Targets told as changes from the last value seen, and brought back.
 */
import { join } from 'node:path';
import type { FloatArray, LayerSpec, Model, PreprocessingOptions } from '../../lib';
import { datasets, layers, loadModel, losses, sequential } from '../../lib';
import { failureOf } from './support/damage';
import { temporaryFolder } from './support/uci-tree';

const [ROWS, STEPS] = [3, 4];
/** Two features; that with number 1 is told on: 10 row + step. */
const x = {
  shape: [ROWS, STEPS, 2],
  data: Float32Array.from({ length: ROWS * STEPS * 2 }, (_, at) =>
    at % 2 === 0 ? 0.5 : 10 * Math.floor(at / (2 * STEPS)) + (Math.floor(at / 2) % STEPS),
  ),
};
/** Two hours ahead, where the series goes on by 1 an hour. */
const y = {
  shape: [ROWS, 2],
  data: Float32Array.from({ length: ROWS * 2 }, (_, at) => 10 * Math.floor(at / 2) + 4 + (at % 2)),
};

const learns = (sequence = false): LayerSpec[] => [
  layers.rnn({ units: 3, returnSequences: sequence }),
  layers.dense({ units: 2 }),
];

/** A model that has learnt nothing: its outputs are 0. */
function idle(preprocessing: PreprocessingOptions, list = learns()): Model {
  const model = sequential({ inputShape: [null, 2], layers: list, preprocessing, seed: 1 });
  model.compile({ optimizer: 'sgd', loss: 'meanSquaredError' });
  const zeros = Object.entries(model.getWeights()).map(([name, { shape, data }]) => [
    name,
    { shape, data: name.startsWith('dense') ? data.map(() => 0) : data },
  ]);
  model.setWeights(Object.fromEntries(zeros) as Parameters<Model['setWeights']>[0]);
  return model;
}
const numbers = ({ data }: { data: FloatArray }): number[] => [...data];

describe('preprocessing.change', () => {
  it('makes a model that has learnt nothing say "as now"', async () => {
    using model = idle({ change: [1] });
    expect(numbers(await model.predict(x))).toEqual([3, 3, 13, 13, 23, 23]);
    const lengths = Int32Array.of(4, 2, 1);
    expect(numbers(await model.predict(x, { lengths }))).toEqual([3, 3, 11, 11, 20, 20]);
  });

  it('takes the value off before the scale, and puts it back behind it', async () => {
    using model = idle({ change: [1], target: 'standardize' });
    model.fitPreprocessing({ x, y });
    // The changes are 1 and 2 in every row: their means are what an output of 0 stands for.
    expect(model.preprocessing?.fitted.target?.offset).toEqual(Float64Array.of(1, 2));
    expect(numbers(await model.predict(x))).toEqual([4, 5, 14, 15, 24, 25]);
    expect((await model.evaluate({ x, y }))['loss']).toBe(0);
  });

  it('tells every step from itself where every step has targets, as a stream does', async () => {
    using model = idle({ change: [1, 0] }, learns(true));
    const { data } = await model.predict(x);
    expect([...data.slice(0, 4)]).toEqual([0, 0.5, 1, 0.5]);
    using stream = model.createStream();
    for (let step = 0; step < STEPS; step += 1) {
      const at = x.data.slice(2 * step, 2 * step + 2);
      expect(numbers(stream.step(at))).toEqual([...data.slice(2 * step, 2 * step + 2)]);
    }
  });

  it('is part of the file', async () => {
    using folder = temporaryFolder();
    using model = idle({ change: [1], input: 'standardize', target: 'standardize' });
    model.fitPreprocessing({ x, y });
    const path = join(folder.path, 'model.safetensors');
    await model.save(path);
    using loaded = await loadModel(path);
    expect(numbers(await loaded.predict(x))).toEqual(numbers(await model.predict(x)));
  });

  it('refuses targets that are no whole sets', async () => {
    const message =
      'a row or step has 2 targets, and preprocessing.change names a feature for 3; expected whole sets';
    const failure = { code: 'ERR_SHAPE', message: expect.stringContaining(message) as string };
    using model = idle({ change: [1, 0, 1] });
    await expect(model.predict(x)).rejects.toMatchObject(failure);
    await expect(model.fit({ x, y }, { verbose: 0 })).rejects.toMatchObject(failure);
  });

  it('counts targets, not the outputs that tell of one', async () => {
    const change = [1, 0];
    using gaussian = sequential({
      inputShape: [null, 2],
      layers: [layers.rnn({ units: 3 }), layers.dense({ units: 2 })],
      preprocessing: { change },
    });
    gaussian.compile({ optimizer: 'sgd', loss: 'gaussianNegativeLogLikelihood' });
    // A mean and a variance: one target.
    await expect(gaussian.predict(x)).rejects.toMatchObject({ code: 'ERR_SHAPE' });
    using quantiles = sequential({
      inputShape: [null, 2],
      layers: [layers.rnn({ units: 3 }), layers.dense({ units: 6 })],
      preprocessing: { change },
    });
    const loss = losses.quantile({ quantiles: [0.1, 0.5, 0.9] });
    quantiles.compile({ optimizer: 'sgd', loss });
    expect((await quantiles.predict(x)).shape).toEqual([ROWS, 6]);
  });

  it('refuses features that are not there, and targets that are no numbers', async () => {
    using model = idle({ change: [2] });
    await expect(model.predict(x)).rejects.toMatchObject({
      code: 'ERR_OPTION',
      message: expect.stringContaining('feature 2 is not there; x has 2') as string,
    });
    const failure = failureOf(() => idle({ change: [1], labels: ['a', 'b'] }));
    expect(failure.message).toContain('only numbers change');
  });
});

it('datasets.ett names the features that its targets are told from', () => {
  using folder = temporaryFolder();
  const lines = Array.from({ length: 14_400 }, (_, row) => `d,${row},1,2,3,4,5,${row / 2}`);
  folder.write('ETTh1.csv', ['date,HUFL,HULL,MUFL,MULL,LUFL,LULL,OT', ...lines].join('\n'));
  const dir = folder.path;
  const options = { dir, steps: 2, horizon: 1, targets: ['OT', 'HUFL'] as const };
  expect(datasets.ett(options)).not.toHaveProperty('change');
  const told = datasets.ett({ ...options, change: true });
  expect(told.change).toEqual([6, 0]);
  expect([...told.train.y.data.slice(0, 2)]).toEqual([1, 2]); // in degrees all the same
  const failure = failureOf(() => datasets.ett({ ...options, change: true, features: ['OT'] }));
  expect(failure).toMatchObject({ code: 'ERR_OPTION' });
  expect(failure.message).toContain('the target HUFL must be among the features, which are OT');
});
