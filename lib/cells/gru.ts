import { z } from 'zod';
import { LookbackError } from '../errors';
import { parseOptions } from '../options';
import type { CellDefinition } from './definition';
import { plainInputs, size, specOf } from './definition';
import type { ExtensionOptions, StartOptions } from './extensions';
import { extensionInputs, extensionSchema, startSchema } from './extensions';

/** Options of the GRU cell and layer. */
export interface GruOptions extends ExtensionOptions, StartOptions {
  /** Size H of the hidden state and of the output. 1 to 16384. */
  units: number;
  /** Features of the input. Needed by `cells.gru`; a layer takes it from what comes before it. */
  inputSize?: number;
  /**
   * Where the reset gate acts: on the product with h, as PyTorch, cuDNN and Keras (`reset_after`) have it, or on h
   * before the product, as first published. Default `'after'`.
   */
  reset?: 'after' | 'before';
  /** What the update gate z weighs: the old state (PyTorch, Keras), or the new one. Default `'keep'`. */
  update?: 'keep' | 'write';
  /** The order of the three blocks of H rows in `W_x`, `W_h` and the biases: PyTorch's, or Keras'. Default `'rzn'`. */
  gateOrder?: 'rzn' | 'zrn';
  /**
   * Two biases `b_x` and `b_h`, only `b_x`, or none. Default `'double'`; with `reset: 'before'`, where a second one
   * would be the same as the first, `'single'`.
   */
  bias?: 'double' | 'single' | 'none';
  /**
   * Layer norm over the features of each product of a row (Ba, Kiros, Hinton 2016); for `reset: 'after'`. Default `'none'`.
   */
  normalization?: 'none' | 'layer';
  /**
   * How the weights start. `'default'` and `'pytorch'`: all uniform in ±1/sqrt(H). `'keras'`: `W_x` Glorot, `W_h`
   * orthogonal, biases 0.
   */
  init?: 'default' | 'pytorch' | 'keras';
}

const schema = z.strictObject({
  units: size,
  inputSize: size.optional(),
  reset: z.enum(['after', 'before']).default('after'),
  update: z.enum(['keep', 'write']).default('keep'),
  gateOrder: z.enum(['rzn', 'zrn']).default('rzn'),
  bias: z.enum(['double', 'single', 'none']).optional(),
  normalization: z.enum(['none', 'layer']).default('none'),
  init: z.enum(['default', 'pytorch', 'keras']).default('default'),
  ...extensionSchema,
  ...startSchema,
});

/**
 * Gated recurrent unit.
 *
 * $$ r, z = \sigma(x_t W_x^T + b_x + h_{t-1} W_h^T + b_h),\quad
 *    n = \tanh(x_t W_{xn}^T + b_{xn} + r\,(h_{t-1} W_{hn}^T + b_{hn})),\quad h_t = z h_{t-1} + (1 - z) n $$
 *
 * Inputs of the cell: `x` `[B, T, C]`, `h0` `[B, H]`, `mask` `[B, T]` (0 holds the state), `lengths` `[B]`, and the masks of {@link ExtensionOptions}. Outputs: `y`
 * `[B, T, H]`, `h_n` `[B, H]`.
 */
export const gru: CellDefinition<GruOptions> = {
  kind: 'gru',
  resolve(options, where = 'gru') {
    const { inputSize, bias: given, ...rest } = parseOptions(schema, options, where);
    const bias = given ?? (rest.reset === 'after' ? 'double' : 'single');
    if (rest.reset === 'before' && bias === 'double') {
      throw new LookbackError(
        'ERR_OPTION',
        `${where}: bias "double" with reset "before" would be one bias twice; use "single", or reset "after"`,
      );
    }
    if (rest.reset === 'before' && rest.normalization === 'layer') {
      throw new LookbackError(
        'ERR_OPTION',
        `${where}: normalization "layer" with reset "before" is not defined; use reset "after"`,
      );
    }
    return specOf({ ...rest, bias, inputSize });
  },
  inputs: (spec, batch, steps) => ({
    ...plainInputs(spec, batch, steps, ['h0']),
    ...extensionInputs(spec, batch, steps),
  }),
};
