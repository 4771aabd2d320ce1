/**
 * Numbers brought to a common scale and back. Offsets and scales are float64 whatever the model's number type, so that
 * a model from a file computes the same bits as the one that was saved.
 */
import { z } from 'zod';
import { LookbackError } from '../errors';
import type { FloatArray, Tensor } from '../tensor';

/** How numbers are scaled; offsets and scales come from the training part. */
export interface ScalerOptions {
  /**
   * `'standardize'`: `(x - mean) / deviation`, the deviation being that of the whole training part (divided by n).
   * `'minMax'`: `(x - min) / (max - min)`. What never varies is only moved to 0.
   */
  kind: 'standardize' | 'minMax';
  /** One offset and one scale for all features, as for pixels or a signal's samples. Default false. */
  shared?: boolean;
  /** The features that are scaled, by number; others stay as they are. Default: all. */
  only?: readonly number[];
}

/** How features are scaled. */
export interface InputScalerOptions extends ScalerOptions {
  /**
   * One entry for each feature: `asinh(x / unit)` takes its place before it is scaled, so what is smaller than the unit stays in
   * proportion and what is larger counts by its logarithm; null leaves the feature as it is. For signals whose weak parts
   * matter beside strong ones. Default: all null.
   */
  compress?: readonly (number | null)[];
}

const scalerKind = z.enum(['standardize', 'minMax']);
const scalerObject = z.strictObject({
  kind: scalerKind,
  shared: z.boolean().default(false),
  only: z.array(z.int().min(0)).min(1).exactOptional(),
});

export const scalerSchema = z.union([scalerKind, scalerObject]);

export const inputScalerSchema = z.union([
  scalerKind,
  scalerObject.extend({
    compress: z.array(z.number().gt(0).nullable()).min(1).exactOptional(),
  }),
]);

/** `x` becomes `(x - offset) / scale`, feature by feature. */
export interface Scale {
  offset: Float64Array;
  scale: Float64Array;
}

/** The numbers of `[rows, steps, features]` that are valid. */
export interface Sample {
  data: ArrayLike<number>;
  features: number;
  /** Lines of `features` numbers that count, in order. */
  lines: Iterable<number>;
}

/**
 * Offsets and scales from a sample; NaN takes no part.
 *
 * @throws {LookbackError} ERR_OPTION for a feature that is not there, ERR_DATA where a feature has no number
 */
export function fitScale(options: ScalerOptions, sample: Sample, where: string): Scale {
  const { features } = sample;
  const beyond = options.only?.find((feature) => feature >= features);
  if (beyond !== undefined) {
    const message = `${where}: feature ${beyond} is to be scaled; there are ${features}, counted from 0`;
    throw new LookbackError('ERR_OPTION', message);
  }
  const groups = options.shared === true ? 1 : features;
  const isScaled = (feature: number): boolean => options.only?.includes(feature) ?? true;
  const fitted = (options.kind === 'minMax' ? extremes : moments)(sample, groups, isScaled);
  const offset = new Float64Array(features);
  const scale = new Float64Array(features).fill(1);
  for (let feature = 0; feature < features; feature += 1) {
    if (!isScaled(feature)) continue;
    const from = groups === 1 ? 0 : feature;
    const [zero = NaN, one = NaN] = [fitted.offset[from], fitted.scale[from]];
    if (!Number.isFinite(zero) || !Number.isFinite(one)) {
      const message = `${where}: feature ${feature} has no finite offset and scale; expected finite numbers in the training part`;
      throw new LookbackError('ERR_DATA', message, { details: { feature } });
    }
    offset[feature] = zero;
    scale[feature] = one > 0 ? one : 1;
  }
  return { offset, scale };
}

/**
 * The numbers of `data`, lines of as many as there are `units`, each beside its feature's unit.
 *
 * @throws {LookbackError} ERR_OPTION where the lines have another length
 */
export function compressed(
  units: readonly (number | null)[],
  { shape, data }: Tensor,
  where: string,
): Float64Array {
  const features = shape[shape.length - 1] ?? 0;
  if (units.length !== features) {
    const message = `${where}: compress has ${units.length} units; expected ${features}, one for each feature`;
    throw new LookbackError('ERR_OPTION', message);
  }
  return Float64Array.from(data, (value, at) => {
    const unit = units[at % features] ?? null;
    return unit === null ? value : Math.asinh(value / unit);
  });
}

/** Calls `add` with every number of the sample that counts. */
function eachNumber(
  { data, features, lines }: Sample,
  groups: number,
  isScaled: (feature: number) => boolean,
  add: (value: number, group: number) => void,
): void {
  const scaled = Array.from({ length: features }, (_, feature) => isScaled(feature));
  for (const line of lines) {
    for (let feature = 0; feature < features; feature += 1) {
      const value = data[line * features + feature] ?? NaN;
      if (scaled[feature] === true && !Number.isNaN(value)) add(value, groups === 1 ? 0 : feature);
    }
  }
}

function moments(sample: Sample, groups: number, isScaled: (feature: number) => boolean): Scale {
  const count = new Float64Array(groups);
  const offset = new Float64Array(groups);
  const scale = new Float64Array(groups);
  const least = new Float64Array(groups).fill(Infinity);
  const most = new Float64Array(groups).fill(-Infinity);
  eachNumber(sample, groups, isScaled, (value, group) => {
    count[group] = (count[group] ?? 0) + 1;
    offset[group] = (offset[group] ?? 0) + value;
    if (value < (least[group] ?? 0)) least[group] = value;
    if (value > (most[group] ?? 0)) most[group] = value;
  });
  offset.forEach((sum, group) => (offset[group] = sum / (count[group] ?? 0)));
  // A second pass: differences from the mean lose no digits where the mean is large.
  eachNumber(sample, groups, isScaled, (value, group) => {
    scale[group] = (scale[group] ?? 0) + (value - (offset[group] ?? 0)) ** 2;
  });
  scale.forEach((sum, group) => (scale[group] = Math.sqrt(sum / (count[group] ?? 0))));
  // The mean of equal numbers may be rounded: what it is off by must not pass for a deviation.
  least.forEach((value, group) => {
    if (value === most[group]) [offset[group], scale[group]] = [value, 0];
  });
  return { offset, scale };
}

function extremes(sample: Sample, groups: number, isScaled: (feature: number) => boolean): Scale {
  const offset = new Float64Array(groups).fill(Infinity);
  const scale = new Float64Array(groups).fill(-Infinity);
  eachNumber(sample, groups, isScaled, (value, group) => {
    if (value < (offset[group] ?? 0)) offset[group] = value;
    if (value > (scale[group] ?? 0)) scale[group] = value;
  });
  scale.forEach((most, group) => (scale[group] = most - (offset[group] ?? 0)));
  return { offset, scale };
}

/** Writes the scaled numbers of `data`, lines of as many as there are offsets, to `out`. */
export function applyScale(
  { offset, scale }: Scale,
  data: ArrayLike<number>,
  out: FloatArray,
): void {
  const features = offset.length;
  for (let at = 0, feature = 0; at < out.length; at += 1) {
    out[at] = ((data[at] ?? NaN) - (offset[feature] ?? 0)) / (scale[feature] ?? 1);
    if (++feature === features) feature = 0;
  }
}

/** The reverse, in place: entry `at` belongs to the target `targetOf(at)`. */
export function undoScale(
  { offset, scale }: Scale,
  data: FloatArray,
  targetOf: (at: number) => number,
): void {
  for (let at = 0; at < data.length; at += 1) {
    const target = targetOf(at);
    data[at] = (data[at] ?? NaN) * (scale[target] ?? 1) + (offset[target] ?? 0);
  }
}
