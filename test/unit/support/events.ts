/**
 * A reader of TensorBoard's files, written from the description of the format alone: TFRecord frames around Event
 * messages.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Event {
  time: number;
  step: number;
  version: string;
  values: Record<string, number>;
}

/** Those of the one file in a folder. */
export function eventsIn(dir: string): Event[] {
  const [name = '', ...more] = readdirSync(dir);
  expect(name).toMatch(/^events\.out\.tfevents\.\d{10}\./);
  expect(more).toEqual([]);
  const file = readFileSync(join(dir, name));
  const events: Event[] = [];
  for (let at = 0; at < file.length;) {
    const length = Number(file.readBigUInt64LE(at));
    expect(unmasked(file.readUInt32LE(at + 8))).toBe(slowCrc32c(file.subarray(at, at + 8)));
    const message = file.subarray(at + 12, at + 12 + length);
    expect(unmasked(file.readUInt32LE(at + 12 + length))).toBe(slowCrc32c(message));
    events.push(parseEvent(message));
    at += 16 + length;
  }
  return events;
}

function unmasked(crc: number): number {
  const rotated = (crc - 0xa282ead8) >>> 0;
  return ((rotated >>> 17) | (rotated << 15)) >>> 0;
}

/** Bit by bit, polynomial x^32 + ... as 0x1EDC6F41 with reflected input and output. */
function slowCrc32c(bytes: Uint8Array): number {
  let crc = 0xffffffffn;
  for (const byte of bytes) {
    for (let bit = 0n; bit < 8n; bit += 1n) {
      const top = ((crc >> 31n) & 1n) ^ ((BigInt(byte) >> bit) & 1n);
      crc = ((crc << 1n) & 0xffffffffn) ^ (top ? 0x1edc6f41n : 0n);
    }
  }
  let reflected = 0n;
  for (let bit = 0n; bit < 32n; bit += 1n) reflected |= ((crc >> bit) & 1n) << (31n - bit);
  return Number(reflected ^ 0xffffffffn);
}

type Field = [number, number | Buffer];

function fieldsOf(message: Buffer): Field[] {
  const fields: Field[] = [];
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = message[at++] ?? NaN;
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return value;
    }
  };
  while (at < message.length) {
    const key = varint();
    const type = key % 8;
    let value: number | Buffer;
    if (type === 0) value = varint();
    else if (type === 1) value = message.readDoubleLE((at += 8) - 8);
    else if (type === 5) value = message.readFloatLE((at += 4) - 4);
    else {
      expect(type).toBe(2);
      const length = varint();
      value = message.subarray(at, (at += length));
    }
    fields.push([Math.floor(key / 8), value]);
  }
  expect(at).toBe(message.length);
  return fields;
}

function parseEvent(message: Buffer): Event {
  const event: Event = { time: NaN, step: 0, version: '', values: {} };
  for (const [field, value] of fieldsOf(message)) {
    if (field === 1) event.time = value as number;
    else if (field === 2) event.step = value as number;
    else if (field === 3) event.version = (value as Buffer).toString();
    else if (field === 5) {
      for (const [, scalar] of fieldsOf(value as Buffer)) {
        const parts = Object.fromEntries(fieldsOf(scalar as Buffer)) as Record<number, unknown>;
        event.values[String(parts[1])] = parts[2] as number;
      }
    } else throw new Error(`unexpected field ${field}`);
  }
  return event;
}
