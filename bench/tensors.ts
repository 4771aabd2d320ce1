/**
 * The numbers that both sides compute with, and the files in which they travel to a peer and back.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { uniformFloat32 } from 'pure-rand/distribution/uniformFloat32';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import type { BenchCase, Form } from './cases';

export interface FloatTensor {
  shape: number[];
  data: Float32Array;
}
export type FloatTensors = Record<string, FloatTensor>;

/** Where a tensor lies in a file of 32-bit floats; `offset` counts numbers. */
export interface TensorEntry {
  name: string;
  shape: number[];
  offset: number;
}

export interface Workload {
  x: FloatTensor;
  weights: FloatTensors;
  /** Gradient that arrives at y, at every step. */
  dy: FloatTensor;
}

function sizeOf(shape: readonly number[]): number {
  return shape.reduce((size, dim) => size * dim, 1);
}

/** Makes random numbers what the cell asks of that weight. */
function shapeInto(form: Form | undefined, { shape, data }: FloatTensor): void {
  if (form === 'signs') data.forEach((value, at) => (data[at] = value < 0 ? -1 : 1));
  if (form === 'negative') data.forEach((value, at) => (data[at] = -Math.abs(value) / 10));
  if (form !== 'skew') return;
  const [n = 0] = shape;
  for (let i = 0; i < n; ++i) {
    data[i * n + i] = 0;
    for (let j = 0; j < i; ++j) data[i * n + j] = -(data[j * n + i] ?? NaN);
  }
}

/** The same numbers at every run: inputs in ±1, weights in ±1/sqrt(units), norm scales about 1. */
export function workload({ shape, weights, forms = {} }: BenchCase): Workload {
  const random = xoroshiro128plus(20180815);
  random.jump();
  const uniform = (dims: number[], limit: number, centre = 0): FloatTensor => ({
    shape: dims,
    data: Float32Array.from(
      { length: sizeOf(dims) },
      () => centre + limit * (2 * uniformFloat32(random) - 1),
    ),
  });
  const limit = 1 / Math.sqrt(shape.units);
  const entries = Object.entries(weights).map(([name, dims]) => {
    const tensor = uniform(dims, limit, name.endsWith('.gamma') ? 1 : 0);
    shapeInto(forms[name], tensor);
    return [name, tensor];
  });
  return {
    x: uniform([shape.batch, shape.steps, shape.inputSize], 1),
    weights: Object.fromEntries(entries) as FloatTensors,
    dy: uniform([shape.batch, shape.steps, shape.units], 1),
  };
}

/** Writes tensors one behind the other; the entries say where. */
export function writeTensors(path: string, tensors: FloatTensors): TensorEntry[] {
  let offset = 0;
  const entries: TensorEntry[] = [];
  const parts: Uint8Array[] = [];
  for (const [name, { shape, data }] of Object.entries(tensors)) {
    entries.push({ name, shape, offset });
    offset += data.length;
    parts.push(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  writeFileSync(path, Buffer.concat(parts));
  return entries;
}

export function readTensors(path: string, entries: readonly TensorEntry[]): FloatTensors {
  const bytes = readFileSync(path);
  const numbers = new Float32Array(
    bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength),
  );
  return Object.fromEntries(
    entries.map(({ name, shape, offset }) => [
      name,
      { shape, data: numbers.subarray(offset, offset + sizeOf(shape)) },
    ]),
  );
}

/**
 * The largest difference of two sets of results, and where it is: of y relative to its largest entry, of the gradients
 * relative to the largest gradient (some are zero in exact arithmetic and only noise here).
 */
export function worstDifference(
  ours: FloatTensors,
  theirs: FloatTensors,
): { tensor: string; difference: number } {
  const { y, ...gradients } = theirs;
  const largestGradient = Math.max(...Object.values(gradients).map(largest));
  let worst = { tensor: '', difference: 0 };
  for (const [tensor, { shape, data }] of Object.entries(theirs)) {
    const mine = ours[tensor];
    if (mine?.data.length !== data.length) {
      throw new Error(`we give no ${tensor} of shape [${shape.join(', ')}], the peer does`);
    }
    const scale = tensor === 'y' && y ? largest(y) : largestGradient;
    const difference = largest({
      shape,
      data: data.map((value, at) => value - (mine.data[at] ?? NaN)),
    });
    if (!(difference / scale <= worst.difference)) {
      worst = { tensor, difference: difference / scale };
      if (Number.isNaN(worst.difference)) break;
    }
  }
  return worst;
}

/** NaN where an entry is NaN, so that a result that is no number never passes for a small one. */
function largest({ data }: FloatTensor): number {
  return data.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
}
