import { z } from 'zod';
import { LookbackError } from '../errors';
import type { LayerSpec } from '../layers';
import type { NativeSpec } from '../native';
import { ofKind } from '../options';
import { resolveKind } from './specs';

export interface CrossentropyOptions {
  /** What the last layer gives: logits, or probabilities out of a softmax. Default: seen from the last layer. */
  fromLogits?: boolean;
  /** A weight for each class, at least 0. Default: all 1. */
  classWeight?: readonly number[];
}

/** What the losses take that compare outputs with targets. */
export interface TargetLossOptions {
  /** Whether targets that are NaN take no part; without it they are an error. Default false. */
  skipNaN?: boolean;
}

export interface BinaryCrossentropyOptions extends TargetLossOptions {
  /** What the last layer gives: logits, or probabilities out of a sigmoid. Default: seen from the last layer. */
  fromLogits?: boolean;
}

export interface HuberOptions extends TargetLossOptions {
  /** Where squares turn into absolute values. Above 0. Default 1. */
  delta?: number;
}

export interface QuantileOptions extends TargetLossOptions {
  /** Each between 0 and 1; the model has that many outputs for each target. 1 to 64 of them. */
  quantiles: readonly number[];
}

export interface GaussianOptions extends TargetLossOptions {
  /** Added to every variance. At least 0. Default 1e-6. */
  minVariance?: number;
}

const skipNaN = z.boolean().default(false);
const fromLogits = z.boolean().optional();

/** The options of each kind. @internal */
export const lossSchemas = {
  sparseCategoricalCrossentropy: z.strictObject({
    fromLogits,
    classWeight: z.array(z.number().min(0)).min(1).optional(),
  }),
  meanSquaredError: z.strictObject({ skipNaN }),
  meanAbsoluteError: z.strictObject({ skipNaN }),
  huber: z.strictObject({ skipNaN, delta: z.number().gt(0).default(1) }),
  quantile: z.strictObject({
    skipNaN,
    quantiles: z.array(z.number().gt(0).lt(1)).min(1).max(64),
  }),
  gaussianNegativeLogLikelihood: z.strictObject({
    skipNaN,
    minVariance: z.number().min(0).default(1e-6),
  }),
  binaryCrossentropy: z.strictObject({ skipNaN, fromLogits }),
};

/** A loss with its options. */
export type LossSpec =
  | ({ kind: 'sparseCategoricalCrossentropy' } & CrossentropyOptions)
  | ({ kind: 'meanSquaredError' | 'meanAbsoluteError' } & TargetLossOptions)
  | ({ kind: 'huber' } & HuberOptions)
  | ({ kind: 'quantile' } & QuantileOptions)
  | ({ kind: 'gaussianNegativeLogLikelihood' } & GaussianOptions)
  | ({ kind: 'binaryCrossentropy' } & BinaryCrossentropyOptions);
/** What `compile` takes: a description or a name. */
export type LossLike = LossSpec | Exclude<LossSpec['kind'], 'quantile'>;

/** @throws {LookbackError} ERR_OPTION */
export function resolveLoss(value: unknown, where = 'loss'): LossSpec {
  return resolveKind<LossSpec>(lossSchemas, value, where);
}

/**
 * Constructors of losses. Where the model gives an output at every step, so have labels, targets and weights one, and
 * the mean is over all valid steps of the batch.
 */
export const losses = {
  /** Mean of -log of the probability of the label. Labels are integers from 0, as `Int32Array`. */
  sparseCategoricalCrossentropy: (options: CrossentropyOptions = {}): LossSpec =>
    resolveLoss(
      ofKind('sparseCategoricalCrossentropy', options, 'loss sparseCategoricalCrossentropy'),
    ),
  /** Mean of the squared difference. Targets have the shape of the outputs. */
  meanSquaredError: (options: TargetLossOptions = {}): LossSpec =>
    resolveLoss(ofKind('meanSquaredError', options, 'loss meanSquaredError')),
  /** Mean of the absolute difference. */
  meanAbsoluteError: (options: TargetLossOptions = {}): LossSpec =>
    resolveLoss(ofKind('meanAbsoluteError', options, 'loss meanAbsoluteError')),
  /** Half the square of differences up to `delta`; from there on `delta (|difference| - delta / 2)`. */
  huber: (options: HuberOptions = {}): LossSpec =>
    resolveLoss(ofKind('huber', options, 'loss huber')),
  /**
   * Pinball loss: `q` times what the output is below the target, `1 - q` times what it is above. The outputs are all
   * quantiles of the first target, then those of the next.
   */
  quantile: (options: QuantileOptions): LossSpec =>
    resolveLoss(ofKind('quantile', options, 'loss quantile')),
  /**
   * `(log(2 pi) + log v + (target - mean)^2 / v) / 2` with `v = exp(s) + minVariance`. The outputs are the means of all
   * targets, then their `s`.
   */
  gaussianNegativeLogLikelihood: (options: GaussianOptions = {}): LossSpec =>
    resolveLoss(
      ofKind('gaussianNegativeLogLikelihood', options, 'loss gaussianNegativeLogLikelihood'),
    ),
  /** `-t log p - (1 - t) log(1 - p)` for targets from 0 to 1, in the shape of the outputs. */
  binaryCrossentropy: (options: BinaryCrossentropyOptions = {}): LossSpec =>
    resolveLoss(ofKind('binaryCrossentropy', options, 'loss binaryCrossentropy')),
} as const;

/** Whether the answers are labels. */
export function wantsLabels(
  loss: LossSpec,
): loss is Extract<LossSpec, { kind: 'sparseCategoricalCrossentropy' }> {
  return loss.kind === 'sparseCategoricalCrossentropy';
}

/** Outputs that go with one target. */
export function outputsPerTarget(loss: LossSpec): number {
  if (loss.kind === 'quantile') return loss.quantiles.length;
  return loss.kind === 'gaussianNegativeLogLikelihood' ? 2 : 1;
}

/** The loss as the engine takes it. */
export function nativeLoss(loss: LossSpec): NativeSpec {
  if (wantsLabels(loss)) return { kind: 'softmaxCrossEntropy' };
  const spec: NativeSpec = { kind: loss.kind, skipNaN: loss.skipNaN ?? false };
  if (loss.kind === 'huber') spec['delta'] = loss.delta ?? 1;
  if (loss.kind === 'gaussianNegativeLogLikelihood') spec['minVariance'] = loss.minVariance ?? 1e-6;
  if (loss.kind === 'quantile') {
    loss.quantiles.forEach((quantile, index) => (spec[`quantile${index}`] = quantile));
  }
  return spec;
}

/**
 * Throws ERR_OPTION where the loss would take probabilities for logits, where `fromLogits` contradicts what the last layer
 * gives or the weights are not one per class, ERR_SHAPE where the outputs do not go with the targets.
 */
export function checkLossFits(loss: LossSpec, layers: readonly LayerSpec[], outputs: number): void {
  const last = layers.at(-1);
  if (!last) return;
  if (wantsLabels(loss) || loss.kind === 'binaryCrossentropy') checkProbabilities(layers, last);
  if (loss.kind === 'sparseCategoricalCrossentropy') {
    checkLogits(loss.fromLogits, last, 'softmax');
    if (loss.classWeight && loss.classWeight.length !== outputs) {
      const message = `loss: classWeight has ${loss.classWeight.length} entries; expected ${outputs}, one per output of the last layer`;
      throw new LookbackError('ERR_OPTION', message);
    }
  }
  if (loss.kind === 'binaryCrossentropy') checkLogits(loss.fromLogits, last, 'sigmoid');
  const each = outputsPerTarget(loss);
  if (outputs % each !== 0) {
    const message = `the loss ${loss.kind} wants ${each} outputs for each target, but the last layer ${String(last['name'])} has ${outputs}; give it ${each} times as many as there are targets`;
    throw new LookbackError('ERR_SHAPE', message);
  }
}

/** Only the activation of the last layer is seen by the loss; behind it a pool or a dropout hands probabilities on. */
function checkProbabilities(layers: readonly LayerSpec[], last: LayerSpec): void {
  const source = layers.filter(({ kind }) => kind !== 'pool' && kind !== 'dropout').at(-1);
  const activation = source?.kind === 'dense' ? source['activation'] : null;
  if (!source || source === last || (activation !== 'softmax' && activation !== 'sigmoid')) return;
  const message = `loss: layer ${String(source['name'])} gives probabilities by its activation "${activation}", and the ${last.kind} ${String(last['name'])} behind it would hand them to the loss as logits; put the ${last.kind} before the dense layer, or leave its activation out`;
  throw new LookbackError('ERR_OPTION', message);
}

function checkLogits(given: boolean | undefined, last: LayerSpec, activation: string): void {
  if (given === undefined) return;
  const ends = last.kind === 'dense' && last['activation'] === activation;
  if (given !== ends) return;
  const gives = ends ? `has activation "${activation}" and gives probabilities` : 'gives logits';
  const message = `loss: fromLogits is ${given} but the last layer ${String(last['name'])} ${gives}; leave fromLogits out`;
  throw new LookbackError('ERR_OPTION', message);
}
