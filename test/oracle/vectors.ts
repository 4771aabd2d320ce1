/**
 * Files of test vectors: their format, and the way from their layout to the public one.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { DType, TypedArray } from 'lookback';

export interface VectorTensor {
  shape: number[];
  data: number[];
}

export type VectorTensors = Record<string, VectorTensor>;

/** One case, batch-major. */
export interface VectorCase {
  name: string;
  config: Record<string, unknown>;
  inputs: VectorTensors;
  weights: VectorTensors;
  outputs: VectorTensors;
  upstream: VectorTensors;
  grads: VectorTensors;
}

/** Every JSON file of `paths`, folders searched to their bottom, in order of name. */
export function findCases(paths: readonly string[]): string[] {
  return paths.flatMap((path) => {
    if (!statSync(path).isDirectory()) return [path];
    const entries = readdirSync(path).sort();
    const deeper = entries.filter(
      (entry) => statSync(join(path, entry)).isDirectory() || entry.endsWith('.json'),
    );
    return findCases(deeper.map((entry) => join(path, entry)));
  });
}

export function readCase(path: string): VectorCase {
  const file = JSON.parse(readFileSync(path, 'utf8')) as VectorCase & {
    case: string;
    format: number;
  };
  if (file.format !== 1) throw new Error(`format is ${file.format}; expected 1`);
  const groups = [file.inputs, file.weights, file.outputs, file.upstream, file.grads].map(
    batchMajor,
  );
  const [inputs = {}, weights = {}, outputs = {}, upstream = {}, grads = {}] = groups;
  return { name: file.case, config: file.config, inputs, weights, outputs, upstream, grads };
}

/** The sequences of a file are [T, B, ...]; the public ones are [B, T, ...]. Everything else has one layout. */
function batchMajor(tensors: VectorTensors): VectorTensors {
  const entries = Object.entries(tensors).map(([name, tensor]): [string, VectorTensor] => {
    const sequence = name === 'x' || name === 'y' || name === 'mask' || name.startsWith('mask.');
    return [name, sequence ? swapFirstAxes(tensor) : tensor];
  });
  return Object.fromEntries(entries);
}

function swapFirstAxes({ shape, data }: VectorTensor): VectorTensor {
  const [steps = 1, batch = 1, ...rest] = shape;
  const size = rest.reduce((product, dim) => product * dim, 1);
  const swapped = new Array<number>(data.length);
  for (let row = 0; row < batch; row += 1) {
    for (let step = 0; step < steps; step += 1) {
      for (let at = 0; at < size; at += 1) {
        swapped[(row * steps + step) * size + at] = data[(step * batch + row) * size + at] ?? NaN;
      }
    }
  }
  return { shape: [batch, steps, ...rest], data: swapped };
}

/** Tensors as the library takes them. */
export function toLibrary(
  tensors: VectorTensors,
  dtype: DType,
): Record<string, { shape: number[]; data: TypedArray }> {
  const entries = Object.entries(tensors).map(([name, { shape, data }]) => {
    const whole = name === 'lengths' || name === 'labels';
    const array = whole
      ? Int32Array.from(data)
      : dtype === 'float64'
        ? Float64Array.from(data)
        : Float32Array.from(data);
    return [name, { shape, data: array }] as const;
  });
  return Object.fromEntries(entries);
}
