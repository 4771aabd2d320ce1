import { z } from 'zod';
import { LookbackError } from '../errors';
import { parseOptions } from '../options';
import type { CellDefinition } from './definition';
import { numberOf, plainInputs, size, specOf } from './definition';
import type { CellStateExtensionOptions, StartOptions } from './extensions';
import { cellStateExtensionSchema, extensionInputs, startSchema } from './extensions';

/**
 * Options of the RRA cell and layer. Only `units` is needed. `recurrentDropout` also meets the scores of
 * `attention: 'softmaxPerStep'`, which are made by the recurrent product, and not those of `'dotPerStep'`.
 */
export interface RraOptions extends CellStateExtensionOptions, StartOptions {
  /** Size H of the hidden state and of the output. 1 to 16384. */
  units: number;
  /** Features of the input. Needed by `cells.rra`; a layer takes it from what comes before it. */
  inputSize?: number;
  /** How many past hidden states are attended to. 1 to 16384. Default 10. */
  K?: number;
  /** What the attention is added to: an LSTM or a plain recurrent cell. Default `'lstm'`. */
  base?: 'lstm' | 'rnn';
  /**
   * Where the K weights come from: learned directly (`W_a`), from the input and the state before (`V_x`, `V_h`, `v_b`),
   * or from products of the state before with the attended ones. Default `'gate'`.
   */
  attention?: 'gate' | 'softmaxPerStep' | 'dotPerStep';
  /**
   * How learned weights are normalised; of no effect on the other kinds of attention. The paper divides by their sum
   * (`'sum'`), which nothing keeps away from 0 while training: near 0 the gradient grows without bound, and at 0 the cell
   * stops with `ERR_NUMERIC`. The default is therefore `'softmax'`, which the author uses in a later program.
   */
  normalize?: 'sum' | 'softmax' | 'l1' | 'none';
  /** One learned weight for an attended state, or one for each of its units. Default `'vector'`. */
  gateShape?: 'vector' | 'matrix';
  /** Where the weighted sum a enters (see `layers.rra`); base `'rnn'` knows the first two. Default `'insideTanh'`. */
  inject?: 'insideTanh' | 'output' | 'gatedOutput' | 'cell' | 'candidate';
  /** The newest attended state is that of `lag` steps before. 1 to 16384. Default 1. */
  lag?: number;
  /**
   * While fewer than K states exist: the missing ones count as zeros with their weights, or the weights are normalised
   * over those that exist. `'renormalize'` knows how many exist from where a sequence begins, so a model with it has no streams,
   * no `stateful` runs and no given or returned states. A `window0` of the cell counts as full. Default `'zeros'`.
   */
  warmup?: 'zeros' | 'renormalize';
  /** `h0` is the first attended state; of no effect where `window0` is given. Default false. */
  includeInitial?: boolean;
  /**
   * The order of the four blocks of H rows in `W_x`, `W_h` and `b`: the letters of input, forget, candidate (g) and
   * output. The author's program has `ifog`. Default `'ifgo'`.
   */
  gateOrder?: string;
  /** Of base `'rnn'`. Default `'tanh'`. */
  activation?: 'tanh' | 'relu' | 'elu';
  /** Factor on the products of `'dotPerStep'`, such as 1 / sqrt(H). Default 1. */
  dotScale?: number;
  /**
   * How the weights start. `'author'`: kernels uniform in ±0.1, biases 0, `W_a` uniform in [0, 1). `'default'`: kernels
   * uniform in ±1/sqrt(H), biases 0 with the forget block 1, `W_a` uniform in [0, 1) where it is divided by its sum and
   * 0 otherwise.
   */
  init?: 'default' | 'author';
}

const schema = z.strictObject({
  units: size,
  inputSize: size.optional(),
  K: size.default(10),
  base: z.enum(['lstm', 'rnn']).default('lstm'),
  attention: z.enum(['gate', 'softmaxPerStep', 'dotPerStep']).default('gate'),
  normalize: z.enum(['sum', 'softmax', 'l1', 'none']).default('softmax'),
  gateShape: z.enum(['vector', 'matrix']).default('vector'),
  inject: z
    .enum(['insideTanh', 'output', 'gatedOutput', 'cell', 'candidate'])
    .default('insideTanh'),
  lag: size.default(1),
  warmup: z.enum(['zeros', 'renormalize']).default('zeros'),
  includeInitial: z.boolean().default(false),
  gateOrder: z.string().default('ifgo'),
  activation: z.enum(['tanh', 'relu', 'elu']).default('tanh'),
  dotScale: z.number().default(1),
  init: z.enum(['default', 'author']).default('default'),
  ...cellStateExtensionSchema,
  ...startSchema,
  // No default: base 'rnn' has no c.
  zoneoutCell: cellStateExtensionSchema.zoneoutCell.removeDefault().optional(),
});

type Parsed = z.output<typeof schema>;

/**
 * Recurrent residual attention: an LSTM whose output also sees a weighted sum of its last K hidden states (C. Wang,
 * arXiv:1709.03714).
 *
 * $$ a_t = \sum_{k<K} w_k\,h_{t-\mathrm{lag}-k},\quad c_t = f c_{t-1} + i g,\quad h_t = o \tanh(c_t + a_t) $$
 *
 * That is `inject: 'insideTanh'`. `'output'`: h = o tanh(c) + a; `'gatedOutput'`: h = o (tanh(c) + a); `'cell'`: a is
 * added to c, which is carried on; `'candidate'`: g = tanh(z + a). Base `'rnn'`: h = φ(z + a), or φ(z) + a.
 *
 * Inputs of the cell: `x` `[B, T, C]`, `h0` and `c0` `[B, H]`, `window0` `[K + lag - 1, B, H]` (the states before the
 * first step, newest first), `mask` `[B, T]` (0 holds the state), `lengths` `[B]`, and the masks of
 * {@link ExtensionOptions}. Outputs: `y` `[B, T, H]`, `h_n` and `c_n` `[B, H]`, `window_n` `[K + lag - 1, B, H]` and, with `attention: 'gate'`, the normalised weights `w`: `[K]` or
 * `[K, H]`, with `warmup: 'renormalize'` one such set for each number of states in the window.
 */
export const rra: CellDefinition<RraOptions> = {
  kind: 'rra',
  resolve(options, where = 'rra') {
    const parsed = parseOptions(schema, options, where);
    checkCombination(parsed, where);
    const { inputSize, zoneoutCell = 0, ...rest } = parsed;
    return specOf({ ...rest, ...(parsed.base === 'lstm' && { zoneoutCell }), inputSize });
  },
  inputs(spec, batch, steps) {
    const states = spec['base'] === 'rnn' ? ['h0'] : ['h0', 'c0'];
    const depth = numberOf(spec, 'K') + numberOf(spec, 'lag') - 1;
    return {
      ...plainInputs(spec, batch, steps, states),
      ...extensionInputs(spec, batch, steps),
      window0: { shape: [depth, batch, numberOf(spec, 'units')] },
    };
  },
};

function checkCombination(
  { gateOrder, base, inject, zoneoutCell = 0 }: Parsed,
  where: string,
): void {
  const refuse = (message: string): never => {
    throw new LookbackError('ERR_OPTION', `${where}: ${message}`);
  };
  if ([...gateOrder].sort().join('') !== 'fgio') {
    refuse(`gateOrder is "${gateOrder}"; expected the letters i, f, g and o in some order`);
  }
  if (base === 'rnn' && zoneoutCell > 0) {
    refuse('zoneoutCell needs base "lstm"; base "rnn" has no c: use zoneout, or base "lstm"');
  }
  if (base === 'rnn' && inject !== 'insideTanh' && inject !== 'output') {
    refuse(
      `inject "${inject}" needs base "lstm"; base "rnn" has no gates and knows "insideTanh" and "output"`,
    );
  }
}
