import { z } from 'zod';
import { parseOptions } from '../../options';
import type { Callback } from './contract';
import type { WatchOptions } from './watch';
import { storedValues, Watch, watchShape } from './watch';

export interface ReduceLROnPlateauOptions extends WatchOptions {
  /** What the learning rate is multiplied by. Above 0, below 1. Default 0.1. */
  factor?: number;
  /** Epochs without improvement before it. Default 10. */
  patience?: number;
  /** Epochs after it in which nothing is counted. Default 0. */
  cooldown?: number;
  /** The learning rate is not brought below this. Default 0. */
  minLearningRate?: number;
}

export const reduceLROnPlateauSchema = z.strictObject({
  ...watchShape,
  factor: z.number().gt(0).lt(1).default(0.1),
  patience: z.int().min(0).default(10),
  cooldown: z.int().min(0).default(0),
  minLearningRate: z.number().min(0).default(0),
});
const state = z.object({
  best: z.number().nullable(),
  since: z.int(),
  cooling: z.int(),
});

/** Lowers the learning rate when a log no longer improves. A schedule goes on besides. */
export function reduceLROnPlateau(options: ReduceLROnPlateauOptions = {}): Callback {
  const chosen = parseOptions(reduceLROnPlateauSchema, options, 'reduceLROnPlateau');
  let watch = new Watch(chosen);
  let [since, cooling] = [0, 0];
  return {
    onTrainBegin() {
      watch = new Watch(chosen);
      [since, cooling] = [0, 0];
    },
    onEpochEnd(_epoch, logs, context) {
      const improved = watch.improves(logs, context);
      if (improved === null) return;
      if (cooling > 0) cooling -= 1;
      else if (!improved) since += 1;
      if (improved) since = 0;
      if (since <= chosen.patience) return;
      const { learningRate } = context;
      const lowered = Math.max(learningRate * chosen.factor, chosen.minLearningRate);
      if (learningRate > lowered) context.rateFactor *= lowered / learningRate;
      [since, cooling] = [0, chosen.cooldown];
    },
    getState: () => ({ values: { best: watch.best, since, cooling } }),
    setState(stored) {
      const values = storedValues(state, stored, 'reduceLROnPlateau');
      watch.best = values.best;
      ({ since, cooling } = values);
    },
  };
}
