/**
 * The IDX format of the MNIST files: two zero bytes, the type, the rank, big-endian sizes, then the numbers.
 */
import { LookbackError } from '../../errors';
import { readTextFile } from './text-file';

const UNSIGNED_BYTE = 0x08;

/** An array of unsigned bytes, row-major. */
export interface IdxArray {
  path: string;
  shape: number[];
  data: Uint8Array;
}

/**
 * Reads an IDX file of unsigned bytes, plain or gzip-compressed.
 *
 * @param rank - Dimensions it must have.
 * @throws {@link LookbackError} `ERR_DATA` with the offset of what is wrong; `ERR_IO` when the file cannot be read.
 */
export function readIdx(file: string, rank: number, expected: string): IdxArray {
  const { path, bytes } = readTextFile(file, expected);
  const header = 4 + 4 * rank;
  const wrong = (offset: number, problem: string): LookbackError =>
    new LookbackError(
      'ERR_DATA',
      `${path}, offset ${offset}: ${problem}. The file is damaged or of another kind; get it again`,
      { details: { path, offset } },
    );
  if (bytes.length < header) {
    throw wrong(bytes.length, `the file ends; expected a header of ${header} bytes`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const magic = (UNSIGNED_BYTE << 8) | rank;
  if (view.getUint32(0) !== magic) {
    const seen = view.getUint32(0).toString(16).padStart(8, '0');
    throw wrong(
      0,
      `the file begins with 0x${seen}; expected 0x${magic.toString(16).padStart(8, '0')}`,
    );
  }
  const shape = Array.from({ length: rank }, (_, axis) => view.getUint32(4 + 4 * axis));
  // Beyond 2^53 the product is inexact, but still far from the size of any file.
  const size = shape.reduce((product, dim) => product * dim, 1);
  if (size !== bytes.length - header) {
    throw wrong(
      4,
      `sizes ${shape.join(' x ')} ask for ${size} bytes; ${bytes.length - header} follow`,
    );
  }
  return { path, shape, data: bytes.subarray(header) };
}
