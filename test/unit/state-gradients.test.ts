/**
 * Gradients that go through states: out of a pass to the states that it was given, and into it from those that it gave.
 */
import { cells } from '../../lib/cell';
import type { LookbackError } from '../../lib/errors';
import type { LayerSpec } from '../../lib/layers';
import { layers } from '../../lib/layers';
import type { Model } from '../../lib/model';
import { sequential } from '../../lib/model';
import type { Tensor } from '../../lib/tensor';

const [ROWS, STEPS, INPUTS, UNITS] = [3, 4, 2, 4];

type Numbers = Tensor<Float64Array>;
type States = Record<string, Numbers>;

const wave = (shape: readonly number[], phase = 0): Numbers => ({
  shape: [...shape],
  data: Float64Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) =>
    Math.sin(1.7 * i + phase),
  ),
});

/** Steps `from` to `to` of every row. */
function steps(x: Numbers, from: number, to: number): Numbers {
  const [rows = 0, all = 0, features = 0] = x.shape;
  const parts = Array.from({ length: rows }, (_, row) =>
    Array.from(x.data.subarray((row * all + from) * features, (row * all + to) * features)),
  );
  return { shape: [rows, to - from, features], data: Float64Array.from(parts.flat()) };
}

const build = (inner: readonly LayerSpec[]): Model =>
  sequential({ inputShape: [null, INPUTS], layers: [...inner], dtype: 'float64', seed: 7 });

const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Array.from(a).reduce((sum, value, i) => sum + value * (b[i] ?? NaN), 0);

/** Numbers for the gradient of every state but counts. */
const upstreamOf = (states: Record<string, Tensor>): States =>
  Object.fromEntries(
    Object.entries(states)
      .filter(([name]) => !name.endsWith('_count'))
      .map(([name, { shape }], i) => [name, wave(shape, i + 0.5)]),
  );

const seq = { units: UNITS, returnSequences: true } as const;
const larnn = { ...seq, heads: 2, window: 5 } as const;
const kinds: [string, LayerSpec[]][] = [
  ['lstm', [layers.lstm(seq)]],
  ['lstm with layer norm', [layers.lstm({ ...seq, normalization: 'layer' })]],
  ['gru and lstm', [layers.gru(seq), layers.dense({ units: 3 }), layers.lstm(seq)]],
  ['rnn with a trained start', [layers.rnn({ ...seq, initialState: 'trained' })]],
  ['bnlstm', [layers.bnlstm({ ...seq, tMax: STEPS })]],
  ['larnn of two layers', [layers.larnn({ ...larnn, layers: 2 })]],
  ['larnn with positions', [layers.larnn({ ...larnn, positional: 'concat' })]],
  ['rra', [layers.rra({ ...seq, K: 3, lag: 2 })]],
  ['scornn', [layers.scornn(seq)]],
  ['scurnn', [layers.scurnn(seq)]],
  ['enrnn', [layers.enrnn({ longUnits: 2, shortUnits: 2, returnSequences: true })]],
  ['a residual', [layers.dense({ units: UNITS }), layers.residual(layers.exprnn(seq))]],
  ['one output a row', [layers.gru({ units: UNITS })]],
];

interface Given {
  lengths?: Int32Array;
  resets?: Tensor;
}

/**
 * A pass from states that one step has made, as a window that is not full yet has them. Moved a little: LARNN's first
 * entry is zero, where an ELU has two curvatures and differences are off.
 */
async function begin(model: Model): Promise<{ x: Numbers; initialState: States }> {
  const x = wave([ROWS, STEPS + 1, INPUTS], 0.3);
  const { states } = await model.predict(steps(x, 0, 1), { returnState: true });
  const moved = Object.entries(states as States).map(([name, { shape, data }]) => {
    const by = name.endsWith('_count') ? 0 : 0.1;
    const noise = wave(shape, 4).data;
    return [name, { shape, data: data.map((value, i) => value + by * (noise[i] ?? NaN)) }];
  });
  return {
    x: steps(x, 1, STEPS + 1),
    initialState: Object.fromEntries(moved) as States,
  };
}

/** The gradients of <outputs, upstream> + <states, upstream>, and that number for other inputs. */
async function differentiate(model: Model, x: Numbers, initialState: States, given: Given) {
  const how = { ...given, training: false, returnState: true } as const;
  const first = await model.forward(x, { ...how, initialState });
  const up = wave(first.outputs.shape, 2);
  const states = upstreamOf(first.states);
  const gradients = await model.backward(up, { states, returnInitialState: true });
  const objective = async (input: Numbers, from: States): Promise<number> => {
    const pass = await model.forward(input, { ...how, initialState: from });
    const ends = Object.entries(states).map(([name, { data }]) =>
      dot(data, pass.states[name]?.data ?? []),
    );
    return dot(up.data, pass.outputs.data) + ends.reduce((a, b) => a + b, 0);
  };
  return { gradients, objective };
}

/** Four points: an error of STEP^4 = 2e-15 times the fifth derivative, large where few units are normalised. */
const POINTS = [
  [-2, 1],
  [-1, -8],
  [1, 8],
  [2, -1],
] as const;
/** Rounding of the sum, some tens, is 1e-15 / STEP. */
const [STEP, DIGITS] = [2e-4, 9];

/** Compares every entry of a gradient with the difference that its entry makes. */
async function compare(
  gradient: Tensor,
  at: Numbers,
  value: (moved: Numbers) => Promise<number>,
): Promise<void> {
  expect(gradient.shape).toEqual(at.shape);
  for (let i = 0; i < at.data.length; i += 1) {
    const moved = (by: number): Numbers => ({
      shape: at.shape,
      data: at.data.map((entry, j) => (j === i ? entry + by : entry)),
    });
    let difference = 0;
    for (const [by, weight] of POINTS)
      difference += (weight * (await value(moved(by * STEP)))) / (12 * STEP);
    const off = (gradient.data[i] ?? NaN) - difference;
    expect(off / (1 + Math.abs(difference))).toBeCloseTo(0, DIGITS);
  }
}

describe.each(kinds)('through the states of %s', (name, inner) => {
  const variants: [string, Given][] = [
    ['of whole rows', {}],
    ['of rows that end early', { lengths: Int32Array.of(STEPS, 0, 2) }],
  ];
  if (name !== 'bnlstm') {
    const data = Int32Array.of(0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0);
    variants.push(['with resets', { resets: { shape: [ROWS, STEPS], data } }]);
  }

  it.each(variants)('gradients are differences, %s', async (_variant, given) => {
    using model = build(inner);
    const { x, initialState } = await begin(model);
    const { gradients, objective } = await differentiate(model, x, initialState, given);
    expect(Object.keys(gradients.initialState)).toEqual(Object.keys(upstreamOf(initialState)));
    await compare(gradients.x, x, (moved) => objective(moved, initialState));
    for (const [state, gradient] of Object.entries(gradients.initialState)) {
      const at = initialState[state];
      if (!at) throw new Error(`${state} was not given`);
      await compare(gradient, at, (moved) => objective(x, { ...initialState, [state]: moved }));
    }
  });

  it('two models, one behind the other, have the gradients of one over the whole', async () => {
    if (name === 'one output a row') return; // only the last model's outputs would count
    const x = wave([ROWS, STEPS, INPUTS]);
    using whole = build(inner);
    const outputs = await whole.forward(x, { training: false });
    const up = wave(outputs.shape, 2);
    const dx = await whole.backward(up);

    using encoder = build(inner);
    using decoder = build(inner);
    // BN-LSTM counts its steps from the start of a pass; here all its rows of statistics are alike.
    const { states } = await encoder.forward(steps(x, 0, 3), {
      training: false,
      returnState: true,
    });
    await decoder.forward(steps(x, 3, STEPS), { training: false, initialState: states });
    const behind = await decoder.backward(steps(up, 3, STEPS), { returnInitialState: true });
    const before = await encoder.backward(steps(up, 0, 3), { states: behind.initialState });
    const close = (actual: ArrayLike<number>, expected: ArrayLike<number>) => {
      expect(actual).toHaveLength(expected.length);
      Array.from(actual).forEach((value, i) => expect(value).toBeCloseTo(expected[i] ?? NaN, 12));
    };
    close(before.data, steps(dx as Numbers, 0, 3).data);
    close(behind.x.data, steps(dx as Numbers, 3, STEPS).data);
    const [early, late] = [encoder.gradients(), decoder.gradients()];
    for (const [param, { data }] of Object.entries(whole.gradients())) {
      const parts = [early[param]?.data, late[param]?.data];
      close(
        Array.from(data, (_, i) => (parts[0]?.[i] ?? NaN) + (parts[1]?.[i] ?? NaN)),
        data,
      );
    }
  });
});

describe('gradients of states', () => {
  const up = wave([ROWS, STEPS, UNITS]);
  const x = wave([ROWS, STEPS, INPUTS]);
  const initialState = {
    'lstm.h_n': wave([ROWS, UNITS], 1),
    'lstm.c_n': wave([ROWS, UNITS], 2),
  };

  it('are those of the cell, to the bit', async () => {
    using model = build([layers.lstm(seq)]);
    await model.forward(x, { initialState });
    const states = { 'lstm.c_n': wave([ROWS, UNITS], 3) }; // that of h_n is zero
    const gradients = await model.backward(up, { states, returnInitialState: true });
    const cell = cells.lstm({ units: UNITS, inputSize: INPUTS }, { dtype: 'float64' });
    const weights = Object.fromEntries(
      Object.entries(model.getWeights()).map(([name, tensor]) => [
        name.replace('lstm.', ''),
        tensor,
      ]),
    );
    const { handle } = await cell.forward(
      { x, h0: initialState['lstm.h_n'], c0: initialState['lstm.c_n'] },
      weights,
      { training: true },
    );
    const { grads } = await handle.backward({ y: up, c_n: states['lstm.c_n'] });
    expect(gradients.x).toEqual(grads['x']);
    expect(gradients.initialState['lstm.h_n']).toEqual(grads['h0']);
    expect(gradients.initialState['lstm.c_n']).toEqual(grads['c0']);
  });

  it('leave the trained start alone, whose place given states take', async () => {
    using model = build([layers.gru({ ...seq, initialState: 'trained' })]);
    await model.forward(x, { initialState: { 'gru.h_n': wave([ROWS, UNITS], 1) } });
    const { initialState: gradient } = await model.backward(up, { returnInitialState: true });
    expect(gradient['gru.h_n']?.data.some((value) => Math.abs(value) > 1e-3)).toBe(true);
    expect(model.gradients()['gru.h_start']?.data).toEqual(new Float64Array(UNITS));
  });

  it('change nothing where they are zero, and leave no memory behind', async () => {
    using model = build([layers.lstm(seq)]);
    await model.forward(x, { returnState: true });
    const plain = await model.backward(up);
    const { activations } = model.memory();
    await model.forward(x, { returnState: true });
    const zero = { 'lstm.h_n': { shape: [ROWS, UNITS], data: new Float64Array(ROWS * UNITS) } };
    expect(await model.backward(up, { states: zero })).toEqual(plain);
    expect(model.memory().activations).toBe(activations);
  });

  it.each<[string, object, LookbackError['code'], RegExp]>([
    ['a name that is none', { states: { 'lstm.x_n': up } }, 'ERR_OPTION', /'lstm.x_n' is not one/],
    [
      'another shape',
      { states: { 'lstm.h_n': wave([2, UNITS]) } },
      'ERR_SHAPE',
      /\[2, 4\].*expected \[3, 4\]/,
    ],
    [
      'numbers that are none',
      { states: { 'lstm.h_n': { shape: [ROWS, UNITS], data: new Float64Array(12).fill(NaN) } } },
      'ERR_DATA',
      /not finite/,
    ],
    ['a list', { states: [] }, 'ERR_OPTION', /backward: states is .*expected states by name/],
    [
      'what was not given',
      { returnInitialState: true },
      'ERR_STATE',
      /gradient of initialState.*give forward an initialState/,
    ],
    ['an unknown option', { state: {} }, 'ERR_OPTION', /state/],
  ])(
    'refuse %s; the pass can still be gone back through',
    async (_name, options, code, message) => {
      using model = build([layers.lstm(seq)]);
      await model.forward(x, { returnState: true });
      await expect(model.backward(up, options)).rejects.toMatchObject({
        code,
        message: expect.stringMatching(message) as string,
      });
      await model.backward(up);
    },
  );

  it.each<[string, LayerSpec[], RegExp]>([
    ['no recurrent layer', [layers.dense({ units: UNITS })], /no recurrent layer/],
    ['a layer from the end', [layers.lstm({ ...seq, goBackwards: true })], /from its end/],
    [
      'a layer that replays',
      [layers.larnn({ ...larnn, layers: 2, stacking: 'replay' })],
      /several times/,
    ],
  ])('are refused with %s', async (_name, inner, message) => {
    using model = build(inner);
    const outputs = await model.forward(x);
    await expect(model.backward(outputs, { states: {} })).rejects.toMatchObject({
      code: 'ERR_STATE',
      message: expect.stringMatching(message) as string,
    });
    await model.backward(outputs);
  });
});
