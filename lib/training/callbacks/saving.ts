import { dirname } from 'node:path';
import { z } from 'zod';
import { parseOptions } from '../../options';
import { makeFolder } from '../../storage/folders';
import type { Callback } from './contract';
import type { WatchOptions } from './watch';
import { storedValues, Watch, watchShape } from './watch';

export interface ModelCheckpointOptions extends WatchOptions {
  /** Where to save; `{epoch}` becomes the epoch, counted from 1. The folder is made where it is missing. */
  path: string;
  /** Save only after an epoch better than all before. Default false. */
  saveBestOnly?: boolean;
}

export const modelCheckpointSchema = z.strictObject({
  ...watchShape,
  path: z.string().min(1),
  saveBestOnly: z.boolean().default(false),
});
const state = z.object({ best: z.number().nullable() });

/** Saves the model after epochs. To go on with a run, use `fit`'s `checkpoint` and `resume`. */
export function modelCheckpoint(options: ModelCheckpointOptions): Callback {
  const chosen = parseOptions(modelCheckpointSchema, options, 'modelCheckpoint');
  let watch = new Watch(chosen);
  return {
    async onTrainBegin() {
      watch = new Watch(chosen);
      // A place that cannot be written is told before the first epoch, not behind it.
      const folder = dirname(chosen.path);
      if (!folder.includes('{epoch}')) await makeFolder(folder);
    },
    async onEpochEnd(epoch, logs, context) {
      if (chosen.saveBestOnly && watch.improves(logs, context) !== true) return;
      const path = chosen.path.replaceAll('{epoch}', String(epoch + 1));
      await makeFolder(dirname(path));
      await context.model.save(path);
    },
    getState: () => ({ values: { best: watch.best } }),
    setState(stored) {
      watch.best = storedValues(state, stored, 'modelCheckpoint').best;
    },
  };
}
