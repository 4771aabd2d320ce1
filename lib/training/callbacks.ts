import { z } from 'zod';
import { LookbackError } from '../errors';
import type { Model } from '../model';
import type { EngineTensor } from '../native';
import { parseOptions } from '../options';
import type { Logs } from './metrics';

/** What a callback may use. */
export interface CallbackContext {
  readonly model: Model;
}

/** Any object with some of these; `fit` waits for promises. An error thrown here ends `fit` with that error. */
export interface Callback {
  onTrainBegin?(context: CallbackContext): void | Promise<void>;
  /** `epoch` counts from 0. */
  onEpochBegin?(epoch: number, context: CallbackContext): void | Promise<void>;
  /** After every update; having one makes `fit` cross to native code once per batch instead of once per chunk. */
  onBatchEnd?(batch: number, logs: Logs, context: CallbackContext): void | Promise<void>;
  onEpochEnd?(epoch: number, logs: Logs, context: CallbackContext): void | Promise<void>;
  onTrainEnd?(context: CallbackContext): void | Promise<void>;
}

export interface EarlyStoppingOptions {
  /** The log to watch. Default `'valLoss'`. */
  monitor?: string;
  /** Epochs without improvement before stopping. Default 0. */
  patience?: number;
  /** What counts as improvement must exceed this. Default 0. */
  minDelta?: number;
  /** Whether less or more is better. `'auto'`: more for names that end in accuracy. Default `'auto'`. */
  mode?: 'auto' | 'min' | 'max';
  /** Go back to the weights of the best epoch. Default false. */
  restoreBestWeights?: boolean;
}

export interface ModelCheckpointOptions {
  /** Where to save; `{epoch}` becomes the epoch, counted from 1. */
  path: string;
  /** The log to watch with `saveBestOnly`. Default `'valLoss'`. */
  monitor?: string;
  /** Save only after an epoch better than all before. Default false. */
  saveBestOnly?: boolean;
  /** As in {@link EarlyStoppingOptions}. Default `'auto'`. */
  mode?: 'auto' | 'min' | 'max';
}

const mode = z.enum(['auto', 'min', 'max']).default('auto');
const earlyStoppingSchema = z.strictObject({
  monitor: z.string().default('valLoss'),
  patience: z.int().min(0).default(0),
  minDelta: z.number().min(0).default(0),
  mode,
  restoreBestWeights: z.boolean().default(false),
});
const modelCheckpointSchema = z.strictObject({
  path: z.string().min(1),
  monitor: z.string().default('valLoss'),
  saveBestOnly: z.boolean().default(false),
  mode,
});

/** Callbacks that come with the library. */
export const callbacks = {
  /** Stops when a log no longer improves. */
  earlyStopping(options: EarlyStoppingOptions = {}): Callback {
    const chosen = parseOptions(earlyStoppingSchema, options, 'earlyStopping');
    const better = watcher(chosen.monitor, chosen.mode, chosen.minDelta);
    let since = 0;
    let best: EngineTensor[] | null = null;
    return {
      onEpochEnd(_epoch, logs, { model }) {
        if (better(logs)) {
          since = 0;
          if (chosen.restoreBestWeights) best = model.snapshot();
          return;
        }
        since += 1;
        if (since <= chosen.patience) return;
        model.stopTraining = true;
        if (best) model.restore(best);
      },
    };
  },
  /** Saves the model after epochs. */
  modelCheckpoint(options: ModelCheckpointOptions): Callback {
    const chosen = parseOptions(modelCheckpointSchema, options, 'modelCheckpoint');
    const better = watcher(chosen.monitor, chosen.mode, 0);
    return {
      async onEpochEnd(epoch, logs, { model }) {
        if (chosen.saveBestOnly && !better(logs)) return;
        await model.save(chosen.path.replaceAll('{epoch}', String(epoch + 1)));
      },
    };
  },
} as const;

/** Tells of each epoch's logs whether they are the best so far. */
function watcher(
  monitor: string,
  order: 'auto' | 'min' | 'max',
  minDelta: number,
): (logs: Logs) => boolean {
  const more = order === 'max' || (order === 'auto' && /accuracy$/i.test(monitor));
  let best = more ? -Infinity : Infinity;
  return (logs) => {
    const value = logs[monitor];
    if (value === undefined) {
      const message = `monitor is "${monitor}", which this run does not log; expected one of ${Object.keys(logs).join(', ')} (val* needs validationData)`;
      throw new LookbackError('ERR_OPTION', message);
    }
    const improved = more ? value > best + minDelta : value < best - minDelta;
    if (improved) best = value;
    return improved;
  };
}
