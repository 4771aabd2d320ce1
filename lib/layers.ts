/**
 * Layers as plain descriptions. Nothing is built here; a model hands them to the native engine.
 */
import { z } from 'zod';
import type { CellKind, OptionsOf } from './cells';
import { definitions, isCellKind, outputSizeOf } from './cells';
import type { CellDefinition } from './cells/definition';
import { LookbackError } from './errors';
import type { NativeSpec } from './native';
import { closest, parseOptions, show } from './options';
import type { SuggestedGroup } from './training/groups';

/** What every layer takes. */
export interface LayerOptions {
  /** Prefix of the layer's parameters, unique in a model. Letters, digits, `_` and `-`. Default: the kind, numbered. */
  name?: string;
  /** False freezes the layer's parameters; gradients still pass through it. Default true. */
  trainable?: boolean;
}

/** What every recurrent layer takes beside its cell's options. */
export interface RecurrentLayerOptions extends LayerOptions {
  /** Give the output of every step `[B, T, H]`, or only that of the last valid one `[B, H]`. Default false. */
  returnSequences?: boolean;
}

export interface DenseOptions extends LayerOptions {
  /** Size of the output. 1 to 1048576. */
  units: number;
  /** Applied to the output. Default `'linear'`. */
  activation?: 'linear' | 'relu' | 'elu' | 'tanh' | 'sigmoid' | 'softmax';
  /** Whether there is a bias `b`. Default true. */
  useBias?: boolean;
  /**
   * How `W` and `b` start: Glorot-uniform with zero bias, or both uniform in ±1/sqrt(inputs) as PyTorch. Default
   * `'xavier'`.
   */
  init?: 'xavier' | 'pytorch';
}

export interface DropoutOptions extends Omit<LayerOptions, 'trainable'> {
  /** Probability of dropping an entry while training; the others are scaled by 1 / (1 - rate). 0 to below 1. */
  rate: number;
}

/** What `layers.<kind>` takes for a kind of cell. */
export type CellLayerOptions<Kind extends CellKind> = Omit<OptionsOf<Kind>, 'inputSize'> &
  RecurrentLayerOptions;
export type LstmLayerOptions = CellLayerOptions<'lstm'>;
export type LarnnLayerOptions = CellLayerOptions<'larnn'>;
export type BnlstmLayerOptions = CellLayerOptions<'bnlstm'>;
export type GruLayerOptions = CellLayerOptions<'gru'>;
export type RnnLayerOptions = CellLayerOptions<'rnn'>;
export type ScornnLayerOptions = CellLayerOptions<'scornn'>;
export type EnrnnLayerOptions = CellLayerOptions<'enrnn'>;
export type ScurnnLayerOptions = CellLayerOptions<'scurnn'>;
export type ExprnnLayerOptions = CellLayerOptions<'exprnn'>;

/** A layer with all its options filled in; what `layers.*` return and what a model file holds. */
export type LayerSpec = NativeSpec & { kind: string };

const name = z
  .string()
  .regex(/^[A-Za-z][\w-]*$/, 'letters, digits, _ and -, beginning with a letter')
  .optional();

const trainable = z.boolean().default(true);

const denseSchema = z.strictObject({
  name,
  trainable,
  units: z.int().min(1).max(1_048_576),
  activation: z.enum(['linear', 'relu', 'elu', 'tanh', 'sigmoid', 'softmax']).default('linear'),
  useBias: z.boolean().default(true),
  init: z.enum(['xavier', 'pytorch']).default('xavier'),
});

const dropoutSchema = z.strictObject({ name, rate: z.number().min(0).lt(1) });

const recurrentSchema = z.object({
  name,
  trainable,
  returnSequences: z.boolean().default(false),
});

/** Every kind of layer. */
export const layerKinds: readonly string[] = [...Object.keys(definitions), 'dense', 'dropout'];

/**
 * The layer that `value` describes, with defaults filled in. Applying it twice changes nothing.
 *
 * @param inputSize features of what comes before the layer, where that is known
 * @param steps steps of what comes before it, where their number is fixed
 * @throws {LookbackError} ERR_OPTION
 */
export function resolveLayer(
  value: unknown,
  where: string,
  inputSize?: number,
  steps?: number,
): LayerSpec {
  if (typeof value !== 'object' || value === null || !('kind' in value)) {
    throw new LookbackError(
      'ERR_OPTION',
      `${where} is ${show(value)}; expected a layer such as layers.dense({ units: 6 })`,
    );
  }
  const { kind, ...options } = value;
  if (kind === 'dense') return { kind, ...defined(parseOptions(denseSchema, options, where)) };
  if (kind === 'dropout') return { kind, ...defined(parseOptions(dropoutSchema, options, where)) };
  if (typeof kind !== 'string' || !isCellKind(kind)) {
    const meant = typeof kind === 'string' ? closest(kind, layerKinds) : null;
    const hint =
      meant === null ? `expected one of ${layerKinds.join(', ')}` : `did you mean "${meant}"?`;
    throw new LookbackError('ERR_OPTION', `${where}.kind is ${show(kind)}; ${hint}`);
  }
  return { kind, ...resolveRecurrent(kind, options, where, inputSize, steps) };
}

function resolveRecurrent(
  kind: keyof typeof definitions,
  options: object,
  where: string,
  inputSize?: number,
  steps?: number,
): NativeSpec {
  const layerOptions = options as RecurrentLayerOptions;
  const { name: layerName, returnSequences, trainable: learns, ...cellOptions } = layerOptions;
  if ('inputSize' in cellOptions) {
    throw new LookbackError(
      'ERR_OPTION',
      `${where}: unknown option inputSize; a layer takes it from what comes before it`,
    );
  }
  const common = parseOptions(
    recurrentSchema,
    { name: layerName, returnSequences, trainable: learns ?? !isFrozenPreset(cellOptions) },
    where,
  );
  const definition: CellDefinition<never> = definitions[kind];
  const stepsKey = definition.needsSteps;
  const known = {
    ...(stepsKey !== undefined && steps !== undefined && { [stepsKey]: steps }),
    ...defined(cellOptions),
    ...(inputSize !== undefined && { inputSize }),
  };
  // The schema decides whether these are the options of that cell; the compiler cannot know.
  const resolve: (given: never, at: string) => NativeSpec = definitions[kind].resolve;
  const { inputSize: _, ...cell } = resolve(known as never, where);
  return { ...defined(common), ...cell };
}

/** The published program never trained its cells. */
function isFrozenPreset(options: object): boolean {
  return 'preset' in options && options.preset === 'published';
}

function defined(options: Record<string, string | number | boolean | undefined>): NativeSpec {
  const spec: NativeSpec = {};
  for (const [key, value] of Object.entries(options)) if (value !== undefined) spec[key] = value;
  return spec;
}

function recurrentLayer<Kind extends CellKind>(
  kind: Kind,
): (options: CellLayerOptions<Kind>) => LayerSpec {
  return (options) => resolveLayer({ ...options, kind }, kind);
}

/** Constructors of layers; each checks its options at once. @throws {LookbackError} ERR_OPTION */
export const layers = {
  /** `activation(x W^T + b)` on the last axis, at every step of a sequence. `W` is `[units, inputs]`. */
  dense: (options: DenseOptions): LayerSpec => resolveLayer({ ...options, kind: 'dense' }, 'dense'),
  /** Inverted dropout; the identity outside training. */
  dropout: (options: DropoutOptions): LayerSpec =>
    resolveLayer({ ...options, kind: 'dropout' }, 'dropout'),
  /** Long short-term memory; see {@link LstmOptions}. */
  lstm: recurrentLayer('lstm'),
  /** LSTM-like cell with attention over its last cell states; see {@link LarnnOptions}. */
  larnn: recurrentLayer('larnn'),
  /** The plain recurrent network; see {@link RnnOptions}. */
  rnn: recurrentLayer('rnn'),
  /** Gated recurrent unit; see {@link GruOptions}. */
  gru: recurrentLayer('gru'),
  /** Orthogonal recurrence by the scaled Cayley transform; see {@link ScornnOptions}. */
  scornn: recurrentLayer('scornn'),
  /** A long-term block with an orthogonal matrix, fed by a short-term block; see {@link EnrnnOptions}. */
  enrnn: recurrentLayer('enrnn'),
  /** Orthogonal recurrence by the matrix exponential; see {@link ExprnnOptions}. */
  exprnn: recurrentLayer('exprnn'),
  /** Complex recurrence with a unitary matrix; see {@link ScurnnOptions}. */
  scurnn: recurrentLayer('scurnn'),
  /** Batch-normalised LSTM; see {@link BnlstmOptions}. */
  bnlstm: recurrentLayer('bnlstm'),
} as const;

/** Shape of one row between two layers: `[steps, features]` with null for any number of steps, or `[features]`. */
export type RowShape = readonly [number | null, number] | readonly [number];

/** The features at the end of a shape. */
export function featuresOf(shape: RowShape): number {
  return shape.length === 2 ? shape[1] : shape[0];
}

/** A checked stack of layers. */
export interface LayerStack {
  layers: LayerSpec[];
  outputShape: RowShape;
}

/**
 * Names every layer, fills in defaults and follows the shape through.
 *
 * @throws {LookbackError} ERR_OPTION for a layer that is wrong in itself, ERR_SHAPE for one that does not fit its place
 */
export function resolveStack(
  inputShape: readonly [number | null, number],
  given: readonly unknown[],
  where: string,
): LayerStack {
  if (given.length === 0) {
    throw new LookbackError('ERR_OPTION', `${where} is empty; expected at least one layer`);
  }
  const taken = new Set<string>();
  let shape: RowShape = inputShape;
  const resolved = given.map((value, index) => {
    const at = `${where}[${index}]`;
    const {
      kind,
      name: typed,
      ...options
    } = resolveLayer(
      value,
      at,
      shape[shape.length - 1] ?? undefined,
      shape.length === 2 ? (shape[0] ?? undefined) : undefined,
    );
    // Always in this order, so that a model file does not tell who chose the name.
    const layer = { kind, name: uniqueName(kind, typed, taken, at), ...options };
    shape = shapeAfter(layer, shape, at);
    return layer;
  });
  return { layers: resolved, outputShape: shape };
}

/** What cells suggest for weights of theirs. */
export function suggestedGroups(stack: readonly LayerSpec[]): SuggestedGroup[] {
  return stack.flatMap((layer) => {
    if (!isCellKind(layer.kind)) return [];
    const definition: CellDefinition<never> = definitions[layer.kind];
    const groups = definition.groups?.(layer) ?? [];
    return groups.map((group) => ({ ...group, layer: String(layer['name']) }));
  });
}

function uniqueName(kind: string, typed: unknown, taken: Set<string>, where: string): string {
  if (typeof typed === 'string' && taken.has(typed)) {
    const message = `${where}.name is "${typed}", which an earlier layer has; names must differ`;
    throw new LookbackError('ERR_OPTION', message);
  }
  let name = typeof typed === 'string' ? typed : kind;
  for (let number = 1; taken.has(name); number += 1) name = `${kind}_${number}`;
  taken.add(name);
  return name;
}

function shapeAfter(layer: LayerSpec, before: RowShape, where: string): RowShape {
  if (layer.kind === 'dropout') return before;
  if (!isCellKind(layer.kind)) {
    const units = Number(layer['units']);
    return before.length === 2 ? [before[0], units] : [units];
  }
  if (before.length !== 2) {
    const message = `${where} (${layer.kind}) reads a sequence but what comes before it gives one row of ${before[0]}; set returnSequences: true on the recurrent layer before it`;
    throw new LookbackError('ERR_SHAPE', message);
  }
  const definition: CellDefinition<never> = definitions[layer.kind];
  const steps = definition.needsSteps;
  if (steps !== undefined && layer[steps] === undefined) {
    const message = `${where}: ${steps} is missing and the length of the sequences is not fixed; give ${steps}, or fix the steps of inputShape`;
    throw new LookbackError('ERR_OPTION', message);
  }
  const units = outputSizeOf(layer.kind, layer);
  return layer['returnSequences'] === true ? [before[0], units] : [units];
}
