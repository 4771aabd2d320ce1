/** Small models that go on from states, and data for them. */
import type { LayerSpec } from '../../lib/layers';
import { layers } from '../../lib/layers';
import type { Model } from '../../lib/model';
import { sequential } from '../../lib/model';
import type { Tensor } from '../../lib/tensor';

export const [INPUTS, UNITS] = [2, 4];

export const wave = (shape: number[], phase = 0): Tensor<Float64Array> => ({
  shape,
  data: Float64Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) =>
    Math.sin(1.7 * i + phase),
  ),
});

/** Steps `from` to `to` of every row. */
export function steps(x: Tensor<Float64Array>, from: number, to: number): Tensor<Float64Array> {
  const [rows = 0, all = 0, features = 0] = x.shape;
  const parts = Array.from({ length: rows }, (_, row) =>
    Array.from(x.data.subarray((row * all + from) * features, (row * all + to) * features)),
  );
  return { shape: [rows, to - from, features], data: Float64Array.from(parts.flat()) };
}

/** Those layers and a dense one, and ready to train unless told otherwise. */
export function build(inner: readonly LayerSpec[], compile = true): Model {
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

export const seq = { units: UNITS, returnSequences: true } as const;
export const kinds: [string, LayerSpec[]][] = [
  ['lstm', [layers.lstm(seq)]],
  ['gru and lstm', [layers.gru(seq), layers.lstm(seq)]],
  ['larnn', [layers.larnn({ ...seq, heads: 2, window: 3, layers: 2 })]],
  ['rra', [layers.rra({ ...seq, K: 3, lag: 2 })]],
  ['scurnn', [layers.scurnn(seq)]],
  ['enrnn', [layers.enrnn({ longUnits: 2, shortUnits: 2, returnSequences: true })]],
  ['a residual', [layers.dense({ units: UNITS }), layers.residual(layers.exprnn(seq))]],
];
