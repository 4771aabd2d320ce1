import { cells } from '../../lib/cell';
import type { CellKind } from '../../lib/cells';
import type { CellLayerOptions, InitializerName, LayerSpec } from '../../lib/layers';
import { layers, resolveLayer } from '../../lib/layers';
import { sequential } from '../../lib/model';

const [INPUTS, UNITS] = [24, 32];

/** The weights that a layer starts with, by their names in the cell. */
function starts(layer: LayerSpec): Record<string, { shape: number[]; data: number[] }> {
  const model = sequential({ inputShape: [4, INPUTS], layers: [layer], dtype: 'float64', seed: 3 });
  const weights = Object.entries(model.getWeights()).map(
    ([name, { shape, data }]): [string, { shape: number[]; data: number[] }] => [
      name.slice(name.indexOf('.') + 1),
      { shape: [...shape], data: Array.from(data) },
    ],
  );
  model.dispose();
  return Object.fromEntries(weights);
}

const lstm = (options: Partial<CellLayerOptions<'lstm'>>): LayerSpec =>
  layers.lstm({ units: UNITS, ...options });

const deviation = (data: readonly number[]): number =>
  Math.sqrt(data.reduce((sum, value) => sum + value * value, 0) / data.length);

describe('initializers', () => {
  it.each<[InitializerName, (rows: number, columns: number) => number]>([
    ['glorotUniform', (out, into) => Math.sqrt(6 / (into + out))],
    ['heUniform', (_, into) => Math.sqrt(6 / into)],
    ['lecunUniform', (_, into) => Math.sqrt(3 / into)],
    ['randomUniform', () => 0.05],
  ])('%s is uniform in its range, for x and for h', (name, limitOf) => {
    const { W_x, W_h } = starts(lstm({ kernelInitializer: name, recurrentInitializer: name }));
    for (const weight of [W_x, W_h]) {
      const { shape = [], data = [] } = weight ?? {};
      const limit = limitOf(shape[0] ?? 0, shape[1] ?? 0);
      const largest = Math.max(...data.map(Math.abs));
      expect(largest).toBeLessThanOrEqual(limit);
      // More than 3000 numbers: odds of 0.99^3000, below 1e-13, that none comes so close.
      expect(largest).toBeGreaterThan(0.99 * limit);
      // Mean and variance of n uniform numbers deviate by limit / sqrt(3 n) and limit^2 * sqrt(4 / (45 n)): six times that.
      const n = data.length;
      const mean = data.reduce((sum, value) => sum + value, 0) / n;
      expect(Math.abs(mean)).toBeLessThan((6 * limit) / Math.sqrt(3 * n));
      const apart = Math.abs(deviation(data) ** 2 - limit ** 2 / 3);
      expect(apart).toBeLessThan(6 * limit ** 2 * Math.sqrt(4 / (45 * n)));
    }
  });

  it('randomNormal has its deviation, and tails', () => {
    const { W_x } = starts(lstm({ kernelInitializer: 'randomNormal' }));
    const data = W_x?.data ?? [];
    // The variance of n normal numbers deviates by sqrt(2 / n) of itself: six times that.
    expect(Math.abs(deviation(data) ** 2 / 0.05 ** 2 - 1)).toBeLessThan(6 * Math.sqrt(2 / 3072));
    expect(Math.max(...data.map(Math.abs))).toBeGreaterThan(2.5 * 0.05);
  });

  it('orthogonal has orthonormal columns', () => {
    const { W_h } = starts(lstm({ recurrentInitializer: 'orthogonal' }));
    const { shape = [], data = [] } = W_h ?? {};
    expect(shape).toEqual([4 * UNITS, UNITS]);
    for (let a = 0; a < UNITS; a += 1) {
      for (let b = 0; b <= a; b += 1) {
        let dot = 0;
        for (let row = 0; row < 4 * UNITS; row += 1)
          dot += (data[row * UNITS + a] ?? NaN) * (data[row * UNITS + b] ?? NaN);
        expect(Math.abs(dot - (a === b ? 1 : 0))).toBeLessThan(1e-12);
      }
    }
  });

  it('identity and constants are what they say, forget gates included', () => {
    const { W_h, W_x, b_x, b_h } = starts(
      layers.lstm({
        units: UNITS,
        kernelInitializer: 'zeros',
        recurrentInitializer: 'identity',
        biasInitializer: 'ones',
      }),
    );
    W_h?.data.forEach((value, at) =>
      expect(value).toBe(Math.floor(at / UNITS) === at % UNITS ? 1 : 0),
    );
    expect(new Set(W_x?.data)).toEqual(new Set([0]));
    expect(new Set([...(b_x?.data ?? []), ...(b_h?.data ?? [])])).toEqual(new Set([1]));
  });

  it('leave other weights as the cell starts them', () => {
    const plain = starts(layers.larnn({ units: UNITS }));
    const other = starts(layers.larnn({ units: UNITS, kernelInitializer: 'zeros' }));
    expect(new Set(other['l0.W_x']?.data)).toEqual(new Set([0]));
    for (const [name, weight] of Object.entries(plain))
      if (name !== 'l0.W_x') expect(other[name]).toEqual(weight);
  });

  it.each<[CellKind, object, string[]]>([
    ['gru', {}, ['W_x', 'b_x', 'b_h']],
    ['rnn', { bias: 'single' }, ['W_x', 'b']],
    ['bnlstm', {}, ['W_x', 'b']],
    ['rra', {}, ['W_x', 'b']],
    ['scornn', {}, ['W_x', 'b']],
    ['exprnn', {}, ['W_x', 'b']],
    ['scurnn', {}, ['W_x_re', 'W_x_im', 'b']],
  ])('know the weights of %s', (kind, options, names) => {
    const layer = resolveLayer(
      { kind, units: 6, kernelInitializer: 'zeros', biasInitializer: 'zeros', ...options },
      'layer',
      [4, INPUTS],
    );
    const weights = starts(layer);
    for (const name of names) expect(new Set(weights[name]?.data)).toEqual(new Set([0]));
  });

  it.each<[LayerSpec | (() => LayerSpec), RegExp]>([
    [
      () => layers.scornn({ units: 4, recurrentInitializer: 'orthogonal' }),
      /scornn: recurrentInitializer is "orthogonal", but the recurrent matrix of scornn is made from other weights/,
    ],
    [
      () => layers.lstm({ units: 4, bias: 'none', biasInitializer: 'zeros' }),
      /lstm: biasInitializer is "zeros", but there is no bias/,
    ],
    [
      () => layers.gru({ units: 4, kernelInitializer: 'glorot_uniform' as 'zeros' }),
      /kernelInitializer is "glorot_uniform".*did you mean "glorotUniform"/,
    ],
    [
      () => layers.gru({ units: 4, biasInitializer: 'orthogonal' as 'zeros' }),
      /biasInitializer is "orthogonal"; expected one of/,
    ],
  ])('are refused where they make no sense', (make, message) => {
    expect(make).toThrow(message);
    expect(make).toThrow(expect.objectContaining({ code: 'ERR_OPTION' }) as Error);
  });
});

describe('layers.rnn of a cell', () => {
  it('is the layer of its kind', () => {
    const direct = layers.gru({ units: 5, reset: 'before', returnSequences: true, name: 'a' });
    const spec = { kind: 'gru', units: 5, reset: 'before' } as const;
    expect(layers.rnn({ cell: spec, returnSequences: true, name: 'a' })).toEqual(direct);
    const cell = cells.gru({ units: 5, reset: 'before', inputSize: 3 });
    expect(layers.rnn({ cell, returnSequences: true, name: 'a' })).toEqual(direct);
  });

  it('works for every cell of cells.*, with the inputs of the place it stands at', () => {
    for (const cell of [
      cells.larnn({ units: 4, inputSize: 9 }),
      cells.scurnn({ units: 4, inputSize: 9 }),
      cells.bnlstm({ units: 4, inputSize: 9, tMax: 4 }),
    ]) {
      const model = sequential({
        inputShape: [4, INPUTS],
        layers: [layers.rnn({ cell }), layers.dense({ units: 1 })],
      });
      expect(model.config().layers[0]?.kind).toBe(cell.kind);
      model.dispose();
    }
  });

  it('is what a configuration may say, too', () => {
    const layer = { kind: 'rnn', cell: { kind: 'lstm', units: 3 }, goBackwards: true };
    expect(resolveLayer(layer, 'layers[0]')).toEqual(layers.lstm({ units: 3, goBackwards: true }));
  });

  it('is still the plain recurrent network without one', () => {
    expect(layers.rnn({ units: 3 }).kind).toBe('rnn');
  });

  it.each<[unknown, RegExp]>([
    [{ cell: 'lstm' }, /rnn\.cell is "lstm"; expected \{ kind: "lstm", units: 8 \}/],
    [{ cell: { kind: 'lstmm', units: 3 } }, /rnn\.cell\.kind is "lstmm"; did you mean "lstm"/],
    [{ cell: { kind: 'dense', units: 3 } }, /rnn\.cell\.kind is "dense"; expected one of lstm/],
    [{ cell: { kind: 'gru', units: 3 }, units: 4 }, /rnn: unknown option units/],
    [{ cell: { kind: 'gru', unit: 3 } }, /unknown option unit.*did you mean units/],
  ])('refuses %j', (options, message) => {
    expect(() => layers.rnn(options as never)).toThrow(message);
    expect(() => layers.rnn(options as never)).toThrow(
      expect.objectContaining({ code: 'ERR_OPTION' }) as Error,
    );
  });
});
