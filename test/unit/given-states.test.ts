import type { LayerSpec } from '../../lib/layers';
import { layers } from '../../lib/layers';
import type { Tensor } from '../../lib/tensor';
import { build, INPUTS, kinds, seq, steps, UNITS, wave } from '../support/stateful-models';

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
