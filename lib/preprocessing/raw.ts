/**
 * Raw rows and answers in the forms in which they may be given.
 */
import type { Tensor } from '../tensor';
import { asTensor, dtypeOf, isTensorLike, rowsWithout, sizeOf } from '../tensor';
import type { Sample } from './scaler';
import type { TableRow } from './table';

export function isTexts(value: unknown): value is readonly string[] {
  return (
    Array.isArray(value) && value.length > 0 && value.every((entry) => typeof entry === 'string')
  );
}

export function isRow(value: unknown): value is TableRow {
  return (
    typeof value === 'object' && value !== null && !Array.isArray(value) && !isTensorLike(value)
  );
}

export function isRows(value: unknown): value is readonly TableRow[] {
  return Array.isArray(value) && value.length > 0 && value.every(isRow);
}

/** Numbers of any type and shape, checked for nothing but their shape. */
export function rawTensor(value: unknown, name: string, shape?: readonly number[]): Tensor {
  if (Array.isArray(value)) {
    let rank = 0;
    for (let level: unknown = value; Array.isArray(level); level = level[0]) rank += 1;
    const flat = shape && rank === 1 ? [value] : value;
    const wish = shape ?? new Array<null>(rank).fill(null);
    return asTensor(flat, { name, dtype: 'float64', shape: [...wish] });
  }
  const bare = dtypeOf(value);
  const data: unknown =
    isTensorLike(value) && bare === null ? (value as { data: unknown }).data : value;
  const dtype = dtypeOf(data);
  const rank = (value as { shape?: readonly unknown[] } | null)?.shape?.length ?? 1;
  const wish = shape ?? new Array<null>(Math.max(1, rank)).fill(null);
  return asTensor(value, { name, dtype: dtype ?? 'float32', shape: [...wish] });
}

/** `[n]` targets are `[n, 1]`. */
export function targetShape({ shape }: Tensor): number[] {
  return shape.length === 1 ? [...shape, 1] : shape;
}

/** Valid steps of each row; null: all. */
export function lengthsOf(value: unknown): ArrayLike<number> | null {
  if (value === undefined) return null;
  if (Array.isArray(value) || dtypeOf(value) !== null) return value as ArrayLike<number>;
  return (value as { data: ArrayLike<number> }).data;
}

/** The valid lines of all rows but a share `heldOut` at their end. */
export function sampleOf(
  tensor: Tensor,
  lengths: ArrayLike<number> | null,
  heldOut: number,
): Sample {
  const shape = targetShape(tensor);
  const features = shape[shape.length - 1] ?? 1;
  const rows = rowsWithout(heldOut, shape[0] ?? 0);
  const steps = sizeOf(shape.slice(1, -1));
  function* lines(): Generator<number> {
    for (let row = 0; row < rows; row += 1) {
      const valid = Math.min(steps, lengths?.[row] ?? steps);
      for (let step = 0; step < valid; step += 1) yield row * steps + step;
    }
  }
  // Two passes go over the lines.
  return { data: tensor.data, features, lines: { [Symbol.iterator]: lines } };
}
