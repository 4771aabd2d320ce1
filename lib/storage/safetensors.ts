/**
 * The safetensors format: 8 bytes of little-endian header length, a JSON header, then the tensors' bytes. Files are
 * taken for hostile: every number in them is checked before it is used.
 */
import { endianness } from 'node:os';
import type { FileHandle } from 'node:fs/promises';
import { open } from 'node:fs/promises';
import { LookbackError } from '../errors';
import { show } from '../options';
import { writeAtomically } from './atomic';
import { reasonOf } from './reasons';

/** Bytes of an entry of each type of the format. */
const sizes: Readonly<Record<string, number>> = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E5M2: 1,
  F8_E4M3: 1,
  I16: 2,
  U16: 2,
  F16: 2,
  BF16: 2,
  I32: 4,
  U32: 4,
  F32: 4,
  I64: 8,
  U64: 8,
  F64: 8,
};

const largestHeader = 100_000_000;
const metadataKey = '__metadata__';

/** A tensor of a file, and where its bytes lie behind the header. */
export interface TensorEntry {
  name: string;
  dtype: string;
  shape: number[];
  begin: number;
  end: number;
}

export interface Header {
  metadata: Record<string, string>;
  /** In the order of their bytes. */
  tensors: TensorEntry[];
  /** Where the tensors' bytes begin in the file. */
  dataStart: number;
}

/** A tensor that can be written or was read. */
export interface StoredTensor {
  name: string;
  shape: number[];
  data: Float32Array | Float64Array | Int32Array;
}

/** Writes a file, whole or not at all. Names must differ. @throws {LookbackError} ERR_IO */
export async function writeSafetensors(
  path: string,
  tensors: readonly StoredTensor[],
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  await writeAtomically(path, encode(tensors, metadata));
}

/** The bytes of a file, in pieces. */
export function encode(
  tensors: readonly StoredTensor[],
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array[] {
  if (endianness() !== 'LE') {
    throw new LookbackError('ERR_IO', 'safetensors are little-endian and this machine is not');
  }
  // Wide types first, so that every tensor is aligned to its own entries.
  const ordered = [...tensors].sort((a, b) => b.data.BYTES_PER_ELEMENT - a.data.BYTES_PER_ELEMENT);
  const header = new Map<string, unknown>();
  if (Object.keys(metadata).length > 0) header.set(metadataKey, metadata);
  let offset = 0;
  for (const { name, shape, data } of ordered) {
    if (name === metadataKey || header.has(name)) {
      throw new LookbackError(
        'ERR_INTERNAL',
        `safetensors: ${show(name)} cannot be the name of a tensor, or is twice`,
      );
    }
    const end = offset + data.byteLength;
    header.set(name, { dtype: typeName(data), shape, data_offsets: [offset, end] });
    offset = end;
  }
  const json = `{${[...header].map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`).join(',')}}`;
  const text = new TextEncoder().encode(json);
  const padded = new Uint8Array(8 + Math.ceil(text.length / 8) * 8).fill(0x20);
  new DataView(padded.buffer).setBigUint64(0, BigInt(padded.length - 8), true);
  padded.set(text, 8);
  return [
    padded,
    ...ordered.map(({ data }) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength)),
  ];
}

function typeName(data: StoredTensor['data']): 'F32' | 'F64' | 'I32' {
  const tag = Object.prototype.toString.call(data);
  return tag === '[object Float64Array]' ? 'F64' : tag === '[object Float32Array]' ? 'F32' : 'I32';
}

/**
 * Reads a file.
 *
 * @throws {LookbackError} ERR_IO when it cannot be read, ERR_FORMAT when it is not a sound safetensors file of types
 * F32, F64 and I32
 */
export async function readSafetensors(
  path: string,
): Promise<{ metadata: Record<string, string>; tensors: StoredTensor[] }> {
  return withFile(path, async (file) => {
    const header = await readHeaderOf(file, path);
    const tensors: StoredTensor[] = [];
    for (const entry of header.tensors) tensors.push(await readTensor(file, path, header, entry));
    return { metadata: header.metadata, tensors };
  });
}

/** What a file says it holds, checked against its size. @throws as {@link readSafetensors} */
export async function readHeader(path: string): Promise<Header> {
  return withFile(path, (file) => readHeaderOf(file, path));
}

async function withFile<T>(path: string, work: (file: FileHandle) => Promise<T>): Promise<T> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, 'r');
    return await work(file);
  } catch (cause) {
    if (cause instanceof LookbackError) throw cause;
    const missing = (cause as NodeJS.ErrnoException).code === 'ENOENT';
    const message = missing
      ? `${path} does not exist`
      : `${path} could not be read: ${reasonOf(cause)}`;
    throw new LookbackError('ERR_IO', message, { cause, details: { path } });
  } finally {
    await file?.close();
  }
}

async function readHeaderOf(file: FileHandle, path: string): Promise<Header> {
  const { size } = await file.stat();
  if (size < 8) throw malformed(path, `it has ${size} bytes; expected at least 8`);
  const prefix = await readExactly(file, path, 0, 8);
  const length = Number(new DataView(prefix.buffer).getBigUint64(0, true));
  if (length > largestHeader || length > size - 8) {
    throw malformed(
      path,
      `its header is said to have ${length} bytes; the file has ${size} and at most ${largestHeader} are read`,
    );
  }
  const bytes = await readExactly(file, path, 8, length);
  return parseHeader(bytes, size - 8 - length, path);
}

/** @throws {LookbackError} ERR_FORMAT. `dataSize`: the bytes behind the header. */
export function parseHeader(bytes: Uint8Array, dataSize: number, path: string): Header {
  let json: unknown;
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    json = JSON.parse(text);
    const twice = duplicateKey(text);
    if (twice !== null) throw new Error(`the key ${show(twice)} occurs twice`);
  } catch (cause) {
    throw malformed(path, `its header is not sound JSON: ${reasonOf(cause)}`, cause);
  }
  if (!isObject(json)) throw malformed(path, `its header is ${show(json)}; expected an object`);
  const metadata: Record<string, string> = {};
  const tensors: TensorEntry[] = [];
  for (const [name, value] of Object.entries(json)) {
    if (name === metadataKey) Object.assign(metadata, parseMetadata(value, path));
    else tensors.push(parseEntry(name, value, path));
  }
  tensors.sort((a, b) => a.begin - b.begin || a.end - b.end);
  let next = 0;
  for (const { name, begin, end } of tensors) {
    if (begin !== next)
      throw malformed(
        path,
        `tensor ${show(name)} begins at ${begin}; expected ${next}, without gap or overlap`,
      );
    next = end;
  }
  if (next !== dataSize)
    throw malformed(path, `it holds ${dataSize} bytes of tensors; its header says ${next}`);
  return { metadata, tensors, dataStart: 8 + bytes.length };
}

function parseMetadata(value: unknown, path: string): Record<string, string> {
  if (!isObject(value))
    throw malformed(path, `${metadataKey} is ${show(value)}; expected an object of texts`);
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== 'string')
      throw malformed(path, `${metadataKey}.${key} is ${show(text)}; expected a text`);
  }
  return value as Record<string, string>;
}

function parseEntry(name: string, value: unknown, path: string): TensorEntry {
  const at = `tensor ${show(name)}`;
  if (!isObject(value)) throw malformed(path, `${at} is ${show(value)}; expected an object`);
  const { dtype, shape, data_offsets: offsets } = value;
  const width = typeof dtype === 'string' && Object.hasOwn(sizes, dtype) ? sizes[dtype] : undefined;
  if (typeof dtype !== 'string' || width === undefined) {
    throw malformed(
      path,
      `${at} has dtype ${show(dtype)}; expected one of ${Object.keys(sizes).join(', ')}`,
    );
  }
  if (!isCounts(shape))
    throw malformed(path, `${at} has shape ${show(shape)}; expected whole numbers`);
  if (!isCounts(offsets) || offsets.length !== 2) {
    throw malformed(path, `${at} has data_offsets ${show(offsets)}; expected two whole numbers`);
  }
  const [begin = 0, end = 0] = offsets;
  // A product beyond 2^53 is inexact but still far from the size of any file.
  const bytes = shape.reduce((product, dim) => product * dim, width);
  if (end - begin !== bytes) {
    throw malformed(
      path,
      `${at} of shape [${shape.join(', ')}] and dtype ${dtype} has ${end - begin} bytes; expected ${bytes}`,
    );
  }
  return { name, dtype, shape, begin, end };
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((entry) => Number.isSafeInteger(entry) && entry >= 0);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

async function readTensor(
  file: FileHandle,
  path: string,
  header: Header,
  entry: TensorEntry,
): Promise<StoredTensor> {
  const { name, shape, dtype, begin, end } = entry;
  if (dtype !== 'F32' && dtype !== 'F64' && dtype !== 'I32') {
    throw malformed(
      path,
      `tensor ${show(name)} has dtype ${dtype}; this library reads F32, F64 and I32: convert it`,
    );
  }
  const { buffer } = await readExactly(file, path, header.dataStart + begin, end - begin);
  const data =
    dtype === 'F32'
      ? new Float32Array(buffer)
      : dtype === 'F64'
        ? new Float64Array(buffer)
        : new Int32Array(buffer);
  return { name, shape, data };
}

async function readExactly(
  file: FileHandle,
  path: string,
  position: number,
  length: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length;) {
    const { bytesRead } = await file.read(bytes, at, Math.min(length - at, 2 ** 30), position + at);
    if (bytesRead === 0) throw malformed(path, `it ends at byte ${position + at}`);
    at += bytesRead;
  }
  return bytes;
}

/** A key that occurs twice in one object of a sound JSON text, or null. `JSON.parse` would keep the last one silently. */
function duplicateKey(json: string): string | null {
  const scopes: Set<string>[] = [];
  const tokens = /"(?:[^"\\]|\\.)*"(\s*:)?|[{}]/g;
  for (const [token, colon] of json.matchAll(tokens)) {
    if (token === '{') scopes.push(new Set());
    else if (token === '}') scopes.pop();
    else if (colon !== undefined) {
      const key = JSON.parse(token.slice(0, -colon.length)) as string;
      const scope = scopes[scopes.length - 1];
      if (scope?.has(key)) return key;
      scope?.add(key);
    }
  }
  return null;
}

function malformed(path: string, what: string, cause?: unknown): LookbackError {
  return new LookbackError('ERR_FORMAT', `${path} is not a sound safetensors file: ${what}`, {
    cause,
    details: { path },
  });
}
