import { z } from 'zod';
import type { NativeSpec } from '../native';
import { isNamed, parseOptions } from '../options';
import type { CellDefinition } from './definition';
import { numberOf, plainInputs, size } from './definition';
import type { OrthogonalOptions } from './orthogonal';
import type { StartOptions } from './extensions';
import { extensionInputs, startSchema } from './extensions';
import { orthogonalSchema, plainSpec } from './orthogonal';

/** How W follows from P and the base, and when the base moves. */
export interface TrivialisationOptions {
  /** The exponential, or the Cayley transform. Default `'expm'`. */
  map?: 'expm' | 'cayley';
  /**
   * Updates from one rebase to the next: there the base becomes W, and P zero. The first comes before the first update.
   * `'infty'`: only that one. 1: Riemannian gradient descent. Default 100.
   */
  rebaseEvery?: number | 'infty';
  /** Rebases from one projection of the base to the nearest orthogonal matrix to the next. At least 1. Default 100. */
  reprojectEvery?: number;
  /**
   * Where the gradient on a rebase step is taken: at the new coordinates, or as the published program does, at the old
   * ones with the new base. Default `'exact'`.
   */
  rebaseGradient?: 'exact' | 'stale';
}

/** Options of the expRNN cell and layer. */
export interface ExprnnOptions extends OrthogonalOptions, TrivialisationOptions, StartOptions {
  /** Size n of the state and of the output. 1 to 16384. */
  units: number;
  /** Features of the input. Needed by `cells.exprnn`; a layer takes it from what comes before it. */
  inputSize?: number;
  /** `'static'`: the base stays the identity. `'dynamic'`: dynamic trivialisation. Default `'static'`. */
  mode?: 'static' | 'dynamic';
  /**
   * Whether a rebase makes the optimizer's memory of P start afresh, which the published one does not. Adam's correction
   * of its moments goes on counting from the first update: with its default betas the steps behind a late rebase are 3
   * to 6 times the learning rate at first. Default false.
   */
  resetOnRebase?: boolean;
  /**
   * How P starts, in blocks: `'cayley'`: -tan(t / 2) with t uniform in [0, pi / 2]; `'henaff'`: uniform in [-pi, pi].
   * Default `'cayley'`.
   */
  init?: 'cayley' | 'henaff';
}

const many = 1 << 20;

/** Of {@link TrivialisationOptions}. */
export const trivialisationSchema = {
  map: z.enum(['expm', 'cayley']).default('expm'),
  rebaseEvery: z.union([z.int().min(1).max(many), z.literal('infty')]).default(100),
  reprojectEvery: z.int().min(1).max(many).default(100),
  rebaseGradient: z.enum(['exact', 'stale']).default('exact'),
};

const schema = z.strictObject({
  units: size,
  inputSize: size.optional(),
  mode: z.enum(['static', 'dynamic']).default('static'),
  ...trivialisationSchema,
  resetOnRebase: z.boolean().default(false),
  init: z.enum(['cayley', 'henaff']).default('cayley'),
  ...orthogonalSchema,
  ...startSchema,
  initSign: orthogonalSchema.initSign.default('negative'),
});

/** The native side counts in numbers: 0 stands for never again. */
export function nativePeriod(rebaseEvery: number | 'infty'): number {
  return rebaseEvery === 'infty' ? 0 : rebaseEvery;
}

/** A spec is resolved more than once: what was resolved is understood again. */
function reopened(options: ExprnnOptions): ExprnnOptions {
  const given: { rebaseEvery?: unknown } = isNamed(options) ? options : {};
  return given.rebaseEvery === 0 ? { ...options, rebaseEvery: 'infty' } : options;
}

function bufferInputs(spec: NativeSpec): ReturnType<CellDefinition<ExprnnOptions>['inputs']> {
  if (spec['mode'] !== 'dynamic') return {};
  const n = numberOf(spec, 'units');
  const stale = spec['rebaseGradient'] === 'stale';
  return {
    'buf.rebase': { shape: [3] },
    ...(stale ? { 'buf.rebaseFrom': { shape: [n, n] } } : {}),
  };
}

/**
 * expRNN (Lezcano-Casado, Martinez-Rubio 2019): a recurrent matrix that stays orthogonal, by the exponential of a
 * skew-symmetric one; in the mode `'dynamic'`, dynamic trivialisation (Lezcano-Casado 2019).
 *
 * $$ W = \mathrm{base} \cdot \exp(\mathrm{triu}(P, 1) - \mathrm{triu}(P, 1)^T), \quad h_t = \varphi(x_t W_x^T + h_{t-1} W) $$
 *
 * `P` `[n, n]` is trained, its strict upper triangle alone counts; `base` `[n, n]` is orthogonal and not trained. By
 * default `P` learns with an optimizer of its own, RMSprop at rate 1e-4, as published.
 *
 * Inputs of the cell: `x` `[B, T, C]`, `h0` `[B, n]`, `mask` `[B, T]` (0 holds the state), `lengths` `[B]`, the masks of
 * {@link ExtensionOptions}, and in the mode `'dynamic'` `buf.rebase` `[3]` (updates until the next rebase, rebases since the last projection, whether the last
 * update was one). Outputs: `y` `[B, T, n]`, `h_n` `[B, n]`, `W`, `A` `[n, n]`. A single pass never moves the base:
 * training does, between updates, and so does {@link DynamicTrivialisation}.
 */
export const exprnn: CellDefinition<ExprnnOptions> = {
  kind: 'exprnn',
  resolve(options, where = 'exprnn') {
    const parsed = parseOptions(schema, reopened(options), where);
    return plainSpec({ ...parsed, rebaseEvery: nativePeriod(parsed.rebaseEvery) });
  },
  inputs: (spec, batch, steps) => ({
    ...plainInputs(spec, batch, steps, ['h0']),
    ...extensionInputs(spec, batch, steps),
    ...bufferInputs(spec),
  }),
  groups: () => [
    {
      match: 'P',
      optimizer: { kind: 'rmsprop', learningRate: 1e-4, rho: 0.99, epsilon: 1e-8 },
    },
  ],
};
