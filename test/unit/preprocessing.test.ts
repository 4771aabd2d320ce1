import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import type { Callback, FitOptions, Model, Prediction, PreprocessingOptions } from '../../lib';
import { layers, loadModel, losses, Preprocessing, sequential } from '../../lib';
import { readSafetensors, writeSafetensors } from '../../lib/storage/safetensors';
import { codeOf } from './support/failure';
import { tinyData, tinyModel, weightsOf } from './support/tiny';
import { temporaryFolder } from './support/uci-tree';

/** Features far from 0 and of other sizes: what needs a scale. */
function rawData(rows: number, seed = 1) {
  const { x, y } = tinyData(rows, seed);
  const data = x.data.map((value, at) => (at % 2 === 0 ? 1000 + 50 * value : 0.001 * value));
  return { x: { shape: x.shape, data }, y };
}

function failing(hook: 'onTrainBegin' | 'onBatchEnd'): FitOptions {
  const fail = (): never => {
    throw new Error('on purpose');
  };
  return { verbose: 0, callbacks: [{ [hook]: fail }] };
}

const standard: PreprocessingOptions = { input: 'standardize', labels: ['late', 'early'] };

async function trained(options: PreprocessingOptions = standard): Promise<Model> {
  const model = tinyModel({ preprocessing: options });
  await model.fit(rawData(64), { epochs: 3, verbose: 0 });
  return model;
}

describe('scales', () => {
  it('are those of the training part only', async () => {
    const data = rawData(100);
    using model = tinyModel({ preprocessing: { input: 'standardize' } });
    await model.fit(data, { validationSplit: 0.25, verbose: 0 });
    const seen = data.x.data.slice(0, 75 * 12);
    for (const feature of [0, 1]) {
      const own = [...seen].filter((_, at) => at % 2 === feature);
      const mean = own.reduce((sum, value) => sum + value, 0) / own.length;
      const deviation = Math.sqrt(
        own.reduce((sum, value) => sum + (value - mean) ** 2, 0) / own.length,
      );
      const { offset, scale } = model.preprocessing!.fitted.input!;
      expect(offset[feature]).toBeCloseTo(mean, 9);
      expect(scale[feature]! / deviation).toBeCloseTo(1, 12);
    }
  });

  it('train as scaled by hand, to the bit', async () => {
    const data = rawData(64);
    using model = tinyModel({ preprocessing: { input: 'standardize' } });
    await model.fit(data, { epochs: 2, verbose: 0 });
    const { offset, scale } = model.preprocessing!.fitted.input!;
    using plain = tinyModel();
    const scaled = data.x.data.map((value, at) => (value - offset[at % 2]!) / scale[at % 2]!);
    const byHand = { x: { shape: data.x.shape, data: scaled }, y: data.y };
    await plain.fit(byHand, { epochs: 2, verbose: 0 });
    expect(weightsOf(model)).toEqual(weightsOf(plain));
    expect(await model.evaluate(data)).toEqual(await plain.evaluate(byHand));
    const [one, other] = [await model.predict(data.x), await plain.predict(byHand.x)];
    expect(one.data).toEqual(other.data);
  });

  it('stay as the first fit learnt them', async () => {
    using model = await trained();
    const before = model.preprocessing!.fitted;
    await model.fit(rawData(32, 9), { verbose: 0 });
    expect(model.preprocessing!.fitted).toEqual(before);
    model.fitPreprocessing(rawData(32, 9));
    expect(model.preprocessing!.fitted).not.toEqual(before);
  });

  it.each<[string, (model: Model, data: ReturnType<typeof rawData>) => unknown, boolean]>([
    [
      'of labels that are none',
      (model, { x }) =>
        model.fit(
          x,
          Int32Array.from({ length: 32 }, () => 7),
        ),
      false,
    ],
    [
      'that fails in its beginning',
      (model, data) => model.fit(data, failing('onTrainBegin')),
      false,
    ],
    ['that fails after an update', (model, data) => model.fit(data, failing('onBatchEnd')), true],
  ])('of a fit %s: kept is %s', async (_what, fit, kept) => {
    using model = tinyModel({ preprocessing: { input: 'standardize' } });
    await expect(fit(model, rawData(32))).rejects.toBeDefined();
    expect(model.preprocessing!.isFitted).toBe(kept);
  });

  it('of the run that is resumed have to be the same', async () => {
    using folder = temporaryFolder();
    const run = async (options: PreprocessingOptions, data = rawData(32)): Promise<unknown> => {
      using model = tinyModel({ preprocessing: options });
      const checkpoint = { dir: folder.path };
      return await model.fit(data, { epochs: 2, verbose: 0, checkpoint, resume: true });
    };
    await run(standard);
    await expect(run(standard)).resolves.toBeDefined();
    for (const [work, key] of [
      [() => run({ ...standard, input: 'minMax' }), 'preprocessing'],
      [() => run(standard, rawData(32, 9)), 'scale of preprocessing'],
    ] as const) {
      const message = expect.stringContaining(`of a run with another ${key}: `) as string;
      expect(await codeOf(work)).toEqual(['ERR_OPTION', message]);
    }
  });

  it('of targets are those of metrics, in the logs of fit as in evaluate', async () => {
    const { x } = tinyData(48);
    const y = Array.from({ length: 48 }, (_, row) => [1000 + 50 * (row % 7)]);
    using model = sequential({
      inputShape: [6, 2],
      layers: [layers.lstm({ units: 4 }), layers.dense({ units: 1 })],
      preprocessing: { target: 'standardize' },
    }).compile({ optimizer: 'adam', loss: 'meanSquaredError', metrics: ['meanAbsoluteError'] });
    const seen: number[] = [];
    const callback: Callback = {
      onBatchEnd: (_, logs) => void seen.push(logs['meanAbsoluteError']!),
    };
    const run: FitOptions = { batchSize: 16, callbacks: [callback], verbose: 0 };
    const { history: logs } = await model.fit(x, y, { ...run, validationData: [x, y] });
    const { meanAbsoluteError, loss } = await model.evaluate(x, y, { batchSize: 16 });
    expect(logs['valMeanAbsoluteError']).toEqual([meanAbsoluteError]);
    expect(logs['valLoss']).toEqual([loss]);
    const once = await model.trainOnBatch(x, y);
    for (const error of [...seen, logs['meanAbsoluteError']![0]!, once['meanAbsoluteError']!])
      expect(error).toBeGreaterThan(10);
  });

  it('leave what is behind the end of a sequence out', () => {
    const x = { shape: [2, 2, 1], data: Float32Array.of(1, 3, 5, 999) };
    const preprocessing = new Preprocessing({ input: 'minMax' });
    preprocessing.fit({ x, y: [0, 0], lengths: Int32Array.of(2, 1) }, 'data');
    expect(preprocessing.fitted.input).toEqual({
      offset: Float64Array.of(1),
      scale: Float64Array.of(4),
    });
  });

  it('are shared, partial or of a constant where asked to', () => {
    const x = { shape: [2, 1, 3], data: Float32Array.of(0, 10, 5, 4, 20, 5) };
    const fit = (input: PreprocessingOptions['input']) => {
      const preprocessing = new Preprocessing({ input: input! });
      preprocessing.fit({ x, y: [0, 1] }, 'data');
      const { offset, scale } = preprocessing.fitted.input!;
      return [[...offset], [...scale]];
    };
    expect(fit('minMax')).toEqual([
      [0, 10, 5],
      [4, 10, 1],
    ]);
    expect(fit({ kind: 'minMax', shared: true })).toEqual([
      [0, 0, 0],
      [20, 20, 20],
    ]);
    expect(fit({ kind: 'standardize', only: [1] })).toEqual([
      [0, 15, 0],
      [1, 5, 1],
    ]);
  });

  it.each(['input', 'target'] as const)(
    'only move what never varies to 0, also where its mean is rounded: %s',
    (side) => {
      const constant = Array.from({ length: 10 }, () => [0.1]);
      const sequences = constant.map((step) => [step]);
      for (const scaler of ['standardize', { kind: 'standardize', shared: true }] as const) {
        const preprocessing = new Preprocessing({ [side]: scaler });
        preprocessing.fit({ x: sequences, y: constant }, 'data');
        const learnt = { offset: Float64Array.of(0.1), scale: Float64Array.of(1) };
        expect(preprocessing.fitted[side]).toEqual(learnt);
      }
    },
  );

  it('refuse what they cannot learn from', async () => {
    const preprocessing = new Preprocessing({ input: { kind: 'minMax', only: [3] } });
    const x = { shape: [1, 1, 2], data: Float32Array.of(1, 2) };
    expect(await codeOf(() => preprocessing.fit({ x, y: [0] }, 'data'))).toEqual([
      'ERR_OPTION',
      expect.stringMatching(/feature 3 is to be scaled; there are 2/),
    ]);
    const data = rawData(4);
    data.x.data[5] = NaN;
    using model = tinyModel({ preprocessing: standard });
    expect(await codeOf(() => model.fit(data, { verbose: 0 }))).toEqual([
      'ERR_DATA',
      expect.stringMatching(/fit: data\.x\[0, 2, 1\] is NaN/),
    ]);
    expect(await codeOf(() => model.predict(rawData(2).x))).toEqual([
      'ERR_STATE',
      expect.stringMatching(/not fitted; call fit or fitPreprocessing/),
    ]);
  });
});

describe('a model file', () => {
  it('carries scales and names: the loaded model predicts from raw rows to the bit', async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, 'model.safetensors');
    using model = await trained();
    await model.save(path);
    using loaded = await loadModel(path);
    const { x } = rawData(20, 5);
    const before = await model.predict(x);
    expect(await loaded.predict(x)).toEqual(before);
    expect(before.labels).toHaveLength(20);
    expect(loaded.preprocessing!.options).toEqual(model.preprocessing!.options);
    await loaded.save(`${path}2`);
    expect(readFileSync(`${path}2`)).toEqual(readFileSync(path));
  });

  it.each<[string, (tensors: Map<string, Float64Array>, metadata: Record<string, string>) => void]>(
    [
      ['a scale of 0', (tensors) => tensors.get('preprocessing/input.scale')!.fill(0)],
      ['an offset of NaN', (tensors) => tensors.get('preprocessing/input.offset')!.fill(NaN)],
      ['no scale', (tensors) => tensors.delete('preprocessing/input.scale')],
      ['no offset', (tensors) => tensors.delete('preprocessing/input.offset')],
      ['no options of the scales', (_, metadata) => (metadata['preprocessing'] = '{}')],
      ['options that are none', (_, metadata) => (metadata['preprocessing'] = '{"inputs":1}')],
      ['options that are no JSON', (_, metadata) => (metadata['preprocessing'] = '{')],
    ],
  )('is refused with %s', async (_, change) => {
    using folder = temporaryFolder();
    const path = join(folder.path, 'model.safetensors');
    using model = await trained();
    await model.save(path);
    const { tensors, metadata } = await readSafetensors(path);
    const byName = new Map(tensors.map(({ name, data }) => [name, data as Float64Array]));
    change(byName, metadata);
    const kept = tensors.filter(({ name }) => byName.has(name));
    await writeSafetensors(path, kept, metadata);
    expect((await codeOf(() => loadModel(path)))[0]).toBe('ERR_FORMAT');
  });
});

describe('a stream', () => {
  it('takes raw steps and equals predict to the bit', async () => {
    using model = await trained();
    const { x } = rawData(3, 8);
    const whole = await model.predict(x);
    using stream = model.createStream({ batch: 3 });
    let last: Prediction | undefined;
    for (let step = 0; step < 6; step += 1) {
      const rows = [0, 1, 2].map((row) => [
        ...x.data.slice((row * 6 + step) * 2, (row * 6 + step) * 2 + 2),
      ]);
      last = stream.step(rows);
    }
    expect(last?.data).toEqual(whole.data);
    expect(last?.labels).toEqual(whole.labels);
  });
});

describe('targets', () => {
  const data = () => {
    const x = Float32Array.from({ length: 40 * 3 }, (_, at) => Math.sin(at));
    const y = Float32Array.from({ length: 40 }, (_, row) => 500 + 20 * x[3 * row + 2]!);
    return { x: { shape: [40, 3, 1], data: x }, y: { shape: [40, 1], data: y } };
  };
  const make = (
    units: number,
    loss: Parameters<Model['compile']>[0]['loss'],
    metrics: 'meanAbsoluteError'[] = [],
  ) =>
    sequential({
      inputShape: [3, 1],
      layers: [layers.lstm({ units: 8 }), layers.dense({ units })],
      preprocessing: { target: 'standardize' },
      seed: 1,
    }).compile({ optimizer: { kind: 'adam', learningRate: 0.03 }, loss, metrics });

  it('are learnt scaled and given unscaled', async () => {
    using model = make(1, 'meanSquaredError', ['meanAbsoluteError']);
    await model.fit(data(), { epochs: 60, verbose: 0 });
    const { data: given } = await model.predict(data().x);
    const errors = [...given].map((value, row) => Math.abs(value - data().y.data[row]!));
    const mean = errors.reduce((sum, error) => sum + error, 0) / errors.length;
    expect(mean).toBeLessThan(5); // of a deviation of 14
    // The metric is in the units of the targets as well; predictions of 500 are rounded at 3e-5.
    expect((await model.evaluate(data()))['meanAbsoluteError']).toBeCloseTo(mean, 3);
  });

  it('bring quantiles and a Gaussian back', async () => {
    using quantiles = make(3, losses.quantile({ quantiles: [0.1, 0.5, 0.9] }));
    using gaussian = make(2, 'gaussianNegativeLogLikelihood');
    for (const model of [quantiles, gaussian]) {
      model.fitPreprocessing(data());
      const { offset, scale } = model.preprocessing!.fitted.target!;
      using plain = sequential({ ...model.config() });
      plain.setWeights(model.getWeights());
      const own = (await plain.predict(data().x)).data;
      const expected = own.map((value, at) =>
        model === gaussian && at % 2 === 1
          ? value + 2 * Math.log(scale[0]!)
          : value * scale[0]! + offset[0]!,
      );
      expect((await model.predict(data().x)).data).toEqual(expected);
    }
  });
});

describe('labels', () => {
  it('may be names, and come back as names', async () => {
    const { x, y } = rawData(64);
    using byName = tinyModel({ preprocessing: standard });
    using byNumber = tinyModel({ preprocessing: standard });
    await byName.fit(
      x,
      Array.from(y, (label) => ['late', 'early'][label]!),
      { verbose: 0 },
    );
    await byNumber.fit(x, y, { verbose: 0 });
    expect(weightsOf(byName)).toEqual(weightsOf(byNumber));
    const { data, labels } = await byName.predict(x);
    expect(labels).toEqual(
      Array.from({ length: 64 }, (_, row) =>
        data[2 * row]! >= data[2 * row + 1]! ? 'late' : 'early',
      ),
    );
    const names = ['late', 'never'];
    expect(
      await codeOf(() =>
        byName.evaluate({ x: { shape: [2, 6, 2], data: x.data.slice(0, 24) }, y: names }),
      ),
    ).toEqual(['ERR_DATA', 'evaluate.y[1] is "never"; expected one of late, early']);
  });
});

describe('names of two labels', () => {
  const sigmoid = (
    preprocessing: PreprocessingOptions,
    loss: 'binaryCrossentropy' | 'meanSquaredError' = 'binaryCrossentropy',
    dtype: 'float32' | 'float64' = 'float32',
  ) =>
    sequential({
      inputShape: [6, 2],
      layers: [layers.lstm({ units: 4 }), layers.dense({ units: 1, activation: 'sigmoid' })],
      ...{ preprocessing, dtype, seed: 1 },
    }).compile({ optimizer: 'adam', loss });

  it.each(['float32', 'float64'] as const)(
    'are the targets of a single output: %s',
    async (dtype) => {
      const { x, y } = tinyData(16);
      const Floats = dtype === 'float32' ? Float32Array : Float64Array;
      const raw = { shape: x.shape, data: Floats.from(x.data) };
      using byName = sigmoid({ labels: ['late', 'early'] }, 'binaryCrossentropy', dtype);
      using byNumber = sigmoid({}, 'binaryCrossentropy', dtype);
      const names = Array.from(y, (label) => ['late', 'early'][label]!);
      await byName.fit(raw, names, { verbose: 0 });
      await byNumber.fit(raw, { shape: [16], data: Floats.from(y) }, { verbose: 0 });
      expect(weightsOf(byName)).toEqual(weightsOf(byNumber));
    },
  );

  it('are two: more are no targets', async () => {
    const { x } = tinyData(2);
    using model = sigmoid({ labels: ['a', 'b', 'c'] });
    expect(await codeOf(() => model.evaluate({ x, y: ['a', 'b'] }))).toEqual([
      'ERR_OPTION',
      expect.stringMatching(/evaluate\.y has names of 3 labels, .* expected two names/),
    ]);
  });
});

describe('rows of a table', () => {
  const table = {
    columns: [{ name: 'load' }, { name: 'day', categories: ['work', 'free'] }],
    steps: 2,
    groupBy: 'site',
  };
  const rows = [
    { load: 1, day: 'work', site: 'a' },
    { load: '2', day: 'free', site: 'b' },
    { load: 3, day: 'work', site: 'a' },
    { load: 4, day: 'other', site: 'a' },
    { load: 5, day: 'free', site: 'b' },
  ];
  const model = () =>
    sequential({
      inputShape: [2, 3],
      layers: [layers.lstm({ units: 3 }), layers.dense({ units: 1 })],
      preprocessing: { table, input: { kind: 'minMax', only: [0] } },
    });

  it('become windows within their groups, in training, predict and streams', async () => {
    using forecaster = model();
    forecaster.fitPreprocessing([rows, [0, 0, 0]]);
    const { data } = await forecaster.predict(rows);
    const windows = [
      [1, 1, 0],
      [3, 1, 0],
      [3, 1, 0],
      [4, 0, 0],
      [2, 0, 1],
      [5, 0, 1],
    ].flat();
    expect(
      (await forecaster.predict({ shape: [3, 2, 3], data: Float32Array.from(windows) })).data,
    ).toEqual(data);
    using stream = forecaster.createStream();
    stream.step(rows[0]!);
    expect(stream.step(rows[2]!).data).toEqual(data.slice(0, 1));
  });

  it.each<[string, object[], RegExp]>([
    [
      'a missing column',
      [{ load: 1 }],
      /predict\.x\[0\] has no column "day"; its columns are load/,
    ],
    [
      'a word for a number',
      [{ load: 'x', day: 'work' }],
      /\[0\], column "load": "x" is not a finite number/,
    ],
    [
      'a number beyond float32',
      [{ load: 1e39, day: 'work' }],
      /\[0\], column "load": 1e\+39 is too large for float32/,
    ],
    ['no whole window', [rows[0]!, rows[1]!], /2 rows and no window of 2/],
  ])('are refused: %s', async (_, given, message) => {
    using forecaster = model();
    forecaster.fitPreprocessing([rows, [0, 0, 0]]);
    expect(await codeOf(() => forecaster.predict(given as Record<string, unknown>[]))).toEqual([
      'ERR_DATA',
      expect.stringMatching(message),
    ]);
  });
});

describe('preprocessing options', () => {
  it.each<[string, object]>([
    ['a misspelt key', { inputs: 'standardize' }],
    ['another scale', { input: 'robust' }],
    ['a label twice', { labels: ['a', 'a'] }],
    ['a token twice', { text: { tokenizer: 'words', vocabulary: ['a', 'a'] } }],
    ['text beside scales', { input: 'minMax', text: { tokenizer: 'words', vocabulary: ['a'] } }],
  ])('are refused: %s', async (_, options) => {
    expect((await codeOf(() => tinyModel({ preprocessing: options })))[0]).toBe('ERR_OPTION');
  });

  it('of one model may be given to another with what it has learnt', async () => {
    using model = await trained();
    using other = tinyModel({ preprocessing: model.preprocessing! });
    expect(other.preprocessing!.fitted).toEqual(model.preprocessing!.fitted);
    expect(other.preprocessing).not.toBe(model.preprocessing);
  });

  it('scale back what they scaled', () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ noNaN: true, min: -1e6, max: 1e6 }), { minLength: 2 }),
        (values) => {
          const y = { shape: [values.length, 1], data: Float64Array.from(values) };
          const preprocessing = new Preprocessing({ target: 'standardize' });
          preprocessing.fit({ x: y, y }, 'data');
          const scaled = preprocessing.data({ x: y, y }, 'float64', 'data') as { y: typeof y };
          const form = { outputs: 1, form: 'plain', perTarget: 1, threshold: 0 } as const;
          const back = preprocessing.output(structuredClone(scaled.y), form).data;
          const size = Math.max(1, ...values.map(Math.abs));
          // Two roundings each way of numbers no larger than the largest.
          values.forEach((value, at) =>
            expect(Math.abs(back[at]! - value)).toBeLessThan(8 * 2 ** -52 * size),
          );
        },
      ),
    );
  });
});
