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

/**
 * @throws {LookbackError} ERR_OPTION for what needs rows that can be taken in any order, and for checkpoints over what can be
 * gone through once
 */
export function checkSourceOptions(source: BatchSource, options: ResolvedFit): void {
  const { validationSplit, accumulateSteps, checkpoint, stateful, burnIn } = options;
  // An iterator goes on where it stands: it can neither begin an epoch anew nor be put back.
  if (checkpoint && 'next' in source) {
    const message =
      'fit: checkpoint needs a source that can begin anew, and this one is an iterator, which can be gone through once; give an object whose [Symbol.asyncIterator] makes a new one, as { [Symbol.asyncIterator]: () => batches() } of a generator function';
    throw new LookbackError('ERR_OPTION', message);
  }
  const unfit = {
    validationSplit: validationSplit > 0,
    accumulateSteps: accumulateSteps > 1,
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
  readonly #limit: number;

  constructor(
    source: BatchSource,
    prepare: (data: unknown, where: string) => PreparedData,
    stepsPerEpoch: number | undefined,
  ) {
    this.#source = source;
    this.#prepare = prepare;
    this.#limit = stepsPerEpoch ?? Infinity;
  }

  /**
   * Advances `cursor` to the end of its epoch; false where the run paused before. In a resumed epoch the source begins
   * anew, and its batches until the cursor are passed over.
   */
  async run(host: FitHost, run: FitRun, control: RunControl, cursor: Cursor): Promise<boolean> {
    const { options, reporter } = run;
    const expected = cursor.epochBatches ?? options.stepsPerEpoch ?? 0;
    let passed = 0;
    const done = cursor.batch;
    reporter?.epochBegin(cursor.epoch, options.epochs, expected, done);
    for await (const batch of prefetched(this.#source, this.#source.prefetch ?? 2)) {
      throwIfAborted(options.signal);
      if (control.hooks.pause?.() === true) return false;
      if (host.stopped()) break;
      if (passed < done) {
        passed += 1;
        continue;
      }
      const data = this.#prepare(batch, `fit: batch ${cursor.batch} of epoch ${cursor.epoch}`);
      const share = expected > 0 ? Math.min(1, cursor.batch / expected) : 0;
      const sums = await update(host, data, control.factorAt(cursor.epoch + share));
      throwIfAborted(options.signal);
      cursor.batch += 1;
      addSums(cursor.sums, sums);
      reporter?.batchEnd(cursor.batch, logsOf(cursor.sums, host.metrics));
      const logs = logsOf(sums, host.metrics);
      await control.each((callback) => callback.onBatchEnd?.(cursor.batch - 1, logs, control));
      if (cursor.batch >= this.#limit) break;
      await control.saveWhereDue(cursor);
    }
    if (passed < done && !host.stopped()) {
      const message = `fit: the source gave ${passed} batches in epoch ${cursor.epoch}, of which the run that is resumed has taken ${done}; expected the same batches again`;
      throw new LookbackError('ERR_DATA', message);
    }
    if (cursor.batch === 0 && !host.stopped()) {
      const message = `fit: the source gave no batch in epoch ${cursor.epoch}; expected an object that begins anew for every epoch (a generator can be gone through once)`;
      throw new LookbackError('ERR_DATA', message);
    }
    cursor.epochBatches = cursor.batch;
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
