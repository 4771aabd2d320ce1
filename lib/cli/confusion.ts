import type { Model } from '../model';
import type { Confusion } from '../report/report';
import { wantsLabels } from '../training/losses';
import type { RunConfig } from './config';
import type { RunSplit } from './run-data';

/** The option that goes with sequences of different lengths. */
export function lengthsOf({ lengths }: { lengths?: Int32Array }): { lengths?: Int32Array } {
  return lengths ? { lengths } : {};
}

/** How often each class was taken for each other one; null where a row, or a label, alone is not what the run is about. */
export async function confusionOf(
  model: Model,
  { stateful, burnIn }: Pick<RunConfig, 'stateful' | 'burnIn'>,
  split: RunSplit,
  classNames: string[],
): Promise<Confusion | null> {
  const loss = model.compiled?.loss;
  if (stateful || burnIn > 0 || !loss || !wantsLabels(loss)) return null;
  const counts = await model.confusionMatrix(split);
  return { classNames: counts.map((_, label) => classNames[label] ?? String(label)), counts };
}
