/**
 * A model's preprocessing at work: raw rows on their way in, outputs and logs on their way out.
 */
import type { LayerSpec, RowShape } from './layers';
import { featuresOf } from './layers';
import { LookbackError } from './errors';
import type { OutputForm, Preprocessing } from './preprocessing/preprocessing';
import type { DataWish, PreparedData } from './training/data';
import { prepareData } from './training/data';
import type { LossSpec } from './training/losses';
import { outputsPerTarget, wantsLabels } from './training/losses';
import type { Logs } from './training/metrics';

/** Raw data, preprocessed and checked. @throws {LookbackError} */
export function prepareRaw(
  preprocessing: Preprocessing | null,
  given: unknown,
  wish: DataWish,
  where: string,
): PreparedData {
  const { dtype, loss } = wish;
  const raw = { steps: wish.inputShape[0], labels: loss === null || wantsLabels(loss) };
  return prepareData(preprocessing?.data(given, dtype, where, raw) ?? given, wish, where);
}

/** What the outputs of a model with this loss and last layer consist of. */
export function outputFormOf(
  loss: LossSpec | undefined,
  last: LayerSpec | undefined,
  shape: RowShape,
): OutputForm {
  const form =
    loss?.kind === 'gaussianNegativeLogLikelihood'
      ? 'gaussian'
      : loss?.kind === 'quantile'
        ? 'quantiles'
        : 'plain';
  return {
    outputs: featuresOf(shape),
    form,
    perTarget: loss ? outputsPerTarget(loss) : 1,
    threshold: last?.['activation'] === 'sigmoid' ? 0.5 : 0,
  };
}

/** Metrics in the units of raw targets, where all targets share one scale; the loss stays as it is trained. */
export function rawLogs(preprocessing: Preprocessing | null, logs: Logs): Logs {
  const scale = preprocessing?.targetScale ?? 1;
  if (scale === 1) return logs;
  const powers: Record<string, number> = { meanAbsoluteError: 1, meanSquaredError: 2 };
  return Object.fromEntries(
    Object.entries(logs).map(([key, value]) => [key, value * scale ** (powers[key] ?? 0)]),
  );
}

/**
 * Learns the scales that are not known yet, from all of `data` but a share `heldOut` at its end.
 *
 * @throws {LookbackError} ERR_DATA, ERR_SHAPE
 */
export function fitOnce(preprocessing: Preprocessing | null, data: unknown, heldOut: number): void {
  if (preprocessing && !preprocessing.isFitted) preprocessing.fit(data, 'fit: data', heldOut);
}

/**
 * What `work` gives. Scales that it learnt are forgotten where it fails before it has called `trained`: nothing in the
 * model goes with them yet.
 */
export async function keepingScales<T>(
  preprocessing: Preprocessing | null,
  work: (trained: () => void) => Promise<T>,
): Promise<T> {
  const before = preprocessing?.fitted;
  let kept = false;
  try {
    return await work(() => (kept = true));
  } catch (error) {
    if (preprocessing && before && !kept) preprocessing.restore(before);
    throw error;
  }
}

/** @throws {LookbackError} ERR_STATE */
export function requirePreprocessing(preprocessing: Preprocessing | null): Preprocessing {
  if (preprocessing) return preprocessing;
  const message = 'fitPreprocessing: the model has none; give sequential({ preprocessing })';
  throw new LookbackError('ERR_STATE', message);
}
