/**
 * NIST SPHERE files: a header of text lines, then 16-bit samples in either byte order.
 */
import { LookbackError } from '../../errors';
import type { Sound } from './wav';

const MAGIC = 'NIST_1A\n';
const BYTES = 2;
/** Published headers have 1024 bytes. */
const MAX_HEADER = 65_536;

/**
 * Reads a mono file of 16-bit PCM; `sample_byte_format` 01 is little-endian, 10 big-endian.
 *
 * @throws {@link LookbackError} `ERR_DATA` that names file and offset for another format, or where the file ends early
 */
export function readSphere(path: string, bytes: Uint8Array): Sound {
  const wrong = (offset: number, problem: string): LookbackError =>
    new LookbackError(
      'ERR_DATA',
      `${path}, offset ${offset}: ${problem}; expected a 16-bit mono SPHERE file`,
      {
        details: { path, offset },
      },
    );
  const text = (from: number, to: number): string =>
    Buffer.from(bytes.subarray(from, to)).toString('latin1');
  if (text(0, 8) !== MAGIC) throw wrong(0, 'the file does not begin with NIST_1A');
  const size = Number(text(8, 16));
  if (!Number.isInteger(size) || size < 16 || size > MAX_HEADER || size > bytes.length) {
    throw wrong(
      8,
      `a header of ${JSON.stringify(text(8, 16).trim())} bytes in a file of ${bytes.length}`,
    );
  }
  const fields = new Map<string, string>();
  const lines = text(16, size).split('\n');
  if (!lines.some((line) => line.trim() === 'end_head'))
    throw wrong(16, 'the header has no end_head');
  for (const line of lines) {
    if (line.trim() === 'end_head') break;
    const [, name, value] = /^(\S+) +-\S+ +(\S+)/.exec(line) ?? [];
    if (name !== undefined && value !== undefined) fields.set(name, value);
  }
  const number = (name: string, fallback?: number): number => {
    const value = Number(fields.get(name) ?? fallback);
    if (Number.isInteger(value) && value > 0) return value;
    throw wrong(16, `${name} is ${JSON.stringify(fields.get(name) ?? null)}`);
  };
  const count = number('sample_count');
  const rate = number('sample_rate');
  const order = fields.get('sample_byte_format') ?? '';
  const coding = fields.get('sample_coding') ?? 'pcm';
  const known = coding === 'pcm' && (order === '01' || order === '10');
  if (number('channel_count', 1) !== 1 || number('sample_n_bytes') !== BYTES || !known) {
    throw wrong(
      16,
      `coding ${coding}, byte format ${JSON.stringify(order)}, ${fields.get('channel_count')} channels of ${fields.get('sample_n_bytes')} bytes`,
    );
  }
  if (BYTES * count > bytes.length - size) {
    throw wrong(
      size,
      `${count} samples are said to follow; there are ${Math.floor((bytes.length - size) / BYTES)}`,
    );
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset + size, BYTES * count);
  const samples = new Float32Array(count);
  for (let at = 0; at < count; at += 1) {
    samples[at] = view.getInt16(BYTES * at, order === '01') / 32768;
  }
  return { rate, samples };
}
