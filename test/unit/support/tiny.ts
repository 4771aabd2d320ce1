/**
 * A small task that takes milliseconds: which half of a short sequence holds the larger numbers.
 */
import type { Model, SequentialOptions, Tensor } from '../../../lib';
import { layers, sequential } from '../../../lib';

export const steps = 6;
export const features = 2;

export interface TinyData {
  x: Tensor<Float32Array>;
  y: Int32Array;
}

/** `rows` sequences `[rows, 6, 2]` with labels 0 and 1; the same numbers every time. */
export function tinyData(rows: number, seed = 1): TinyData {
  let state = seed;
  const next = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32 - 0.5;
  };
  const data = Float32Array.from({ length: rows * steps * features }, next);
  const half = (row: number, from: number): number =>
    data
      .subarray((row * steps + from) * features, (row * steps + from + steps / 2) * features)
      .reduce((sum, value) => sum + value, 0);
  const y = Int32Array.from({ length: rows }, (_, row) =>
    half(row, 0) > half(row, steps / 2) ? 1 : 0,
  );
  return { x: { shape: [rows, steps, features], data }, y };
}

/** An LSTM classifier for the task, compiled. */
export function tinyModel(options: Partial<SequentialOptions> = {}): Model {
  const model = sequential({
    inputShape: [steps, features],
    layers: [layers.lstm({ units: 8 }), layers.dense({ units: 2, activation: 'softmax' })],
    seed: 3,
    ...options,
  });
  return model.compile({
    optimizer: { kind: 'adam', learningRate: 0.02 },
    loss: 'sparseCategoricalCrossentropy',
    metrics: ['accuracy'],
  });
}

/** A configuration of `lookback train` that takes tenths of a second an epoch. */
export const tinyConfig = {
  batchSize: 20,
  data: { name: 'adding', steps: 8, train: 200, test: 50, seed: 2 },
  model: {
    layers: [
      { kind: 'lstm', units: 6 },
      { kind: 'dense', units: 1 },
    ],
  },
  optimizer: { kind: 'adam', learningRate: 0.01 },
};

/** All weights of a model, for comparing bit by bit. */
export function weightsOf(model: Model): Record<string, number[]> {
  return Object.fromEntries(
    Object.entries(model.getWeights()).map(([name, { data }]) => [name, [...data]]),
  );
}
