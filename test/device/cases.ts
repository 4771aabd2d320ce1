/**
 * Small models of every cell, layer, optimizer and kind of data, for two devices to compute the same.
 */
import type {
  Device,
  DType,
  FitOptions,
  LayerSpec,
  LossLike,
  OptimizerLike,
  TrainingData,
} from 'lookback';
import { layers, losses, optimizers } from 'lookback';

export interface How {
  device: Device;
  dtype: DType;
}

export interface DeviceCase {
  name: string;
  layers: LayerSpec[];
  /** Default: `sgd`, whose updates do not blow up the rounding of small gradients. */
  optimizer?: OptimizerLike;
  /** Default `'sparseCategoricalCrossentropy'`. */
  loss?: LossLike;
  data?: Partial<Shape>;
  fit?: FitOptions;
}

/** What the numbers of a data set look like. */
interface Shape {
  /** Whole numbers for an embedding. */
  integers: boolean;
  /** A label at every step. */
  sequence: boolean;
  /** That many floats to learn, in place of a label. */
  targets: number;
  lengths: boolean;
  resets: boolean;
  weights: boolean;
}

export const [ROWS, STEPS, FEATURES, CLASSES, UNITS] = [10, 6, 3, 4, 8];
/** Two batches of four rows and one of two. */
export const BATCH = 4;

const seq = { units: UNITS, returnSequences: true } as const;
const head = layers.dense({ units: CLASSES });

/** Every kind of cell, with those options that have kernels of their own. */
const cells: Record<string, LayerSpec> = {
  lstm: layers.lstm({ units: UNITS }),
  'lstm, layer norm': layers.lstm({ units: UNITS, normalization: 'layer' }),
  gru: layers.gru({ units: UNITS }),
  'gru, reset before': layers.gru({ units: UNITS, reset: 'before' }),
  rnn: layers.rnn({ units: UNITS }),
  'rnn, layer norm': layers.rnn({ units: UNITS, normalization: 'layer' }),
  bnlstm: layers.bnlstm({ units: UNITS, tMax: STEPS }),
  larnn: layers.larnn({ units: UNITS, heads: 2, window: 3 }),
  'larnn, batch norm': layers.larnn({ units: UNITS, heads: 2, window: 3, normalization: 'batch' }),
  'larnn, stacked': layers.larnn({
    ...{ units: UNITS, heads: 2, window: 3, layers: 2, stacking: 'residual' },
  }),
  'larnn, plain, positional': layers.larnn({
    ...{ units: UNITS, heads: 2, window: 4 },
    ...{ preset: 'plain', positional: 'concat' },
  }),
  rra: layers.rra({ units: UNITS, K: 3 }),
  'rra, softmax of steps': layers.rra({ units: UNITS, K: 3, attention: 'softmaxPerStep' }),
  scornn: layers.scornn({ units: UNITS }),
  scurnn: layers.scurnn({ units: UNITS / 2 }),
  exprnn: layers.exprnn({ units: UNITS }),
  enrnn: layers.enrnn({ longUnits: 5, shortUnits: 3 }),
};

const stacks: Record<string, LayerSpec[]> = {
  dense: [layers.dense({ units: UNITS, activation: 'relu' }), layers.pool()],
  dropout: [layers.lstm(seq), layers.dropout({ rate: 0.4 }), layers.gru({ units: UNITS })],
  'dropout within a cell': [
    layers.lstm({ units: UNITS, dropout: 0.2, recurrentDropout: 0.2, zoneout: 0.1 }),
  ],
  layerNorm: [layers.layerNorm(), layers.rnn(seq), layers.layerNorm(), layers.pool()],
  'pool, mean': [layers.lstm(seq), layers.pool({ over: 'mean' })],
  'pool, max': [layers.lstm(seq), layers.pool({ over: 'max' })],
  'bidirectional, concat': [layers.bidirectional(layers.lstm({ units: UNITS }))],
  'bidirectional, sum': [layers.bidirectional(layers.gru(seq), { merge: 'sum' }), layers.pool()],
  residual: [
    layers.dense({ units: UNITS }),
    layers.residual([layers.larnn({ ...seq, heads: 2, window: 3 }), layers.dropout({ rate: 0.1 })]),
    layers.gru({ units: UNITS }),
  ],
  'read backwards': [layers.lstm({ units: UNITS, goBackwards: true })],
  'trained start': [layers.gru({ units: UNITS, initialState: 'trained' })],
  'not trained': [layers.lstm({ ...seq, trainable: false }), layers.rnn({ units: UNITS })],
};

const steps: Record<string, OptimizerLike> = {
  'sgd, momentum': optimizers.sgd({ learningRate: 0.05, momentum: 0.9 }),
  'sgd, nesterov': optimizers.sgd({ learningRate: 0.05, momentum: 0.9, nesterov: true }),
  rmsprop: optimizers.rmsprop({ learningRate: 0.01 }),
  'rmsprop of TensorFlow 1': optimizers.rmsprop({
    ...{ learningRate: 0.01, epsilonInside: true, initialMeanSquare: 1 },
  }),
  adam: optimizers.adam({ learningRate: 0.01 }),
  amsgrad: optimizers.adam({ learningRate: 0.01, amsgrad: true }),
  adamw: optimizers.adamw({ learningRate: 0.01 }),
  adagrad: optimizers.adagrad({ learningRate: 0.05 }),
  adadelta: optimizers.adadelta({ learningRate: 1 }),
  'clipped norm': optimizers.sgd({ learningRate: 0.5, clipNorm: 0.02 }),
  'clipped value': optimizers.sgd({ learningRate: 0.5, clipValue: 0.001 }),
  l2: optimizers.sgd({ learningRate: 0.1, l2: 0.01 }),
};

/** With the number of targets that four outputs answer. */
const targets: [LossLike, number][] = [
  ['meanSquaredError', 4],
  ['meanAbsoluteError', 4],
  [losses.huber({ delta: 0.5 }), 4],
  [losses.quantile({ quantiles: [0.1, 0.9] }), 2],
  ['gaussianNegativeLogLikelihood', 2],
];

const gru = layers.gru({ units: UNITS });
const perStep = [layers.larnn({ ...seq, heads: 2, window: 3 }), head];

/** Kinds of data, and ways through them. */
const others: DeviceCase[] = [
  {
    name: 'embedding',
    layers: [layers.embedding({ inputDim: 7, units: UNITS }), gru, head],
    data: { integers: true },
  },
  { name: 'lengths', layers: [layers.lstm(seq), gru, head], data: { lengths: true } },
  {
    name: 'lengths, both directions',
    layers: [layers.bidirectional(layers.lstm(seq)), layers.pool({ over: 'mean' }), head],
    data: { lengths: true },
  },
  {
    name: 'outputs at every step, lengths',
    layers: perStep,
    data: { sequence: true, lengths: true },
  },
  {
    name: 'resets, weights of steps',
    layers: [layers.lstm(seq), head],
    data: { sequence: true, resets: true, weights: true },
  },
  {
    name: 'binaryCrossentropy',
    layers: [gru, layers.dense({ units: CLASSES, activation: 'sigmoid' })],
    loss: 'binaryCrossentropy',
    data: { targets: CLASSES },
  },
  { name: 'gradients of two batches', layers: [gru, head], fit: { accumulateSteps: 2 } },
  { name: 'weights of classes', layers: [gru, head], fit: { classWeight: [1, 2, 0.5, 1] } },
  {
    name: 'streams that go on',
    layers: [layers.larnn({ ...seq, heads: 2, window: 3 }), head],
    data: { sequence: true },
    fit: { stateful: true, burnIn: 1, batchSize: 5 },
  },
];

export const CASES: DeviceCase[] = [
  ...Object.entries(cells).map(([name, cell]) => ({
    name: `cell: ${name}`,
    layers: [layers.dense({ units: UNITS }), cell, head],
    // Few rows in a batch have little variance, and to divide by it magnifies every rounding.
    fit: { batchSize: ROWS },
  })),
  ...Object.entries(stacks).map(([name, stack]) => ({
    name: `layer: ${name}`,
    layers: [...stack, head],
  })),
  ...Object.entries(steps).map(([name, optimizer]) => ({
    name: `optimizer: ${name}`,
    layers: [layers.lstm({ units: UNITS }), head],
    optimizer,
  })),
  ...targets.map(([loss, count]) => ({
    name: `loss: ${typeof loss === 'string' ? loss : loss.kind}`,
    layers: [gru, head],
    loss,
    data: { targets: count },
  })),
  ...others.map((each) => ({ ...each, name: `data: ${each.name}` })),
];

/** Numbers in -1 to 1 that follow no pattern, the same for everybody. */
function numbers(count: number, dtype: DType): Float32Array | Float64Array {
  const data = dtype === 'float64' ? new Float64Array(count) : new Float32Array(count);
  return data.map((_, at) => Math.sin(12.9898 * (at + 1) + 0.3 * Math.cos(7.7 * at)));
}

const whole = (count: number, below: number): Int32Array =>
  Int32Array.from({ length: count }, (_, at) => (at * 5 + Math.floor(at / 3)) % below);

export function dataOf({ data = {}, loss }: DeviceCase, dtype: DType): TrainingData {
  const answers = data.sequence ? [ROWS, STEPS] : [ROWS];
  const count = answers.reduce((a, b) => a * b, 1);
  const { targets: each = 0 } = data;
  const floats = numbers(count * each, dtype);
  const x = data.integers
    ? { shape: [ROWS, STEPS], data: whole(ROWS * STEPS, 7) }
    : { shape: [ROWS, STEPS, FEATURES], data: numbers(ROWS * STEPS * FEATURES, dtype) };
  const wanted = loss === 'binaryCrossentropy' ? floats.map((one) => Number(one > 0)) : floats;
  const y =
    each > 0
      ? { shape: [...answers, each], data: wanted }
      : { shape: answers, data: whole(count, CLASSES) };
  return {
    ...{ x, y },
    ...(data.lengths && { lengths: whole(ROWS, STEPS).map((length) => length + 1) }),
    ...(data.resets && {
      resets: {
        shape: [ROWS, STEPS],
        data: whole(ROWS * STEPS, 4).map((each) => Number(each === 0)),
      },
    }),
    ...(data.weights && {
      sampleWeight: { shape: answers, data: numbers(count, dtype).map(Math.abs) },
    }),
  };
}
