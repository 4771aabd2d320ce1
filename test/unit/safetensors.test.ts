import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { LookbackError } from '../../lib/errors';
import {
  encode,
  readHeader,
  readSafetensors,
  writeSafetensors,
} from '../../lib/storage/safetensors';

const folder = mkdtempSync(join(tmpdir(), 'lookback-safetensors-'));
afterAll(() => rmSync(folder, { recursive: true }));

const path = join(folder, 'file.safetensors');

/** A file with that header text and so many bytes behind it. */
function write(header: string, dataBytes: number, length?: bigint): void {
  const text = Buffer.from(header);
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(length ?? BigInt(text.length));
  writeFileSync(path, Buffer.concat([prefix, text, Buffer.alloc(dataBytes)]));
}

async function failure(): Promise<LookbackError> {
  return readSafetensors(path).then(
    () => {
      throw new Error('the file was read');
    },
    (error: LookbackError) => error,
  );
}

describe('safetensors', () => {
  it('reads what it wrote', async () => {
    const tensors = [
      { name: 'a.W', shape: [2, 2], data: Float32Array.of(1, -0, NaN, 4) },
      { name: 'scalar', shape: [], data: Float64Array.of(Math.PI) },
      { name: 'empty', shape: [0, 3], data: new Float32Array(0) },
      { name: 'ids', shape: [3], data: Int32Array.of(-1, 0, 7) },
      { name: '__proto__', shape: [1], data: Float32Array.of(9) },
    ];
    const metadata = { note: 'ünïcode "quoted"', other: '' };
    await writeSafetensors(path, tensors, metadata);
    const read = await readSafetensors(path);
    expect(read.metadata).toEqual(metadata);
    const byName = (list: typeof tensors) => [...list].sort((a, b) => (a.name < b.name ? -1 : 1));
    expect(byName(read.tensors as typeof tensors)).toEqual(byName(tensors));
  });

  it('pads the header so that tensors are aligned', () => {
    const [header] = encode([{ name: 'x', shape: [1], data: Float64Array.of(1) }], { k: 'v' });
    expect(header && header.length % 8).toBe(0);
  });

  it('reads a header without its tensors', async () => {
    await writeSafetensors(path, [{ name: 'x', shape: [2], data: Float32Array.of(1, 2) }], {
      a: 'b',
    });
    const { metadata, tensors } = await readHeader(path);
    expect(metadata).toEqual({ a: 'b' });
    expect(tensors).toEqual([{ name: 'x', dtype: 'F32', shape: [2], begin: 0, end: 8 }]);
  });

  it('tells a missing file from a malformed one', async () => {
    await expect(readSafetensors(join(folder, 'absent'))).rejects.toMatchObject({ code: 'ERR_IO' });
    await expect(readSafetensors(folder)).rejects.toMatchObject({ code: 'ERR_IO' });
  });

  const f32 = (shape: string, from: number, to: number): string =>
    `{"dtype":"F32","shape":${shape},"data_offsets":[${from},${to}]}`;
  it.each<[string, string, number, RegExp]>([
    ['no JSON', '{"a":', 0, /not sound JSON/],
    ['another kind of JSON', '[1,2]', 0, /expected an object/],
    ['a key twice', `{"a":${f32('[1]', 0, 4)},"a":${f32('[1]', 0, 4)}}`, 4, /key "a" occurs twice/],
    [
      'a key twice, written differently',
      `{"a":${f32('[1]', 0, 4)},"\\u0061":${f32('[1]', 0, 4)}}`,
      4,
      /key "a" occurs twice/,
    ],
    [
      'an inner key twice',
      '{"a":{"dtype":"F32","shape":[1],"shape":[1],"data_offsets":[0,4]}}',
      4,
      /key "shape" occurs twice/,
    ],
    [
      'an unknown type',
      '{"a":{"dtype":"F31","shape":[1],"data_offsets":[0,4]}}',
      4,
      /has dtype "F31"/,
    ],
    [
      'a type of the object prototype',
      '{"a":{"dtype":"toString","shape":[1],"data_offsets":[0,4]}}',
      4,
      /has dtype "toString"/,
    ],
    [
      'a type that is not read',
      '{"a":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}',
      4,
      /reads F32, F64 and I32/,
    ],
    ['a negative dimension', `{"a":${f32('[-1]', 0, 4)}}`, 4, /expected whole numbers/],
    ['a broken dimension', `{"a":${f32('[1.5]', 0, 6)}}`, 6, /expected whole numbers/],
    [
      'a product beyond all numbers',
      `{"a":${f32('[4294967296,4294967296,4294967296]', 0, 4)}}`,
      4,
      /has 4 bytes; expected/,
    ],
    ['a size that is not the shape', `{"a":${f32('[2]', 0, 4)}}`, 4, /has 4 bytes; expected 8/],
    ['offsets backwards', `{"a":${f32('[1]', 4, 0)}}`, 4, /has -4 bytes/],
    ['a gap', `{"a":${f32('[1]', 0, 4)},"b":${f32('[1]', 8, 12)}}`, 12, /begins at 8; expected 4/],
    [
      'an overlap',
      `{"a":${f32('[2]', 0, 8)},"b":${f32('[1]', 4, 8)}}`,
      8,
      /begins at 4; expected 8/,
    ],
    [
      'tensors beyond the file',
      `{"a":${f32('[1000]', 0, 4000)}}`,
      4,
      /holds 4 bytes of tensors; its header says 4000/,
    ],
    ['bytes behind the tensors', `{"a":${f32('[1]', 0, 4)}}`, 8, /holds 8 bytes/],
    [
      'metadata that is no text',
      '{"__metadata__":{"a":1}}',
      0,
      /__metadata__.a is 1; expected a text/,
    ],
    ['missing offsets', '{"a":{"dtype":"F32","shape":[1]}}', 0, /data_offsets undefined/],
    ['a tensor that is null', '{"a":null}', 0, /tensor "a" is null/],
  ])('refuses %s', async (_what, header, bytes, message) => {
    write(header, bytes);
    const error = await failure();
    expect(error.message).toMatch(message);
    expect(error.code).toBe('ERR_FORMAT');
  });

  it.each<[string, bigint]>([
    ['longer than the file', 1000n],
    ['beyond every file', 2n ** 63n],
    ['beyond what a number holds', 2n ** 64n - 1n],
  ])('refuses a header said to be %s', async (_what, length) => {
    write('{}', 0, length);
    expect((await failure()).code).toBe('ERR_FORMAT');
  });

  it('refuses every truncation of a file', async () => {
    await writeSafetensors(path, [{ name: 'x', shape: [4], data: Float32Array.of(1, 2, 3, 4) }]);
    const whole = readFileSync(path);
    for (let length = 0; length < whole.length; length += 1) {
      writeFileSync(path, whole.subarray(0, length));
      expect((await failure()).code).toBe('ERR_FORMAT');
    }
  });

  it('refuses text that is not UTF-8', async () => {
    writeFileSync(path, Buffer.from([2, 0, 0, 0, 0, 0, 0, 0, 0x7b, 0xff]));
    expect((await failure()).message).toMatch(/not sound JSON/);
  });
});

describe('a full disk', () => {
  const script = (size: number): string => `
    const { writeSafetensors } = require(${JSON.stringify(join(__dirname, '../../dist/storage/safetensors.js'))});
    const tensor = { name: 'x', shape: [${size}], data: new Float32Array(${size}).fill(1) };
    writeSafetensors(${JSON.stringify(path)}, [tensor]).then(
      () => console.log('written'),
      (error) => console.log(error.code, error.cause.code),
    );`;

  it('leaves the last file as it was and nothing beside it', () => {
    rmSync(path, { force: true });
    // A limit on the size of files stands in for the disk: both make a write fail halfway.
    const run = (size: number) =>
      spawnSync('bash', ['-c', 'ulimit -f 64; exec "$0" -e "$1"', process.execPath, script(size)], {
        encoding: 'utf8',
      });
    expect(run(100).stdout).toBe('written\n');
    const before = readFileSync(path);
    expect(run(1_000_000).stdout).toBe('ERR_IO EFBIG\n');
    expect(readFileSync(path)).toEqual(before);
    expect(readdirSync(folder)).toEqual(['file.safetensors']);
  });
});
