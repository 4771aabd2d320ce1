/**
 * The training loop: epochs, chunks of batches, callbacks. Everything inside a batch is native.
 */
import { z } from 'zod';
import { LookbackError } from '../errors';
import type { RowShape } from '../layers';
import type { Addon, NativeEngine } from '../native';
import type { Model } from '../model';
import type { Callback } from './callbacks/contract';
import type { FitHooks } from './control';
import { RunControl } from './control';
import type { DataLike, PreparedData } from './data';
import { addData } from './data';
import type { Continuing } from './evaluation';
import type { BatchSource, SourceEpochs, SyncBatchSource } from './source';
import type { Logs, LossSums, MetricSpec } from './metrics';
import { addSums, logsOf, noSums } from './metrics';
import type { Reporter } from './progress';
import type { ScheduleLike } from './schedules';
import { changesWithinEpoch } from './schedules';
import { throwIfAborted, withSignal } from './signal';
import type { LoadedValidation, ValidationData } from './validation';
import { isValidated, loadValidation, validate, validationKeys } from './validation';

/** Options of `model.fit`. */
export interface FitOptions {
  /** Passes over the data. Default 1. */
  epochs?: number;
  /** Rows per update; the last batch of an epoch may be smaller. Default 32. */
  batchSize?: number;
  /**
   * Evaluated after epochs; their logs get `valLoss`, `valAccuracy`, .... In memory, or batches that come one after
   * another and begin anew for every validation: then without `stateful`, `burnIn` and metrics of predictions.
   */
  validationData?: DataLike | BatchSource | SyncBatchSource;
  /** Share of the rows, from the end and before shuffling, that is kept for validation. 0 to below 1. Default 0. */
  validationSplit?: number;
  /**
   * Epochs from one validation to the next: those that it divides, counted from 1, are validated. The logs of the others
   * have no `valLoss`, ..., and callbacks that watch one pass them over. Default 1.
   */
  validationFreq?: number;
  /**
   * Batches of the validation data that are evaluated, where that is fewer than there are: the first ones. In memory a
   * batch has `batchSize` rows. Default: all of them.
   */
  validationSteps?: number;
  /** A new order of the rows every epoch, drawn from the model's seed. Default true, with `stateful` false. */
  shuffle?: boolean;
  /**
   * Contiguous streams: row b of a batch goes on where row b of the batch before has ended, so rows stand in the order
   * batch 0 of all streams, batch 1 of all streams, .... States are carried without a gradient, and cleared at the
   * beginning of every epoch and by {@link Model.resetStates}. The number of rows must be a multiple of `batchSize`;
   * validation runs over streams of its own. Default false.
   */
  stateful?: boolean;
  /**
   * The first steps of a row that begins from no state (every row, or with `stateful` those of the first batch) have no
   * loss: they warm the state. Gradients of later steps go back through them. Fewer than the steps of a row. Default 0.
   */
  burnIn?: number;
  /** 0 is silent; 1 a progress bar; 2 a line per epoch; `'auto'` a bar on a terminal, else lines. Default `'auto'`. */
  verbose?: 'auto' | 0 | 1 | 2;
  callbacks?: readonly Callback[];
  /**
   * The weight of each class in training: that of a row or step is multiplied by that of its label, as by `classWeight` of
   * the loss, but not in validation. One entry per label; with `sparseCategoricalCrossentropy`. Default: all 1.
   */
  classWeight?: readonly number[];
  /**
   * Cancels within 10 ms; the model keeps its last finished update. `fit` rejects with ERR_ABORTED, and the error's
   * `history` has the epochs until then.
   */
  signal?: AbortSignal;
  /** The epoch to count from, for schedules, shuffling and logs. Default 0. */
  initialEpoch?: number;
  /**
   * Factor on the optimizer's learning rate over the run. Over a source of batches without `stepsPerEpoch` it stays for
   * the first epoch, whose length is not known, where that begins. Default constant.
   */
  schedule?: ScheduleLike;
  /**
   * Batches whose gradients make one update, as one batch of all their rows would (batch statistics are those of each).
   * A step of `stepsPerEpoch`, and a batch as callbacks count it, then is that many batches. Default 1.
   */
  accumulateSteps?: number;
  /**
   * Batches of one epoch, where that is fewer than the data has: the first ones of its order. Default: all of them.
   */
  stepsPerEpoch?: number;
  /**
   * Keeps checkpoints in `dir`: after every epoch and, with `everyUpdates`, within them. A source of batches must be an
   * object that begins anew for every epoch, with the same batches.
   */
  checkpoint?: { dir: string; everyUpdates?: number };
  /**
   * Goes on from the last checkpoint in `checkpoint.dir`, bit for bit; starts afresh where there is none. The model and
   * all that determines the run must be the same; more `epochs` prolong it, unless a callback has finished it. Default
   * false.
   */
  resume?: boolean;
}

/** Of `fit` and `evaluate`. */
export const continuingSchema = {
  stateful: z.boolean().default(false),
  burnIn: z.int().min(0).default(0),
};

/** Of `fit` and of a configuration. */
export const validatingSchema = {
  validationFreq: z.int().min(1).default(1),
  validationSteps: z.int().min(1).optional(),
};

const schema = z.strictObject({
  epochs: z.int().min(1).default(1),
  batchSize: z.int().min(1).default(32),
  validationData: z.unknown().optional(),
  validationSplit: z.number().min(0).lt(1).default(0),
  ...validatingSchema,
  shuffle: z.boolean().optional(),
  ...continuingSchema,
  verbose: z.union([z.literal('auto'), z.literal(0), z.literal(1), z.literal(2)]).default('auto'),
  callbacks: z
    .array(
      z.custom<Callback>(
        (value) => typeof value === 'object' && value !== null,
        'expected a callback object',
      ),
    )
    .default([]),
  classWeight: z.array(z.number().min(0)).min(1).optional(),
  signal: z.custom<AbortSignal>(isSignal, 'expected an AbortSignal').optional(),
  initialEpoch: z.int().min(0).default(0),
  schedule: z.custom<ScheduleLike>().default('constant'),
  accumulateSteps: z.int().min(1).default(1),
  stepsPerEpoch: z.int().min(1).optional(),
  checkpoint: z
    .strictObject({ dir: z.string().min(1), everyUpdates: z.int().min(1).optional() })
    .optional(),
  resume: z.boolean().default(false),
});

export const fitSchema = schema;
export type ResolvedFit = z.output<typeof schema>;

function isSignal(value: unknown): boolean {
  return (
    typeof value === 'object' && value !== null && 'aborted' in value && 'addEventListener' in value
  );
}

/** What happened, epoch by epoch. */
export class History {
  /** The epochs that ran, counted from 0. */
  readonly epoch: number[] = [];
  /** The logs of those epochs, by key; epochs without a log, as by `validationFreq`, have no entry in its list. */
  readonly history: Record<string, number[]> = {};
  /** The same as one record per epoch: `epoch` and its logs. */
  readonly records: Logs[] = [];

  /** Adds one epoch. */
  append(epoch: number, logs: Logs): void {
    this.epoch.push(epoch);
    this.records.push({ epoch, ...logs });
    for (const [key, value] of Object.entries(logs)) (this.history[key] ??= []).push(value);
  }
}

/** A point between two updates, from which a run continues bit for bit. */
export interface Cursor {
  epoch: number;
  /** Batches of that epoch that are done. */
  batch: number;
  /** Sums over those batches. */
  sums: LossSums;
  /** Over a source, the batches of the epoch before, which place a batch within its epoch for schedules. */
  epochBatches?: number;
}

/** What the loop needs of a model. */
export interface FitHost {
  engine: NativeEngine;
  uniforms: Addon['uniforms'];
  seed: number;
  metrics: readonly MetricSpec[];
  model: Model;
  /** The optimizer's. */
  learningRate: number;
  /** Whether `stopTraining` was set, and the model is there to be stopped. */
  stopped(): boolean;
  /** Fires when `stopTraining` is set or the model disposed; another one after `stopTraining = false`. */
  stopSignal(): AbortSignal;
  disposed(): boolean;
  /** Logs as they are told: in the units of raw targets. */
  told(logs: Logs): Logs;
}

export interface FitRun {
  data: PreparedData;
  /** Batches that come one after another, in place of `data`. */
  source?: SourceEpochs;
  validation: ValidationData | null;
  options: ResolvedFit;
  reporter: Reporter | null;
  history: History;
  /** Where to begin and what to keep; asked once the data are copied. */
  hooks: () => Promise<FitHooks>;
}

/** Null when the run is finished, else the point where it paused. */
export async function runFit(host: FitHost, run: FitRun): Promise<Cursor | null> {
  const { engine } = host;
  const data = run.source ? null : addData(engine, run.data);
  let validation: LoadedValidation | null = null;
  try {
    validation = run.validation && loadValidation(engine, run.validation);
    return await withSignal(run.options.signal, engine, async () => {
      const hooks = await run.hooks();
      try {
        return await epochs(host, run, hooks, { data, validation });
      } finally {
        await hooks.end?.();
      }
    });
  } catch (error) {
    if (error instanceof LookbackError) error.history = run.history;
    throw error;
  } finally {
    run.reporter?.end();
    if (!host.disposed()) {
      if (data !== null) engine.removeData(data);
      if (validation && 'handle' in validation) engine.removeData(validation.handle);
    }
  }
}

async function epochs(
  host: FitHost,
  run: FitRun,
  hooks: FitHooks,
  handles: DataHandles,
): Promise<Cursor | null> {
  const control = new RunControl(host, run.options, hooks);
  try {
    await control.begin();
  } catch (error) {
    // Heard by all, so that timers and files are closed; but a run that has not begun cannot end as if it had.
    await control.dealsWith(error);
    throw error;
  }
  try {
    const paused = await everyEpoch(host, run, control, handles);
    if (paused) {
      await control.save(paused);
      return paused;
    }
  } catch (error) {
    if (!(await control.dealsWith(error))) throw error;
  }
  await control.each((callback) => callback.onTrainEnd?.(control));
  return null;
}

interface DataHandles {
  data: number | null;
  validation: LoadedValidation | null;
}

/** How the loop left an epoch: behind its last batch, or before. */
export type EpochEnd = 'done' | 'paused' | 'stopped';

/** The point where the run paused, or null. */
async function everyEpoch(
  host: FitHost,
  run: FitRun,
  control: RunControl,
  { data, validation }: DataHandles,
): Promise<Cursor | null> {
  const { options } = run;
  const begin = control.hooks.start?.cursor ?? beginOf(options.initialEpoch);
  let cursor: Cursor = { ...begin, sums: { ...begin.sums } };
  for (; cursor.epoch < options.epochs && !host.stopped(); cursor = nextEpoch(cursor)) {
    await control.each((callback) => callback.onEpochBegin?.(cursor.epoch, control));
    const end = host.stopped() ? 'stopped' : await oneEpoch(host, run, control, data, cursor);
    if (end === 'paused') return cursor;
    // Nothing to log: what has not begun does not end.
    if (end === 'stopped' && cursor.batch === 0) {
      await control.save(cursor);
      return null;
    }
    await closeEpoch(host, run, control, validation, { cursor, end });
  }
  return null;
}

/** Advances `cursor` to the end of its epoch, or to where the run pauses or stops. */
async function oneEpoch(
  host: FitHost,
  run: FitRun,
  control: RunControl,
  data: number | null,
  cursor: Cursor,
): Promise<EpochEnd> {
  if (run.options.stateful && cursor.batch === 0) host.engine.resetStates();
  if (data !== null) return batchesOf(host, run, control, data, cursor);
  return (await run.source?.run(host, run, control, cursor)) ?? 'done';
}

/**
 * Validates, tells callbacks and history, and keeps a checkpoint. That of an epoch which a stop cuts short, and which a
 * resume is to go on with, stands behind its last batch, from before anybody hears of an end.
 */
async function closeEpoch(
  host: FitHost,
  { options, history, reporter }: FitRun,
  control: RunControl,
  validation: LoadedValidation | null,
  { cursor, end }: { cursor: Cursor; end: EpochEnd },
): Promise<void> {
  const { epoch } = cursor;
  const logs = host.told(logsOf(cursor.sums, host.metrics));
  const due = validation && isValidated(epoch, options) ? validation : null;
  let cut = end === 'stopped' && !control.finished;
  // Batches may fail to come: what has been trained on is not lost for that.
  if (cut || (due && 'source' in due)) await control.save(cursor);
  const validated = due && (await validate(host, due, options));
  if (validated) Object.assign(logs, validated);
  else if (validation) control.skippedLogs = validationKeys(host.metrics);
  if (due && !validated) cut = !control.finished;
  try {
    await control.each((callback) => callback.onEpochEnd?.(epoch, logs, control));
  } finally {
    control.skippedLogs = [];
    history.append(epoch, logs);
  }
  reporter?.epochEnd(epoch, logs);
  if (!cut) await control.save(nextEpoch(cursor));
}

function beginOf(epoch: number): Cursor {
  return { epoch, batch: 0, sums: noSums() };
}

function nextEpoch({ epoch, epochBatches }: Cursor): Cursor {
  const next = beginOf(epoch + 1);
  return epochBatches === undefined ? next : { ...next, epochBatches };
}

/** As {@link oneEpoch}, over data in memory. */
async function batchesOf(
  host: FitHost,
  run: FitRun,
  control: RunControl,
  data: number,
  cursor: Cursor,
): Promise<EpochEnd> {
  const { options, reporter } = run;
  const { rows } = run.data;
  const { batchSize, accumulateSteps: accumulate, stateful, burnIn } = options;
  const each = batchSize * accumulate;
  const batches = Math.min(Math.ceil(rows / each), options.stepsPerEpoch ?? Infinity);
  const order = (options.shuffle ?? !stateful) ? shuffled(host, rows, cursor.epoch) : inOrder(rows);
  const perBatch = options.callbacks.filter((callback) => callback.onBatchEnd);
  const single = perBatch.length > 0 || changesWithinEpoch(options.schedule);
  const chunk = single ? 1 : batchesPerCall(host.engine, run.data.steps, each);
  reporter?.epochBegin(cursor.epoch, options.epochs, batches, cursor.batch);
  while (cursor.batch < batches) {
    if (control.hooks.pause?.() === true) return 'paused';
    if (host.stopped()) return 'stopped';
    throwIfAborted(options.signal);
    const end = Math.min(cursor.batch + chunk, batches);
    const rateFactor = control.factorAt(cursor.epoch + cursor.batch / batches);
    const part = order.subarray(cursor.batch * each, Math.min(end * each, rows));
    const call = { data, rows: part, batchSize, rateFactor, accumulate, stateful, burnIn };
    const sums = await host.engine.train(call, null);
    throwIfAborted(options.signal);
    cursor.batch = end;
    addSums(cursor.sums, sums);
    reporter?.batchEnd(cursor.batch, host.told(logsOf(cursor.sums, host.metrics)));
    for (const callback of perBatch) {
      await callback.onBatchEnd?.(end - 1, host.told(logsOf(sums, host.metrics)), control);
    }
    if (cursor.batch < batches) await control.saveWhereDue(cursor);
  }
  return 'done';
}

/**
 * Whether data can be gone through as the options say.
 *
 * @throws {LookbackError} ERR_OPTION, or ERR_DATA for rows that are no whole batches
 */
export function checkContinuing(
  data: PreparedData,
  options: Continuing & { shuffle?: boolean | undefined; accumulateSteps?: number },
  outputShape: RowShape,
  where: string,
): void {
  const { batchSize, stateful, burnIn, shuffle } = options;
  const refuse = (message: string): never => {
    throw new LookbackError('ERR_OPTION', `${where}: ${message}`);
  };
  if (stateful && shuffle === true)
    refuse('stateful needs the rows in their order; leave shuffle out');
  if (stateful && (options.accumulateSteps ?? 1) > 1)
    refuse('stateful goes with one batch an update; leave accumulateSteps out');
  if (burnIn > 0 && outputShape.length === 1)
    refuse(
      `burnIn is ${burnIn}, but the model gives one output a row, behind all its steps; use returnSequences on the last recurrent layer`,
    );
  if (burnIn > 0 && burnIn >= data.steps)
    refuse(`burnIn is ${burnIn}; expected fewer than the ${data.steps} steps of a row`);
  if (!stateful || data.rows % batchSize === 0) return;
  throw new LookbackError(
    'ERR_DATA',
    `${where} has ${data.rows} rows, which are no whole batches of ${batchSize}; with stateful, row b of a batch goes on with row b of the next: cut the data, or choose another batchSize`,
  );
}

/**
 * Batches for one call: enough for about 1e9 multiply-adds (tens of milliseconds), so that a crossing costs nothing
 * and pausing stays prompt. A function of sizes alone, never of time: sums are added per call, so the same run must
 * have the same calls to log the same digits.
 */
function batchesPerCall(engine: NativeEngine, steps: number, batchSize: number): number {
  const params = engine.params().reduce((sum, param) => sum + param.size, 0);
  const work = 3 * params * steps * batchSize;
  return Math.max(1, Math.min(256, Math.floor(1e9 / Math.max(1, work))));
}

/** Fisher-Yates with the shared generator: one seed and one epoch, one order. */
export function shuffled(
  host: Pick<FitHost, 'uniforms' | 'seed'>,
  rows: number,
  epoch: number,
): Uint32Array {
  const order = inOrder(rows);
  const uniform = host.uniforms(host.seed, epoch, rows);
  for (let at = rows - 1; at > 0; at -= 1) {
    const other = Math.floor((uniform[at] ?? 0) * (at + 1));
    const kept = order[at] ?? 0;
    order[at] = order[other] ?? 0;
    order[other] = kept;
  }
  return order;
}

function inOrder(rows: number): Uint32Array {
  return Uint32Array.from({ length: rows }, (_, row) => row);
}
