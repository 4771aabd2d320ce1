import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { LayerSpec } from '../../lib/layers';
import { layers } from '../../lib/layers';
import { readCheckpoint, writeCheckpoint } from '../../lib/storage/checkpoint';
import type { Tensor } from '../../lib/tensor';
import type { FitSnapshot } from '../../lib/training/control';
import { build, INPUTS, kinds, seq, steps, UNITS, wave } from '../support/stateful-models';

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

describe("states of an rra with warmup 'renormalize'", () => {
  // Its weights depend on how many states the window holds, which the states do not say.
  const inside = layers.rra({ units: UNITS, K: 3, warmup: 'renormalize', returnSequences: true });

  it.each<[string, LayerSpec[], string]>([
    ['a layer', [inside], 'rra'],
    [
      'one inside of another',
      [layers.dense({ units: UNITS }), layers.residual(inside)],
      'residual.rra',
    ],
  ])('are not gone on from: %s', async (_, inner, path) => {
    const model = build(inner);
    const x = wave([2, 4, INPUTS]);
    const expected = {
      code: 'ERR_STATE',
      message: expect.stringContaining(`layer ${path} has warmup "renormalize"`) as string,
    };
    const y: Tensor = await model.predict(x);
    const data = { x, y };
    const stateful = { stateful: true, batchSize: 2 };
    expect(() => model.createStream()).toThrow(expect.objectContaining(expected));
    await expect(model.predict(x, { returnState: true })).rejects.toMatchObject(expected);
    await expect(model.forward(x, { initialState: {} })).rejects.toMatchObject(expected);
    await expect(model.fit(data, { verbose: 0, ...stateful })).rejects.toMatchObject(expected);
    await expect(model.evaluate(data, stateful)).rejects.toMatchObject(expected);
    await expect(model.fit(data, { verbose: 0 })).resolves.toBeDefined();
    model.dispose();
  });
});
