import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { LayerSpec } from '../../lib/layers';
import { layers } from '../../lib/layers';
import type { Model } from '../../lib/model';
import { sequential } from '../../lib/model';
import { readCheckpoint, writeCheckpoint } from '../../lib/storage/checkpoint';
import type { Tensor } from '../../lib/tensor';
import type { FitSnapshot } from '../../lib/training/control';

const [INPUTS, UNITS] = [2, 4];

const wave = (shape: number[], phase = 0): Tensor<Float64Array> => ({
  shape,
  data: Float64Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) =>
    Math.sin(1.7 * i + phase),
  ),
});

/** Steps `from` to `to` of every row. */
function steps(x: Tensor<Float64Array>, from: number, to: number): Tensor<Float64Array> {
  const [rows = 0, all = 0, features = 0] = x.shape;
  const parts = Array.from({ length: rows }, (_, row) =>
    Array.from(x.data.subarray((row * all + from) * features, (row * all + to) * features)),
  );
  return { shape: [rows, to - from, features], data: Float64Array.from(parts.flat()) };
}

function build(inner: readonly LayerSpec[], compile = true): Model {
  const model = sequential({
    inputShape: [null, INPUTS],
    layers: [...inner, layers.dense({ units: 1 })],
    dtype: 'float64',
    seed: 7,
  });
  if (compile)
    model.compile({ optimizer: { kind: 'adam', learningRate: 0.05 }, loss: 'meanSquaredError' });
  return model;
}

const seq = { units: UNITS, returnSequences: true } as const;
const kinds: [string, LayerSpec[]][] = [
  ['lstm', [layers.lstm(seq)]],
  ['gru and lstm', [layers.gru(seq), layers.lstm(seq)]],
  ['larnn', [layers.larnn({ ...seq, heads: 2, window: 3, layers: 2 })]],
  ['rra', [layers.rra({ ...seq, K: 3, lag: 2 })]],
  ['scurnn', [layers.scurnn(seq)]],
  ['enrnn', [layers.enrnn({ longUnits: 2, shortUnits: 2, returnSequences: true })]],
  ['a residual', [layers.dense({ units: UNITS }), layers.residual(layers.exprnn(seq))]],
];

describe.each(kinds)('states around %s', (_name, inner) => {
  it('given ones go on where returned ones ended, to the bit', async () => {
    const model = build(inner);
    const x = wave([5, 7, INPUTS]);
    const whole = await model.predict(x);
    // Batches of two: states are cut and joined by rows.
    const first = await model.predict(steps(x, 0, 3), { returnState: true, batchSize: 2 });
    const second = await model.predict(steps(x, 3, 7), {
      initialState: first.states,
      batchSize: 2,
    });
    const all = whole as Tensor<Float64Array>;
    expect(first.outputs.data).toEqual(steps(all, 0, 3).data);
    expect(second.data).toEqual(steps(all, 3, 7).data);
    // The open loop has the same.
    const open = await model.forward(steps(x, 0, 3), { training: false, returnState: true });
    expect(open.states).toEqual(first.states);
    const next = await model.forward(steps(x, 3, 7), {
      training: false,
      initialState: open.states,
    });
    expect(next.data).toEqual(second.data);
    await model.backward(next); // and can be gone back through
    model.dispose();
  });

  it('a stateful epoch over chunks is the training of one over the whole, cut between chunks', async () => {
    const model = build(inner);
    // Two streams of three chunks: rows are chunk 0 of both, chunk 1 of both, ...
    const whole = wave([2, 12, INPUTS]);
    const target = wave([2, 12, 1], 1);
    const chunks = (tensor: Tensor<Float64Array>): Tensor<Float64Array> => {
      const parts = [0, 4, 8].map((from) => steps(tensor, from, from + 4));
      return {
        shape: [6, 4, tensor.shape[2] ?? 0],
        data: Float64Array.from(parts.flatMap(({ data }) => Array.from(data))),
      };
    };
    const data = { x: chunks(whole), y: chunks(target) };
    // Evaluation changes nothing, so the loss over chunks is that over whole sequences.
    const { loss } = await model.evaluate(data, { batchSize: 2, stateful: true });
    const { loss: expected } = await model.evaluate({ x: whole, y: target });
    expect(loss).toBeCloseTo(expected ?? NaN, 12);
    const { loss: apart } = await model.evaluate(data, { batchSize: 2 });
    expect(Math.abs((apart ?? NaN) - (loss ?? NaN))).toBeGreaterThan(1e-6);
    // By hand: the states of a batch are those after its pass, before its update.
    const twin = build(inner);
    const history = await model.fit(data, { batchSize: 2, stateful: true, verbose: 0 });
    let initialState: Record<string, Tensor> | undefined;
    for (const from of [0, 4, 8]) {
      const { outputs, states } = await twin.forward(steps(whole, from, from + 4), {
        returnState: true,
        ...(initialState && { initialState }),
      });
      const y = steps(target, from, from + 4).data;
      const gradient = outputs.data.map((value, i) => (2 * (value - (y[i] ?? NaN))) / y.length);
      await twin.backward({ shape: outputs.shape, data: gradient });
      await twin.step();
      initialState = states;
    }
    expect(history.history['loss']).toHaveLength(1);
    for (const [name, { data: numbers }] of Object.entries(model.getWeights())) {
      const other = twin.getWeights()[name]?.data;
      numbers.forEach((value, i) => expect(value).toBeCloseTo(other?.[i] ?? NaN, 10));
    }
    model.dispose();
    twin.dispose();
  });
});

describe('stateful training', () => {
  const data = { x: wave([6, 4, INPUTS]), y: wave([6, 4, 1], 1) };
  const fitting = { batchSize: 2, stateful: true, verbose: 0 } as const;

  it('resumes bit for bit from a checkpoint between two batches', async () => {
    const whole = build([layers.larnn({ ...seq, heads: 2, window: 3 })]);
    await whole.fit(data, { ...fitting, epochs: 3 });

    const folder = mkdtempSync(join(tmpdir(), 'lookback-states-'));
    try {
      const first = build([layers.larnn({ ...seq, heads: 2, window: 3 })]);
      let batches = 0;
      let snapshot: FitSnapshot | undefined;
      // A callback makes every batch a call of its own; stop behind the fifth of nine.
      const { cursor } = await first.fitFrom(
        data,
        { ...fitting, epochs: 3, callbacks: [{ onBatchEnd: () => void (batches += 1) }] },
        {
          pause: () => batches === 5,
          save: (kept) => {
            snapshot = kept;
            return Promise.resolve();
          },
        },
      );
      expect(cursor).toMatchObject({ epoch: 1, batch: 2 });
      const path = join(folder, 'checkpoint.safetensors');
      await writeCheckpoint(path, {
        ...first.state(),
        ...(snapshot as unknown as FitSnapshot),
        records: [],
        config: {},
      });
      const checkpoint = await readCheckpoint(path);
      const { tensors, counters } = checkpoint;
      const start = { ...checkpoint, callbacks: [] };
      expect(tensors.filter(({ role }) => role === 'state').length).toBeGreaterThan(0);
      const second = build([layers.larnn({ ...seq, heads: 2, window: 3 })]);
      second.restore(tensors, counters);
      await second.fitFrom(data, { ...fitting, epochs: 3 }, { start });
      expect(second.getWeights()).toEqual(whole.getWeights());
      // It is the states that make it so.
      const without = build([layers.larnn({ ...seq, heads: 2, window: 3 })]);
      without.restore(
        tensors.filter(({ role }) => role !== 'state'),
        counters,
      );
      await without.fitFrom(data, { ...fitting, epochs: 3 }, { start });
      expect(without.getWeights()).not.toEqual(whole.getWeights());
      for (const model of [first, second, without]) model.dispose();
    } finally {
      rmSync(folder, { recursive: true });
      whole.dispose();
    }
  });

  it('resumes bit for bit by the checkpoints of fit', async () => {
    const inner = [layers.larnn({ ...seq, heads: 2, window: 3 })];
    const whole = build(inner);
    await whole.fit(data, { ...fitting, epochs: 3 });
    const dir = mkdtempSync(join(tmpdir(), 'lookback-states-'));
    try {
      const checkpoint = { dir, everyUpdates: 1 };
      const cut = new AbortController();
      let batches = 0;
      const onBatchEnd = (): void => {
        batches += 1;
        if (batches === 5) cut.abort(); // of nine
      };
      const first = build(inner);
      await expect(
        first.fit(data, {
          ...fitting,
          epochs: 3,
          checkpoint,
          callbacks: [{ onBatchEnd }],
          signal: cut.signal,
        }),
      ).rejects.toMatchObject({ code: 'ERR_ABORTED' });
      const second = build(inner);
      const callbacks = [{ onBatchEnd: () => undefined }];
      await second.fit(data, { ...fitting, epochs: 3, checkpoint, callbacks, resume: true });
      expect(second.state().counters.updates).toBe(9);
      expect(second.getWeights()).toEqual(whole.getWeights());
      for (const model of [first, second]) model.dispose();
    } finally {
      rmSync(dir, { recursive: true });
      whole.dispose();
    }
  });

  it('goes on from its states: without them it is another run', async () => {
    const inner = [layers.gru(seq)];
    const rows = (from: number): { x: Tensor; y: Tensor } => ({
      x: { shape: [2, 4, INPUTS], data: data.x.data.slice(from * 8, (from + 2) * 8) },
      y: { shape: [2, 4, 1], data: data.y.data.slice(from * 4, (from + 2) * 4) },
    });
    const model = build(inner);
    await model.fit(rows(0), fitting);
    const { tensors, counters } = model.state();
    const states = tensors.filter(({ role }) => role === 'state');
    expect(states.map(({ name, shape }) => [name, shape])).toEqual([['gru.h_n', [2, UNITS]]]);
    const twin = build(inner);
    twin.restore(tensors, counters);
    expect(twin.state().tensors).toEqual(tensors);
    twin.resetStates();
    expect(twin.state().tensors).toEqual(tensors.filter(({ role }) => role !== 'state'));
    model.dispose();
    twin.dispose();
  });

  it('is cleared by every epoch and by resetStates', async () => {
    const twice = build([layers.lstm(seq)]);
    await twice.fit(data, { ...fitting, epochs: 2 });
    const apart = build([layers.lstm(seq)]);
    await apart.fit(data, fitting);
    await apart.fit(data, { ...fitting, initialEpoch: 1, epochs: 2 });
    expect(apart.getWeights()).toEqual(twice.getWeights());
    // Reset before every batch: the same as rows that have nothing to do with each other.
    const reset = build([layers.lstm(seq)]);
    const callbacks = [{ onBatchEnd: () => reset.resetStates() }];
    await reset.fit(data, { ...fitting, callbacks });
    const stateless = build([layers.lstm(seq)]);
    await stateless.fit(data, { batchSize: 2, shuffle: false, verbose: 0 });
    expect(reset.getWeights()).toEqual(stateless.getWeights());
    for (const model of [twice, apart, reset, stateless]) model.dispose();
  });

  it('validates over streams of its own', async () => {
    const model = build([layers.lstm(seq)]);
    const history = await model.fit(data, { ...fitting, epochs: 2, validationData: data });
    const { loss } = await model.evaluate(data, { batchSize: 2, stateful: true });
    expect(history.history['valLoss']?.[1]).toBe(loss);
    const alone = build([layers.lstm(seq)]);
    await alone.fit(data, { ...fitting, epochs: 2 });
    expect(alone.getWeights()).toEqual(model.getWeights());
    model.dispose();
    alone.dispose();
  });

  it('burn-in steps have no loss, and only behind a start from no state', async () => {
    const model = build([layers.lstm(seq)]);
    const rows = await model.predict(data.x);
    const square = (row: number, step: number): number => {
      const at = row * 4 + step;
      return ((rows.data[at] ?? NaN) - (data.y.data[at] ?? NaN)) ** 2;
    };
    const late = [0, 1, 2, 3, 4, 5].flatMap((row) => [square(row, 2), square(row, 3)]);
    const mean = late.reduce((sum, value) => sum + value, 0) / late.length;
    const { loss } = await model.evaluate(data, { burnIn: 2 });
    expect(loss).toBeCloseTo(mean, 12);
    // Stateful: two rows of two steps each are left out, of the 24 there are.
    const all = await model.evaluate(data, { batchSize: 2, stateful: true });
    const warm = await model.evaluate(data, { batchSize: 2, stateful: true, burnIn: 2 });
    const cold = [0, 1].flatMap((row) => [square(row, 0), square(row, 1)]);
    const expected = (24 * (all['loss'] ?? NaN) - cold.reduce((sum, v) => sum + v, 0)) / 20;
    expect(warm['loss']).toBeCloseTo(expected, 12);
    model.dispose();
  });

  it.each<[string, object, RegExp, string]>([
    [
      'shuffled rows',
      { stateful: true, shuffle: true, batchSize: 2 },
      /rows in their order/,
      'ERR_OPTION',
    ],
    [
      'half a batch',
      { stateful: true, batchSize: 4 },
      /6 rows, which are no whole batches of 4/,
      'ERR_DATA',
    ],
    [
      'burnIn for all steps',
      { burnIn: 4 },
      /burnIn is 4; expected fewer than the 4 steps/,
      'ERR_OPTION',
    ],
    [
      'half a batch of validation',
      { stateful: true, batchSize: 2, validationSplit: 0.5 },
      /fit: data has 3 rows/,
      'ERR_DATA',
    ],
  ])('refuses %s', async (_name, options, message, code) => {
    const model = build([layers.lstm(seq)]);
    await expect(model.fit(data, { verbose: 0, ...options })).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message) as string,
    });
    await model.fit(data, { verbose: 0 }); // still usable
    model.dispose();
  });

  it.each<[string, LayerSpec[], RegExp]>([
    ['bidirectional', [layers.bidirectional(layers.lstm(seq))], /backward.*from its end/],
    ['goBackwards', [layers.gru({ ...seq, goBackwards: true })], /gru.*from its end.*carried on/],
    ['no recurrent layer', [layers.layerNorm()], /no recurrent layer/],
    [
      'replays',
      [layers.larnn({ ...seq, stacking: 'replay', layers: 2 })],
      /several times.*use stacking 'stack'/,
    ],
  ])('is refused for %s', async (_name, inner, message) => {
    const model = build(inner);
    const refused = { code: 'ERR_STATE', message: expect.stringMatching(message) as string };
    await expect(model.fit(data, fitting)).rejects.toMatchObject(refused);
    await expect(model.predict(data.x, { returnState: true })).rejects.toMatchObject(refused);
    await model.predict(data.x);
    model.dispose();
  });

  it('burn-in needs an output at every step', async () => {
    const model = build([layers.lstm({ units: 3 })]);
    const rows = { x: data.x, y: wave([6, 1]) };
    await expect(model.fit(rows, { burnIn: 1, verbose: 0 })).rejects.toThrow(
      /burnIn is 1, but the model gives one output a row.*use returnSequences/,
    );
    model.dispose();
  });
});

describe('given states', () => {
  it('are those that a stream has', async () => {
    const model = build([layers.rra({ ...seq, K: 2 })]);
    const x = wave([3, 5, INPUTS]);
    const stream = model.createStream({ batch: 3 });
    for (let t = 0; t < 4; t += 1) {
      const { data } = steps(x, t, t + 1);
      stream.step({ shape: [3, INPUTS], data });
    }
    const rest = await model.predict(steps(x, 4, 5), { initialState: stream.snapshot() });
    const all = (await model.predict(x)) as Tensor<Float64Array>;
    expect(rest.data).toEqual(steps(all, 4, 5).data);
    model.dispose();
  });

  it('end at the last valid step of a row', async () => {
    const model = build([layers.lstm(seq)]);
    const x = wave([2, 5, INPUTS]);
    const lengths = Int32Array.of(5, 2);
    const { states } = await model.predict(x, { lengths, returnState: true });
    const short = await model.predict(steps(x, 0, 2), { returnState: true });
    const [long, cut] = [states['lstm.h_n'], short.states['lstm.h_n']];
    expect(long?.data.slice(UNITS)).toEqual(cut?.data.slice(UNITS));
    model.dispose();
  });

  it.each<[string, (states: Record<string, Tensor>) => unknown, string, RegExp]>([
    [
      'a name that is none',
      (s) => ({ ...s, 'lstm.x_n': s['lstm.h_n'] }),
      'ERR_OPTION',
      /'lstm.x_n' is not one of this model/,
    ],
    ['half of them', (s) => ({ 'lstm.h_n': s['lstm.h_n'] }), 'ERR_OPTION', /'lstm.c_n' is missing/],
    [
      'too few rows',
      (s) => ({ ...s, 'lstm.h_n': { shape: [2, UNITS], data: new Float64Array(2 * UNITS) } }),
      'ERR_SHAPE',
      /\[2, 4\].*expected \[3, 4\]/,
    ],
    [
      'numbers that are none',
      (s) => ({
        ...s,
        'lstm.h_n': { shape: [3, UNITS], data: new Float64Array(3 * UNITS).fill(NaN) },
      }),
      'ERR_DATA',
      /not finite/,
    ],
    ['a list', () => [], 'ERR_OPTION', /initialState is .*expected states by name/],
  ])('refuse %s', async (_name, change, code, message) => {
    const model = build([layers.lstm(seq)]);
    const x = wave([3, 2, INPUTS]);
    const { states } = await model.predict(x, { returnState: true });
    const initialState = change(states) as never;
    const refused = { code, message: expect.stringMatching(message) as string };
    await expect(model.predict(x, { initialState })).rejects.toMatchObject(refused);
    await expect(model.forward(x, { initialState })).rejects.toMatchObject(refused);
    model.dispose();
  });

  it('take the place of trained ones, which learn where none are given', async () => {
    const model = build([layers.gru({ ...seq, initialState: 'trained' })]);
    const data = { x: wave([4, 3, INPUTS]), y: wave([4, 3, 1], 1) };
    expect(Array.from(model.getWeights()['gru.h_start']?.data ?? [])).toEqual([0, 0, 0, 0]);
    await model.fit(data, { batchSize: 4, epochs: 3, verbose: 0 });
    const start = model.getWeights()['gru.h_start'];
    expect(start?.data.every((value) => Math.abs(value) > 1e-3)).toBe(true);
    const plain = await model.predict(data.x);
    const repeated = Array.from({ length: 4 }, () => Array.from(start?.data ?? [])).flat();
    const given = { 'gru.h_n': { shape: [4, UNITS], data: Float64Array.from(repeated) } };
    expect((await model.predict(data.x, { initialState: given })).data).toEqual(plain.data);
    const zero = { 'gru.h_n': { shape: [4, UNITS], data: new Float64Array(4 * UNITS) } };
    expect((await model.predict(data.x, { initialState: zero })).data).not.toEqual(plain.data);
    model.dispose();
  });
});

describe('resets in data', () => {
  const x = wave([2, 6, INPUTS]);
  const y = wave([2, 6, 1], 1);
  const resets = Int32Array.of(0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0);

  /** The rows between resets as rows of their own, cut to the steps that they have. */
  const pieces = [
    [0, 0, 2],
    [0, 2, 6],
    [1, 0, 4],
    [1, 4, 6],
  ] as const;
  const rowOf = (tensor: Tensor<Float64Array>, row: number): Tensor<Float64Array> => ({
    shape: [1, ...tensor.shape.slice(1)],
    data: tensor.data.slice((row * tensor.data.length) / 2, ((row + 1) * tensor.data.length) / 2),
  });

  it.each(kinds)('predict what separate rows give: %s', async (_name, inner) => {
    const model = build(inner);
    const all = await model.predict(x, { resets });
    const open = await model.forward(x, { resets, training: false });
    expect(open.data).toEqual(all.data);
    for (const [row, from, to] of pieces) {
      const alone = await model.predict(steps(rowOf(x, row), from, to));
      expect(alone.data).toEqual(steps(rowOf(all as Tensor<Float64Array>, row), from, to).data);
    }
    model.dispose();
  });

  it('train as separate rows do', async () => {
    const inner = [layers.lstm(seq)];
    const [together, apart] = [build(inner), build(inner)];
    const options = { batchSize: 4, shuffle: false, epochs: 2, verbose: 0 } as const;
    await together.fit({ x, y, resets }, options);
    const padded = (tensor: Tensor<Float64Array>): Tensor<Float64Array> => {
      const features = tensor.shape[2] ?? 0;
      const rows = pieces.flatMap(([row, from, to]) => {
        const data = Array.from(steps(rowOf(tensor, row), from, to).data);
        return [...data, ...new Array<number>(6 * features - data.length).fill(0)];
      });
      return { shape: [4, 6, features], data: Float64Array.from(rows) };
    };
    const lengths = Int32Array.from(pieces, ([, from, to]) => to - from);
    await apart.fit({ x: padded(x), y: padded(y), lengths }, options);
    for (const [name, { data }] of Object.entries(together.getWeights())) {
      const other = apart.getWeights()[name]?.data;
      data.forEach((value, i) => expect(value).toBeCloseTo(other?.[i] ?? NaN, 10));
    }
    const { loss } = await together.evaluate({ x, y, resets });
    expect(loss).toBeCloseTo(
      (await together.evaluate({ x: padded(x), y: padded(y), lengths }))['loss'] ?? NaN,
      12,
    );
    together.dispose();
    apart.dispose();
  });

  it.each<[string, unknown, string, RegExp]>([
    [
      'other numbers than 0 and 1',
      Int32Array.from(resets, (v) => 2 * v),
      'ERR_DATA',
      /resets\[0, 2\] is 2; expected 0, or 1/,
    ],
    ['another shape', new Int32Array(6), 'ERR_SHAPE', /resets/],
    ['floats', new Float64Array(12), 'ERR_SHAPE', /resets/],
  ])('refuse %s', async (_name, wrong, code, message) => {
    const model = build([layers.lstm(seq)]);
    const refused = { code, message: expect.stringMatching(message) as string };
    await expect(model.predict(x, { resets: wrong as never })).rejects.toMatchObject(refused);
    await expect(model.fit({ x, y, resets: wrong as never }, { verbose: 0 })).rejects.toMatchObject(
      refused,
    );
    model.dispose();
  });

  it.each<[string, LayerSpec, RegExp]>([
    [
      'goBackwards',
      layers.lstm({ ...seq, goBackwards: true }),
      /from its end, where resets have no meaning/,
    ],
    [
      'bidirectional',
      layers.bidirectional(layers.lstm(seq)),
      /from its end, where resets have no meaning/,
    ],
    [
      'batch statistics',
      layers.bnlstm({ ...seq, tMax: 6 }),
      /resets do not go with batch statistics/,
    ],
  ])('do not go with %s', async (_name, layer, message) => {
    const model = build([layer]);
    const refused = { code: 'ERR_OPTION', message: expect.stringMatching(message) as string };
    await expect(model.fit({ x, y, resets }, { verbose: 0 })).rejects.toMatchObject(refused);
    model.dispose();
  });
});
