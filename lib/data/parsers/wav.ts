/**
 * RIFF WAVE files of 16-bit samples.
 */
import { LookbackError } from '../../errors';

/** Sound as it was sampled. */
export interface Sound {
  /** Samples a second. */
  rate: number;
  /** -1 to below 1. */
  samples: Float32Array;
}

const PCM = 1;
const EXTENSIBLE = 0xfffe;
const BYTES = 2;

/**
 * Reads a mono file of 16-bit PCM. Chunks that are not needed are passed over.
 *
 * @throws {@link LookbackError} `ERR_DATA` that names file and offset for another format, or where the file ends early
 */
export function readWav(path: string, bytes: Uint8Array): Sound {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const wrong = (offset: number, problem: string): LookbackError =>
    new LookbackError(
      'ERR_DATA',
      `${path}, offset ${offset}: ${problem}; expected 16-bit mono WAVE`,
      {
        details: { path, offset },
      },
    );
  const name = (at: number): string => Buffer.from(bytes.subarray(at, at + 4)).toString('latin1');
  if (bytes.length < 12 || name(0) !== 'RIFF' || name(8) !== 'WAVE') {
    throw wrong(0, 'the file does not begin with RIFF and WAVE');
  }
  let rate = 0;
  for (let at = 12; at + 8 <= bytes.length;) {
    const size = view.getUint32(at + 4, true);
    const body = at + 8;
    if (body + size > bytes.length) {
      throw wrong(at, `a chunk of ${size} bytes reaches beyond the file of ${bytes.length}`);
    }
    if (name(at) === 'fmt ') {
      if (size < 16) throw wrong(at, `a format of ${size} bytes`);
      const format = view.getUint16(body, true);
      const channels = view.getUint16(body + 2, true);
      const bits = view.getUint16(body + 14, true);
      rate = view.getUint32(body + 4, true);
      if (
        (format !== PCM && format !== EXTENSIBLE) ||
        channels !== 1 ||
        bits !== 8 * BYTES ||
        !rate
      ) {
        throw wrong(body, `format ${format}, ${channels} channels of ${bits} bits at ${rate} Hz`);
      }
    } else if (name(at) === 'data') {
      if (rate === 0) throw wrong(at, 'samples before their format');
      const samples = new Float32Array(Math.floor(size / BYTES));
      for (let sample = 0; sample < samples.length; sample += 1) {
        samples[sample] = view.getInt16(body + BYTES * sample, true) / 32768;
      }
      return { rate, samples };
    }
    at = body + size + (size % 2);
  }
  throw wrong(bytes.length, 'the file ends without samples');
}
