import { z } from 'zod';
import { parseOptions } from '../options';
import type { CellDefinition } from './definition';
import { biasOf, plainInputs, size, specOf } from './definition';
import type { ExtensionOptions, StartOptions } from './extensions';
import { extensionSchema, extensionInputs, startSchema } from './extensions';

/** Options of the plain recurrent cell and layer. */
export interface RnnOptions extends ExtensionOptions, StartOptions {
  /** Size H of the hidden state and of the output. 1 to 16384. */
  units: number;
  /** Features of the input. Needed by `cells.rnn`; a layer takes it from what comes before it. */
  inputSize?: number;
  /** Default `'tanh'`. */
  activation?: 'tanh' | 'relu';
  /** Two biases `b_x` and `b_h` as PyTorch has them, one `b`, or none. Default `'double'`, with layer norm `'single'`. */
  bias?: 'double' | 'single' | 'none';
  /**
   * Layer norm over the features of each product of a row (Ba, Kiros, Hinton 2016). Default `'none'`.
   */
  normalization?: 'none' | 'layer';
  /**
   * How the weights start. `'default'`: all uniform in ±1/sqrt(H), as PyTorch. `'keras'`: `W_x` Glorot, `W_h` orthogonal,
   * biases 0. `'identity'`: `W_h` the identity, biases 0, `W_x` normal with deviation 0.001 (the IRNN, with `'relu'`).
   */
  init?: 'default' | 'keras' | 'identity';
}

const schema = z.strictObject({
  units: size,
  inputSize: size.optional(),
  activation: z.enum(['tanh', 'relu']).default('tanh'),
  bias: z.enum(['double', 'single', 'none']).optional(),
  normalization: z.enum(['none', 'layer']).default('none'),
  init: z.enum(['default', 'keras', 'identity']).default('default'),
  ...extensionSchema,
  ...startSchema,
});

/**
 * The plain recurrent network (Elman 1990).
 *
 * $$ h_t = \varphi(x_t W_x^T + h_{t-1} W_h^T + b) $$
 *
 * Inputs of the cell: `x` `[B, T, C]`, `h0` `[B, H]`, `mask` `[B, T]` (0 holds the state), `lengths` `[B]`, and the masks of {@link ExtensionOptions}. Outputs: `y`
 * `[B, T, H]`, `h_n` `[B, H]`.
 */
export const rnn: CellDefinition<RnnOptions> = {
  kind: 'rnn',
  resolve(options, where = 'rnn') {
    const { inputSize, bias, ...rest } = parseOptions(schema, options, where);
    return specOf({ ...rest, bias: biasOf(bias, rest.normalization, where), inputSize });
  },
  inputs: (spec, batch, steps) => ({
    ...plainInputs(spec, batch, steps, ['h0']),
    ...extensionInputs(spec, batch, steps),
  }),
};
