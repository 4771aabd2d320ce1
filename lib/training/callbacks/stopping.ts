/**
 * Callbacks that end a run: no improvement, no time left, numbers that are no longer finite.
 */
import { z } from 'zod';
import { LookbackError } from '../../errors';
import type { EngineTensor } from '../../native';
import { parseOptions } from '../../options';
import type { Callback } from './contract';
import type { WatchOptions } from './watch';
import { storedValues, Watch, watchShape } from './watch';

export interface EarlyStoppingOptions extends WatchOptions {
  /** Epochs without improvement that are borne; the next one stops. Keras stops at the last of them. Default 0. */
  patience?: number;
  /** Go back to the weights of the best epoch, also where the run ends otherwise. Default false. */
  restoreBestWeights?: boolean;
}

export const earlyStoppingSchema = z.strictObject({
  ...watchShape,
  patience: z.int().min(0).default(0),
  restoreBestWeights: z.boolean().default(false),
});
const earlyStoppingState = z.object({ best: z.number().nullable(), since: z.int() });

/** Finishes the run when a log no longer improves. */
export function earlyStopping(options: EarlyStoppingOptions = {}): Callback {
  const chosen = parseOptions(earlyStoppingSchema, options, 'earlyStopping');
  let watch = new Watch(chosen);
  let since = 0;
  let best: EngineTensor[] | null = null;
  return {
    onTrainBegin() {
      watch = new Watch(chosen);
      since = 0;
      best = null;
    },
    onEpochEnd(_epoch, logs, context) {
      const { model } = context;
      const improved = watch.improves(logs, context);
      if (improved === true) {
        since = 0;
        if (chosen.restoreBestWeights) best = model.snapshot();
        return;
      }
      if (improved === false) since += 1;
      if (since > chosen.patience) context.finish();
    },
    // Whoever ended the run; a checkpoint keeps the last weights beside these, for a run that is prolonged.
    onTrainEnd({ model }) {
      if (best) model.restore(best);
    },
    getState() {
      const tensors = (best ?? []).map(({ role, name, shape, data }) => [
        `${role}:${name}`,
        { shape, data },
      ]);
      return {
        values: { best: watch.best, since },
        tensors: Object.fromEntries(tensors) as Record<string, EngineTensor>,
      };
    },
    setState(state) {
      const values = storedValues(earlyStoppingState, state, 'earlyStopping');
      watch.best = values.best;
      since = values.since;
      const tensors = Object.entries(state.tensors ?? {}).map(([key, tensor]) => {
        const role = key.startsWith('buffer:') ? ('buffer' as const) : ('param' as const);
        return { role, name: key.slice(key.indexOf(':') + 1), ...tensor };
      });
      best = tensors.length > 0 ? tensors : null;
    },
  };
}

export interface TimeLimitOptions {
  /** Of training, those before a resume included. Above 0. */
  seconds: number;
}

export const timeLimitSchema = z.strictObject({ seconds: z.number().gt(0) });
const timeLimitState = z.object({ seconds: z.number().min(0) });
/** What `setTimeout` can wait at most. */
const longestWait = 2 ** 31 - 1;

/**
 * Stops after a time, between two calls to native code (tens of milliseconds); the epoch at hand is closed early. A run
 * that is resumed with more seconds goes on with the rest of that epoch.
 */
export function timeLimit(options: TimeLimitOptions): Callback {
  const limit = parseOptions(timeLimitSchema, options, 'timeLimit').seconds;
  let timer: NodeJS.Timeout | undefined;
  let begun = 0;
  let before = 0;
  const start: Callback['onTrainBegin'] = ({ model }) => {
    clearTimeout(timer);
    begun = performance.now();
    const wait = Math.max(0, limit - before) * 1000;
    const { history } = model;
    const stop = (): void => {
      // A run that failed may not have told everybody: the model's next one is none of this timer's.
      if (model.history === history) model.stopTraining = true;
    };
    if (wait === 0) stop();
    else if (wait <= longestWait) timer = setTimeout(stop, wait).unref();
  };
  return {
    onTrainBegin(context) {
      before = 0;
      return start(context);
    },
    onTrainEnd: () => clearTimeout(timer),
    onError() {
      clearTimeout(timer);
      return false;
    },
    getState: () => ({ values: { seconds: before + (performance.now() - begun) / 1000 } }),
    setState(state, context) {
      before = storedValues(timeLimitState, state, 'timeLimit').seconds;
      return start(context);
    },
  };
}

/**
 * Ends the run quietly where a loss or a parameter is no longer finite, instead of failing with ERR_NUMERIC, and where a
 * log is not a finite number, as that of an epoch in which nothing counts. The model keeps its last finite update.
 */
export function terminateOnNaN(): Callback {
  return {
    onEpochEnd(_epoch, logs, context) {
      if (!Object.values(logs).every(Number.isFinite)) context.finish();
    },
    onError: (error) => error instanceof LookbackError && error.code === 'ERR_NUMERIC',
  };
}
