/**
 * A run as a sequence of events, for `for await`.
 */
import type { Model } from '../model';
import { requireNamed } from '../options';
import type { Callback } from './callbacks/contract';
import type { DataLike } from './data';
import type { FitOptions, History } from './fit';
import type { BatchSource, SyncBatchSource } from './source';
import type { Logs } from './metrics';

/** What happens in a run. Epochs and batches count from 0. */
export type FitEvent =
  | { type: 'batch'; epoch: number; batch: number; logs: Logs }
  | { type: 'epoch'; epoch: number; logs: Logs }
  | { type: 'end'; history: History };

export interface FitEventsOptions extends FitOptions {
  /** Also tell every batch; `fit` then crosses to native code once per batch instead of once per chunk. Default false. */
  batches?: boolean;
}

/** As {@link Model.fitEvents}. */
export async function* fitEvents(
  model: Model,
  data: DataLike | BatchSource | SyncBatchSource,
  given: FitEventsOptions,
): AsyncGenerator<FitEvent, void, undefined> {
  const { batches = false, ...options } = requireNamed(given, 'fitEvents');
  const line = new Handover();
  let epoch = 0;
  const telling: Callback = {
    onEpochBegin: (number) => void (epoch = number),
    ...(batches && {
      onBatchEnd: (batch, logs) => line.give({ type: 'batch', epoch, batch, logs }),
    }),
    onEpochEnd: (number, logs) => line.give({ type: 'epoch', epoch: number, logs: { ...logs } }),
  };
  const callbacks = [...(options.callbacks ?? []), telling];
  let running = true;
  const run = model.fit(data, { verbose: 0, ...options, callbacks }).finally(() => {
    running = false;
    line.close();
  });
  // A failure is thrown at the end of the loop; until then nobody waits for it.
  run.catch(() => undefined);
  try {
    for (let event = await line.take(); event !== null; event = await line.take()) yield event;
    yield { type: 'end', history: await run };
  } finally {
    // Left by a break: the run ends behind the running chunk, and the model is free again. A run that is over is not
    // stopped once more, since the model may have begun another.
    line.close();
    if (running) model.stopTraining = true;
    await run.catch(() => undefined);
  }
}

/** One event at a time: who gives waits until the one before is dealt with. */
class Handover {
  #event: FitEvent | null = null;
  #closed = false;
  #wake: () => void = () => undefined;
  #done: () => void = () => undefined;

  give(event: FitEvent): Promise<void> {
    if (this.#closed) return Promise.resolve();
    this.#event = event;
    return new Promise((resolve) => {
      this.#done = resolve;
      this.#wake();
    });
  }

  /** The next event; asking for it says that the one before is dealt with. Null when there are no more. */
  async take(): Promise<FitEvent | null> {
    this.#done();
    while (this.#event === null && !this.#closed) {
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
    const event = this.#event;
    this.#event = null;
    return event;
  }

  close(): void {
    this.#closed = true;
    this.#done();
    this.#wake();
  }
}
