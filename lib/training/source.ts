/**
 * Data that never are in memory at once: batches that come one after another.
 */
import { LookbackError } from '../errors';
import type { TrainingData, PreparedData } from './data';
import { addData } from './data';
import type { RunControl } from './control';
import type { Cursor, FitHost, FitRun, ResolvedFit } from './fit';
import { addSums, logsOf } from './metrics';
import { throwIfAborted } from './signal';

/**
 * Batches of training data; each iteration is one pass, an epoch. `fit` takes them as they come, so their order is the
 * source's, and reads ahead by `prefetch` of them at most.
 */
export interface BatchSource extends AsyncIterable<TrainingData> {
  /** Batches that are made while others are trained on. Default 2. */
  readonly prefetch?: number;
}

export function isBatchSource(value: unknown): value is BatchSource {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value;
}

/** The items of `source`, of which up to `ahead` are made before they are asked for, and no more. */
export async function* prefetched<T>(source: AsyncIterable<T>, ahead: number): AsyncGenerator<T> {
  const iterator = source[Symbol.asyncIterator]();
  const pending: Promise<IteratorResult<T>>[] = [];
  const pull = (): void => {
    const next = iterator.next();
    // A failure is told to whoever awaits it, in its turn.
    next.catch(() => undefined);
    pending.push(next);
  };
  try {
    for (let made = 0; made <= ahead; made += 1) pull();
    for (let next = pending.shift(); next; next = pending.shift()) {
      const result = await next;
      if (result.done === true) return;
      yield result.value;
      pull();
    }
  } finally {
    await iterator.return?.();
  }
}

/** What a run over a source has in place of rows. */
export const noRows: PreparedData = {
  rows: 0,
  steps: 0,
  x: { shape: [0, 0, 0], data: new Float32Array() },
  y: null,
  lengths: null,
  weights: null,
  resets: null,
};

/** @throws {LookbackError} ERR_OPTION for what needs rows that can be taken in any order */
export function checkSourceOptions(options: ResolvedFit): void {
  const { validationSplit, accumulateSteps, checkpoint, resume, stateful, burnIn } = options;
  const unfit = {
    validationSplit: validationSplit > 0,
    accumulateSteps: accumulateSteps > 1,
    checkpoint: checkpoint !== undefined,
    resume,
    stateful,
    burnIn: burnIn > 0,
  };
  const name = Object.entries(unfit).find(([, given]) => given)?.[0];
  if (name === undefined) return;
  const message = `fit: ${name} does not go with batches that come one after another; leave it out, or give data in memory`;
  throw new LookbackError('ERR_OPTION', message);
}

/** How a run goes through one epoch of a source. */
export class SourceEpochs {
  readonly #source: BatchSource;
  readonly #prepare: (data: unknown, where: string) => PreparedData;
  /** Batches of the pass before, for schedules; 0 before there is one. */
  #known: number;
  readonly #limit: number;

  constructor(
    source: BatchSource,
    prepare: (data: unknown, where: string) => PreparedData,
    stepsPerEpoch: number | undefined,
  ) {
    this.#source = source;
    this.#prepare = prepare;
    this.#known = stepsPerEpoch ?? 0;
    this.#limit = stepsPerEpoch ?? Infinity;
  }

  /** Advances `cursor` to the end of its epoch; false where the run paused before. */
  async run(host: FitHost, run: FitRun, control: RunControl, cursor: Cursor): Promise<boolean> {
    const { options, reporter } = run;
    reporter?.epochBegin(cursor.epoch, options.epochs, this.#known, 0);
    for await (const batch of prefetched(this.#source, this.#source.prefetch ?? 2)) {
      if (control.hooks.pause?.() === true) return false;
      if (host.stopped()) break;
      const data = this.#prepare(batch, `fit: batch ${cursor.batch} of epoch ${cursor.epoch}`);
      const share = this.#known > 0 ? Math.min(1, cursor.batch / this.#known) : 0;
      const sums = await update(host, data, control.factorAt(cursor.epoch + share));
      throwIfAborted(options.signal);
      cursor.batch += 1;
      addSums(cursor.sums, sums);
      reporter?.batchEnd(cursor.batch, logsOf(cursor.sums, host.metrics));
      const logs = logsOf(sums, host.metrics);
      await control.each((callback) => callback.onBatchEnd?.(cursor.batch - 1, logs, control));
      if (cursor.batch >= this.#limit) break;
    }
    if (cursor.batch === 0 && !host.stopped()) {
      const message = `fit: the source gave no batch in epoch ${cursor.epoch}; expected an object that begins anew for every epoch (a generator can be gone through once)`;
      throw new LookbackError('ERR_DATA', message);
    }
    this.#known = cursor.batch;
    return true;
  }
}

/** One update from all rows of a batch. */
async function update(
  { engine, disposed }: FitHost,
  data: PreparedData,
  rateFactor: number,
): ReturnType<FitHost['engine']['train']> {
  const handle = addData(engine, data);
  try {
    const rows = Uint32Array.from({ length: data.rows }, (_, row) => row);
    return await engine.train({ data: handle, rows, batchSize: data.rows, rateFactor }, null);
  } finally {
    if (!disposed()) engine.removeData(handle);
  }
}
