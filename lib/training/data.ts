/**
 * What `fit`, `evaluate` and `predict` accept as data, checked before anything is copied to native memory.
 */
import { LookbackError } from '../errors';
import type { RowShape } from '../layers';
import { show } from '../options';
import type { DType, Tensor, TensorLike } from '../tensor';
import { asTensor, indexText, requireFinite } from '../tensor';
import type { LossSpec } from './losses';

/** Sequences with their labels or targets. */
export interface TrainingData {
  /** `[n, steps, features]` in the model's number type. */
  readonly x: TensorLike;
  /** Labels `[n]` as Int32Array, or targets `[n, ...outputs]` in the model's number type. */
  readonly y: TensorLike;
  /** Valid steps of each row, `[n]` as Int32Array, 0 to `steps`; what is behind them is never read. Default: all. */
  readonly lengths?: TensorLike;
}

/** A data set, or `[x, y]`. */
export type DataLike = TrainingData | readonly [x: TensorLike, y: TensorLike];

/** What the data has to fit. */
export interface DataWish {
  dtype: DType;
  inputShape: readonly [number | null, number];
  outputShape: RowShape;
  /** Null for `predict`, which has no answers. */
  loss: LossSpec | null;
}

/** Checked data, borrowed from the caller. */
export interface PreparedData {
  rows: number;
  steps: number;
  x: Tensor;
  y: Tensor | null;
  lengths: Int32Array | null;
}

/** @throws {LookbackError} ERR_SHAPE, or ERR_DATA for values that cannot be learned from */
export function prepareData(given: unknown, wish: DataWish, where: string): PreparedData {
  const data = namedData(given, where);
  const x = prepareInput(data.x, wish, `${where}.x`);
  const rows = x.shape[0] ?? 0;
  const y = wish.loss === null ? null : prepareAnswers(data.y, rows, wish, wish.loss, `${where}.y`);
  const lengths =
    data.lengths === undefined ? null : prepareLengths(data.lengths, x, `${where}.lengths`);
  return { rows, steps: x.shape[1] ?? 0, x, y, lengths };
}

function namedData(given: unknown, where: string): { x: unknown; y: unknown; lengths?: unknown } {
  if (Array.isArray(given) && given.length === 2) return { x: given[0], y: given[1] };
  if (typeof given === 'object' && given !== null && 'x' in given) {
    return {
      x: given.x,
      y: 'y' in given ? given.y : undefined,
      lengths: 'lengths' in given ? given.lengths : undefined,
    };
  }
  const message = `${where} is ${show(given)}; expected { x, y } such as datasets.har().train, or [x, y]`;
  throw new LookbackError('ERR_SHAPE', message);
}

/** Sequences alone: `[n, steps, features]`, at least one row, finite. */
export function prepareInput(
  value: unknown,
  wish: Pick<DataWish, 'dtype' | 'inputShape'>,
  name: string,
): Tensor {
  const x = asTensor(value, { name, dtype: wish.dtype, shape: [null, ...wish.inputShape] });
  if (x.data.length === 0) {
    throw new LookbackError(
      'ERR_DATA',
      `${name} is empty: shape [${x.shape.join(', ')}]; expected at least one row and one step`,
    );
  }
  requireFinite(name, x);
  return x;
}

function prepareAnswers(
  value: unknown,
  rows: number,
  wish: DataWish,
  loss: LossSpec,
  name: string,
): Tensor {
  const { outputShape } = wish;
  if (loss.kind === 'meanSquaredError') {
    const y = asTensor(flatTargets(value, outputShape), {
      name,
      dtype: wish.dtype,
      shape: [rows, ...outputShape],
    });
    requireFinite(name, y);
    return y;
  }
  if (outputShape.length !== 1) {
    const message = `the loss sparseCategoricalCrossentropy wants one row of outputs per sequence but the model gives one per step; leave returnSequences out of the last recurrent layer`;
    throw new LookbackError('ERR_SHAPE', message);
  }
  const classes = outputShape[0];
  const y = asTensor(value, { name, dtype: 'int32', shape: [rows] });
  const wrong = y.data.findIndex((label) => label < 0 || label >= classes);
  if (wrong >= 0) {
    const message = `${name}${indexText(wrong, y.shape)} is ${y.data[wrong]}; expected a label from 0 to ${classes - 1}, since the last layer has ${classes} outputs`;
    throw new LookbackError('ERR_DATA', message, { details: { index: wrong } });
  }
  return y;
}

/** One target per row may be written without the axis of length 1. */
function flatTargets(value: unknown, outputShape: RowShape): unknown {
  if (outputShape.length !== 1 || outputShape[0] !== 1) return value;
  if (Array.isArray(value))
    return value.every((entry) => typeof entry === 'number')
      ? value.map((entry) => [entry])
      : value;
  if (typeof value !== 'object' || value === null || !('shape' in value && 'data' in value))
    return value;
  const { shape, data } = value;
  return Array.isArray(shape) && shape.length === 1
    ? { shape: [...(shape as unknown[]), 1], data }
    : value;
}

/** The valid steps of each row. */
export function prepareLengths(value: unknown, x: Tensor, name: string): Int32Array {
  const [rows = 0, steps = 0] = x.shape;
  const lengths = asTensor(value, { name, dtype: 'int32', shape: [rows] });
  const wrong = lengths.data.findIndex((length) => length < 0 || length > steps);
  if (wrong >= 0) {
    const message = `${name}[${wrong}] is ${lengths.data[wrong]}; expected 0 to ${steps}, the steps of x`;
    throw new LookbackError('ERR_DATA', message, { details: { index: wrong } });
  }
  return lengths.data as Int32Array;
}

/** Rows `from` to `to` of `data`, without copying. */
export function sliceRows(data: PreparedData, from: number, to: number): PreparedData {
  const cut = (tensor: Tensor): Tensor => {
    const [rows = 0, ...rest] = tensor.shape;
    const size = rows === 0 ? 0 : tensor.data.length / rows;
    return { shape: [to - from, ...rest], data: tensor.data.subarray(from * size, to * size) };
  };
  return {
    rows: to - from,
    steps: data.steps,
    x: cut(data.x),
    y: data.y && cut(data.y),
    lengths: data.lengths && data.lengths.subarray(from, to),
  };
}
