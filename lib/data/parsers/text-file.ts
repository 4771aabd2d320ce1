/**
 * Reading a published text file, plain or gzip-compressed, with errors that name the file.
 */
import { existsSync, readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { LookbackError } from '../../errors';

/** Far above any file read here; a small hostile `.gz` must not be able to fill the memory. */
const MAX_UNPACKED_BYTES = 2 ** 29;

/** Bytes of a text file, and the path to name in messages (with `.gz` where it was compressed). */
export interface TextFile {
  path: string;
  bytes: Uint8Array;
}

/**
 * Reads `path`, or `path + '.gz'` where only that exists.
 *
 * @param expected - What the file should be, for the message when it is missing.
 * @throws {@link LookbackError} `ERR_DATA` when neither exists or the compressed file is damaged; `ERR_IO` when the
 * operating system refuses.
 */
export function readTextFile(path: string, expected: string): TextFile {
  if (existsSync(path)) return { path, bytes: readBytes(path) };
  const packed = `${path}.gz`;
  if (existsSync(packed)) return { path: packed, bytes: readGzip(packed) };
  throw new LookbackError('ERR_DATA', `missing file ${path} (or .txt.gz); expected ${expected}`);
}

/**
 * Reads and unpacks a gzip file.
 *
 * @throws {@link LookbackError} `ERR_DATA` when it is truncated, damaged or not gzip; `ERR_IO` when it cannot be read.
 */
export function readGzip(path: string): Uint8Array {
  const packed = readBytes(path);
  try {
    return gunzipSync(packed, { maxOutputLength: MAX_UNPACKED_BYTES });
  } catch (cause) {
    throw new LookbackError(
      'ERR_DATA',
      `${path} is damaged or truncated: ${(cause as Error).message} after ${packed.length} bytes; ` +
        'expected a complete gzip file. Get the file again',
      { cause },
    );
  }
}

/** @throws {@link LookbackError} `ERR_IO` when the file cannot be read. */
export function readBytes(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new LookbackError('ERR_IO', `cannot read ${path}: ${(cause as Error).message}`, {
      cause,
    });
  }
}
