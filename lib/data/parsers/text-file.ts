/**
 * Reading a published file, plain or gzip-compressed, with errors that name the file and a limit on what is unpacked.
 */
import { isUtf8 } from 'node:buffer';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { LookbackError } from '../../errors';

/** Above any single file read here; a small hostile `.gz` must not be able to fill the memory. */
const MAX_BYTES = 2 ** 29;

/** Bytes of a file, and the path to name in messages (with `.gz` where it was compressed). */
export interface TextFile {
  path: string;
  bytes: Uint8Array;
}

/** @returns `path` or `path + '.gz'`, whichever is there; null where neither is. */
export function findFile(path: string): string | null {
  return [path, `${path}.gz`].find((candidate) => existsSync(candidate)) ?? null;
}

/**
 * Reads `path`, or `path + '.gz'` where only that exists.
 *
 * @param expected - What the file should be, for the message when it is missing.
 * @throws {@link LookbackError} `ERR_DATA` when neither exists or the compressed file is damaged; `ERR_IO` when the
 * operating system refuses.
 */
export function readTextFile(path: string, expected: string): TextFile {
  const found = findFile(path);
  if (found !== null) return { path: found, bytes: readMaybeGzip(found) };
  throw new LookbackError('ERR_DATA', `missing file ${path} (or .gz); expected ${expected}`, {
    details: { path },
  });
}

/** Reads a file and unpacks it where its name ends in `.gz`. @throws as {@link readGzip} */
export function readMaybeGzip(path: string): Uint8Array {
  return path.endsWith('.gz') ? readGzip(path) : readBytes(path);
}

/**
 * Reads and unpacks a gzip file.
 *
 * @throws {@link LookbackError} `ERR_DATA` when it is truncated, damaged, not gzip or unpacks to more than 512 MiB;
 * `ERR_IO` when it cannot be read.
 */
export function readGzip(path: string): Uint8Array {
  const packed = readBytes(path);
  try {
    return gunzipSync(packed, { maxOutputLength: MAX_BYTES });
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    const problem =
      code === 'ERR_BUFFER_TOO_LARGE'
        ? `it unpacks to more than ${MAX_BYTES} bytes from ${packed.length}`
        : `${message} after ${packed.length} bytes`;
    throw new LookbackError(
      'ERR_DATA',
      `${path} is damaged or truncated: ${problem}; expected a complete gzip file. Get the file again`,
      { cause, details: { path, bytes: packed.length } },
    );
  }
}

/** @throws {@link LookbackError} `ERR_IO` when the file cannot be read, `ERR_DATA` when it has more than 512 MiB. */
export function readBytes(path: string): Uint8Array {
  try {
    const { size } = statSync(path);
    if (size > MAX_BYTES) {
      throw new LookbackError(
        'ERR_DATA',
        `${path} has ${size} bytes; at most ${MAX_BYTES} are read at once`,
        { details: { path, bytes: size } },
      );
    }
    return readFileSync(path);
  } catch (cause) {
    if (cause instanceof LookbackError) throw cause;
    throw new LookbackError('ERR_IO', `cannot read ${path}: ${(cause as Error).message}`, {
      cause,
      details: { path },
    });
  }
}

/**
 * The text of a UTF-8 file, without its byte order mark.
 *
 * @throws {@link LookbackError} `ERR_DATA` that names the first byte that is not UTF-8.
 */
export function utf8Of({ path, bytes }: TextFile): string {
  if (isUtf8(bytes)) {
    const marked = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf;
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString(
      'utf8',
      marked ? 3 : 0,
    );
  }
  const offset = firstNotUtf8(bytes);
  const seen = (bytes[offset] ?? 0).toString(16).padStart(2, '0');
  throw new LookbackError(
    'ERR_DATA',
    `${path} is not UTF-8 text: byte 0x${seen} at offset ${offset}; save it as UTF-8`,
    { details: { path, offset } },
  );
}

/** The byte at which a decoder gives up; a character that is cut at the end counts as its end. */
function firstNotUtf8(bytes: Uint8Array): number {
  const sizes = [1 << 16, 1];
  let offset = 0;
  for (const size of sizes) {
    const decoder = new TextDecoder('utf-8', { fatal: true });
    // Back to the first byte of a character that the larger pieces may have cut.
    while (offset > 0 && ((bytes[offset] ?? 0) & 0xc0) === 0x80) --offset;
    try {
      for (; offset < bytes.length; offset += size) {
        decoder.decode(bytes.subarray(offset, offset + size), { stream: true });
      }
    } catch {
      // The next size looks closer.
    }
  }
  return Math.min(offset, bytes.length - 1);
}
