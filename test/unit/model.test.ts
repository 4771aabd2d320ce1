import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import type { Callback, Logs } from '../../lib';
import {
  callbacks,
  layers,
  loadModel,
  LookbackError,
  losses,
  metrics,
  optimizers,
  schedules,
  sequential,
} from '../../lib';
import { rowsWithout } from '../../lib/tensor';
import { damaged } from './support/damage';
import { features, steps, tinyData, tinyModel, weightsOf } from './support/tiny';

const train = tinyData(96);
const held = tinyData(40, 7);
const silent = { verbose: 0, batchSize: 16 } as const;

const folder = mkdtempSync(join(tmpdir(), 'lookback-model-'));
afterAll(() => rmSync(folder, { recursive: true }));

describe('fit', () => {
  it('learns and logs every epoch', async () => {
    using model = tinyModel();
    const validationData = tinyData(200, 7);
    const history = await model.fit(tinyData(512, 3), { ...silent, epochs: 10, validationData });
    expect(history.epoch).toHaveLength(10);
    expect(Object.keys(history.history)).toEqual(['loss', 'accuracy', 'valLoss', 'valAccuracy']);
    const { loss = [], valAccuracy = [] } = history.history;
    expect(loss.at(-1)).toBeLessThan(0.5 * (loss[0] ?? 0));
    expect(valAccuracy.at(-1)).toBeGreaterThan(0.8);
  });

  it('takes x and y apart, nested arrays, and [x, y]', async () => {
    const run = async (fit: (model: ReturnType<typeof tinyModel>) => Promise<unknown>) => {
      using model = tinyModel();
      await fit(model);
      return weightsOf(model);
    };
    const row = (at: number) =>
      Array.from({ length: steps }, (_, step) => [
        ...train.x.data.subarray(
          (at * steps + step) * features,
          (at * steps + step + 1) * features,
        ),
      ]);
    const nested = Array.from({ length: 96 }, (_, at) => row(at));
    const whole = await run((model) => model.fit(train, silent));
    expect(await run((model) => model.fit(train.x, train.y, silent))).toEqual(whole);
    expect(await run((model) => model.fit([train.x, train.y], silent))).toEqual(whole);
    expect(await run((model) => model.fit(nested, [...train.y], silent))).toEqual(whole);
  });

  it('gives the same weights for the same seed and others for another', async () => {
    const trained = async (seed: number, shuffle = true) => {
      using model = tinyModel({ seed });
      await model.fit(train, { ...silent, epochs: 2, shuffle });
      return weightsOf(model);
    };
    const first = await trained(5);
    expect(await trained(5)).toEqual(first);
    expect(await trained(6)).not.toEqual(first);
    expect(await trained(5, false)).not.toEqual(first);
  });

  it('does not depend on how batches are cut into calls', async () => {
    const trained = async (callback: Callback) => {
      using model = tinyModel();
      await model.fit(train, { ...silent, epochs: 2, callbacks: [callback] });
      return weightsOf(model);
    };
    const batches: number[] = [];
    const single = await trained({ onBatchEnd: (batch) => void batches.push(batch) });
    expect(batches).toEqual([0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5]);
    expect(await trained({})).toEqual(single);
  });

  it('holds out the last rows for validationSplit', async () => {
    const logsWith = async (options: object, rows: typeof train) => {
      using model = tinyModel();
      const { history } = await model.fit(rows, { ...silent, ...options });
      return history;
    };
    const at = 72 * steps * features;
    const head = {
      x: { shape: [72, steps, features], data: train.x.data.slice(0, at) },
      y: train.y.slice(0, 72),
    };
    const tail = {
      x: { shape: [24, steps, features], data: train.x.data.slice(at) },
      y: train.y.slice(72),
    };
    expect(await logsWith({ validationSplit: 0.25 }, train)).toEqual(
      await logsWith({ validationData: tail }, head),
    );
  });

  it.each([
    [90, 0.3, 63],
    [10, 0.9, 1],
    [96, 0.25, 72],
    [10, 0.25, 7],
    [4_000_000_000, 0.1, 3_600_000_000],
    [7, 0, 7],
  ])('of %i rows and validationSplit %f trains on %i', (rows, share, left) => {
    expect(rowsWithout(share, rows)).toBe(left);
  });

  it('holds out nine of ten rows, of which the scale knows nothing', async () => {
    using model = tinyModel({ preprocessing: { input: 'standardize' } });
    const { x, y } = tinyData(10);
    x.data.fill(1000, steps * features);
    await model.fit({ x, y }, { ...silent, validationSplit: 0.9 });
    const { offset } = model.preprocessing!.fitted.input!;
    expect(Math.max(...offset)).toBeLessThan(1);
  });

  it('follows a schedule', async () => {
    using model = tinyModel();
    const before = weightsOf(model);
    await model.fit(train, { ...silent, schedule: () => 0 });
    expect(weightsOf(model)).toEqual(before);
    await model.fit(train, { ...silent, schedule: schedules.cosine({ warmup: 0.5 }) });
    expect(weightsOf(model)).not.toEqual(before);
  });

  it('counts from initialEpoch, so two halves are the whole', async () => {
    const trained = async (parts: [number, number][]) => {
      using model = tinyModel();
      for (const [initialEpoch, epochs] of parts)
        await model.fit(train, { ...silent, initialEpoch, epochs });
      return weightsOf(model);
    };
    expect(
      await trained([
        [0, 2],
        [2, 4],
      ]),
    ).toEqual(await trained([[0, 4]]));
  });

  it('stops when stopTraining is set', async () => {
    using model = tinyModel();
    const stop: Callback = {
      onEpochEnd: (epoch, _logs, context) => {
        if (epoch === 2) context.model.stopTraining = true;
      },
    };
    const history = await model.fit(train, { ...silent, epochs: 10, callbacks: [stop] });
    expect(history.epoch).toEqual([0, 1, 2]);
  });

  it('ends with the error of a callback', async () => {
    using model = tinyModel();
    const boom = new Error('boom');
    const bad: Callback = {
      onEpochEnd: () => {
        throw boom;
      },
    };
    await expect(model.fit(train, { ...silent, callbacks: [bad] })).rejects.toBe(boom);
    await expect(model.evaluate(held)).resolves.toBeDefined();
  });
});

describe('callbacks', () => {
  it('earlyStopping stops and goes back to the best weights', async () => {
    using model = tinyModel();
    const seen: Logs[] = [];
    const worse: Callback = {
      onEpochEnd: (epoch, logs) => {
        seen.push({ ...logs });
        logs['valLoss'] = epoch;
      },
    };
    let best: Record<string, number[]> = {};
    const note: Callback = {
      onEpochEnd: (epoch) => {
        if (epoch === 0) best = weightsOf(model);
      },
    };
    const early = callbacks.earlyStopping({ patience: 1, restoreBestWeights: true });
    const history = await model.fit(train, {
      ...silent,
      epochs: 10,
      validationData: held,
      callbacks: [worse, note, early],
    });
    expect(history.epoch).toEqual([0, 1, 2]);
    expect(weightsOf(model)).toEqual(best);
  });

  it('earlyStopping names a log that is not there', async () => {
    using model = tinyModel();
    const run = model.fit(train, { ...silent, callbacks: [callbacks.earlyStopping()] });
    await expect(run).rejects.toMatchObject({
      code: 'ERR_OPTION',
      message: expect.stringMatching(/monitor is "valLoss".*loss, accuracy/) as string,
    });
  });

  it('modelCheckpoint saves after epochs', async () => {
    using model = tinyModel();
    const path = join(folder, 'epoch-{epoch}.safetensors');
    await model.fit(train, {
      ...silent,
      epochs: 2,
      callbacks: [callbacks.modelCheckpoint({ path })],
    });
    using last = await loadModel(join(folder, 'epoch-2.safetensors'));
    expect(weightsOf(last)).toEqual(weightsOf(model));
    expect(readFileSync(join(folder, 'epoch-1.safetensors'))).not.toEqual(
      readFileSync(join(folder, 'epoch-2.safetensors')),
    );
  });
});

describe('evaluate and predict', () => {
  it('agree with each other', async () => {
    using model = tinyModel();
    const { loss = NaN, accuracy } = await model.evaluate(held);
    const { shape, data } = await model.predict(held.x);
    expect(shape).toEqual([40, 2]);
    const probability = (row: number) => data[row * 2 + (held.y[row] ?? 0)] ?? NaN;
    const rows = [...held.y.keys()];
    const mean = rows.reduce((sum, row) => sum - Math.log(probability(row)), 0) / rows.length;
    expect(loss).toBeCloseTo(mean, 5);
    expect(accuracy).toBe(rows.filter((row) => probability(row) > 0.5).length / rows.length);
  });

  it('do not depend on the batch size', async () => {
    using model = tinyModel();
    expect((await model.predict(held.x, { batchSize: 7 })).data).toEqual(
      (await model.predict(held.x)).data,
    );
  });

  it('take the statistics that `evaluation` names, and leave the running ones alone', async () => {
    const predicted = async (evaluation: 'running' | 'batch' | 'training') => {
      const norm = { normalization: 'batch', attentionDropout: 0.5, evaluation } as const;
      using model = sequential({
        inputShape: [steps, features],
        layers: [layers.larnn({ units: 4, window: 3, ...norm }), layers.dense({ units: 2 })],
      });
      model.compile({ optimizer: 'sgd', loss: 'sparseCategoricalCrossentropy' });
      await model.fit(train, { ...silent, epochs: 1 });
      const before = weightsOf(model);
      const [all, half] = [
        await model.predict(held.x),
        await model.predict(held.x, { batchSize: 20 }),
      ];
      expect(weightsOf(model)).toEqual(before);
      const trained = await model.forward(held.x, { training: true });
      return { all, half, trained };
    };
    const [running, batch, training] = [
      await predicted('running'),
      await predicted('batch'),
      await predicted('training'),
    ];
    expect(running.all).toEqual(running.half);
    expect(batch.all).not.toEqual(batch.half);
    expect(training.all).toEqual(training.trained);
    expect(batch.all).not.toEqual(training.all);
  });

  it.each([
    ['length', 'lengths'],
    ['sampleWeights', 'sampleWeight'],
    ['reset', 'resets'],
  ])('are refused where %s stands for %s, which would be passed over', async (wrong, right) => {
    using model = sequential({ inputShape: [2, 1], layers: [layers.lstm({ units: 2 })] });
    model.compile({ optimizer: 'sgd', loss: 'sparseCategoricalCrossentropy' });
    const data = { x: [[[1], [2]]], y: [1], classNames: ['a', 'b'] };
    await expect(model.fit({ ...data, [wrong]: [1] }, { verbose: 0 })).rejects.toMatchObject({
      code: 'ERR_OPTION',
      message: `fit: data has "${wrong}", which nothing reads; did you mean "${right}"?`,
    });
    // What has both knows what it does.
    const both = { ...data, lengths: [2], length: 1 };
    await expect(model.fit(both, { verbose: 0 })).resolves.toBeDefined();
  });

  it('never read beyond lengths', async () => {
    using model = tinyModel();
    const lengths = Int32Array.from({ length: 40 }, (_, row) => 1 + (row % steps));
    const padded = held.x.data.slice();
    lengths.forEach((length, row) =>
      padded.fill(9, (row * steps + length) * features, (row + 1) * steps * features),
    );
    const before = await model.predict(held.x, { lengths });
    expect((await model.predict({ shape: held.x.shape, data: padded }, { lengths })).data).toEqual(
      before.data,
    );
  });
});

describe('the open loop', () => {
  it('does what trainOnBatch does', async () => {
    const compile = {
      optimizer: optimizers.sgd({ learningRate: 0.1 }),
      loss: losses.meanSquaredError(),
      metrics: [metrics.meanSquaredError()],
    };
    const make = () =>
      sequential({
        inputShape: [null, features],
        layers: [layers.lstm({ units: 4 }), layers.dense({ units: 1 })],
        dtype: 'float64',
      }).compile(compile);
    using closed = make();
    using open = make();
    const x = {
      shape: [5, steps, features],
      data: Float64Array.from(train.x.data.subarray(0, 5 * steps * features)),
    };
    const y = { shape: [5, 1], data: Float64Array.of(0.1, -0.2, 0.3, 0, 1) };
    const { loss = NaN } = await closed.trainOnBatch(x, y);
    const outputs = await open.forward(x);
    const gradient = outputs.data.map((value, row) => (2 * (value - (y.data[row] ?? 0))) / 5);
    expect(
      Array.from(outputs.data).reduce(
        (sum, value, row) => sum + (value - (y.data[row] ?? 0)) ** 2,
        0,
      ) / 5,
    ).toBeCloseTo(loss, 12);
    const dx = await open.backward({ shape: outputs.shape, data: gradient });
    expect(dx.shape).toEqual(x.shape);
    expect(Object.keys(open.gradients())).toEqual(Object.keys(open.getWeights()));
    await open.step();
    const [expected, computed] = [closed.getWeights(), open.getWeights()];
    for (const [name, { data }] of Object.entries(computed)) {
      data.forEach((value, at) => expect(value).toBeCloseTo(expected[name]?.data[at] ?? NaN, 12));
    }
  });
});

describe('weights and files', () => {
  it('a saved model is the same model', async () => {
    using model = tinyModel();
    await model.fit(train, silent);
    const path = join(folder, 'model.safetensors');
    await model.save(path, { metadata: { classNames: '["no","yes"]' } });
    using loaded = await loadModel(path);
    expect(loaded.config()).toEqual(model.config());
    expect(weightsOf(loaded)).toEqual(weightsOf(model));
    expect((await loaded.predict(held.x)).data).toEqual((await model.predict(held.x)).data);
    expect(await loaded.evaluate(held)).toEqual(await model.evaluate(held));
    await loaded.save(join(folder, 'again.safetensors'), {
      metadata: { classNames: '["no","yes"]' },
    });
    expect(readFileSync(join(folder, 'again.safetensors'))).toEqual(readFileSync(path));
  });

  it('setWeights changes all or nothing', () => {
    using model = tinyModel();
    const before = weightsOf(model);
    expect(() =>
      model.setWeights({ 'dense.b': Float32Array.of(1, 2), 'dense.c': Float32Array.of(1) }),
    ).toThrow(/there is no dense.c/);
    expect(() =>
      model.setWeights({ 'dense.b': Float32Array.of(1, 2), 'dense.W': Float32Array.of(1) }),
    ).toThrow(/dense.W has shape/);
    for (const bad of [NaN, Infinity, 1e39]) {
      const given = { 'lstm.b_x': new Float32Array(32), 'dense.b': [1, bad] };
      expect(() => model.setWeights(given)).toThrow(
        expect.objectContaining({
          code: 'ERR_DATA',
          message: `setWeights: dense.b[1] is ${Math.fround(bad)}; expected finite numbers: remove or fill such entries`,
        }) as Error,
      );
    }
    expect(weightsOf(model)).toEqual(before);
    model.setWeights({ 'dense.b': [1, 2] });
    expect(weightsOf(model)['dense.b']).toEqual([1, 2]);
  });

  it('summary lists the layers', () => {
    using model = tinyModel();
    const lines: string[] = [];
    const text = model.summary({ print: (line) => void lines.push(line) });
    expect(lines.join('\n')).toBe(text);
    // 4 * 8 * (2 + 8) weights and 2 * 32 biases; 2 * 8 + 2.
    expect(text).toMatch(/lstm +lstm +\[8\] +384\n/);
    expect(text).toMatch(/402 parameters, float32, cpu, seed 3$/);
    expect(() => model.summary({ prnt: () => undefined } as object)).toThrow(
      /^summary: unknown option prnt; did you mean print\?$/,
    );
  });

  it('layers may be added one by one', () => {
    using model = sequential({ inputShape: [steps, features] });
    model.add(layers.lstm({ units: 3 })).add(layers.dense({ units: 2 }));
    expect(() => model.add(layers.lstm({ units: 3 }))).toThrow(/reads a sequence/);
    expect(model.outputShape).toEqual([2]);
    model.summary({ print: () => undefined });
    expect(() => model.add(layers.dense({ units: 2 }))).toThrow(/already built/);
  });

  it('gives typed errors for damaged files, never a model that cannot be used', async () => {
    using model = tinyModel({ preprocessing: { input: 'standardize', labels: ['calm', 'busy'] } });
    await model.fit(train.x, train.y, { verbose: 0 });
    const path = join(folder, 'damaged.safetensors');
    await model.save(path);
    const sound = readFileSync(path);
    const failures: string[] = [];
    await fc.assert(
      fc.asyncProperty(damaged(sound), async (bytes) => {
        writeFileSync(path, bytes);
        const loaded = await loadModel(path).catch((error: unknown) => {
          expect(error).toBeInstanceOf(LookbackError);
          failures.push((error as LookbackError).code);
          return null;
        });
        // Damage to numbers, or to words that mean nothing here, is not seen; the inputs may no longer fit.
        await loaded?.predict(train.x).catch((error: unknown) => {
          expect(error).toBeInstanceOf(LookbackError);
        });
        loaded?.dispose();
      }),
      { numRuns: 300 },
    );
    expect(failures.length).toBeGreaterThan(100);
    expect(failures.filter((code) => code !== 'ERR_FORMAT' && code !== 'ERR_MEMORY')).toEqual([]);
  });
});
