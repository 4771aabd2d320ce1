/**
 * What surrounds the loop of a run: its callbacks, the factors on its learning rate, and its checkpoints.
 */
import type { Model } from '../model';
import type { CallbackTensor } from '../storage/checkpoint';
import { LookbackError } from '../errors';
import type { Callback, CallbackContext, CallbackState } from './callbacks/contract';
import { checkedState } from './callbacks/state';
import type { Cursor, FitHost, History, ResolvedFit } from './fit';
import { factorAt } from './schedules';

/** All that a run consists of between two updates, beside the model. */
export interface FitSnapshot {
  cursor: Cursor;
  rateFactor: number;
  /** Whether a callback has finished the run; false where it was only stopped. */
  stopped: boolean;
  /** What the callbacks remember, in their order; their tensors are apart. */
  callbacks: unknown[];
  callbackTensors: CallbackTensor[];
}

/** How a run begins, pauses and keeps checkpoints. */
export interface FitHooks {
  history?: History;
  /** Where to go on. */
  start?: FitSnapshot;
  /** Asked between chunks; true ends the loop at that point. */
  pause?: () => boolean;
  /** Keeps a checkpoint: called after every epoch, when paused and as `saveEvery` says. */
  save?: (snapshot: FitSnapshot) => Promise<void>;
  /** Updates from one checkpoint within an epoch to the next; at the end of a chunk of batches. */
  saveEvery?: number | undefined;
  /** Called once when the run has ended, however it has. */
  end?: () => Promise<void>;
}

export class RunControl implements CallbackContext {
  readonly model: Model;
  readonly epochs: number;
  readonly hooks: FitHooks;
  rateFactor = 1;
  skippedLogs: readonly string[] = [];
  readonly #host: FitHost;
  readonly #schedule: ResolvedFit['schedule'];
  readonly #callbacks: readonly Callback[];
  #factor = 1;
  #finished = false;
  readonly #history: History;
  #savedAt: number;

  constructor(
    host: FitHost,
    options: Pick<ResolvedFit, 'epochs' | 'schedule' | 'callbacks'>,
    hooks: FitHooks,
  ) {
    this.hooks = hooks;
    this.#host = host;
    this.model = host.model;
    this.epochs = options.epochs;
    this.#schedule = options.schedule;
    this.#callbacks = options.callbacks;
    this.#history = host.model.history;
    this.#savedAt = this.updates;
  }

  get updates(): number {
    return this.#host.engine.counters().updates;
  }

  get learningRate(): number {
    return this.#host.learningRate * this.#factor;
  }

  /** Whether a callback has finished the run, and nobody has taken that back by `model.stopTraining = false`. */
  get finished(): boolean {
    return this.#finished && this.#host.stopped();
  }

  finish(): void {
    // Said too late, it is none of the business of the model's next run.
    if (this.model.history !== this.#history) return;
    this.#finished = true;
    this.model.stopTraining = true;
  }

  /** The factor for the updates to come. */
  factorAt(epoch: number): number {
    const { epochs } = this;
    this.#factor = factorAt(this.#schedule, { epoch, epochs }) * this.rateFactor;
    return this.#factor;
  }

  async each(work: (callback: Callback) => unknown): Promise<void> {
    for (const callback of this.#callbacks) await work(callback);
  }

  /** Tells the callbacks that the run begins, or goes on. @throws {LookbackError} ERR_OPTION */
  async begin(): Promise<void> {
    await this.each((callback) => callback.onTrainBegin?.(this));
    const { start } = this.hooks;
    if (!start) return;
    if (start.stopped) this.finish();
    this.rateFactor = start.rateFactor;
    for (const [index, callback] of this.#callbacks.entries()) {
      const values = start.callbacks[index] ?? null;
      if (values === null) continue;
      const own = start.callbackTensors.filter((tensor) => tensor.callback === index);
      const tensors = own.map(({ name, shape, data }) => [name, { shape, data }]);
      const state = { values, tensors: Object.fromEntries(tensors) as CallbackState['tensors'] };
      await callback.setState?.(state as CallbackState, this);
    }
  }

  /** Whether a callback deals with a failure. */
  async dealsWith(error: unknown): Promise<boolean> {
    let done = false;
    for (const callback of this.#callbacks) {
      if (await callback.onError?.(error, this)) done = true;
    }
    return done;
  }

  /** Keeps a checkpoint where one is due within an epoch. */
  async saveWhereDue(cursor: Cursor): Promise<void> {
    const { saveEvery } = this.hooks;
    if (saveEvery !== undefined && this.updates - this.#savedAt >= saveEvery)
      await this.save(cursor);
  }

  /** @throws {LookbackError} ERR_OPTION, ERR_SHAPE for what a checkpoint cannot hold; ERR_IO */
  async save(cursor: Cursor): Promise<void> {
    const { save } = this.hooks;
    if (!save) return;
    const callbacks: unknown[] = [];
    const callbackTensors: CallbackTensor[] = [];
    for (const [index, callback] of this.#callbacks.entries()) {
      const state = await callback.getState?.();
      const { values, tensors } = checkedState(state, `callbacks[${index}].getState`);
      callbacks.push(values);
      for (const tensor of tensors) callbackTensors.push({ callback: index, ...tensor });
    }
    const { rateFactor, finished: stopped } = this;
    await save({ cursor, rateFactor, stopped, callbacks, callbackTensors });
    this.#savedAt = this.updates;
  }
}

/** @throws {LookbackError} ERR_OPTION where the callbacks are not those of the checkpoint */
export function requireCallbacks(states: readonly unknown[], callbacks: readonly Callback[]): void {
  if (states.length === callbacks.length) return;
  const message = `resume: the checkpoint was made with ${states.length} callbacks and the run is now to go on with ${callbacks.length}; give the same ones in the same order`;
  throw new LookbackError('ERR_OPTION', message);
}
