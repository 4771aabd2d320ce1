import { z } from 'zod';
import { LookbackError } from '../errors';
import type { NativeSpec } from '../native';
import { parseOptions } from '../options';
import type { CellDefinition, CellInput } from './definition';
import { numberOf, plainInputs, size, specOf } from './definition';
import type { CellStateExtensionOptions } from './extensions';
import { cellStateExtensionSchema, extensionInputs } from './extensions';

/** Options of the batch-normalised LSTM cell and layer. */
export interface BnlstmOptions extends CellStateExtensionOptions {
  /** Size H of the hidden state and of the output. 1 to 16384. */
  units: number;
  /** Features of the input. Needed by `cells.bnlstm`; a layer takes it from what comes before it. */
  inputSize?: number;
  /**
   * Steps that have running statistics of their own; later ones share the last. Needed by `cells.bnlstm`; a layer takes
   * it from the length of its sequences where that is fixed.
   */
  tMax?: number;
  /** The order of the four blocks of H rows, also of `gamma_x`, `gamma_h` and `b`. Paper `fiog`, program `gfio`. Default `'ifgo'`. */
  gateOrder?: 'ifgo' | 'ifog' | 'igfo' | 'gfio' | 'fiog';
  /** A norm for each product, or one over their sum, without `gamma_x`. Default `'separate'`. */
  terms?: 'separate' | 'joint';
  /** Whether c is normalised on its way to h. Default true. */
  bnOutput?: boolean;
  /**
   * Statistics of `x W_x^T` for every step, or over all steps together, for batches whose sequences are padded with
   * zeros. The latter cannot train with `lengths`. Default `'perStep'`.
   */
  inputStats?: 'perStep' | 'sequence';
  /** Added to the variance. Default 1e-5. */
  eps?: number;
  /** Weight of a new batch in the running statistics; the paper's programs take 0.01 to 0.05. 0 to 1. Default 0.01. */
  momentum?: number;
  /**
   * Deviation of Gaussian noise that training adds to the h that each row starts from, as the authors' program does for
   * inputs whose first steps are all alike (0.1 there): their variance is zero. At least 0. Default 0.
   */
  initialNoise?: number;
  /** h and c start at zero, or at trained vectors `h_start` and `c_start`, as in the paper. Default `'zeros'`. */
  initialState?: 'zeros' | 'trained';
  /**
   * How the weights start. `'default'`: `W_x` and `W_h` orthogonal; `'pytorch'`: uniform in ±1/sqrt(H). Either way gamma
   * is 0.1, as the paper found necessary, and `b` 0 with the forget block 1.
   */
  init?: 'default' | 'pytorch';
}

const schema = z.strictObject({
  units: size,
  inputSize: size.optional(),
  tMax: z.int().min(1).max(1_000_000).optional(),
  gateOrder: z.enum(['ifgo', 'ifog', 'igfo', 'gfio', 'fiog']).default('ifgo'),
  terms: z.enum(['separate', 'joint']).default('separate'),
  bnOutput: z.boolean().default(true),
  inputStats: z.enum(['perStep', 'sequence']).default('perStep'),
  eps: z.number().gt(0).max(1).default(1e-5),
  momentum: z.number().min(0).max(1).default(0.01),
  initialNoise: z.number().min(0).default(0),
  initialState: z.enum(['zeros', 'trained']).default('zeros'),
  init: z.enum(['default', 'pytorch']).default('default'),
  ...cellStateExtensionSchema,
});

/** The norms that a spec has, by the ends of their names, with their features and rows of running statistics. */
function sitesOf(spec: NativeSpec): { name: string; shape: [rows: number, features: number] }[] {
  const units = numberOf(spec, 'units');
  const steps = numberOf(spec, 'tMax');
  const rowsOfX = spec['inputStats'] === 'sequence' ? 1 : steps;
  return [
    { name: 'h', shape: [steps, 4 * units] },
    ...(spec['terms'] === 'joint'
      ? []
      : [{ name: 'x', shape: [rowsOfX, 4 * units] as [number, number] }]),
    ...(spec['bnOutput'] === true
      ? [{ name: 'c', shape: [steps, units] as [number, number] }]
      : []),
  ];
}

/**
 * Batch-normalised LSTM (T. Cooijmans et al., arXiv:1603.09025): the LSTM with batch norm on both products, with
 * statistics for every step, and on the cell's way to the output.
 *
 * $$ z = \mathrm{BN}(x_t W_x^T) + \mathrm{BN}(h_{t-1} W_h^T) + b,\quad c_t = f c_{t-1} + i g,\quad
 *    h_t = o \tanh \mathrm{BN}(c_t) $$
 *
 * Inputs of the cell: `x` `[B, T, C]`, `h0` and `c0` `[B, H]`, `lengths` `[B]`, the masks of {@link ExtensionOptions},
 * and the running statistics `running_mean_h`, `running_var_h` and so on for `x` and `c`, `[tMax, features]`, which
 * evaluation also takes as `mean_h`, `var_h`, .... Outputs: `y` `[B, T, H]`, `h_n` and `c_n` `[B, H]`, the running
 * statistics after the pass, and those that each step has used, `mean_h`, ... `[T, features]`. Training needs batches of
 * two rows or more. With `lengths` the statistics of a step are over the rows that still run: the last one alone moves
 * the running means and not the running variances, and a step without rows has none (zeros).
 */
export const bnlstm: CellDefinition<BnlstmOptions> = {
  kind: 'bnlstm',
  resolve(options, where = 'bnlstm') {
    const parsed = parseOptions(schema, options, where);
    if (parsed.terms === 'joint' && parsed.inputStats === 'sequence') {
      throw new LookbackError(
        'ERR_OPTION',
        `${where}: inputStats "sequence" needs terms "separate"; "joint" has no statistics of the input alone`,
      );
    }
    return specOf(parsed);
  },
  inputs(spec, batch, steps) {
    const { mask: _, ...plain } = plainInputs(spec, batch, steps, ['h0', 'c0']);
    const statistics = sitesOf(spec).flatMap(({ name, shape }): [string, CellInput][] => [
      [`running_mean_${name}`, { shape }],
      [`running_var_${name}`, { shape }],
      [`mean_${name}`, { shape }],
      [`var_${name}`, { shape }],
    ]);
    return { ...plain, ...extensionInputs(spec, batch, steps), ...Object.fromEntries(statistics) };
  },
  aliases(spec) {
    const names = sitesOf(spec).flatMap(({ name }): [string, string][] => [
      [`running_mean_${name}`, `buf.${name}.mean`],
      [`running_var_${name}`, `buf.${name}.var`],
      [`mean_${name}`, `buf.${name}.mean`],
      [`var_${name}`, `buf.${name}.var`],
    ]);
    return Object.fromEntries(names);
  },
  needsSteps: 'tMax',
};
