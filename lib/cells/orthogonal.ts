/**
 * What the cells with an orthogonal recurrent matrix have in common.
 */
import { z } from 'zod';
import type { NativeSpec } from '../native';
import type { ExtensionOptions } from './extensions';
import { extensionSchema } from './extensions';
import type { ShapePattern, Tensor, TensorLike } from '../tensor';
import { asTensor, dtypeOf } from '../tensor';

/** Options around the recurrent matrix. */
export interface OrthogonalOptions extends ExtensionOptions {
  /** Applied to z. `'modrelu'` is sign(z) max(|z| + b, 0). Default `'modrelu'`. */
  activation?: 'modrelu' | 'relu' | 'tanh' | 'sigmoid' | 'identity';
  /** Whether there is a bias `b`: inside modReLU, added to z otherwise. Default true. */
  bias?: boolean;
  /** `'right'`: z = h W, as the authors' programs have it. `'left'`: z = h W^T, as the papers do. Default `'right'`. */
  side?: 'right' | 'left';
  /** Sign of the upper entries of the blocks that the skew-symmetric matrix starts with. Default: the authors'. */
  initSign?: 'negative' | 'positive';
}

export const orthogonalSchema = {
  activation: z.enum(['modrelu', 'relu', 'tanh', 'sigmoid', 'identity']).default('modrelu'),
  bias: z.boolean().default(true),
  side: z.enum(['right', 'left']).default('right'),
  initSign: z.enum(['negative', 'positive']),
  ...extensionSchema,
};

/** What scoRNN's and ENRNN's programs train A with: RMSprop as TensorFlow 1 has it. */
export const publishedRmsprop: NativeSpec = {
  kind: 'rmsprop',
  learningRate: 1e-4,
  rho: 0.9,
  epsilon: 1e-10,
  epsilonInside: true,
  initialMeanSquare: 1,
};

/** A spec without the options that were left open. */
export function plainSpec(
  options: Record<string, string | number | boolean | undefined>,
): NativeSpec {
  const entries = Object.entries(options).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as NativeSpec;
}

/** A tensor of floats of either type, in float64. */
export function asDoubles(
  value: TensorLike,
  name: string,
  shape: ShapePattern,
): Tensor<Float64Array> {
  const data: unknown = typeof value === 'object' && 'data' in value ? value.data : value;
  const single = dtypeOf(data) === 'float32';
  const tensor = asTensor(value, { name, dtype: single ? 'float32' : 'float64', shape });
  return { shape: tensor.shape, data: Float64Array.from(tensor.data) };
}
