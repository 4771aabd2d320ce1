import { z } from 'zod';
import { LookbackError } from '../../errors';
import { parseOptions } from '../../options';
import type { Logs } from '../metrics';
import type { CallbackContext, CallbackState } from './contract';

export interface WatchOptions {
  /** The log to watch; epochs that `validationFreq` leaves without it do not count. Default `'valLoss'`. */
  monitor?: string;
  /** What counts as improvement must exceed this. Default 0. */
  minDelta?: number;
  /** Whether less or more is better. `'auto'`: more for names that end in accuracy or F1. Default `'auto'`. */
  mode?: 'auto' | 'min' | 'max';
}

/** The options of {@link WatchOptions}, for schemas. */
export const watchShape = {
  monitor: z.string().default('valLoss'),
  minDelta: z.number().min(0).default(0),
  mode: z.enum(['auto', 'min', 'max']).default('auto'),
};

/** The best value of a log so far. */
export class Watch {
  readonly #monitor: string;
  readonly #more: boolean;
  readonly #minDelta: number;
  #best: number | null = null;

  constructor({ monitor, mode, minDelta }: Required<WatchOptions>) {
    this.#monitor = monitor;
    this.#more = mode === 'max' || (mode === 'auto' && /(accuracy|f1)$/i.test(monitor));
    this.#minDelta = minDelta;
  }

  /**
   * Whether an epoch is the best so far; null for one that is not judged, since validation passes it over.
   *
   * @throws {LookbackError} ERR_OPTION for a log that is not there in any epoch
   */
  improves(logs: Logs, { skippedLogs }: Pick<CallbackContext, 'skippedLogs'>): boolean | null {
    const value = logs[this.#monitor];
    if (value === undefined) {
      if (skippedLogs.includes(this.#monitor)) return null;
      const known = [...Object.keys(logs), ...skippedLogs].join(', ');
      const message = `monitor is "${this.#monitor}", which this run does not log; expected one of ${known} (val* needs validationData)`;
      throw new LookbackError('ERR_OPTION', message);
    }
    if (Number.isNaN(value)) return false;
    const improved =
      this.#best === null ||
      (this.#more ? value > this.#best + this.#minDelta : value < this.#best - this.#minDelta);
    if (improved) this.#best = value;
    return improved;
  }

  get best(): number | null {
    return this.#best;
  }

  set best(value: number | null) {
    this.#best = value;
  }
}

/** What a callback stored, checked. @throws {LookbackError} ERR_OPTION where another kind of callback stored it */
export function storedValues<T>(schema: z.ZodType<T>, state: CallbackState, where: string): T {
  return parseOptions(schema, state.values, `the checkpoint's state of ${where}`);
}
