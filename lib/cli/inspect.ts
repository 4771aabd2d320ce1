/**
 * `lookback inspect`: works without the native addon.
 */
import { readHeader } from '../storage/safetensors';
import type { Output } from './output';
import { modelPath } from './saved-run';

/** Prints the tensors and the metadata of a safetensors file. @throws {LookbackError} ERR_IO, ERR_FORMAT */
export async function inspect(file: string, output: Output): Promise<void> {
  const path = modelPath(file);
  const { metadata, tensors } = await readHeader(path);
  const sorted = [...tensors].sort((a, b) => (a.name < b.name ? -1 : 1));
  const numbers = sorted.reduce(
    (sum, { shape }) => sum + shape.reduce((size, dim) => size * dim, 1),
    0,
  );
  const width = Math.max(0, ...sorted.map(({ name }) => name.length));
  const lines = [
    path,
    ...Object.entries(metadata).map(([key, text]) => `${key}: ${text}`),
    ...sorted.map(
      ({ name, dtype, shape }) => `${name.padEnd(width)}  ${dtype}  [${shape.join(', ')}]`,
    ),
    `${sorted.length} tensors, ${numbers} numbers`,
  ];
  const listed = sorted.map(({ name, dtype, shape }) => ({ name, dtype, shape }));
  output.tell('inspect', { file: path, metadata, tensors: listed }, lines.join('\n'));
}
