/**
 * Reading the files of a tar archive, plain or gzip-compressed. The archive is unpacked into memory, up to the limit of
 * readGzip; tar itself takes no compressed bytes here, since it unpacks them without a limit.
 */
import { Header, Parser } from 'tar';
import { LookbackError } from '../../errors';
import { readBytes, readGzip } from './text-file';

const BLOCK = 512;
/** Handed to the parser at once, so that a failure stops it soon. */
const PIECE = 2048 * BLOCK;
const GZIP = [0x1f, 0x8b];

export interface TarLimits {
  /** Largest single file, in bytes. */
  file: number;
  /** All files that are wanted together, in bytes. */
  total: number;
}

/**
 * Calls `onFile` for every regular file of the archive whose path is `wanted`, in the order of the archive.
 *
 * @throws {@link LookbackError} `ERR_DATA` for a damaged or truncated archive, with the offset in the unpacked bytes, or
 * for one beyond the limits; `ERR_IO` when it cannot be read.
 */
export function readTar(
  path: string,
  wanted: (file: string) => boolean,
  limits: TarLimits,
  onFile: (file: string, bytes: Buffer) => void,
): void {
  const bytes = unpacked(path);
  let offset = 0;
  let total = 0;
  let failure: unknown = null;
  const fail = (problem: string, cause?: unknown): void => {
    failure ??= new LookbackError(
      'ERR_DATA',
      `${path} is damaged, near byte ${offset} of the archive: ${problem}. Get it again`,
      { cause, details: { path, offset } },
    );
  };
  const first = Buffer.from(bytes.subarray(0, BLOCK));
  if (!isHeader(first)) {
    fail('it does not begin with the header of a tar archive');
    throw failure as Error;
  }
  const parser = new Parser({
    onwarn: (_code, message) => fail(String(message), message),
    filter: (file, entry) => 'type' in entry && entry.type === 'File' && wanted(file),
    onReadEntry: (entry) => {
      const pieces: Buffer[] = [];
      total += entry.size;
      if (entry.size > limits.file || total > limits.total) {
        fail(
          `${entry.path} of ${entry.size} bytes is beyond the limit of ${limits.file} a file and ${limits.total} in all`,
        );
      }
      if (failure !== null) return void entry.resume();
      entry.on('data', (piece) => pieces.push(piece));
      entry.on('end', () => {
        if (failure !== null) return;
        try {
          onFile(entry.path, Buffer.concat(pieces));
        } catch (error) {
          failure = error;
        }
      });
    },
  });
  parser.on('error', (cause: Error) => fail(cause.message, cause));
  try {
    for (; offset < bytes.length && failure === null; offset += PIECE) {
      parser.write(Buffer.from(bytes.subarray(offset, offset + PIECE)));
    }
    if (failure === null) parser.end();
  } catch (error) {
    fail((error as Error).message, error);
  }
  if (failure !== null) throw failure as Error;
}

/** Numbers that no header can have are errors of the package that reads it. */
function isHeader(block: Buffer): boolean {
  try {
    return block.length === BLOCK && new Header(block).cksumValid;
  } catch {
    return false;
  }
}

/** By what the file begins with: archives are named `.tar.gz`, `.tgz` and otherwise. */
function unpacked(path: string): Uint8Array {
  const bytes = readBytes(path);
  return bytes[0] === GZIP[0] && bytes[1] === GZIP[1] ? readGzip(path) : bytes;
}
