import { z } from 'zod';
import type { NativeSpec, NativeTensors } from '../native';
import { loadAddon } from '../native';
import { parseOptions } from '../options';
import type { Tensor, TensorLike } from '../tensor';
import type { TrivialisationOptions } from './exprnn';
import { nativePeriod, trivialisationSchema } from './exprnn';
import { asDoubles, plainSpec } from './orthogonal';

const schema = z.strictObject(trivialisationSchema);

/** A matrix [n, n] in float64. */
type Matrix = Tensor<Float64Array>;

/**
 * An orthogonal matrix that any optimizer can train: build W, take the gradient, move P, and again.
 *
 * @example
 * ```ts
 * const matrix = cells.exprnn.dynamicTrivialisation([[0, 1], [0, 0]], [[1, 0], [0, 1]], { rebaseEvery: 10 });
 * for (let update = 0; update < 30; update += 1) {
 *   const W = matrix.build();
 *   // Towards the rotation by a right angle: the gradient of ||W - R||^2 / 2.
 *   const { data } = matrix.gradient(W.data.map((entry, at) => entry - [0, -1, 1, 0][at]));
 *   data.forEach((d, at) => (matrix.P.data[at] -= 0.2 * d));
 * }
 * const { data } = matrix.build(); // near 0, -1, 1, 0
 * ```
 */
export class DynamicTrivialisation {
  /** `[n, n]`, the strict upper triangle alone counts. To be updated in place; `build` zeroes it when it rebases. */
  readonly P: Matrix;
  readonly #spec: NativeSpec;
  #base: Matrix;
  #state: NativeTensors;

  /** @internal Use `cells.exprnn.dynamicTrivialisation`. */
  constructor(P: TensorLike, base: TensorLike, options: TrivialisationOptions) {
    const where = 'exprnn.dynamicTrivialisation';
    const { rebaseEvery, ...others } = parseOptions(schema, options, where);
    const start = asDoubles(P, `${where}: P`, [null, null]);
    const [n = 0] = start.shape;
    this.#spec = plainSpec({ ...others, mode: 'dynamic', rebaseEvery: nativePeriod(rebaseEvery) });
    this.P = asDoubles(P, `${where}: P`, [n, n]);
    this.#base = asDoubles(base, `${where}: base`, [n, n]);
    this.#state = {};
  }

  /** `[n, n]`, orthogonal. */
  get base(): Matrix {
    return this.#base;
  }

  /**
   * W for the P of now; first moves the base there where that is due. Once before each update, and once after the last.
   *
   * @throws {LookbackError} ERR_NUMERIC where the base is not orthogonal or P not finite
   */
  build(): Matrix {
    const given = { P: this.P, base: this.#base, ...this.#state };
    const { P, base, W, ...state } = loadAddon().operate('exprnn.build', this.#spec, given);
    this.P.data.set((P as Matrix).data);
    this.#base = base as Matrix;
    this.#state = state;
    return W as Matrix;
  }

  /**
   * The gradient of P, zero below the diagonal, from that of the W of the last `build`.
   *
   * @param G `[n, n]`
   */
  gradient(G: TensorLike): Matrix {
    const { shape } = this.P;
    const given = {
      P: this.P,
      base: this.#base,
      G: asDoubles(G, 'exprnn.dynamicTrivialisation: G', shape),
      ...this.#state,
    };
    return loadAddon().operate('exprnn.gradient', this.#spec, given)['P'] as Matrix;
  }
}

/**
 * An orthogonal matrix by dynamic trivialisation, outside of any model. In float64.
 *
 * @param P `[n, n]`, copied; its strict upper triangle alone counts
 * @param base `[n, n]`, orthogonal, copied
 * @throws {LookbackError} ERR_OPTION, ERR_SHAPE
 */
export function dynamicTrivialisation(
  P: TensorLike,
  base: TensorLike,
  options: TrivialisationOptions = {},
): DynamicTrivialisation {
  return new DynamicTrivialisation(P, base, options);
}
