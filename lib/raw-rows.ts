/**
 * A model's preprocessing at work: raw rows on their way in, outputs and logs on their way out.
 */
import type { LayerSpec, RowShape } from './layers';
import { featuresOf } from './layers';
import { LookbackError } from './errors';
import type { OutputForm, Preprocessing } from './preprocessing/preprocessing';
import type { DataWish, PreparedData } from './training/data';
import { prepareData, splitTail } from './training/data';
import type { LossSpec } from './training/losses';
import { outputsPerTarget } from './training/losses';
import type { Logs } from './training/metrics';

/** Raw data, preprocessed and checked. @throws {LookbackError} */
export function prepareRaw(
  preprocessing: Preprocessing | null,
  given: unknown,
  wish: DataWish,
  where: string,
): PreparedData {
  return prepareData(preprocessing?.data(given, wish.dtype, where) ?? given, wish, where);
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
 * The training and the validation part of a fit. Scales that are not known yet are learnt from the training part.
 *
 * @throws {LookbackError} ERR_OPTION where one of them would be empty, ERR_DATA, ERR_SHAPE
 */
export function fitParts(
  preprocessing: Preprocessing | null,
  given: { data: unknown; validationData: unknown; validationSplit: number },
  prepare: (data: unknown, where: string) => PreparedData,
): [train: PreparedData, validation: PreparedData | null] {
  const { data, validationData } = given;
  const share = validationData === undefined ? given.validationSplit : 0;
  if (preprocessing && !preprocessing.isFitted) preprocessing.fit(data, 'fit: data', share);
  const train = prepare(data, 'fit: data');
  if (share > 0) return splitTail(train, share);
  const validation =
    validationData === undefined ? null : prepare(validationData, 'fit: validationData');
  return [train, validation];
}

/** @throws {LookbackError} ERR_STATE */
export function requirePreprocessing(preprocessing: Preprocessing | null): Preprocessing {
  if (preprocessing) return preprocessing;
  const message = 'fitPreprocessing: the model has none; give sequential({ preprocessing })';
  throw new LookbackError('ERR_STATE', message);
}
