/**
 * Data that never are in memory at once: batches that come one after another.
 */
import { LookbackError } from '../errors';
import { isNamed, show } from '../options';
import type { TrainingData, PreparedData } from './data';
import { addData } from './data';
import type { RunControl } from './control';
import type { Cursor, EpochEnd, FitHost, FitRun, ResolvedFit } from './fit';
import { addSums, logsOf } from './metrics';
import { throwIfAborted, unlessStopped } from './signal';

/**
 * Batches of training data; each iteration is one pass, an epoch. `fit` takes them as they come, so their order is the
 * source's, and reads ahead by `prefetch` of them at most: it asks for the next ones before those before are there, as
 * generators allow; other iterators have to answer in the order that they were asked in.
 */
export interface BatchSource extends AsyncIterable<TrainingData> {
  /** Batches that are made while others are trained on, 0 to 1024. Default 2. */
  readonly prefetch?: number;
}

/** As {@link BatchSource}, from what makes its batches at once, such as the generator of a plain `function*`. */
export interface SyncBatchSource {
  [Symbol.iterator](): Iterator<TrainingData>;
  /** 0 to 1024. Default 2. */
  readonly prefetch?: number;
  /** Arrays are data in memory. */
  readonly length?: never;
}

/** The batches that a value gives one after another, now or later; null for every other value. */
export function batchSourceOf(value: unknown): BatchSource | null {
  if (typeof value !== 'object' || value === null) return null;
  const begins = (way: symbol): boolean =>
    typeof (value as Record<symbol, unknown>)[way] === 'function';
  if (begins(Symbol.asyncIterator)) return value as BatchSource;
  if (!begins(Symbol.iterator) || Array.isArray(value) || ArrayBuffer.isView(value)) return null;
  const source = value as SyncBatchSource;
  return {
    prefetch: source.prefetch ?? 2,
    async *[Symbol.asyncIterator]() {
      for (const batch of source) yield await Promise.resolve(batch);
    },
  };
}

/** How a source is gone through. */
export interface Prefetching {
  /** Items that are made before they are asked for, at most. */
  ahead: number;
  /** Items that are asked for in all, at most. Default: all of them. */
  limit?: number;
  /** Ends the wait for an item with an error. */
  signal?: AbortSignal | undefined;
  /** Asked before every wait for an item: what it gives ends that wait, and the items with it. */
  stop?: (() => AbortSignal) | undefined;
}

/** The items of `source`, until one has to be waited for when the run is stopped. @throws {LookbackError} ERR_ABORTED */
export async function* prefetched<T>(
  source: AsyncIterable<T>,
  { ahead, limit = Infinity, signal, stop }: Prefetching,
): AsyncGenerator<T> {
  if (stop?.().aborted === true) return;
  // As many are asked for before the first has come, also of a source that has fewer.
  if (!Number.isInteger(ahead) || ahead < 0 || ahead > 1024) {
    const message = `fit: prefetch of the source is ${show(ahead)}; expected a whole number, 0 to 1024`;
    throw new LookbackError('ERR_OPTION', message);
  }
  const iterator = iteratorOf(source);
  const pending: Promise<IteratorResult<T>>[] = [];
  let asked = 0;
  const pull = (): void => {
    if (asked >= limit) return;
    asked += 1;
    // As `for await` does, also where the answer is there at once.
    const next = Promise.resolve(iterator.next());
    // A failure is told to whoever awaits it, in its turn.
    next.catch(() => undefined);
    pending.push(next);
  };
  try {
    for (let made = 0; made <= ahead; made += 1) pull();
    for (let next = pending.shift(); next; next = pending.shift()) {
      const result = await unlessStopped(next, signal, stop?.());
      if (result === null) return;
      if (!isNamed(result)) {
        const message = `fit: next of the source gives ${show(result)}; expected { value, done }`;
        throw new LookbackError('ERR_OPTION', message);
      }
      if (result.done === true) return;
      yield result.value;
      pull();
    }
  } finally {
    const closed = Promise.resolve(iterator.return?.());
    // A generator that waits for its next item closes behind it, which may be never.
    if (signal?.aborted === true || stop?.().aborted === true) closed.catch(() => undefined);
    else await closed;
  }
}

/** @throws {LookbackError} ERR_OPTION for a source that begins with something else, such as a promise of an iterator */
function iteratorOf<T>(source: AsyncIterable<T>): AsyncIterator<T> {
  const iterator: unknown = source[Symbol.asyncIterator]();
  if (isNamed(iterator) && typeof iterator['next'] === 'function')
    return iterator as unknown as AsyncIterator<T>;
  const message = `fit: [Symbol.asyncIterator] of the source gives ${show(iterator)}; expected an iterator with a next method, as an async generator function gives`;
  throw new LookbackError('ERR_OPTION', message);
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
export function checkSourceOptions(source: unknown, options: ResolvedFit): void {
  const { validationSplit, accumulateSteps, checkpoint, stateful, burnIn } = options;
  if (checkpoint) requireBeginsAnew(source, 'checkpoint');
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

/** @throws {LookbackError} ERR_OPTION for an iterator: it goes on where it stands, and cannot be put back */
export function requireBeginsAnew(source: unknown, purpose: string): void {
  if (typeof source !== 'object' || source === null || !('next' in source)) return;
  const way = Symbol.asyncIterator in source ? '[Symbol.asyncIterator]' : '[Symbol.iterator]';
  const message = `fit: ${purpose} needs a source that can begin anew, and this one is an iterator, which can be gone through once; give an object whose ${way} makes a new one, as { ${way}: () => batches() } of a generator function`;
  throw new LookbackError('ERR_OPTION', message);
}

/** @throws {LookbackError} ERR_STATE where the model was disposed while a batch was waited for */
export function requireAlive({ disposed }: Pick<FitHost, 'disposed'>): void {
  if (!disposed()) return;
  const message = 'fit: the model was disposed while it was trained; make or load a new one';
  throw new LookbackError('ERR_STATE', message);
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
   * Advances `cursor` to the end of its epoch, or to where the run pauses or stops. In a resumed epoch the source begins
   * anew, and its batches until the cursor are passed over.
   */
  async run(host: FitHost, run: FitRun, control: RunControl, cursor: Cursor): Promise<EpochEnd> {
    const { options, reporter } = run;
    const expected = cursor.epochBatches ?? options.stepsPerEpoch ?? 0;
    let passed = 0;
    const done = cursor.batch;
    reporter?.epochBegin(cursor.epoch, options.epochs, expected, done);
    const { signal } = options;
    const ahead = this.#source.prefetch ?? 2;
    const how = { ahead, limit: this.#limit, signal, stop: host.stopSignal };
    for await (const batch of prefetched(this.#source, how)) {
      throwIfAborted(signal);
      if (control.hooks.pause?.() === true) return 'paused';
      if (host.stopped()) break;
      if (passed < done) {
        passed += 1;
        continue;
      }
      const data = this.#prepare(batch, `fit: batch ${cursor.batch} of epoch ${cursor.epoch}`);
      const share = expected > 0 ? Math.min(1, cursor.batch / expected) : 0;
      const sums = await update(host, data, control.factorAt(cursor.epoch + share));
      throwIfAborted(signal);
      cursor.batch += 1;
      addSums(cursor.sums, sums);
      reporter?.batchEnd(cursor.batch, host.told(logsOf(cursor.sums, host.metrics)));
      const logs = host.told(logsOf(sums, host.metrics));
      await control.each((callback) => callback.onBatchEnd?.(cursor.batch - 1, logs, control));
      if (cursor.batch >= this.#limit) break;
      await control.saveWhereDue(cursor);
    }
    throwIfAborted(signal);
    requireAlive(host);
    // Whether the source has more is unknown then, and nobody waits to learn it.
    if (host.stopped() && (passed < done || cursor.batch < this.#limit)) return 'stopped';
    if (passed < done) {
      const message = `fit: the source gave ${passed} batches in epoch ${cursor.epoch}, of which the run that is resumed has taken ${done}; expected the same batches again`;
      throw new LookbackError('ERR_DATA', message);
    }
    if (cursor.batch === 0) {
      const message = `fit: the source gave no batch in epoch ${cursor.epoch}; expected an object that begins anew for every epoch (a generator can be gone through once)`;
      throw new LookbackError('ERR_DATA', message);
    }
    cursor.epochBatches = cursor.batch;
    return 'done';
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
