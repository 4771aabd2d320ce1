import { z } from 'zod';
import { LookbackError } from '../errors';
import type { LayerSpec } from '../layers';
import { resolveKind } from './specs';

export interface CrossentropyOptions {
  /** What the last layer gives: logits, or probabilities out of a softmax. Default: seen from the last layer. */
  fromLogits?: boolean;
}

const schemas = {
  sparseCategoricalCrossentropy: z.strictObject({ fromLogits: z.boolean().optional() }),
  meanSquaredError: z.strictObject({}),
};

/** A loss with its options. */
export type LossSpec =
  ({ kind: 'sparseCategoricalCrossentropy' } & CrossentropyOptions) | { kind: 'meanSquaredError' };
/** What `compile` takes: a description or a name. */
export type LossLike = LossSpec | LossSpec['kind'];

/** @throws {LookbackError} ERR_OPTION */
export function resolveLoss(value: unknown, where = 'loss'): LossSpec {
  return resolveKind<LossSpec>(schemas, value, where);
}

/** Constructors of losses. */
export const losses = {
  /** Mean over rows of -log of the probability of the row's label. Labels are integers from 0, as `Int32Array`. */
  sparseCategoricalCrossentropy: (options: CrossentropyOptions = {}): LossSpec =>
    resolveLoss({ ...options, kind: 'sparseCategoricalCrossentropy' }),
  /** Mean over rows and outputs of the squared difference. Targets have the shape of the outputs. */
  meanSquaredError: (): LossSpec => resolveLoss('meanSquaredError'),
} as const;

/** Throws ERR_OPTION where `fromLogits` contradicts what the last layer gives. */
export function checkLossFits(loss: LossSpec, last: LayerSpec): void {
  if (loss.kind !== 'sparseCategoricalCrossentropy' || loss.fromLogits === undefined) return;
  const softmax = last.kind === 'dense' && last['activation'] === 'softmax';
  if (loss.fromLogits !== softmax) return;
  const gives = softmax ? 'has activation "softmax" and gives probabilities' : 'gives logits';
  const message = `loss: fromLogits is ${loss.fromLogits} but the last layer ${String(last['name'])} ${gives}; leave fromLogits out`;
  throw new LookbackError('ERR_OPTION', message);
}
