/**
 * The records of TensorBoard's event files: an Event message each, framed by its length and checksums.
 *
 *   record = length (u64) | masked CRC-32C of it (u32) | message | masked CRC-32C of the message (u32), little-endian
 *   Event = 1: wall time (double) | 2: step (varint) | 3: file version (string) | 5: Summary
 *   Summary = 1: Value...; Value = 1: tag (string) | 2: value (float)
 */

/** One number under a tag. */
export interface Scalar {
  tag: string;
  value: number;
}

/** What a file of events begins with. `wallTime` in seconds since 1970. */
export function versionRecord(wallTime: number): Uint8Array {
  return record(Buffer.concat([double(1, wallTime), bytes(3, Buffer.from('brain.Event:2'))]));
}

/** Numbers of one step. */
export function scalarsRecord(
  wallTime: number,
  step: number,
  scalars: readonly Scalar[],
): Uint8Array {
  const values = scalars.map(({ tag, value }) =>
    bytes(1, Buffer.concat([bytes(1, Buffer.from(tag)), float(2, value)])),
  );
  return record(
    Buffer.concat([double(1, wallTime), varintField(2, step), bytes(5, Buffer.concat(values))]),
  );
}

function record(message: Buffer): Uint8Array {
  const framed = Buffer.alloc(message.length + 16);
  framed.writeBigUInt64LE(BigInt(message.length), 0);
  framed.writeUInt32LE(masked(crc32c(framed.subarray(0, 8))), 8);
  message.copy(framed, 12);
  framed.writeUInt32LE(masked(crc32c(message)), 12 + message.length);
  return framed;
}

/** The bytes at the front of a file of events that are whole records. */
export function wholeRecords(file: Buffer): number {
  let whole = 0;
  for (let end = recordEnd(file, 0); end !== null; end = recordEnd(file, end)) whole = end;
  return whole;
}

/** Where the record that begins at `at` ends; null for none or a torn one. */
function recordEnd(file: Buffer, at: number): number | null {
  if (at + 16 > file.length) return null;
  const end = at + Number(file.readBigUInt64LE(at)) + 16;
  if (end > file.length) return null;
  const sound = (from: number, to: number): boolean =>
    file.readUInt32LE(to) === masked(crc32c(file.subarray(from, to)));
  return sound(at, at + 8) && sound(at + 12, end - 4) ? end : null;
}

/** Rotated and shifted, as the format wants it, since a checksum over checksums is a poor one. */
function masked(crc: number): number {
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

/** The reflected polynomial of CRC-32C (Castagnoli). */
const polynomial = 0x82f63b78;
const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? polynomial : 0);
  return crc;
});

/** CRC-32C of some bytes. */
export function crc32c(data: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of data) crc = (crc >>> 8) ^ (table[(crc ^ byte) & 0xff] ?? 0);
  return ~crc >>> 0;
}

function varint(value: number): Buffer {
  const out: number[] = [];
  let left = value;
  for (; left >= 128; left = Math.floor(left / 128)) out.push((left % 128) | 128);
  return Buffer.from([...out, left]);
}

const wire = { varint: 0, double: 1, bytes: 2, float: 5 } as const;

function key(field: number, type: keyof typeof wire): Buffer {
  return varint(field * 8 + wire[type]);
}

function varintField(field: number, value: number): Buffer {
  return Buffer.concat([key(field, 'varint'), varint(value)]);
}

function double(field: number, value: number): Buffer {
  const number = Buffer.alloc(8);
  number.writeDoubleLE(value);
  return Buffer.concat([key(field, 'double'), number]);
}

function float(field: number, value: number): Buffer {
  const number = Buffer.alloc(4);
  number.writeFloatLE(value);
  return Buffer.concat([key(field, 'float'), number]);
}

function bytes(field: number, value: Buffer): Buffer {
  return Buffer.concat([key(field, 'bytes'), varint(value.length), value]);
}
