/**
 * What has no values by name, where values by name are expected: it was taken for an object without any, or failed with an
 * error that is none of ours.
 */
import type { Callback } from '../../lib';
import {
  calibrate,
  callbacks,
  cells,
  datasets,
  exportWeights,
  importWeights,
  layers,
  loadModel,
  losses,
  metrics,
  optimizers,
  schedules,
} from '../../lib';
import { codeOf } from './support/failure';
import { tinyData, tinyModel } from './support/tiny';

const data = tinyData(32);
const lstm = cells.lstm({ units: 1, inputSize: 1, bias: 'none' });
const x = { shape: [1, 2, 1], data: Float32Array.of(1, 2) };
const weights = { W_x: new Float32Array(4), W_h: new Float32Array(4) };
const pytorch = { format: 'pytorch' } as const;

/** A number, a list, a function, nothing, and objects that hold something else. */
const others: [string, unknown][] = [
  ['0.01', 0.01],
  ['null', null],
  ['[]', []],
  ['a function', () => ({})],
  ['a Promise', Promise.resolve({})],
  ['a Map', new Map([['epochs', 2]])],
  ['a Date', new Date(0)],
];

describe.each(others)('%s', (shown, other) => {
  const given = other as never;

  it.each<[string, () => unknown]>([
    ['optimizer adam', () => optimizers.adam(given)],
    ['loss huber', () => losses.huber(given)],
    ['metric topKAccuracy', () => metrics.topKAccuracy(given)],
    ['schedule cosine', () => schedules.cosine(given)],
    ['pool', () => layers.pool(given)],
    ['lstm', () => layers.lstm(given)],
    ['bidirectional', () => layers.bidirectional(layers.lstm({ units: 2 }), given)],
    ['residual', () => layers.residual(layers.lstm({ units: 2 }), given)],
    ['earlyStopping', () => callbacks.earlyStopping(given)],
    ['exprnn', () => cells.exprnn(given)],
    ['lstm: inputs', () => lstm.forward(given, weights)],
    ['lstm: weights', () => lstm.forward({ x }, given)],
    ['the cell', () => importWeights(given, {}, pytorch)],
    ['exportWeights', () => exportWeights(lstm, given, pytorch)],
    ['splitBySubject: split', () => datasets.splitBySubject(given, [1])],
  ])('is refused as %s', async (where, call) => {
    const [code, message] = await codeOf(call);
    expect(code).toBe('ERR_OPTION');
    expect(message).toContain(`${where}: the value is ${shown}; expected`);
  });

  it('is refused as the gradient of a cell, which can still be given', async () => {
    const { outputs, handle } = await lstm.forward({ x }, weights);
    const [code, message] = await codeOf(() => handle.backward(given));
    expect([code, message]).toEqual([
      'ERR_OPTION',
      expect.stringMatching(/^lstm: upstream: the value is .*; expected tensors by name/),
    ]);
    await expect(handle.backward({ y: outputs['y'] as typeof x })).resolves.toBeDefined();
  });

  it('is refused as options of a model, its streams and its callbacks', async () => {
    using model = tinyModel();
    const calls: [RegExp, () => unknown][] = [
      [/^predict: the value is/, () => model.predict(data.x, given)],
      [/^save: the value is/, () => model.save('nowhere/model.safetensors', given)],
      [/^fitEvents: the value is/, () => model.fitEvents(data, given).next()],
      [/^fit: callbacks/, () => model.fit(data, { callbacks: [given] })],
      [/^calibrate: model is/, () => calibrate(given, [])],
      [/^calibrate: the cell is/, () => cells.bnlstm.calibrate(given, {}, [])],
      [/^loadModel: path is/, () => loadModel(given)],
    ];
    for (const [start, call] of calls)
      expect(await codeOf(call)).toEqual(['ERR_OPTION', expect.stringMatching(start)]);
    using stream = model.createStream();
    const restored = await codeOf(() => stream.restore(given));
    expect(restored).toEqual(['ERR_FORMAT', expect.stringContaining(shown)]);
    expect((await codeOf(() => stream.step(given)))[0]).toBe('ERR_SHAPE');
    await expect(model.fit(data, { verbose: 0 })).resolves.toBeDefined();
  });
});

it.each(['', new URL('file:///tmp/model.safetensors')])(
  'a model file is not at %p',
  async (path) => {
    using model = tinyModel();
    for (const call of [() => loadModel(path as never), () => model.save(path as never)])
      expect(await codeOf(call)).toEqual([
        'ERR_OPTION',
        expect.stringMatching(/: path is .*; expected a string \(of a URL that of fileURLToPath\)/),
      ]);
  },
);

it('a promise is to be awaited', async () => {
  using model = tinyModel();
  const options = Promise.resolve({ epochs: 2 });
  const [, message] = await codeOf(() => model.fit(data, options as never));
  expect(message).toBe('fit: the value is a Promise; expected an object; await it first');
});

it('an output of a stream is an array', async () => {
  using model = tinyModel();
  using stream = model.createStream();
  const [code, message] = await codeOf(() => stream.step([[1, 2]], null as never));
  expect([code, message]).toEqual(['ERR_SHAPE', expect.stringMatching(/: out is null; expected /)]);
});

it('a snapshot that went through JSON is told from one that did not', async () => {
  using model = tinyModel();
  using stream = model.createStream();
  stream.step([[1, 2]]);
  const kept = JSON.parse(JSON.stringify(stream.snapshot())) as never;
  const [code, message] = await codeOf(() => stream.restore(kept));
  expect([code, message]).toEqual([
    'ERR_FORMAT',
    expect.stringMatching(
      /stream\.restore: the data of .* expected a typed array, which JSON does not keep/,
    ),
  ]);
});

it('people who are held out are a list', async () => {
  const split = { ...data, steps: 6, features: 2 } as never;
  const [code, message] = await codeOf(() => datasets.splitBySubject(split, 27 as never));
  expect([code, message]).toEqual([
    'ERR_OPTION',
    expect.stringMatching(/heldSubjects is 27; expected/),
  ]);
});

it('options and callbacks may be of a class, or of none', async () => {
  class Options {
    learningRate = 0.5;
  }
  expect(optimizers.adam(new Options()).learningRate).toBe(0.5);
  const bare = Object.assign(Object.create(null) as object, { learningRate: 0.25 });
  expect(optimizers.adam(bare).learningRate).toBe(0.25);
  using model = tinyModel();
  const silent: Callback = Object.create(null) as Callback;
  await expect(model.fit(data, { verbose: 0, callbacks: [silent] })).resolves.toBeDefined();
});

it('a call on a disposed model names itself', async () => {
  const model = tinyModel();
  model.dispose();
  expect(await codeOf(() => model.setWeights({}))).toEqual([
    'ERR_STATE',
    expect.stringMatching(/^setWeights: /),
  ]);
});
