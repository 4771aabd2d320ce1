/**
 * A training run between two updates, as a safetensors file: everything that the rest of the run depends on, so that
 * it continues bit for bit.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { z } from 'zod';
import { LookbackError } from '../errors';
import type { EngineTensor } from '../native';
import { parseOptions, show } from '../options';
import { dtypeOf } from '../tensor';
import { disk, writeAtomically } from './atomic';
import type { StoredTensor } from './safetensors';
import { encode, readSafetensors } from './safetensors';
import { setAside } from './set-aside';

const version = '2';
/** Has no checksum of anything but its numbers, if any, and null in place of numbers that JSON does not have. */
const versionBefore = '1';

/** Also those that are not finite. */
const number = z
  .custom<number | null>((value) => typeof value === 'number' || value === null, 'is no number')
  .transform((value) => value ?? NaN);

const stateSchema = z.object({
  cursor: z.object({
    epoch: z.int().min(0),
    batch: z.int().min(0),
    sums: z.object({
      rows: z.int().min(0),
      weight: z.number(),
      count: z.number(),
      loss: z.number(),
      hits: z.number(),
      absolute: z.number(),
    }),
    epochBatches: z.int().min(0).exactOptional(),
  }),
  counters: z.object({ updates: z.int().min(0), draws: z.int().min(0) }),
  /** One record per finished epoch, as in the run's log. */
  records: z.array(z.record(z.string(), number)),
  /** The run's configuration. */
  config: z.record(z.string(), z.unknown()),
  /** What callbacks multiply the learning rate by. */
  rateFactor: z.number().default(1),
  /** Whether a callback has finished the run before its last epoch: a resume trains no further. */
  stopped: z.boolean().default(false),
  /** What the callbacks remember, in their order; their tensors are apart. */
  callbacks: z.array(z.unknown()).default([]),
});

export type CheckpointState = z.output<typeof stateSchema>;
/** A tensor that a callback keeps, such as the best weights. */
export interface CallbackTensor {
  /** Which callback, counted from 0. */
  callback: number;
  name: string;
  shape: number[];
  data: Float32Array | Float64Array;
}
export type Checkpoint = CheckpointState & {
  tensors: EngineTensor[];
  callbackTensors: CallbackTensor[];
};

const roles: readonly EngineTensor['role'][] = ['param', 'buffer', 'slot', 'state'];

/**
 * @param before where to keep the checkpoint that `path` was until now
 * @throws {LookbackError} ERR_IO; ERR_OPTION for what could not be read again, such as a log that is no number. The
 * checkpoint that was there before is untouched then
 */
export async function writeCheckpoint(
  path: string,
  checkpoint: Checkpoint,
  before?: string,
): Promise<void> {
  const { tensors, callbackTensors, ...state } = checkpoint;
  const stored = [
    ...tensors.map(({ role, name, ...rest }) => ({ ...rest, name: `${role}:${name}` })),
    ...callbackTensors.map(({ callback, name, ...rest }) => ({
      ...rest,
      name: `callback${callback}:${name}`,
    })),
  ];
  requireNumbers(state.records);
  const text = toJson(state);
  parseOptions(stateSchema, fromJson(text), 'the state of the run');
  const checksum = checksumOf(text, stored);
  const metadata = { 'lookback-checkpoint': version, state: text, checksum };
  await writeAtomically(path, encode(stored, metadata), before);
}

/** @throws {LookbackError} ERR_OPTION for a log that is no number: JSON would hold something else, or nothing */
function requireNumbers(records: CheckpointState['records']): void {
  for (const [key, value] of records.flatMap((record) => Object.entries<unknown>(record))) {
    if (typeof value === 'number') continue;
    const message = `the log ${show(key)} is ${show(value)}; expected a number: a checkpoint keeps the logs, so a callback may add nothing else to them`;
    throw new LookbackError('ERR_OPTION', message, { details: { key } });
  }
}

/** What stands for a number that JSON does not have: an object of this one key, whose value is the number's text. */
const numberKey = 'lookback:number';
const numberTexts = new Set(['NaN', 'Infinity', '-Infinity', '-0']);

function toJson(state: CheckpointState): string {
  return JSON.stringify(state, (_key, value: unknown) => {
    if (typeof value !== 'number') return value;
    if (Object.is(value, -0)) return { [numberKey]: '-0' };
    return Number.isFinite(value) ? value : { [numberKey]: String(value) };
  });
}

function fromJson(text: string): unknown {
  return JSON.parse(text, (_key, value: unknown) => {
    if (typeof value !== 'object' || value === null || !(numberKey in value)) return value;
    const told = value[numberKey];
    return typeof told === 'string' && numberTexts.has(told) ? Number(told) : value;
  });
}

/** Of all that a checkpoint says: finds what the sizes in a header cannot. */
function checksumOf(state: string, tensors: readonly StoredTensor[]): string {
  let sum = crc32(`${version} ${state}`);
  for (const { name, shape, data } of byName(tensors)) {
    sum = crc32(bytesOf(data), crc32(JSON.stringify([name, shape, dtypeOf(data)]), sum));
  }
  return checksumText(sum);
}

/** What {@link checksumOf} was in the version before: of the numbers alone. */
function numbersChecksum(tensors: readonly StoredTensor[]): string {
  return checksumText(byName(tensors).reduce((sum, { data }) => crc32(bytesOf(data), sum), 0));
}

function byName(tensors: readonly StoredTensor[]): StoredTensor[] {
  return [...tensors].sort((a, b) => (a.name < b.name ? -1 : 1));
}

function bytesOf({ buffer, byteOffset, byteLength }: StoredTensor['data']): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

function checksumText(sum: number): string {
  return sum.toString(16).padStart(8, '0');
}

/** @throws {LookbackError} ERR_IO, ERR_FORMAT */
export async function readCheckpoint(path: string): Promise<Checkpoint> {
  const { metadata, tensors } = await readSafetensors(path);
  const found = metadata['lookback-checkpoint'];
  if (found !== version && found !== versionBefore) {
    throw new LookbackError(
      'ERR_FORMAT',
      `${path} is not a checkpoint of this library: its version is ${show(found)}; expected "${version}"`,
    );
  }
  requireChecksum(metadata, tensors, path);
  const checkpoint: Checkpoint = {
    ...parseState(metadata['state'] ?? '', path),
    tensors: [],
    callbackTensors: [],
  };
  for (const { name, shape, data } of tensors) {
    const [owner = '', own = ''] = splitAtColon(name);
    const role = roles.find((candidate) => candidate === owner);
    const callback = /^callback(\d{1,6})$/.exec(owner)?.[1];
    if ((role === undefined && callback === undefined) || dtypeOf(data) === 'int32') {
      throw new LookbackError(
        'ERR_FORMAT',
        `${path}: tensor ${show(name)} does not belong in a checkpoint`,
      );
    }
    const tensor = { name: own, shape, data: data as Float32Array | Float64Array };
    if (role !== undefined) checkpoint.tensors.push({ role, ...tensor });
    else checkpoint.callbackTensors.push({ callback: Number(callback), ...tensor });
  }
  return checkpoint;
}

/** @throws {LookbackError} ERR_FORMAT */
function requireChecksum(
  metadata: Readonly<Record<string, string>>,
  tensors: readonly StoredTensor[],
  path: string,
): void {
  const { state = '', checksum, crc32: ofNumbers } = metadata;
  const sound =
    checksum === undefined && metadata['lookback-checkpoint'] === versionBefore
      ? ofNumbers === undefined || ofNumbers === numbersChecksum(tensors)
      : checksum === checksumOf(state, tensors);
  if (sound) return;
  const message = `${path} is damaged: it does not have the checksum that was written with it`;
  throw new LookbackError('ERR_FORMAT', message, { details: { path } });
}

function splitAtColon(name: string): string[] {
  const at = name.indexOf(':');
  return at < 0 ? [] : [name.slice(0, at), name.slice(at + 1)];
}

/** The folder where a run keeps its last checkpoint and, in case that one is damaged, the one before. */
export class CheckpointFolder {
  readonly path: string;
  readonly last: string;
  readonly previous: string;
  readonly damaged: string;

  constructor(path: string) {
    this.path = path;
    this.last = join(path, 'last.safetensors');
    this.previous = join(path, 'previous.safetensors');
    this.damaged = join(path, 'damaged.safetensors');
  }

  /** Whether there is nothing to go on from. */
  get isEmpty(): boolean {
    return !existsSync(this.last) && !existsSync(this.previous);
  }

  /** @throws {LookbackError} ERR_IO; the checkpoints that were there before are untouched then */
  write(checkpoint: Checkpoint): Promise<void> {
    return writeCheckpoint(this.last, checkpoint, this.previous);
  }

  /**
   * Moves the checkpoints of another run, which are none of this one, into the folder `before`, in place of what was there:
   * who forgot to resume has lost nothing.
   *
   * @throws {LookbackError} ERR_IO
   */
  async setAside(): Promise<void> {
    const { last, previous, damaged } = this;
    if (this.isEmpty) await disk.rm(damaged, { force: true });
    else await setAside(this.path, [last, previous, damaged]);
  }

  /**
   * The newest checkpoint that can be read, or null where there is none. `damage` says what is wrong with the last one
   * where it is the one before that; the damaged one is set aside, so that it never takes the place of a sound one.
   *
   * @throws {LookbackError} ERR_IO, ERR_FORMAT where there are checkpoints and none can be read
   */
  async read(): Promise<{ checkpoint: Checkpoint; damage: string | null } | null> {
    let failure: LookbackError | null = null;
    for (const path of [this.last, this.previous]) {
      try {
        const checkpoint = await readCheckpoint(path);
        if (failure) await disk.rename(this.last, this.damaged).catch(() => undefined);
        return { checkpoint, damage: failure && failure.message };
      } catch (error) {
        if (!(error instanceof LookbackError)) throw error;
        if (!isMissing(error)) failure ??= error;
      }
    }
    if (failure?.code === 'ERR_FORMAT') {
      const message = `${failure.message}; there is no sound one before it either, so start afresh without resume, which moves what is here into the folder before`;
      throw new LookbackError('ERR_FORMAT', message, { cause: failure, details: failure.details });
    }
    if (failure) throw failure;
    return null;
  }
}

function isMissing({ cause }: LookbackError): boolean {
  return (cause as NodeJS.ErrnoException | undefined)?.code === 'ENOENT';
}

function parseState(text: string, path: string): CheckpointState {
  try {
    return parseOptions(stateSchema, fromJson(text), 'state');
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new LookbackError('ERR_FORMAT', `${path} is not a sound checkpoint: ${reason}`, {
      cause,
      details: { path },
    });
  }
}
