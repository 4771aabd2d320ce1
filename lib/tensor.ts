/**
 * Shaped arrays at the edge of the library, and the checks that every array passes on its way in.
 */
import { types } from 'node:util';
import { LookbackError } from './errors';
import { show } from './options';

/** The number type of a model or a cell. */
export type DType = 'float32' | 'float64';
export type FloatArray = Float32Array | Float64Array;
export type TypedArray = FloatArray | Int32Array;

/** A row-major array: `data.length` is the product of `shape`. */
export interface Tensor<A extends TypedArray = TypedArray> {
  shape: number[];
  data: A;
}

/** Nested arrays of numbers, all rows of a level equally long. */
export type NestedNumbers = readonly number[] | readonly NestedNumbers[];

/** What may be given where a tensor is expected; a bare typed array only where its shape follows from the context. */
export type TensorLike =
  { readonly shape: readonly number[]; readonly data: TypedArray } | TypedArray | NestedNumbers;

/** A dimension that is known, or null for one that the data decides. */
export type ShapePattern = readonly (number | null)[];

/** What is wanted of a value. */
export interface TensorWish {
  /** For messages: "x", "weights.W_x". */
  name: string;
  dtype: DType | 'int32';
  shape: ShapePattern;
}

type Constructor = typeof Float32Array | typeof Float64Array | typeof Int32Array;
const constructors: Record<DType | 'int32', Constructor> = {
  float32: Float32Array,
  float64: Float64Array,
  int32: Int32Array,
};

/** The number type of a typed array, whichever realm made it; null for every other value. */
export function dtypeOf(value: unknown): DType | 'int32' | null {
  if (types.isFloat32Array(value)) return 'float32';
  if (types.isFloat64Array(value)) return 'float64';
  if (types.isInt32Array(value)) return 'int32';
  return null;
}

/** Whether a value is meant as a tensor, sound or not. */
export function isTensorLike(value: unknown): boolean {
  if (Array.isArray(value) || ArrayBuffer.isView(value)) return true;
  return typeof value === 'object' && value !== null && 'data' in value && 'shape' in value;
}

/** The number of entries of a shape. Exact up to 2^53, beyond which no array can be anyway. */
export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((size, dim) => size * dim, 1);
}

/**
 * How many of `rows` come before the `share` of them that is held out. 90 times 1 - 0.3 is 62.999...: what lies a rounding
 * below a whole number is that number.
 */
export function rowsWithout(share: number, rows: number): number {
  return Math.floor(rows * (1 - share + 1e-12));
}

/** An array of zeros of that number type. */
export function zeros(dtype: DType, size: number): FloatArray {
  return dtype === 'float64' ? new Float64Array(size) : new Float32Array(size);
}

/**
 * `value` as a tensor of the wished number type and shape. Typed arrays are borrowed, nested arrays are copied.
 *
 * @throws {LookbackError} ERR_SHAPE for another number type, rank or size, and for ragged rows; ERR_DATA for an entry of
 * a nested array that is not a number.
 */
export function asTensor(value: unknown, wish: TensorWish): Tensor {
  const tensor = Array.isArray(value) ? fromNested(value, wish) : fromTyped(value, wish);
  const fits =
    tensor.shape.length === wish.shape.length &&
    wish.shape.every((dim, axis) => dim === null || dim === tensor.shape[axis]);
  if (!fits) throw shapeError(wish, shapeText(tensor.shape));
  if (sizeOf(tensor.shape) !== tensor.data.length) {
    const message = `${wish.name} has shape ${shapeText(tensor.shape)} but ${tensor.data.length} entries; expected ${sizeOf(tensor.shape)} entries`;
    throw new LookbackError('ERR_SHAPE', message);
  }
  return tensor;
}

function fromTyped(value: unknown, wish: TensorWish): Tensor {
  const bare = dtypeOf(value) !== null;
  const data: unknown = bare ? value : isTensorObject(value) ? value.data : undefined;
  const dtype = dtypeOf(data);
  if (dtype !== wish.dtype) {
    const wanted = `${constructors[wish.dtype].name === 'Int32Array' ? 'an' : 'a'} ${constructors[wish.dtype].name} or {shape, data} with one`;
    const seen = data === undefined ? show(value) : show(data);
    const message = `${wish.name} is ${seen}; expected ${wanted}, shape ${shapeText(wish.shape)}`;
    throw new LookbackError('ERR_SHAPE', message, {
      details: { expected: wish.dtype, actual: dtype },
    });
  }
  const array = data as TypedArray;
  if (bare) return { shape: completeShape(array.length, wish), data: array };
  const shape = [...(value as { shape: readonly unknown[] }).shape];
  if (!shape.every((dim) => typeof dim === 'number' && Number.isSafeInteger(dim) && dim >= 0)) {
    throw new LookbackError(
      'ERR_SHAPE',
      `${wish.name} has shape ${show(shape)}; expected whole numbers`,
    );
  }
  return { shape: shape as number[], data: array };
}

function isTensorObject(value: unknown): value is { shape: readonly unknown[]; data: unknown } {
  return (
    typeof value === 'object' &&
    value !== null &&
    'data' in value &&
    'shape' in value &&
    Array.isArray(value.shape)
  );
}

/** The shape of a bare array of `length` entries; at most one dimension may be open. */
function completeShape(length: number, wish: TensorWish): number[] {
  const open = wish.shape.filter((dim) => dim === null).length;
  const known = wish.shape.reduce<number>((size, dim) => size * (dim ?? 1), 1);
  if (open > 1) {
    const message = `${wish.name} is a bare array; its shape ${shapeText(wish.shape)} does not follow, so give {shape, data}`;
    throw new LookbackError('ERR_SHAPE', message);
  }
  const missing = known === 0 ? 0 : length / known;
  if (open === 1 ? !Number.isInteger(missing) : length !== known) {
    throw shapeError(wish, `${length} entries`);
  }
  return wish.shape.map((dim) => dim ?? missing);
}

function fromNested(value: readonly unknown[], wish: TensorWish): Tensor {
  const rank = wish.shape.length;
  const shape: number[] = [];
  for (let level: unknown = value; shape.length < rank && Array.isArray(level); level = level[0]) {
    shape.push(level.length);
  }
  if (shape.length !== rank) throw shapeError(wish, `arrays nested ${shape.length} deep`);
  const data = new constructors[wish.dtype](sizeOf(shape));
  let next = 0;
  const fill = (level: unknown, axis: number, at: string): void => {
    if (axis === rank) {
      if (typeof level !== 'number') {
        throw new LookbackError(
          'ERR_DATA',
          `${wish.name}${at} is ${show(level)}; expected a number`,
        );
      }
      data[next] = level;
      if (wish.dtype === 'int32' && data[next] !== level) {
        throw new LookbackError(
          'ERR_DATA',
          `${wish.name}${at} is ${level}; expected a whole number`,
        );
      }
      next += 1;
      return;
    }
    if (!Array.isArray(level) || level.length !== shape[axis]) {
      const seen = Array.isArray(level) ? `${level.length} entries` : show(level);
      const message = `${wish.name}${at} has ${seen}; expected ${shape[axis]} as in its first row: rows must be equally long (pad them and give lengths)`;
      throw new LookbackError('ERR_SHAPE', message);
    }
    // Not forEach, which passes over holes: what is behind one would move up.
    for (let index = 0; index < level.length; index += 1)
      fill(level[index], axis + 1, `${at}[${index}]`);
  };
  fill(value, 0, '');
  return { shape, data };
}

function shapeError(wish: TensorWish, seen: string): LookbackError {
  const message = `${wish.name} has shape ${seen}; expected ${shapeText(wish.shape)}`;
  return new LookbackError('ERR_SHAPE', message, {
    details: { expected: wish.shape, actual: seen },
  });
}

/** "[3, ?, 9]"; a question mark stands for any size. */
export function shapeText(shape: ShapePattern): string {
  return `[${shape.map((dim) => dim ?? '?').join(', ')}]`;
}

/** Throws ERR_DATA that names the first entry of `tensor` that is NaN or infinite. */
export function requireFinite(name: string, tensor: Tensor): void {
  const { data, shape } = tensor;
  for (let at = 0; at < data.length; at += 1) {
    if (!Number.isFinite(data[at])) {
      const message = `${name}${indexText(at, shape)} is ${data[at]}; expected finite numbers: remove or fill such entries`;
      throw new LookbackError('ERR_DATA', message, { details: { index: at } });
    }
  }
}

/** The position `at` of a row-major array as "[row, column]". */
export function indexText(at: number, shape: readonly number[]): string {
  let rest = at;
  const index = [...shape].reverse().map((dim) => {
    const here = rest % dim;
    rest = Math.floor(rest / dim);
    return here;
  });
  return `[${index.reverse().join(', ')}]`;
}
