/**
 * Options, errors and operations of the cells with an orthogonal recurrent matrix.
 */
import type { Tensor, TensorLike } from '../../lib';
import { cells, layers, LookbackError, sequential } from '../../lib';
import { definitions } from '../../lib/cells';
import type { CellDefinition } from '../../lib/cells/definition';

const { scornn, enrnn, exprnn, scurnn } = definitions;

/** A skew-symmetric matrix [n, n]. */
function skew(n: number, entry: (row: number, column: number) => number): Tensor<Float64Array> {
  const data = new Float64Array(n * n);
  for (let row = 0; row < n; row += 1) {
    for (let column = row + 1; column < n; column += 1) {
      data[row * n + column] = entry(row, column);
      data[column * n + row] = -entry(row, column);
    }
  }
  return { shape: [n, n], data };
}

function identity(n: number): Float64Array {
  return Float64Array.from({ length: n * n }, (_, at) => (at % (n + 1) === 0 ? 1 : 0));
}

/** max |W^T W - I|. */
function orthogonalityError({ shape: [n = 0], data }: Tensor): number {
  let worst = 0;
  for (let i = 0; i < n; i += 1) {
    for (let j = 0; j < n; j += 1) {
      let sum = i === j ? -1 : 0;
      for (let k = 0; k < n; k += 1) sum += (data[k * n + i] ?? NaN) * (data[k * n + j] ?? NaN);
      worst = Math.max(worst, Math.abs(sum));
    }
  }
  return worst;
}

/** What `run` throws, or rejects with. */
async function failure(run: () => unknown): Promise<LookbackError> {
  try {
    await run();
  } catch (error) {
    if (error instanceof LookbackError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

const off = { dropout: 0, recurrentDropout: 0, zoneout: 0 };
const shared = {
  activation: 'modrelu',
  bias: true,
  side: 'right',
  initialState: 'zeros',
  ...off,
};

describe('options', () => {
  it('of scornn have the defaults of its document', () => {
    expect(scornn.resolve({ units: 5 })).toEqual({
      ...shared,
      units: 5,
      negatives: 2,
      storage: 'full',
      resignAbove: 0,
      initSign: 'negative',
    });
  });

  it('of enrnn have the defaults of its document', () => {
    expect(enrnn.resolve({ longUnits: 10, shortUnits: 3 })).toEqual({
      ...shared,
      longUnits: 10,
      shortUnits: 3,
      negatives: 3,
      storage: 'full',
      coupled: true,
      normMode: 'sticky',
      normEps: 0,
      gradThroughNorm: true,
      minCosine: 1e-4,
      oddGain: 'last',
      initSign: 'positive',
    });
  });

  it('of exprnn have the defaults of its document', () => {
    expect(exprnn.resolve({ units: 5 })).toEqual({
      ...shared,
      units: 5,
      map: 'expm',
      mode: 'static',
      rebaseEvery: 100,
      reprojectEvery: 100,
      rebaseGradient: 'exact',
      resetOnRebase: false,
      init: 'cayley',
      initSign: 'negative',
    });
  });

  it('of scurnn have the defaults of its document', () => {
    expect(scurnn.resolve({ units: 5 })).toEqual({
      ...off,
      units: 5,
      side: 'right',
      modReluEpsIn: 1e-5,
      modReluEpsOut: 1e-5,
      sharedInitialState: true,
      gradientScaling: 'author',
      initSign: 'negative',
    });
  });

  it.each([
    ['scornn', { units: 5, negatives: 1, storage: 'packed', resignAbove: 1.5 }],
    ['enrnn', { longUnits: 3, shortUnits: 2, normMode: 'always', bias: false }],
    ['exprnn', { units: 5, mode: 'dynamic', rebaseEvery: 'infty' }],
    ['scurnn', { units: 5, side: 'left' }],
  ] as const)('of %s resolve twice to the same', (kind, options) => {
    const definition = definitions[kind] as CellDefinition<object>;
    const once = definition.resolve(options);
    expect(definition.resolve(once)).toEqual(once);
  });

  it.each([
    [() => scornn.resolve({ units: 3, negatives: 4 }), /negatives must be at most units/],
    [() => scornn.resolve({ units: 1, storage: 'packed' }), /storage must be "full" where units/],
    [() => scornn.resolve({ units: 3, resignAbove: 0.5 }), /resignAbove must be 0 or at least 1/],
    [
      () => enrnn.resolve({ longUnits: 3, shortUnits: 2, negatives: 4 }),
      /negatives must be at most longUnits/,
    ],
    [
      () => enrnn.resolve({ longUnits: 1, shortUnits: 2, storage: 'packed' }),
      /storage must be "full" where longUnits is 1/,
    ],
    [
      () => enrnn.resolve({ longUnits: 3, shortUnits: 2, normEps: -1 }),
      /normEps is -1; expected at least 0/,
    ],
    [() => exprnn.resolve({ units: 3, rebaseEvery: -1 }), /rebaseEvery/],
    [
      () => exprnn.resolve({ units: 3, reprojectEvery: 0 }),
      /reprojectEvery is 0; expected at least 1/,
    ],
    [() => scurnn.resolve({ units: 16384 }), /units is 16384; expected at most 8192/],
    [() => scurnn.resolve({ units: 3, modReluEpsIn: -1 }), /modReluEpsIn is -1/],
  ])('that are wrong are refused: %s', (resolve, message) => {
    expect(resolve).toThrow(message);
  });

  it('decide the size of the output', () => {
    const sizeOf = (kind: 'enrnn' | 'scurnn', spec: Record<string, number>): number | undefined =>
      (definitions[kind] as CellDefinition<object>).outputSize?.(spec);
    expect(sizeOf('enrnn', { longUnits: 4, shortUnits: 3 })).toBe(7);
    expect(sizeOf('scurnn', { units: 4 })).toBe(8);
    expect(layers.enrnn({ longUnits: 4, shortUnits: 3 }).kind).toBe('enrnn');
  });

  it('name the weights that learn in their own way', () => {
    const matches = (kind: 'scornn' | 'enrnn' | 'exprnn' | 'scurnn', spec: object): string[] =>
      ((definitions[kind] as CellDefinition<object>).groups?.(spec as never) ?? []).map(
        ({ match }) => match,
      );
    expect(matches('scornn', { storage: 'full' })).toEqual(['A']);
    expect(matches('scornn', { storage: 'packed' })).toEqual(['A_packed']);
    expect(matches('enrnn', { storage: 'full' })).toEqual(['A']);
    expect(matches('exprnn', {})).toEqual(['P']);
    expect(matches('scurnn', {})).toEqual(['A_re', 'A_im', 'theta']);
  });
});

describe('cells refuse weights of the wrong form', () => {
  const x = { shape: [1, 2, 1], data: new Float64Array(2) };

  it('A that is not skew-symmetric, and go on working', async () => {
    const cell = cells.scornn({ units: 2, inputSize: 1, bias: false }, { dtype: 'float64' });
    const weights = (A: number[]): Record<string, TensorLike> => ({
      A: Float64Array.from(A),
      d: Float64Array.of(1, -1),
      W_x: new Float64Array(2),
    });
    const error = await failure(() => cell.forward({ x }, weights([0, 1, -0.5, 0])));
    expect(error.code).toBe('ERR_DATA');
    expect(error.message).toMatch(
      /A is not skew-symmetric: entries \[0, 1\] and \[1, 0\] are 1 and -0.5 and their sum is 0.5/,
    );
    const { outputs, handle } = await cell.forward({ x }, weights([0, 1, -1, 0]));
    // (I + A)^{-1} (I - A) = [0 -1; 1 0] for A = [0 1; -1 0], times diag(1, -1).
    const W = Array.from(outputs['W']?.data ?? [], (entry) => Math.round(entry * 1e12) / 1e12);
    expect(W.map((entry) => entry + 0)).toEqual([0, 1, 1, 0]);
    const { grads } = await handle.backward({ y: outputs['y'] as Tensor });
    expect(Object.keys(grads).sort()).toEqual(['A', 'W', 'W_x', 'x']);
  });

  it('NaN in what a matrix is built from', async () => {
    const cell = cells.exprnn({ units: 2, inputSize: 1, bias: false }, { dtype: 'float64' });
    const P = Float64Array.of(0, NaN, 0, 0);
    const weights = { P, base: identity(2), W_x: new Float64Array(2) };
    const error = await failure(() => cell.forward({ x }, weights));
    expect(error.code).toBe('ERR_NUMERIC');
    expect(error.message).toMatch(/parameter P holds nan at position 1/);
  });

  it('an upstream gradient of a matrix or of what is only told', async () => {
    const cell = cells.enrnn(
      { longUnits: 2, shortUnits: 1, inputSize: 1, bias: false },
      { dtype: 'float64' },
    );
    const weights = {
      A: new Float64Array(4),
      d: Float64Array.of(1, 1),
      T: Float64Array.of(0.5),
      W_x: new Float64Array(3),
      W_C: new Float64Array(2),
    };
    for (const name of ['W_L', 'rho', 'buf.normActive']) {
      const { outputs, handle } = await cell.forward({ x }, weights);
      const error = await failure(() => handle.backward({ [name]: outputs[name] as Tensor }));
      expect(error.code).toBe('ERR_OPTION');
      expect(error.message).toMatch(/belongs to no output that has a gradient/);
    }
  });
});

describe('scornn.resign', () => {
  const A = skew(5, (row, column) => (row === 0 ? 20 : 3) * Math.sin(1 + row + 2.5 * column));
  const d = Float64Array.of(1, 1, 1, -1, -1);

  it('keeps W and the parity of the signs, and bounds A', () => {
    for (const tau of [1, 2]) {
      const result = cells.scornn.resign(A, d, { tau });
      expect(Math.max(...result.A.data.map(Math.abs))).toBeLessThanOrEqual(tau);
      const product = (signs: Float64Array): number => signs.reduce((sign, s) => sign * s, 1);
      expect(product(result.d.data)).toBe(product(d));
      expect(result.flips.length).toBeGreaterThan(0);
      expect(orthogonalityError(result.W)).toBeLessThan(1e-13);
      // The W of the given description: nothing exceeds a tau that is large enough.
      const { W, flips } = cells.scornn.resign(A, d, { tau: 1e6 });
      expect(flips).toEqual([]);
      W.data.forEach((entry, at) => expect(result.W.data[at]).toBeCloseTo(entry, 12));
    }
  });

  it('takes float32 and leaves what it was given', () => {
    const given = Float32Array.from(A.data);
    const result = cells.scornn.resign({ shape: [5, 5], data: given }, Float32Array.from(d));
    expect(result.A.data).toBeInstanceOf(Float64Array);
    expect(given).toEqual(Float32Array.from(A.data));
  });

  it.each([
    ['tau below 1', () => cells.scornn.resign(A, d, { tau: 0.5 }), 'ERR_OPTION', /tau is 0.5/],
    ['another size', () => cells.scornn.resign(A, d.subarray(1)), 'ERR_SHAPE', /A has shape/],
    [
      'no signs',
      () =>
        cells.scornn.resign(
          A,
          d.map((s) => s / 2),
        ),
      'ERR_DATA',
      /d holds 0.5/,
    ],
    [
      'no skew-symmetric matrix',
      () => cells.scornn.resign(identity(5), d),
      'ERR_DATA',
      /A is not skew-symmetric/,
    ],
  ])('refuses %s', async (_what, run, code, message) => {
    const error = await failure(run);
    expect(error.code).toBe(code);
    expect(error.message).toMatch(message);
  });
});

describe('exprnn.dynamicTrivialisation', () => {
  const P = skew(4, (row, column) => Math.cos(row + 2 * column));

  it('rebases first, then at its period, and keeps W orthogonal', () => {
    const matrix = cells.exprnn.dynamicTrivialisation(P, identity(4), { rebaseEvery: 2 });
    const rebased: boolean[] = [];
    for (let update = 0; update < 5; update += 1) {
      const W = matrix.build();
      expect(orthogonalityError(W)).toBeLessThan(1e-13);
      rebased.push(matrix.P.data.every((entry) => entry === 0));
      const { data } = matrix.gradient(W.data.map((entry, at) => entry + at));
      data.forEach((d, at) => (matrix.P.data[at] = (matrix.P.data[at] ?? NaN) - 0.01 * d));
    }
    expect(rebased).toEqual([true, false, true, false, true]);
    expect(P.data[1]).toBe(Math.cos(2)); // what was given is copied
  });

  it('descends', () => {
    // The trace of W is largest at the identity.
    const matrix = cells.exprnn.dynamicTrivialisation(P, identity(4), { rebaseEvery: 5 });
    const minusIdentity = identity(4).map((entry) => -entry);
    const traces = Array.from({ length: 60 }, () => {
      const W = matrix.build();
      const { data } = matrix.gradient(minusIdentity);
      data.forEach((d, at) => (matrix.P.data[at] = (matrix.P.data[at] ?? NaN) - 0.1 * d));
      return [0, 5, 10, 15].reduce((sum, at) => sum + (W.data[at] ?? NaN), 0);
    });
    expect(traces.at(-1)).toBeGreaterThan(3.9);
  });

  it.each([
    [
      'a base of another size',
      () => cells.exprnn.dynamicTrivialisation(P, identity(3)),
      'ERR_SHAPE',
    ],
    [
      'a base that is not orthogonal',
      () => cells.exprnn.dynamicTrivialisation(P, new Float64Array(16).fill(1)).build(),
      'ERR_NUMERIC',
    ],
    [
      'an unknown map',
      () => cells.exprnn.dynamicTrivialisation(P, identity(4), { map: 'log' } as never),
      'ERR_OPTION',
    ],
  ])('refuses %s', async (_what, run, code) => {
    expect((await failure(run)).code).toBe(code);
  });
});

describe('in a model', () => {
  const stack = (layer: ReturnType<typeof layers.scornn>) => ({
    inputShape: [5, 3] as [number, number],
    layers: [layer, layers.dense({ units: 2 })],
    dtype: 'float64' as const,
    seed: 1,
  });
  const x = {
    shape: [4, 5, 3],
    data: Float64Array.from({ length: 60 }, (_, at) => Math.sin(at)),
  };

  it('A learns by the published RMSprop, the rest by the optimizer of the model', async () => {
    using model = sequential(stack(layers.scornn({ units: 4, name: 'cell' })));
    model.compile({
      optimizer: { kind: 'sgd', learningRate: 0.5 },
      loss: 'sparseCategoricalCrossentropy',
    });
    const before = model.getWeights();
    const y = await model.forward(x, { training: true });
    await model.backward({ shape: y.shape, data: y.data.map((_, at) => at - 3) });
    const gradients = model.gradients();
    await model.step();
    const after = model.getWeights();
    const moved = (name: string): number[] =>
      Array.from(after[name]?.data ?? [], (entry, at) => entry - (before[name]?.data[at] ?? NaN));
    const gradientOf = (name: string): number[] => Array.from(gradients[name]?.data ?? []);
    expect(gradientOf('cell.A').some((g) => g !== 0)).toBe(true);
    gradientOf('cell.A').forEach((g, at) =>
      expect(moved('cell.A')[at]).toBeCloseTo(
        (-1e-4 * g) / Math.sqrt(0.9 + 0.1 * g * g + 1e-10),
        14,
      ),
    );
    gradientOf('cell.W_x').forEach((g, at) =>
      expect(moved('cell.W_x')[at]).toBeCloseTo(-0.5 * g, 14),
    );
    expect(moved('cell.d')).toEqual([0, 0, 0, 0]);
  });

  it('A that is given too large is described in another way before the first update', async () => {
    using model = sequential(stack(layers.scornn({ units: 4, name: 'cell', resignAbove: 1 })));
    model.compile({ optimizer: 'sgd', loss: 'sparseCategoricalCrossentropy' });
    model.setWeights({ 'cell.A': skew(4, (i, j) => 3 * i - 2 * j) });
    const before = await model.predict(x);
    expect(Math.max(...(model.getWeights()['cell.A']?.data ?? []))).toBe(6);
    await model.forward(x, { training: true });
    expect(Math.max(...(model.getWeights()['cell.A']?.data ?? []))).toBeLessThanOrEqual(1);
    const after = (await model.predict(x)) as Tensor;
    after.data.forEach((value, at) =>
      expect(value).toBeCloseTo((before as Tensor).data[at] ?? NaN, 12),
    );
  });

  it('a row of length 0 gives 0, and keeps the state that it begins from', async () => {
    using model = sequential({
      ...stack(layers.scornn({ units: 4 })),
      layers: [layers.scornn({ units: 4, name: 'cell', initialState: 'trained' })],
    });
    model.setWeights({ 'cell.h_start': Float64Array.of(1, 2, 3, 4) });
    const lengths = Int32Array.of(5, 0, 1, 2);
    const { outputs, states } = await model.predict(x, { lengths, returnState: true });
    expect(Array.from((outputs as Tensor).data.subarray(4, 8))).toEqual([0, 0, 0, 0]);
    expect(Array.from(states['cell.h_n']?.data.subarray(4, 8) ?? [])).toEqual([1, 2, 3, 4]);
  });

  it.each([
    layers.scornn({ units: 4 }),
    layers.enrnn({ longUnits: 3, shortUnits: 2 }),
    layers.exprnn({ units: 4, mode: 'dynamic', rebaseEvery: 2 }),
    layers.scurnn({ units: 2 }),
  ])('$kind compiles with its own optimizers and trains', async (layer) => {
    using model = sequential(stack(layer));
    model.compile({ optimizer: 'adam', loss: 'sparseCategoricalCrossentropy' });
    const labels = Int32Array.of(0, 1, 0, 1);
    const losses: number[] = [];
    for (let step = 0; step < 30; step += 1) {
      const { loss = NaN } = await model.trainOnBatch(x, labels);
      losses.push(loss);
    }
    expect(losses.at(-1)).toBeLessThan(losses[0] ?? NaN);
  });
});
