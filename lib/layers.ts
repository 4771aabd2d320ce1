/**
 * Layers as plain descriptions. Nothing is built here; a model hands them to the native engine.
 */
import { z } from 'zod';
import type { CellKind, OptionsOf } from './cells';
import { definitions, isCellKind, outputSizeOf } from './cells';
import type { CellDefinition } from './cells/definition';
import { LookbackError } from './errors';
import type { NativeSpec } from './native';
import { closest, ofKind, parseOptions, show } from './options';
import type { CellOfLayerOptions, LayerOptions, RecurrentLayerOptions } from './recurrent-layer';
import { checkInitializers, name, ofCell, recurrentSchema, trainable } from './recurrent-layer';
import { shapeText } from './tensor';
import type { SuggestedGroup } from './training/groups';

export interface EmbeddingOptions extends LayerOptions {
  /** Rows of the table: the input is whole numbers from 0 to `inputDim - 1`. 1 to 16777216. */
  inputDim: number;
  /** Size of a row. 1 to 1048576. */
  units: number;
  /** How the table starts: uniform in ±0.05 as Keras, or normal as PyTorch. Default `'uniform'`. */
  init?: 'uniform' | 'normal';
}

export interface LayerNormOptions extends LayerOptions {
  /** Added to the variance. Above 0. Default 1e-5. */
  epsilon?: number;
}

export interface PoolOptions extends Omit<LayerOptions, 'trainable'> {
  /** The last valid step, or the mean or the largest value of each feature over the valid steps. Default `'last'`. */
  over?: 'last' | 'mean' | 'max';
}

export interface BidirectionalOptions extends LayerOptions {
  /** The features of both directions side by side, or their sum. Default `'concat'`. */
  merge?: 'concat' | 'sum';
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

export type {
  BiasInitializerName,
  CellOfLayerOptions,
  InitializerName,
  LayerOptions,
  RecurrentLayerOptions,
} from './recurrent-layer';

/** What `layers.<kind>` takes for a kind of cell. */
export type CellLayerOptions<Kind extends CellKind> = Omit<OptionsOf<Kind>, 'inputSize'> &
  RecurrentLayerOptions;
export type LstmLayerOptions = CellLayerOptions<'lstm'>;
export type LarnnLayerOptions = CellLayerOptions<'larnn'>;
export type BnlstmLayerOptions = CellLayerOptions<'bnlstm'>;
export type GruLayerOptions = CellLayerOptions<'gru'>;
export type RnnLayerOptions = CellLayerOptions<'rnn'>;
export type RraLayerOptions = CellLayerOptions<'rra'>;
export type ScornnLayerOptions = CellLayerOptions<'scornn'>;
export type EnrnnLayerOptions = CellLayerOptions<'enrnn'>;
export type ScurnnLayerOptions = CellLayerOptions<'scurnn'>;
export type ExprnnLayerOptions = CellLayerOptions<'exprnn'>;

/** A layer with all its options filled in; what `layers.*` return and what a model file holds. */
export type LayerSpec = NativeSpec & { kind: string; inside?: LayerSpec[] };

const denseSchema = z.strictObject({
  name,
  trainable,
  units: z.int().min(1).max(1_048_576),
  activation: z.enum(['linear', 'relu', 'elu', 'tanh', 'sigmoid', 'softmax']).default('linear'),
  useBias: z.boolean().default(true),
  init: z.enum(['xavier', 'pytorch']).default('xavier'),
});

/** The layers that are neither cells nor made of other layers. */
const plainSchemas = {
  dense: denseSchema,
  dropout: z.strictObject({ name, rate: z.number().min(0).lt(1) }),
  embedding: z.strictObject({
    name,
    trainable,
    inputDim: z.int().min(1).max(16_777_216),
    units: z.int().min(1).max(1_048_576),
    init: z.enum(['uniform', 'normal']).default('uniform'),
  }),
  layerNorm: z.strictObject({ name, trainable, epsilon: z.number().gt(0).lt(1).default(1e-5) }),
  pool: z.strictObject({ name, over: z.enum(['last', 'mean', 'max']).default('last') }),
} as const;

const inner = z.array(z.unknown()).min(1);
const bidirectionalSchema = z.strictObject({
  name,
  trainable: z.boolean().optional(),
  merge: z.enum(['concat', 'sum']).default('concat'),
  inside: inner.max(1),
});
const residualSchema = z.strictObject({
  name,
  trainable: z.boolean().optional(),
  inside: inner,
});

/** Every kind of layer. */
export const layerKinds: readonly string[] = [
  ...Object.keys(definitions),
  ...Object.keys(plainSchemas),
  'bidirectional',
  'residual',
];

/**
 * The layer that `value` describes, with defaults filled in. Applying it twice changes nothing.
 *
 * @param before the shape of what comes before the layer, where that is known
 * @throws {LookbackError} ERR_OPTION
 */
export function resolveLayer(value: unknown, where: string, before?: RowShape): LayerSpec {
  if (typeof value !== 'object' || value === null || !('kind' in value)) {
    throw new LookbackError(
      'ERR_OPTION',
      `${where} is ${show(value)}; expected a layer such as layers.dense({ units: 6 })`,
    );
  }
  const { kind, ...options } =
    'cell' in value && value.kind === 'rnn' ? ofCell(value, where) : value;
  if (typeof kind === 'string' && isPlainKind(kind)) {
    const schema: z.ZodType<Record<string, string | number | boolean | undefined>> =
      plainSchemas[kind];
    return { kind, ...defined(parseOptions(schema, options, where)) };
  }
  if (kind === 'bidirectional') return resolveBidirectional(options, where, before);
  if (kind === 'residual') return resolveResidual(options, where, before);
  if (typeof kind !== 'string' || !isCellKind(kind)) {
    const meant = typeof kind === 'string' ? closest(kind, layerKinds) : null;
    const hint =
      meant === null ? `expected one of ${layerKinds.join(', ')}` : `did you mean "${meant}"?`;
    throw new LookbackError('ERR_OPTION', `${where}.kind is ${show(kind)}; ${hint}`);
  }
  return { kind, ...resolveRecurrent(kind, options, where, before) };
}

function isPlainKind(kind: string): kind is keyof typeof plainSchemas {
  return Object.hasOwn(plainSchemas, kind);
}

function resolveBidirectional(options: object, where: string, before?: RowShape): LayerSpec {
  const given = parseOptions(bidirectionalSchema, options, where);
  const at = `${where}.inside[0]`;
  const layer = resolveLayer(given.inside[0], at, before);
  const wrong = (what: string): LookbackError => new LookbackError('ERR_OPTION', `${at}${what}`);
  if (!isCellKind(layer.kind)) throw wrong(`.kind is "${layer.kind}"; expected a recurrent layer`);
  if (layer['goBackwards'] === true)
    throw wrong('.goBackwards is true; leave it out, both directions are made from this layer');
  if ('name' in layer)
    throw wrong('.name is not used: the directions are called forward and backward');
  return nested('bidirectional', given, [layer], { merge: given.merge }, where);
}

function resolveResidual(options: object, where: string, before?: RowShape): LayerSpec {
  const given = parseOptions(residualSchema, options, where);
  return nested(
    'residual',
    given,
    resolveSequence(given.inside, `${where}.inside`, before).layers,
    {},
    where,
  );
}

/** Layers inside another learn together: whether they do is said outside. */
function nested(
  kind: string,
  given: { name?: string | undefined; trainable?: boolean | undefined },
  inside: readonly LayerSpec[],
  options: NativeSpec,
  where: string,
): LayerSpec {
  const frozen = inside.filter((layer) => layer['trainable'] === false).length;
  if (frozen > 0 && frozen < inside.length) {
    const message = `${where}.inside: some are not trainable; set trainable for the whole, or freeze weights by groups of compile`;
    throw new LookbackError('ERR_OPTION', message);
  }
  const stripped = inside.map(({ trainable: _, ...layer }) => layer);
  const common = defined({ name: given.name, trainable: given.trainable ?? frozen === 0 });
  return asLayer({ kind, ...common, ...options, inside: stripped });
}

/** A list stands among scalars, which an index signature cannot say. */
function asLayer(spec: { kind: string; [key: string]: unknown }): LayerSpec {
  return spec as unknown as LayerSpec;
}

function resolveRecurrent(
  kind: keyof typeof definitions,
  options: object,
  where: string,
  before?: RowShape,
): NativeSpec {
  const inputSize = before && featuresOf(before);
  const steps = before?.length === 2 ? (before[0] ?? undefined) : undefined;
  const layerOptions = options as RecurrentLayerOptions;
  const {
    name: layerName,
    returnSequences,
    goBackwards,
    trainable: learns,
    kernelInitializer,
    recurrentInitializer,
    biasInitializer,
    ...cellOptions
  } = layerOptions;
  checkInitializers(kind, layerOptions, where);
  if ('inputSize' in cellOptions) {
    throw new LookbackError(
      'ERR_OPTION',
      `${where}: unknown option inputSize; a layer takes it from what comes before it`,
    );
  }
  const { goBackwards: turned, ...common } = parseOptions(
    recurrentSchema,
    {
      name: layerName,
      returnSequences,
      goBackwards,
      kernelInitializer,
      recurrentInitializer,
      biasInitializer,
      trainable: learns ?? !isFrozenPreset(cellOptions),
    },
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
  return { ...defined(common), ...(turned ? { goBackwards: true } : {}), ...cell };
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
  return (options) => resolveLayer(ofKind(kind, options), kind);
}

/** Constructors of layers; each checks its options at once. @throws {LookbackError} ERR_OPTION */
export const layers = {
  /** `activation(x W^T + b)` on the last axis, at every step of a sequence. `W` is `[units, inputs]`. */
  dense: (options: DenseOptions): LayerSpec => resolveLayer(ofKind('dense', options), 'dense'),
  /** Inverted dropout; the identity outside training. */
  dropout: (options: DropoutOptions): LayerSpec =>
    resolveLayer(ofKind('dropout', options), 'dropout'),
  /** Rows of a trained table, by whole numbers: `x` is an `Int32Array` `[B, T]`. The first layer. */
  embedding: (options: EmbeddingOptions): LayerSpec =>
    resolveLayer(ofKind('embedding', options), 'embedding'),
  /** `(x - mean) / sqrt(variance + epsilon) * gamma + beta` over the features of each row or step. */
  layerNorm: (options: LayerNormOptions = {}): LayerSpec =>
    resolveLayer(ofKind('layerNorm', options), 'layerNorm'),
  /** One row `[B, F]` out of the valid steps of a sequence. */
  pool: (options: PoolOptions = {}): LayerSpec => resolveLayer(ofKind('pool', options), 'pool'),
  /** A recurrent layer read from both ends of each row's valid steps, with weights for each direction. */
  bidirectional: (layer: LayerSpec, options: BidirectionalOptions = {}): LayerSpec =>
    resolveLayer({ ...ofKind('bidirectional', options), inside: [layer] }, 'bidirectional'),
  /** The input plus what `inside` (a layer, or layers one behind the other) makes of it. */
  residual: (inside: LayerSpec | readonly LayerSpec[], options: LayerOptions = {}): LayerSpec =>
    resolveLayer({ ...ofKind('residual', options), inside: [inside].flat() }, 'residual'),
  /** Long short-term memory; see {@link LstmOptions}. */
  lstm: recurrentLayer('lstm'),
  /** LSTM-like cell with attention over its last cell states; see {@link LarnnOptions}. */
  larnn: recurrentLayer('larnn'),
  /**
   * The plain recurrent network (see {@link RnnOptions}), or the layer of any cell: `{ cell: { kind: 'gru', units: 8 } }`,
   * or `{ cell: cells.gru({ ... }) }`, whose `inputSize` then comes from what is before the layer.
   */
  rnn: (options: RnnLayerOptions | CellOfLayerOptions): LayerSpec =>
    resolveLayer(ofKind('rnn', options), 'rnn'),
  /** LSTM with attention over its last hidden states; see {@link RraOptions}. */
  rra: recurrentLayer('rra'),
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
  const { layers: resolved, shape = inputShape } = resolveSequence(given, where, inputShape);
  return { layers: resolved, outputShape: shape };
}

/** Layers one behind the other, named; with the shape behind them where that before them is known. */
function resolveSequence(
  given: readonly unknown[],
  where: string,
  before?: RowShape,
): { layers: LayerSpec[]; shape?: RowShape | undefined } {
  const taken = new Set<string>();
  let shape = before;
  const resolved = given.map((value, index) => {
    const at = `${where}[${index}]`;
    const { kind, name: typed, ...options } = resolveLayer(value, at, shape);
    // Always in this order, so that a model file does not tell who chose the name.
    const layer = asLayer({ kind, name: uniqueName(kind, typed, taken, at), ...options });
    if (shape) shape = shapeAfter(layer, shape, at);
    return layer;
  });
  return { layers: resolved, shape };
}

/** A recurrent layer of a stack, also one inside of others. */
export interface PlacedCell {
  /** Prefix of its weights' names. */
  path: string;
  kind: CellKind;
  layer: LayerSpec;
}

/** Every recurrent layer, those inside of others included. */
export function cellsWithin(stack: readonly LayerSpec[], prefix = ''): PlacedCell[] {
  return stack.flatMap((layer) => {
    const { kind, inside = [] } = layer;
    const path = prefix + String(layer['name']);
    if (isCellKind(kind)) return [{ path, kind, layer }];
    if (kind !== 'bidirectional') return cellsWithin(inside, `${path}.`);
    const directed = ['forward', 'backward'].flatMap((name) =>
      inside.map((each) => asLayer({ ...each, name })),
    );
    return cellsWithin(directed, `${path}.`);
  });
}

/** What cells suggest for weights of theirs. */
export function suggestedGroups(stack: readonly LayerSpec[]): SuggestedGroup[] {
  return cellsWithin(stack).flatMap(({ path, kind, layer }) => {
    const definition: CellDefinition<never> = definitions[kind];
    return (definition.groups?.(layer) ?? []).map((group) => ({ ...group, layer: path }));
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
  const { kind, inside = [] } = layer;
  const withFeatures = (shape: RowShape, features: number): RowShape =>
    shape.length === 2 ? [shape[0], features] : [features];
  switch (kind) {
    case 'dropout':
    case 'layerNorm':
      return before;
    case 'dense':
      return withFeatures(before, Number(layer['units']));
    case 'embedding':
      requireOneFeature(before, where);
      return withFeatures(before, Number(layer['units']));
    case 'pool':
      requireSequence(kind, before, where);
      return [featuresOf(before)];
    case 'bidirectional': {
      const after = inside.reduce((shape, each) => shapeAfter(each, shape, where), before);
      return layer['merge'] === 'sum' ? after : withFeatures(after, 2 * featuresOf(after));
    }
    case 'residual': {
      const after = inside.reduce((shape, each) => shapeAfter(each, shape, where), before);
      if (shapeText(after) === shapeText(before)) return before;
      const message = `${where} (residual) would add ${shapeText(after)} to ${shapeText(before)} for each row; the layers inside must keep the shape`;
      throw new LookbackError('ERR_SHAPE', message);
    }
    default:
      requireSequence(kind, before, where);
      requireSteps(layer, where);
      return layer['returnSequences'] === true
        ? [before[0] ?? null, cellOutput(layer)]
        : [cellOutput(layer)];
  }
}

function cellOutput(layer: LayerSpec): number {
  return isCellKind(layer.kind) ? outputSizeOf(layer.kind, layer) : Number(layer['units']);
}

function requireSequence(kind: string, before: RowShape, where: string): void {
  if (before.length === 2) return;
  const message = `${where} (${kind}) reads a sequence but what comes before it gives one row of ${before[0]}; set returnSequences: true on the recurrent layer before it`;
  throw new LookbackError('ERR_SHAPE', message);
}

/** Cells with weights or statistics of every step have to know how many there are. */
function requireSteps(layer: LayerSpec, where: string): void {
  if (!isCellKind(layer.kind)) return;
  const definition: CellDefinition<never> = definitions[layer.kind];
  const steps = definition.needsSteps;
  if (steps === undefined || layer[steps] !== undefined) return;
  const message = `${where}: ${steps} is missing and the length of the sequences is not fixed; give ${steps}, or fix the steps of inputShape`;
  throw new LookbackError('ERR_OPTION', message);
}

function requireOneFeature(before: RowShape, where: string): void {
  const features = featuresOf(before);
  if (features === 1) return;
  const message = `${where} (embedding) reads one whole number a step but what comes before it has ${features} features; expected inputShape [steps, 1] and the embedding as first layer`;
  throw new LookbackError('ERR_SHAPE', message);
}
