/**
 * A training run between two updates, as a safetensors file: everything that the rest of the run depends on, so that
 * it continues bit for bit.
 */
import { z } from 'zod';
import { LookbackError } from '../errors';
import type { EngineTensor } from '../native';
import { parseOptions, show } from '../options';
import { dtypeOf } from '../tensor';
import { readSafetensors, writeSafetensors } from './safetensors';

const version = '1';

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
  }),
  counters: z.object({ updates: z.int().min(0), draws: z.int().min(0) }),
  /** One record per finished epoch, as in the run's log. */
  records: z.array(z.record(z.string(), z.number())),
  /** The run's configuration. */
  config: z.record(z.string(), z.unknown()),
});

export type CheckpointState = z.output<typeof stateSchema>;
export type Checkpoint = CheckpointState & { tensors: EngineTensor[] };

const roles: readonly EngineTensor['role'][] = ['param', 'buffer', 'slot', 'state'];

/** @throws {LookbackError} ERR_IO; the checkpoint that was there before is untouched then */
export async function writeCheckpoint(path: string, checkpoint: Checkpoint): Promise<void> {
  const { tensors, ...state } = checkpoint;
  const stored = tensors.map(({ role, name, shape, data }) => ({
    name: `${role}:${name}`,
    shape,
    data,
  }));
  await writeSafetensors(path, stored, {
    'lookback-checkpoint': version,
    state: JSON.stringify(state),
  });
}

/** @throws {LookbackError} ERR_IO, ERR_FORMAT */
export async function readCheckpoint(path: string): Promise<Checkpoint> {
  const { metadata, tensors } = await readSafetensors(path);
  const found = metadata['lookback-checkpoint'];
  if (found !== version) {
    throw new LookbackError(
      'ERR_FORMAT',
      `${path} is not a checkpoint of this library: its version is ${show(found)}; expected "${version}"`,
    );
  }
  return {
    ...parseState(metadata['state'] ?? '', path),
    tensors: tensors.map(({ name, shape, data }) => {
      const role = roles.find((candidate) => name.startsWith(`${candidate}:`));
      if (role === undefined || dtypeOf(data) === 'int32') {
        throw new LookbackError(
          'ERR_FORMAT',
          `${path}: tensor ${show(name)} does not belong in a checkpoint`,
        );
      }
      return {
        role,
        name: name.slice(role.length + 1),
        shape,
        data: data as Float32Array | Float64Array,
      };
    }),
  };
}

function parseState(text: string, path: string): CheckpointState {
  try {
    return parseOptions(stateSchema, JSON.parse(text), 'state');
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new LookbackError('ERR_FORMAT', `${path} is not a sound checkpoint: ${reason}`, {
      cause,
      details: { path },
    });
  }
}
