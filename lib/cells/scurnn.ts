import { z } from 'zod';
import { parseOptions } from '../options';
import type { CellDefinition } from './definition';
import { largest, numberOf, size } from './definition';
import type { ExtensionOptions } from './extensions';
import { extensionInputs, extensionSchema } from './extensions';
import { orthogonalSchema, plainSpec } from './orthogonal';

/**
 * Options of the scuRNN cell and layer. Dropout and zoneout take both parts of a complex unit together, which leaves its
 * phase alone.
 */
export interface ScurnnOptions extends ExtensionOptions {
  /** Complex units n; state and output have 2n numbers, real parts first. 1 to 8192. */
  units: number;
  /** Features of the input. Needed by `cells.scurnn`; a layer takes it from what comes before it. */
  inputSize?: number;
  /** `'right'`: z = h W. `'left'`: z = h W^T, without conjugation. Default `'right'`. */
  side?: 'right' | 'left';
  /** Inside the root of modReLU's |z|. 0 or more; above 0 it bounds the gradient near z = 0. Default 1e-5. */
  modReluEpsIn?: number;
  /** Added to |z| where modReLU divides by it. 0 or more. Default 1e-5. */
  modReluEpsOut?: number;
  /** Whether sequences start from a trained state `initial.h0` `[1, 2n]`, the same for every row. Default true. */
  sharedInitialState?: boolean;
  /**
   * The gradient of A: `'author'`, the projection on skew-Hermitian matrices; `'free'`, for the independent real
   * numbers, which is twice it off the diagonal. Default `'author'`.
   */
  gradientScaling?: 'author' | 'free';
  /** Sign of the upper entries of the blocks that `A_re` starts with. Default `'negative'`, the authors'. */
  initSign?: 'negative' | 'positive';
}

const schema = z.strictObject({
  units: size.max(largest / 2),
  inputSize: size.optional(),
  side: orthogonalSchema.side,
  modReluEpsIn: z.number().min(0).default(1e-5),
  modReluEpsOut: z.number().min(0).default(1e-5),
  sharedInitialState: z.boolean().default(true),
  gradientScaling: z.enum(['author', 'free']).default('author'),
  initSign: orthogonalSchema.initSign.default('negative'),
  ...extensionSchema,
});

/** The authors' own RMSprop, for both parts of A. */
const rmsprop = {
  kind: 'rmsprop',
  learningRate: 1e-4,
  rho: 0.9,
  epsilon: 1e-8,
  epsilonInside: true,
} as const;

/**
 * scuRNN (Maduranga, Helfrich, Ye 2019): a complex recurrence with a unitary matrix, by the scaled Cayley transform.
 *
 * $$ W = (I + A)^{-1} (I - A) \, \mathrm{diag}(e^{i\theta}), \qquad h_t = \mathrm{modReLU}(x_t W_x^T + h_{t-1} W; b) $$
 *
 * `A_re` `[n, n]` is skew-symmetric, `A_im` `[n, n]` symmetric, `theta` `[n]` free; `W_x_re`, `W_x_im` are `[n, C]`. By
 * default A learns with RMSprop at rate 1e-4 and theta with Adagrad at rate 1e-3, as published.
 *
 * Inputs of the cell: `x` `[B, T, C]`, `h0` `[B, 2n]`, `mask` `[B, T]` (0 holds the state), `lengths` `[B]`, and the masks
 * of {@link ExtensionOptions}, with n numbers for the units. Outputs: `y` `[B, T, 2n]`, `h_n` `[B, 2n]`, `W_re`, `W_im` `[n, n]`.
 */
export const scurnn: CellDefinition<ScurnnOptions> = {
  kind: 'scurnn',
  resolve: (options, where = 'scurnn') => plainSpec(parseOptions(schema, options, where)),
  inputs: (spec, batch, steps) => ({
    x: { shape: [batch, steps, numberOf(spec, 'inputSize')] },
    h0: { shape: [batch, 2 * numberOf(spec, 'units')] },
    mask: { shape: [batch, steps] },
    lengths: { shape: [batch], integer: true },
    ...extensionInputs(spec, batch, steps),
  }),
  outputSize: (spec) => 2 * numberOf(spec, 'units'),
  groups: () => [
    { match: 'A_re', optimizer: rmsprop },
    { match: 'A_im', optimizer: rmsprop },
    {
      match: 'theta',
      optimizer: { kind: 'adagrad', learningRate: 1e-3, initialAccumulator: 0.1, epsilon: 0 },
    },
  ],
};
