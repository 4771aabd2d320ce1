/**
 * `fit` with `checkpoint` and `resume`: what a run keeps on the disk, and how it goes on from there.
 */
import { mkdir } from 'node:fs/promises';
import { LookbackError } from '../errors';
import type { Model } from '../model';
import { removeLeftovers, reasonOf } from '../storage/atomic';
import { CheckpointFolder } from '../storage/checkpoint';
import type { PreparedData } from './data';
import type { FitHooks } from './control';
import { requireCallbacks } from './control';
import type { History, ResolvedFit } from './fit';

type Wanted = Omit<ResolvedFit, 'validationData' | 'validationSplit' | 'verbose'>;

/**
 * The hooks of a run that keeps checkpoints; a resumed one has put model and history back to where they were.
 *
 * @throws {LookbackError} ERR_OPTION for another run than the one of the checkpoint; ERR_IO, ERR_FORMAT
 */
export async function checkpointHooks(
  { model, data, history }: { model: Model; data: PreparedData; history: History },
  options: Wanted,
  given: FitHooks,
): Promise<FitHooks> {
  const { checkpoint, resume } = options;
  if (!checkpoint) {
    if (!resume) return given;
    const message = 'fit: resume is true but there is no checkpoint; give checkpoint: { dir } too';
    throw new LookbackError('ERR_OPTION', message);
  }
  const folder = new CheckpointFolder(checkpoint.dir);
  const config = configOf(model, data, options);
  const hooks: FitHooks = {
    ...given,
    saveEvery: checkpoint.everyUpdates,
    save: (snapshot) =>
      folder.write({ ...snapshot, config, records: history.records, ...model.state() }),
  };
  try {
    await mkdir(checkpoint.dir, { recursive: true });
  } catch (cause) {
    const message = `${checkpoint.dir} could not be made: ${reasonOf(cause)}`;
    throw new LookbackError('ERR_IO', message, { cause, details: { path: checkpoint.dir } });
  }
  await removeLeftovers(checkpoint.dir);
  const found = resume ? await folder.read() : null;
  if (!found) {
    await folder.clear();
    return hooks;
  }
  if (found.damage !== null) {
    process.emitWarning(`${found.damage}; going on from the checkpoint before it`, {
      type: 'LookbackWarning',
    });
  }
  const { checkpoint: last } = found;
  const key = differingKey(last.config, config, new Set());
  if (key !== null) {
    const message = `fit: the checkpoint in ${checkpoint.dir} is of a run with another ${key}; put it back, choose another dir, or leave resume out to start afresh`;
    throw new LookbackError('ERR_OPTION', message, { details: { key } });
  }
  requireCallbacks(last.callbacks, options.callbacks);
  model.restore(last.tensors, last.counters);
  for (const { epoch = 0, ...logs } of last.records) history.append(epoch, logs);
  return { ...hooks, start: last };
}

/** All that determines a run beside the numbers of the data. */
function configOf(model: Model, data: PreparedData, options: Wanted): Record<string, unknown> {
  const { batchSize, shuffle, initialEpoch, schedule, stepsPerEpoch } = options;
  const config = {
    model: model.config(),
    compile: model.compiled,
    data: { rows: data.rows, steps: data.steps },
    batchSize,
    shuffle,
    initialEpoch,
    stepsPerEpoch,
    schedule: typeof schedule === 'function' ? 'a function' : schedule,
  };
  return JSON.parse(JSON.stringify(config)) as Record<string, unknown>;
}

/** The first key whose values differ as JSON, or null. */
export function differingKey(
  before: Readonly<Record<string, unknown>>,
  after: Readonly<Record<string, unknown>>,
  free: ReadonlySet<string>,
): string | null {
  for (const key of new Set([...Object.keys(before), ...Object.keys(after)])) {
    if (!free.has(key) && JSON.stringify(before[key]) !== JSON.stringify(after[key])) return key;
  }
  return null;
}
