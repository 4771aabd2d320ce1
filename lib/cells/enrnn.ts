import { z } from 'zod';
import { parseOptions } from '../options';
import type { CellDefinition } from './definition';
import { numberOf, size } from './definition';
import type { StartOptions } from './extensions';
import { extensionInputs, startSchema } from './extensions';
import type { OrthogonalOptions } from './orthogonal';
import { orthogonalSchema, plainSpec, publishedRmsprop } from './orthogonal';

/** Options of the ENRNN cell and layer. */
export interface EnrnnOptions extends OrthogonalOptions, StartOptions {
  /** Size of the long-term block, whose matrix `W_L` is orthogonal. 1 to 16384. */
  longUnits: number;
  /** Size of the short-term block, whose matrix `W_S` has a spectral radius of at most 1. 1 to 16384. */
  shortUnits: number;
  /** Features of the input. Needed by `cells.enrnn`; a layer takes it from what comes before it. */
  inputSize?: number;
  /** How many entries of `d` are -1. 0 to `longUnits`. Default about 0.3 of `longUnits`, as published. */
  negatives?: number;
  /** `A` as a whole matrix, or as `A_packed`: its strict upper triangle, row by row. Default `'full'`. */
  storage?: 'full' | 'packed';
  /** Whether the short-term state feeds the long-term one, through `W_C`. Default true. */
  coupled?: boolean;
  /**
   * When `W_S = T / (rho + normEps)`; `W_S = T` otherwise. `'sticky'`: from the first update on whose rho exceeds 1, for
   * ever (a bit that checkpoints hold). `'always'`, `'threshold'` (while rho exceeds 1), `'off'`. Default `'sticky'`.
   */
  normMode?: 'sticky' | 'always' | 'threshold' | 'off';
  /** Above 0 it puts all modes strictly inside the unit circle. 0 or more. Default 0. */
  normEps?: number;
  /** False treats rho as a constant, which is not the published method. Default true. */
  gradThroughNorm?: boolean;
  /**
   * Where the cosine between the left and the right eigenvector is smaller, the gradient through rho is left out and
   * `buf.nearDefective` counts it. 0 or more. Default 1e-4.
   */
  minCosine?: number;
  /** With an odd `shortUnits`, which column of `T` starts with a gain of its own; `'first'` is the authors'. Default `'last'`. */
  oddGain?: 'last' | 'first';
}

const schema = z
  .strictObject({
    longUnits: size,
    shortUnits: size,
    inputSize: size.optional(),
    negatives: z.int().min(0).optional(),
    storage: z.enum(['full', 'packed']).default('full'),
    coupled: z.boolean().default(true),
    normMode: z.enum(['sticky', 'always', 'threshold', 'off']).default('sticky'),
    normEps: z.number().min(0).default(0),
    gradThroughNorm: z.boolean().default(true),
    minCosine: z.number().min(0).default(1e-4),
    oddGain: z.enum(['last', 'first']).default('last'),
    ...orthogonalSchema,
    ...startSchema,
    initSign: orthogonalSchema.initSign.default('positive'),
  })
  .refine(({ longUnits, negatives = 0 }) => negatives <= longUnits, {
    path: ['negatives'],
    message: 'must be at most longUnits',
  })
  .refine(({ longUnits, storage }) => longUnits > 1 || storage === 'full', {
    path: ['storage'],
    message: 'must be "full" where longUnits is 1: there is no rotation to store',
  });

const unitsOf = (spec: Parameters<typeof numberOf>[0]): number =>
  numberOf(spec, 'longUnits') + numberOf(spec, 'shortUnits');

/**
 * ENRNN (Helfrich, Ye 2019): a long-term block with an orthogonal matrix, fed by a short-term block whose
 * matrix is divided by its spectral radius.
 *
 * $$ z_L = x W_{xL}^T + h_L W_L + h_S W_C, \quad z_S = x W_{xS}^T + h_S W_S, \quad W_S = T / (\rho(T) + \epsilon) $$
 *
 * `W_L` is scoRNN's, from `A` and `d`. By default `A` learns with an optimizer of its own, RMSprop at rate 1e-4, as
 * published; `T` with that of all other weights. `W_C` is `[shortUnits, longUnits]`, transposed with side `'left'`.
 *
 * The dominant eigenvalue of T is followed from one training pass to the next; all eigenvalues are computed at least in
 * every twentieth. Where single updates change T by several percent, another one may be the largest for the passes until
 * then, and rho too small by a few percent.
 *
 * Inputs of the cell: `x` `[B, T, C]`, `h0` `[B, n]` with n = longUnits + shortUnits, `mask` `[B, T]` (0 holds the state),
 * `lengths` `[B]`, the masks of {@link ExtensionOptions}, and the state of the normalisation: `buf.normActive` `[1]` (the sticky bit), `buf.nearDefective`
 * `[1]` and `buf.eigen*`. Outputs: `y` `[B, T, n]`, `h_n` `[B, n]`, `W_L`, `W_S`, `rho` `[1]`, `lambda` `[2]` (real part
 * and size of the imaginary one), `drho_dT`, and those buffers after the pass.
 */
export const enrnn: CellDefinition<EnrnnOptions> = {
  kind: 'enrnn',
  resolve(options, where = 'enrnn') {
    const parsed = parseOptions(schema, options, where);
    return plainSpec({
      ...parsed,
      negatives: parsed.negatives ?? Math.round(0.3 * parsed.longUnits),
    });
  },
  inputs(spec, batch, steps) {
    const eigenvector = { shape: [2, numberOf(spec, 'shortUnits')] };
    return {
      x: { shape: [batch, steps, numberOf(spec, 'inputSize')] },
      h0: { shape: [batch, unitsOf(spec)] },
      mask: { shape: [batch, steps] },
      lengths: { shape: [batch], integer: true },
      'buf.normActive': { shape: [1] },
      'buf.nearDefective': { shape: [1] },
      'buf.eigenRight': eigenvector,
      'buf.eigenLeft': eigenvector,
      'buf.eigenSolve': { shape: [4] },
      ...extensionInputs(spec, batch, steps, unitsOf(spec)),
    };
  },
  outputSize: unitsOf,
  groups: (spec) => [
    { match: spec['storage'] === 'packed' ? 'A_packed' : 'A', optimizer: publishedRmsprop },
  ],
};
