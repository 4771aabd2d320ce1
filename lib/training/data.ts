/**
 * What `fit`, `evaluate` and `predict` accept as data, checked before anything is copied to native memory.
 */
import { LookbackError } from '../errors';
import type { RowShape } from '../layers';
import { featuresOf } from '../layers';
import type { NativeEngine } from '../native';
import { closest, show } from '../options';
import type { DType, FloatArray, Tensor, TensorLike } from '../tensor';
import {
  asTensor,
  dtypeOf,
  indexText,
  isTensorLike,
  requireFinite,
  rowsWithout,
  zeros,
} from '../tensor';
import type { RawAnswers, RawRows } from '../preprocessing/preprocessing';
import type { LossSpec } from './losses';
import { outputsPerTarget, wantsLabels } from './losses';

/** Sequences with their labels or targets. */
export interface TrainingData {
  /**
   * `[n, steps, features]` in the model's number type; where the first layer is an embedding, also `[n, steps]` as
   * Int32Array. With preprocessing, raw: unscaled numbers, texts, or rows of a table.
   */
  readonly x: RawRows;
  /**
   * Labels `[n]` as Int32Array, or targets `[n, targets]` in the model's number type; `[n, steps]` and
   * `[n, steps, targets]` where the model gives an output at every step.
   */
  readonly y: RawAnswers;
  /** Valid steps of each row, `[n]` as Int32Array, 0 to `steps`; what is behind them is finite and changes nothing. Default: all. */
  readonly lengths?: TensorLike;
  /** 1 before a step at which a row starts afresh (packed sequences, episodes), else 0: `[n, steps]` as Int32Array. Default: none. */
  readonly resets?: TensorLike;
  /** What each row counts in the loss, `[n]`, or each step, `[n, steps]`. At least 0. Default: all 1. */
  readonly sampleWeight?: TensorLike;
}

/** A data set, or `[x, y]`. */
export type DataLike = TrainingData | readonly [x: RawRows, y: RawAnswers];

/** What the data has to fit. */
export interface DataWish {
  dtype: DType;
  inputShape: readonly [number | null, number];
  outputShape: RowShape;
  /** Whether the model reads whole numbers: its first layer is an embedding. */
  integers: boolean;
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
  /** `[rows]` or `[rows, steps]`. */
  weights: Tensor | null;
  /** `[rows, steps]`. */
  resets: Tensor | null;
}

/** Copies data to native memory; gives its handle. */
export function addData(engine: NativeEngine, data: PreparedData): number {
  return engine.addData(data.x, data.y, data.lengths, data.weights, data.resets);
}

/** @throws {LookbackError} ERR_SHAPE, or ERR_DATA for values that cannot be learned from */
export function prepareData(given: unknown, wish: DataWish, where: string): PreparedData {
  const data = namedData(given, where);
  const x = prepareInput(data.x, wish, `${where}.x`);
  const rows = x.shape[0] ?? 0;
  const lengths =
    data.lengths === undefined ? null : prepareLengths(data.lengths, x, `${where}.lengths`);
  const steps = x.shape[1] ?? 0;
  const resets =
    data.resets === undefined ? null : prepareResets(data.resets, x, `${where}.resets`);
  if (wish.loss === null) return { rows, steps, x, y: null, lengths, weights: null, resets };
  const answers = { ...wish, loss: wish.loss, rows, steps, lengths };
  const y = prepareAnswers(data.y, answers, `${where}.y`);
  const weights = prepareWeights(data.sampleWeight, y, answers, `${where}.sampleWeight`);
  return { rows, steps, x, y, lengths, weights, resets };
}

const optionalKeys: readonly string[] = ['lengths', 'resets', 'sampleWeight'];

interface NamedData {
  x: unknown;
  y: unknown;
  lengths?: unknown;
  resets?: unknown;
  sampleWeight?: unknown;
}

function namedData(given: unknown, where: string): NamedData {
  if (Array.isArray(given) && given.length === 2) return { x: given[0], y: given[1] };
  if (typeof given === 'object' && given !== null && 'x' in given) {
    refuseMisspelt(given, where);
    return {
      x: given.x,
      y: 'y' in given ? given.y : undefined,
      lengths: 'lengths' in given ? given.lengths : undefined,
      resets: 'resets' in given ? given.resets : undefined,
      sampleWeight: 'sampleWeight' in given ? given.sampleWeight : undefined,
    };
  }
  const message = `${where} is ${show(given)}; expected { x, y } such as datasets.har().train, or [x, y]`;
  throw new LookbackError('ERR_SHAPE', message);
}

/** Data sets say more of themselves than is read here; a name next to one that may be left out is a slip. */
function refuseMisspelt(given: object, where: string): void {
  for (const key of Object.keys(given)) {
    const meant = optionalKeys.includes(key) ? null : closest(key, optionalKeys);
    if (meant === null || meant in given) continue;
    const message = `${where} has ${show(key)}, which nothing reads; did you mean "${meant}"?`;
    throw new LookbackError('ERR_OPTION', message);
  }
}

/** Sequences alone: `[n, steps, features]`, at least one row, finite. */
export function prepareInput(
  value: unknown,
  wish: Pick<DataWish, 'dtype' | 'inputShape' | 'integers'>,
  name: string,
): Tensor {
  const x = isTokens(value, wish.integers)
    ? tokens(value, wish, name)
    : asTensor(value, { name, dtype: wish.dtype, shape: [null, ...wish.inputShape] });
  if (x.data.length === 0) {
    throw new LookbackError(
      'ERR_DATA',
      `${name} is empty: shape [${x.shape.join(', ')}]; expected at least one row and one step`,
    );
  }
  requireFinite(name, x);
  return x;
}

/** Whole numbers without an axis of features, or as integers: what a model that reads them may be given. */
function isTokens(value: unknown, integers: boolean): boolean {
  if (!integers) return false;
  if (Array.isArray(value)) return Array.isArray(value[0]) && !Array.isArray(value[0][0]);
  const data: unknown =
    typeof value === 'object' && value !== null && 'data' in value ? value.data : value;
  return dtypeOf(data) === 'int32';
}

/** `[n, steps]` or `[n, steps, 1]` as `[n, steps, 1]` in the model's number type. */
function tokens(
  value: unknown,
  wish: Pick<DataWish, 'dtype' | 'inputShape'>,
  name: string,
): Tensor {
  const [steps] = wish.inputShape;
  const deep = !ArrayBuffer.isView(value) && !Array.isArray(value) && rankOf(value, 0) === 3;
  const shape = deep ? [null, steps, 1] : [null, steps];
  const given = asTensor(value, { name, dtype: 'int32', shape });
  const data = zeros(wish.dtype, given.data.length);
  data.set(given.data);
  return { shape: [given.shape[0] ?? 0, given.shape[1] ?? 0, 1], data };
}

/** What labels, targets and weights have to fit. */
interface AnswerWish extends DataWish {
  loss: LossSpec;
  rows: number;
  steps: number;
  lengths: Int32Array | null;
}

/** `[rows]`, or `[rows, steps]` where the model gives an output at every step. */
function termShape(wish: AnswerWish): number[] {
  return wish.outputShape.length === 1 ? [wish.rows] : [wish.rows, wish.steps];
}

/** The first entry of a valid term that is `wrong`; -1 where there is none. */
function findWrong(
  tensor: Tensor,
  {
    lengths,
    steps,
    rows,
    outputShape,
  }: Omit<AnswerWish, keyof DataWish | 'loss'> & Pick<DataWish, 'outputShape'>,
  wrong: (value: number) => boolean,
): number {
  const { data } = tensor;
  const perRow = outputShape.length === 1 || data.length < rows * steps;
  if (lengths === null || perRow) return data.findIndex(wrong);
  const perStep = data.length / (rows * steps);
  return data.findIndex((value, at) => {
    const step = Math.floor(at / perStep);
    return step % steps < (lengths[Math.floor(step / steps)] ?? 0) && wrong(value);
  });
}

function prepareAnswers(value: unknown, wish: AnswerWish, name: string): Tensor {
  const { loss, outputShape } = wish;
  const outputs = featuresOf(outputShape);
  if (wantsLabels(loss)) {
    const y = asTensor(value, { name, dtype: 'int32', shape: termShape(wish) });
    const wrong = findWrong(y, wish, (label) => label < 0 || label >= outputs);
    if (wrong < 0) return y;
    const message = `${name}${indexText(wrong, y.shape)} is ${y.data[wrong]}; expected a label from 0 to ${outputs - 1}, since the last layer has ${outputs} outputs`;
    throw new LookbackError('ERR_DATA', message, { details: { index: wrong } });
  }
  const targets = outputs / outputsPerTarget(loss);
  const shape = [...termShape(wish), targets];
  const y = asTensor(shape.length === 2 && targets === 1 ? flatTargets(value) : value, {
    name,
    dtype: wish.dtype,
    shape,
  });
  const { skipNaN = false } = loss;
  const binary = loss.kind === 'binaryCrossentropy';
  const wrong = findWrong(y, wish, (target) =>
    Number.isNaN(target)
      ? !skipNaN
      : !Number.isFinite(target) || (binary && (target < 0 || target > 1)),
  );
  if (wrong < 0) return y;
  const expected = binary ? 'a number from 0 to 1' : 'a finite number';
  const hint = Number.isNaN(y.data[wrong]) ? ', or skipNaN: true for the loss' : '';
  const message = `${name}${indexText(wrong, y.shape)} is ${y.data[wrong]}; expected ${expected}${hint}`;
  throw new LookbackError('ERR_DATA', message, { details: { index: wrong } });
}

/** The weight of every term: what the caller gave times that of the label's class. */
function prepareWeights(value: unknown, y: Tensor, wish: AnswerWish, name: string): Tensor | null {
  const classWeight = wantsLabels(wish.loss) ? wish.loss.classWeight : undefined;
  if (value === undefined && !classWeight) return null;
  const shape = termShape(wish);
  const given = value === undefined ? null : sampleWeights(value, shape, wish, name);
  return classWeight ? byClass(given, y, classWeight, wish.dtype) : given;
}

/** Weights, or ones, times those of the labels' classes: one for every label. */
function byClass(
  given: Tensor | null,
  y: Tensor,
  classWeight: readonly number[],
  dtype: DType,
): Tensor {
  const perWeight = given === null ? 1 : y.data.length / given.data.length;
  const data = zeros(dtype, y.data.length);
  y.data.forEach((label, at) => {
    const own = given === null ? 1 : (given.data[Math.floor(at / perWeight)] ?? 0);
    data[at] = own * (classWeight[label] ?? 0);
  });
  return { shape: y.shape, data };
}

/** Data whose weights are multiplied by those of the labels' classes. @throws {LookbackError} ERR_OPTION */
export function weighClasses(data: PreparedData, classWeight: readonly number[]): PreparedData {
  const { x, y, weights } = data;
  if (y === null || dtypeOf(y.data) !== 'int32') {
    const message =
      'fit: classWeight goes with labels, and this loss has none; use sampleWeight in the data';
    throw new LookbackError('ERR_OPTION', message);
  }
  const outputShape: RowShape = y.shape.length === 1 ? [1] : [null, 1];
  const wrong = findWrong(y, { ...data, outputShape }, (label) => label >= classWeight.length);
  if (wrong >= 0) {
    const message = `fit: classWeight has ${classWeight.length} entries but the data have label ${y.data[wrong]}; give one entry per label`;
    throw new LookbackError('ERR_OPTION', message, { details: { index: wrong } });
  }
  const dtype = dtypeOf(x.data) === 'float64' ? 'float64' : 'float32';
  return { ...data, weights: byClass(weights, y, classWeight, dtype) };
}

function sampleWeights(value: unknown, shape: number[], wish: AnswerWish, name: string): Tensor {
  const { dtype, rows } = wish;
  const perRow = shape.length === 1 || rankOf(value, rows) === 1;
  const weights = asTensor(value, { name, dtype, shape: perRow ? [rows] : shape });
  const wrong = findWrong(weights, wish, (weight) => !(weight >= 0 && weight < Infinity));
  if (wrong < 0) return weights;
  const message = `${name}${indexText(wrong, weights.shape)} is ${weights.data[wrong]}; expected a finite number of at least 0`;
  throw new LookbackError('ERR_DATA', message, { details: { index: wrong } });
}

/** How many dimensions an array has; a bare one has two unless it has one entry for each row. */
function rankOf(value: unknown, rows: number): number {
  if (ArrayBuffer.isView(value)) return (value as FloatArray).length === rows ? 1 : 2;
  if (Array.isArray(value)) return Array.isArray(value[0]) ? 2 : 1;
  const shape: unknown = isTensorLike(value) ? (value as { shape: unknown }).shape : undefined;
  return Array.isArray(shape) ? shape.length : 2;
}

/** One target per row may be written without the axis of length 1. */
function flatTargets(value: unknown): unknown {
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

/** Where rows start afresh. */
export function prepareResets(value: unknown, x: Tensor, name: string): Tensor {
  const [rows = 0, steps = 0] = x.shape;
  const resets = asTensor(value, { name, dtype: 'int32', shape: [rows, steps] });
  const wrong = resets.data.findIndex((reset) => reset !== 0 && reset !== 1);
  if (wrong < 0) return resets;
  const message = `${name}${indexText(wrong, resets.shape)} is ${resets.data[wrong]}; expected 0, or 1 where the row starts afresh before the step`;
  throw new LookbackError('ERR_DATA', message, { details: { index: wrong } });
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
    weights: data.weights && cut(data.weights),
    resets: data.resets && cut(data.resets),
  };
}

/** The last `share` of the rows apart. @throws {LookbackError} ERR_OPTION where one side would be empty */
export function splitTail(data: PreparedData, share: number): [PreparedData, PreparedData] {
  const { rows } = data;
  const at = rowsWithout(share, rows);
  if (at < 1 || at === rows) {
    const message = `fit: validationSplit ${share} of ${rows} rows leaves one side empty; expected more rows or another share`;
    throw new LookbackError('ERR_OPTION', message);
  }
  return [sliceRows(data, 0, at), sliceRows(data, at, rows)];
}
