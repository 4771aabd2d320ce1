import { z } from 'zod';
import { parseOptions } from '../options';
import type { CellDefinition } from './definition';
import { biasOf, plainInputs, size, specOf } from './definition';
import type { CellStateExtensionOptions, StartOptions } from './extensions';
import { cellStateExtensionSchema, extensionInputs, startSchema } from './extensions';

/** Options of the LSTM cell and layer. */
export interface LstmOptions extends CellStateExtensionOptions, StartOptions {
  /** Size H of the hidden state and of the output. 1 to 16384. */
  units: number;
  /** Features of the input. Needed by `cells.lstm`; a layer takes it from what comes before it. */
  inputSize?: number;
  /**
   * The order of the four blocks of H rows in `W_x`, `W_h` and the biases: input, forget, candidate (g), output.
   * PyTorch and Keras store `ifgo`. Default `'ifgo'`.
   */
  gateOrder?: 'ifgo' | 'ifog' | 'igfo' | 'gfio' | 'fiog';
  /** Two biases `b_x` and `b_h` as PyTorch has them, one `b`, or none. Default `'double'`, with layer norm `'single'`. */
  bias?: 'double' | 'single' | 'none';
  /**
   * Layer norm over the features of each product of a row (Ba, Kiros, Hinton 2016), and over c on its way to h. Default `'none'`.
   */
  normalization?: 'none' | 'layer';
  /** Added to the pre-activation of the forget gate at run time; TensorFlow 1 stores its weights so. Default 0. */
  forgetBiasAdd?: number;
  /** Of the gates: the logistic function, or `clip(0.2 v + 0.5, 0, 1)` as old Keras has it. Default `'sigmoid'`. */
  recurrentActivation?: 'sigmoid' | 'hardSigmoid';
  /**
   * How the weights start. `'pytorch'`: all uniform in ±1/sqrt(H). `'keras'`: `W_x` Glorot, `W_h` orthogonal, biases 0
   * with the forget block 1. `'default'`: as PyTorch, with the forget bias 1.
   */
  init?: 'default' | 'pytorch' | 'keras';
}

const schema = z.strictObject({
  units: size,
  inputSize: size.optional(),
  gateOrder: z.enum(['ifgo', 'ifog', 'igfo', 'gfio', 'fiog']).default('ifgo'),
  bias: z.enum(['double', 'single', 'none']).optional(),
  normalization: z.enum(['none', 'layer']).default('none'),
  forgetBiasAdd: z.number().default(0),
  recurrentActivation: z.enum(['sigmoid', 'hardSigmoid']).default('sigmoid'),
  init: z.enum(['default', 'pytorch', 'keras']).default('default'),
  ...cellStateExtensionSchema,
  ...startSchema,
});

/**
 * Long short-term memory.
 *
 * $$ z = x_t W_x^T + h_{t-1} W_h^T + b,\quad c_t = f c_{t-1} + i g,\quad h_t = o \tanh c_t $$
 *
 * with i, f, o = σ(z) and g = tanh(z) of their blocks. Inputs of the cell: `x` `[B, T, C]`, `h0` and `c0` `[B, H]`,
 * `mask` `[B, T]` (0 holds the state), `lengths` `[B]`, and the masks of {@link ExtensionOptions}. Outputs: `y` `[B, T, H]`, `h_n` and `c_n` `[B, H]`.
 */
export const lstm: CellDefinition<LstmOptions> = {
  kind: 'lstm',
  resolve(options, where = 'lstm') {
    const { inputSize, bias, ...rest } = parseOptions(schema, options, where);
    return specOf({ ...rest, bias: biasOf(bias, rest.normalization, where), inputSize });
  },
  inputs: (spec, batch, steps) => ({
    ...plainInputs(spec, batch, steps, ['h0', 'c0']),
    ...extensionInputs(spec, batch, steps),
  }),
};
