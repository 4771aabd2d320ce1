import { z } from 'zod';
import { loadAddon } from '../native';
import { parseOptions } from '../options';
import type { Tensor, TensorLike } from '../tensor';
import type { CellDefinition } from './definition';
import { plainInputs, size } from './definition';
import type { OrthogonalOptions } from './orthogonal';
import type { StartOptions } from './extensions';
import { extensionInputs, startSchema } from './extensions';
import { asDoubles, orthogonalSchema, plainSpec, publishedRmsprop } from './orthogonal';

/** Options of the scoRNN cell and layer. */
export interface ScornnOptions extends OrthogonalOptions, StartOptions {
  /** Size n of the state and of the output. 1 to 16384. */
  units: number;
  /** Features of the input. Needed by `cells.scornn`; a layer takes it from what comes before it. */
  inputSize?: number;
  /**
   * How many entries of `d` are -1: the last ones at the start. It decides the determinant of `W`, which training cannot
   * change. 0 to `units`. Default `floor(units / 2)`.
   */
  negatives?: number;
  /** `A` as a whole matrix, or as `A_packed`: its strict upper triangle, row by row. Default `'full'`. */
  storage?: 'full' | 'packed';
  /**
   * After an update that leaves an entry of `A` larger than this, and before the first update where one begins so, `A`
   * and `d` change to another description of the same `W` (see `cells.scornn.resign`), and the optimizer's memory of `A`
   * starts afresh. At least 1; 0: never. Default 0.
   */
  resignAbove?: number;
}

const schema = z
  .strictObject({
    units: size,
    inputSize: size.optional(),
    negatives: z.int().min(0).optional(),
    storage: z.enum(['full', 'packed']).default('full'),
    resignAbove: z
      .number()
      .refine((tau) => tau === 0 || tau >= 1, 'must be 0 or at least 1')
      .default(0),
    ...orthogonalSchema,
    ...startSchema,
    initSign: orthogonalSchema.initSign.default('negative'),
  })
  .refine(({ units, negatives = 0 }) => negatives <= units, {
    path: ['negatives'],
    message: 'must be at most units',
  })
  .refine(({ units, storage }) => units > 1 || storage === 'full', {
    path: ['storage'],
    message: 'must be "full" where units is 1: there is no rotation to store',
  });

/**
 * scoRNN (Helfrich, Willmott, Ye 2018): a recurrent matrix that stays orthogonal, by the scaled Cayley transform.
 *
 * $$ W = (I + A)^{-1} (I - A) \, \mathrm{diag}(d), \qquad h_t = \varphi(x_t W_x^T + h_{t-1} W) $$
 *
 * `A` `[n, n]` is skew-symmetric and trained; `d` `[n]` holds signs and is not. By default `A` learns with an optimizer
 * of its own, RMSprop at rate 1e-4, as published.
 *
 * Inputs of the cell: `x` `[B, T, C]`, `h0` `[B, n]`, `mask` `[B, T]` (0 holds the state), `lengths` `[B]`, and the masks
 * of {@link ExtensionOptions}. Outputs: `y` `[B, T, n]`, `h_n` `[B, n]`, `W` `[n, n]`.
 */
export const scornn: CellDefinition<ScornnOptions> = {
  kind: 'scornn',
  resolve(options, where = 'scornn') {
    const parsed = parseOptions(schema, options, where);
    return plainSpec({ ...parsed, negatives: parsed.negatives ?? Math.floor(parsed.units / 2) });
  },
  inputs: (spec, batch, steps) => ({
    ...plainInputs(spec, batch, steps, ['h0']),
    ...extensionInputs(spec, batch, steps),
  }),
  groups: (spec) => [
    { match: spec['storage'] === 'packed' ? 'A_packed' : 'A', optimizer: publishedRmsprop },
  ],
};

/** What `cells.scornn.resign` gives. */
export interface Resigned {
  A: Tensor<Float64Array>;
  d: Tensor<Float64Array>;
  /** The matrix that both descriptions stand for. */
  W: Tensor<Float64Array>;
  /** The pairs of positions whose signs have flipped, in order. */
  flips: [number, number][];
}

const resignSchema = z.strictObject({ tau: z.number().min(1).default(1) });

/**
 * Another description of the same W in which no entry of A is larger than `tau`. While one is, the largest is pivoted on
 * and two signs flip. Training stalls where A is large, since it must then travel far for a small rotation. In float64.
 *
 * @param A `[n, n]`, skew-symmetric
 * @param d `[n]`, signs
 * @param options `tau`: at least 1, default 1
 * @throws {LookbackError} ERR_OPTION, ERR_SHAPE, ERR_DATA where A is not skew-symmetric or d not made of signs
 */
export function resign(A: TensorLike, d: TensorLike, options: { tau?: number } = {}): Resigned {
  const { tau } = parseOptions(resignSchema, options, 'scornn.resign');
  const signs = asDoubles(d, 'scornn.resign: d', [null]);
  const n = signs.shape[0] ?? 0;
  const given = { A: asDoubles(A, 'scornn.resign: A', [n, n]), d: signs };
  const { flips, ...matrices } = loadAddon().operate('scornn.resign', { tau }, given);
  const numbers = Array.from(flips?.data ?? []);
  const pairs = numbers.flatMap((k, at): [number, number][] =>
    at % 2 === 0 ? [[k, numbers[at + 1] ?? NaN]] : [],
  );
  return { ...(matrices as Omit<Resigned, 'flips'>), flips: pairs };
}
