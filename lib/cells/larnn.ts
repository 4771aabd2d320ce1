import { z } from 'zod';
import { LookbackError } from '../errors';
import type { NativeSpec } from '../native';
import { parseOptions } from '../options';
import type { CellDefinition, CellInput } from './definition';
import { numberOf, size } from './definition';
import type { CellStateExtensionOptions, StartOptions } from './extensions';
import { cellStateExtensionSchema, startSchema } from './extensions';

/** Which norm stands at the enabled sites of a LARNN. */
export type Normalization = 'none' | 'layer' | 'batch';

/**
 * What `normalization` is where neither it nor a preset nor one of the switches below it is given: the one that trained
 * best on held-out HAR subjects at equal budget (docs/adr/0004-larnn-default-normalization.md).
 */
export const DEFAULT_NORMALIZATION: Normalization = 'none';

/**
 * Options of the LARNN cell and layer. Only `units` is needed. The query sees h_{t-1} behind `recurrentDropout` as the
 * gates do; what `zoneoutCell` keeps of c is what the window gets.
 */
export interface LarnnOptions extends CellStateExtensionOptions, StartOptions {
  /** Size H of the hidden state and of the output, a multiple of `heads`. 1 to 16384. */
  units: number;
  /** Features of the input. Needed by `cells.larnn`; a layer takes it from what comes before it. */
  inputSize?: number;
  /** Attention heads. Default 4. */
  heads?: number;
  /** How many past cell states the attention sees. 1 to 16384. Default 16. */
  window?: number;
  /** Recurrent layers (or passes, in the replay kinds of `stacking`). 1 to 64. Default 1. */
  layers?: number;
  /**
   * How layers are stacked: each reads the one before; the same with outputs added to the stream (needs
   * `inputSize == units`); or one set of weights run `layers` times over the original input, as the published program
   * does. Default `'stack'`.
   */
  stacking?: 'stack' | 'residual' | 'replay' | 'replayResidual';
  /**
   * A named set of options, under those given explicitly. `'plain'`: no norm and bare keys and values. `'paper'`: the
   * printed formulas. `'published'`: the author's program, whose layers also stay at their random start
   * (`trainable: false`) and keep batch statistics and dropout when they evaluate (`evaluation: 'training'`).
   */
  preset?: 'plain' | 'paper' | 'published';
  /**
   * The norm at every enabled site (see `bnAttention`, `bnPre`, `bnCell`, `bnHidden` and `keyValueActivation`): none;
   * layer norm, which keeps rows independent and fast; or batch norm as in the paper. Default: `'batch'` where one of
   * those switches is given, else `'none'`.
   */
  normalization?: Normalization;
  /** `'layer'` differs from `'residual'` only for `attentionTarget: 'candidate'`, where g is then linear. Default `'residual'`. */
  mode?: 'residual' | 'layer';
  /** Attention enters all four gates or only the candidate. Default `'all'`. */
  attentionTarget?: 'all' | 'candidate';
  /** The printed cell update `i * x * g`; needs `inputSize == units`. Default false. */
  inputProduct?: boolean;
  /** Default `'elu'`. */
  queryActivation?: 'elu' | 'none';
  /** ELU (and the norm, where there is one) on key and value projections, or bare linear. Default true. */
  keyValueActivation?: boolean;
  /** Two norms, or one that is used first on keys, then on values. Default `'separate'`. */
  keyValueNorm?: 'separate' | 'shared';
  /** On the output of the attention's last linear. Default `'elu'`. */
  attentionActivation?: 'elu' | 'none';
  /** Norm on the attention's result. Default true, false with `normalization: 'none'`. */
  bnAttention?: boolean;
  /** Norm on the gates' pre-activations. Default as above. */
  bnPre?: boolean;
  /** Norm on the new cell state. Default as above. */
  bnCell?: boolean;
  /** Norm on the new hidden state. Default as above. */
  bnHidden?: boolean;
  /** Added to the variance. Default 1e-5. */
  bnEps?: number;
  /** Weight of the newest statistics in the running ones. 0 to 1. Default 0.1. */
  bnMomentum?: number;
  /**
   * What a model's `evaluate` and `predict` use: running statistics; the statistics of the batch at hand, so that a
   * prediction depends on its batch neighbours; or those and dropout, as the published program does by accident. Running
   * statistics only change in training. Default `'running'`.
   */
  evaluation?: 'running' | 'batch' | 'training';
  /** One set of running statistics, or one for each of the first `bnMaxSteps` steps. Default `'shared'`. */
  bnStats?: 'shared' | 'perStep';
  /** Rows of running statistics for `bnStats: 'perStep'`. Default 1. */
  bnMaxSteps?: number;
  /** Position code of a cell in the window: none, concatenated to it, or added. Default `'none'`. */
  positional?: 'none' | 'concat' | 'add';
  /** Position number of the most recent cell. Default 1. */
  positionalOffset?: 0 | 1;
  /** Dropped h is also what the next step sees, or only the layer's output is dropped. Default `'state'`. */
  hiddenDropoutScope?: 'state' | 'output';
  /**
   * `cells.larnn` then gives the attention weights of every step as `attention` `[B, T, heads, window]`, newest entry
   * first and behind `mask.attn`, among `handle.saved()`. Default false.
   */
  keepAttention?: boolean;
  /** Probability of dropping a hidden unit, drawn at every step. 0 to below 1. Default 0. */
  hiddenDropout?: number;
  /** Probability of dropping an attention weight. Default 0. */
  attentionDropout?: number;
  /** Probability of dropping a feature of a cell and its position code; needs `positional`. Default 0. */
  positionalDropout?: number;
  /** How the weights start: Xavier-uniform with zero biases (but see `unitForgetBias`), or all uniform in ±1/sqrt(H) as the published program. Default `'default'`. */
  init?: 'default' | 'published';
  /** The forget gate's bias starts at 1 instead of at 0, so that a new cell remembers. Default true. */
  unitForgetBias?: boolean;
}

const rate = z.number().min(0).lt(1);
const site = z.boolean().optional();

const schema = z.strictObject({
  units: size,
  inputSize: size.optional(),
  heads: size.default(4),
  window: size.default(16),
  layers: z.int().min(1).max(64).default(1),
  stacking: z.enum(['stack', 'residual', 'replay', 'replayResidual']).default('stack'),
  preset: z.enum(['plain', 'paper', 'published']).optional(),
  normalization: z.enum(['none', 'layer', 'batch']).optional(),
  mode: z.enum(['residual', 'layer']).default('residual'),
  attentionTarget: z.enum(['all', 'candidate']).default('all'),
  inputProduct: z.boolean().default(false),
  queryActivation: z.enum(['elu', 'none']).default('elu'),
  keyValueActivation: z.boolean().optional(),
  keyValueNorm: z.enum(['separate', 'shared']).default('separate'),
  attentionActivation: z.enum(['elu', 'none']).default('elu'),
  bnAttention: site,
  bnPre: site,
  bnCell: site,
  bnHidden: site,
  bnEps: z.number().gt(0).max(1).default(1e-5),
  bnMomentum: z.number().min(0).max(1).default(0.1),
  evaluation: z.enum(['running', 'batch', 'training']).default('running'),
  bnStats: z.enum(['shared', 'perStep']).default('shared'),
  bnMaxSteps: z.int().min(1).max(1_000_000).default(1),
  positional: z.enum(['none', 'concat', 'add']).default('none'),
  positionalOffset: z.union([z.literal(0), z.literal(1)]).default(1),
  hiddenDropoutScope: z.enum(['state', 'output']).default('state'),
  keepAttention: z.boolean().optional(),
  hiddenDropout: rate.default(0),
  attentionDropout: rate.default(0),
  positionalDropout: rate.default(0),
  init: z.enum(['default', 'published']).default('default'),
  ...cellStateExtensionSchema,
  ...startSchema,
  unitForgetBias: z.boolean().default(true),
});

type Parsed = z.output<typeof schema>;

const presets: Record<'plain' | 'paper' | 'published', Partial<LarnnOptions>> = {
  plain: {
    bnAttention: false,
    bnPre: false,
    bnCell: false,
    bnHidden: false,
    keyValueActivation: false,
    normalization: 'none',
  },
  paper: {
    attentionTarget: 'candidate',
    queryActivation: 'none',
    attentionActivation: 'none',
    bnAttention: false,
    positional: 'concat',
    positionalOffset: 0,
    normalization: 'batch',
  },
  published: {
    keyValueNorm: 'shared',
    bnPre: false,
    stacking: 'replayResidual',
    attentionDropout: 0.1,
    evaluation: 'training',
    init: 'published',
    unitForgetBias: false,
    normalization: 'batch',
  },
};

const sites = ['bnAttention', 'bnPre', 'bnCell', 'bnHidden'] as const;

/**
 * LARNN: an LSTM-like cell whose gates also see what multi-head attention reads from its last `window` cell states
 * (G. Chevalier, arXiv:1808.05578).
 *
 * $$ z = x_t W_x^T + h_{t-1} W_h^T + a_t W_a^T + b,\quad c_t = f c_{t-1} + i g,\quad h_t = o\,\mathrm{ELU}(c_t) $$
 *
 * where a_t attends with a query made of x_t and h_{t-1} to c_{t-1}, ..., c_{t-window}. Work per step grows with the
 * window, not with its square. Inputs of the cell: `x` `[B, T, C]`, `h0` `[W, B, H]` and `queue0` `[W, n, B, H]` (oldest
 * first; W = 1 in the replay kinds of stacking, else `layers`), `lengths` `[B]`, running statistics `buf.*`
 * (`[features]`, with `bnStats: 'perStep'` `[bnMaxSteps, features]`) and dropout masks `mask.*`. Outputs: `y` `[B, T, H]`,
 * `h_n` `[L, B, H]`, `queue_n` `[L, window, B, H]`, `queue_count` `[L, B]` and the statistics after the pass.
 */
export const larnn: CellDefinition<LarnnOptions> = {
  kind: 'larnn',
  resolve(options, where = 'larnn') {
    const merged = parseOptions(schema, underPreset(options), where);
    checkCombination(merged, where);
    const spec: NativeSpec = normSites(merged, where);
    for (const [key, value] of Object.entries(merged)) {
      if (key !== 'preset' && value !== undefined) spec[key] ??= value;
    }
    return spec;
  },
  inputs: larnnInputs,
};

/** What was typed, above what its preset says. */
function underPreset(options: LarnnOptions): unknown {
  if (typeof options !== 'object' || options === null) return options;
  const typed = Object.entries(options).filter(([, value]) => value !== undefined);
  return { ...(options.preset && presets[options.preset]), ...Object.fromEntries(typed) };
}

/** Resolves the knob above the switches; the native code receives every one of them. */
function normSites(options: Parsed, where: string): NativeSpec {
  const switched = [...sites, 'keyValueActivation' as const].some(
    (key) => options[key] !== undefined,
  );
  const kind = options.normalization ?? (switched ? 'batch' : DEFAULT_NORMALIZATION);
  const enabled = sites.find((key) => options[key] === true);
  if (kind === 'none' && enabled !== undefined) {
    const message = `${where}: ${enabled} is true but normalization is "none"; leave ${enabled} out, or choose "layer" or "batch"`;
    throw new LookbackError('ERR_OPTION', message);
  }
  const on = kind !== 'none';
  return {
    normalization: kind,
    keyValueActivation: options.keyValueActivation ?? true,
    bnAttention: options.bnAttention ?? on,
    bnPre: options.bnPre ?? on,
    bnCell: options.bnCell ?? on,
    bnHidden: options.bnHidden ?? on,
  };
}

function checkCombination(options: Parsed, where: string): void {
  const { units, heads, inputSize } = options;
  const refuse = (message: string): never => {
    throw new LookbackError('ERR_OPTION', `${where}: ${message}`);
  };
  if (units % heads !== 0) {
    const below = Math.floor(units / heads) * heads;
    const use = below === 0 ? `${heads}` : `${below} or ${below + heads}`;
    refuse(`units ${units} is not divisible by heads ${heads}; use ${use}`);
  }
  const square = options.inputProduct
    ? 'inputProduct'
    : options.stacking.toLowerCase().endsWith('residual')
      ? `stacking "${options.stacking}"`
      : null;
  if (square !== null && inputSize !== undefined && inputSize !== units) {
    refuse(
      `${square} adds or multiplies the input and the state, so inputSize ${inputSize} must be units ${units}; put a dense layer before it`,
    );
  }
  if (options.positionalDropout > 0 && options.positional === 'none') {
    refuse('positionalDropout needs positional "concat" or "add"');
  }
}

/** Every tensor that a LARNN reads; sites of absent norms are left out, so that naming one is an error. */
function larnnInputs(spec: NativeSpec, batch: number, steps: number): Record<string, CellInput> {
  const units = numberOf(spec, 'units');
  const layers = numberOf(spec, 'layers');
  const window = numberOf(spec, 'window');
  const sets = String(spec['stacking']).startsWith('replay') ? 1 : layers;
  const inputs: Record<string, CellInput> = {
    x: { shape: [batch, steps, numberOf(spec, 'inputSize')] },
    h0: { shape: [sets, batch, units] },
    queue0: { shape: [sets, null, batch, units] },
    lengths: { shape: [batch], integer: true },
  };
  for (let pass = 0; pass < layers; pass += 1) {
    Object.assign(inputs, extensionMasks(spec, pass, [batch, steps]));
    inputs[`mask.l${pass}.hidden`] = { shape: [batch, steps, units] };
    inputs[`mask.l${pass}.attn`] = { shape: [batch, steps, numberOf(spec, 'heads'), window] };
    if (spec['positional'] === 'none') continue;
    const features = units + (spec['positional'] === 'concat' ? positionalSize(window) : 0);
    inputs[`mask.l${pass}.pos`] = { shape: [batch, steps, window, features] };
  }
  if (spec['normalization'] !== 'batch') return inputs;
  const rows = spec['bnStats'] === 'perStep' ? [numberOf(spec, 'bnMaxSteps')] : [];
  for (let set = 0; set < sets; set += 1) {
    for (const [name, features] of normNames(spec)) {
      inputs[`buf.l${set}.${name}.mean`] = { shape: [...rows, features] };
      inputs[`buf.l${set}.${name}.var`] = { shape: [...rows, features] };
    }
  }
  return inputs;
}

/** Masks for a drawn dropout or zoneout; those of zoneout only where its rate says that there is room for one. */
function extensionMasks(
  spec: NativeSpec,
  pass: number,
  rows: readonly [batch: number, steps: number],
): Record<string, CellInput> {
  const units = numberOf(spec, 'units');
  const first = pass === 0 || String(spec['stacking']).startsWith('replay');
  const wanted: [string, boolean, number][] = [
    ['input', true, first ? numberOf(spec, 'inputSize') : units],
    [
      'recurrent',
      spec['dropoutMask'] !== undefined || numberOf(spec, 'recurrentDropout') > 0,
      units,
    ],
    ['zoneout_h', numberOf(spec, 'zoneout') > 0, units],
    ['zoneout_c', numberOf(spec, 'zoneoutCell') > 0, units],
  ];
  return Object.fromEntries(
    wanted
      .filter(([, there]) => there)
      .map(([name, , features]) => [`mask.l${pass}.${name}`, { shape: [...rows, features] }]),
  );
}

/** Positional features of an entry of the window: 2 ceil(log2(4 window)), in whole numbers. */
function positionalSize(window: number): number {
  return 2 * (4 * window - 1).toString(2).length;
}

/** The norms that a spec has, with their features. */
function normNames(spec: NativeSpec): [string, number][] {
  const units = numberOf(spec, 'units');
  const linearCandidate = spec['mode'] === 'layer' && spec['attentionTarget'] === 'candidate';
  const keyValue = spec['keyValueNorm'] === 'shared' ? ['bn_kv'] : ['bn_k', 'bn_v'];
  const names: [string, number][] = spec['keyValueActivation']
    ? keyValue.map((name) => [name, units])
    : [];
  if (spec['bnAttention']) names.push(['bn_att', units]);
  if (spec['bnPre']) names.push(['bn_pre', (linearCandidate ? 3 : 4) * units]);
  if (spec['bnCell']) names.push(['bn_cell', units]);
  if (spec['bnHidden']) names.push(['bn_hid', units]);
  return names;
}
