/**
 * What the calls of a model take and give, and the schemas that check it.
 */
import { z } from 'zod';
import type { Device } from './devices';
import type { ExplainOptions } from './explain';
import type { LayerSpec } from './layers';
import { Preprocessing } from './preprocessing/preprocessing';
import type { PreprocessingOptions } from './preprocessing/preprocessing';
import type { DType, FloatArray, Tensor, TensorLike } from './tensor';
import type { StateOptions } from './model-states';
import { continuingSchema, fitSchema } from './training/fit';
import type { GroupOptions, GroupSpec } from './training/groups';
import type { LossLike, LossSpec } from './training/losses';
import type { MetricLike, MetricSpec } from './training/metrics';
import type { OptimizerLike, OptimizerSpec } from './training/optimizers';

/** Options of {@link sequential}. */
export interface SequentialOptions {
  /** `[steps, features]` of a row; null for any number of steps. */
  inputShape: readonly [steps: number | null, features: number];
  /** In order; more may be added with `add` until the model is first used. */
  layers?: readonly LayerSpec[];
  /** Default `'cpu'`. */
  device?: Device;
  /** The number type of parameters and data. Default `'float32'`. */
  dtype?: DType;
  /** Fixes initial weights, the order of rows and dropout. A whole number from 0. Default 0. */
  seed?: number;
  /** Threads of a job; results do not depend on it. 0: what the CPU quota allows. Default 0. */
  threads?: number;
  /**
   * What stands between raw rows and the model: scales, vocabulary, windows, names of labels. It becomes part of the
   * model and of its file. Another model's may be given, with what it has learnt.
   */
  preprocessing?: PreprocessingOptions | Preprocessing;
}

export const sequentialSchema = z.strictObject({
  inputShape: z.tuple([z.int().min(1).nullable(), z.int().min(1).max(1_048_576)]),
  layers: z.array(z.unknown()).default([]),
  device: z.unknown().optional(),
  dtype: z.enum(['float32', 'float64']).default('float32'),
  seed: z.int().min(0).default(0),
  threads: z.int().min(0).max(1024).default(0),
  preprocessing: z
    .custom<PreprocessingOptions | Preprocessing>(
      (value) => typeof value === 'object' && value !== null,
      'expected an object of preprocessing options',
    )
    .transform((value) =>
      value instanceof Preprocessing ? value.clone() : new Preprocessing(value),
    )
    .optional(),
});

/** Options of {@link Model.compile}. */
export interface CompileOptions {
  optimizer: OptimizerLike;
  loss: LossLike;
  /** Default none; the loss is always logged. */
  metrics?: readonly MetricLike[];
  /**
   * Weights that learn in a way of their own, by name. Cells whose papers train some of their weights in another way
   * bring groups of their own; one given here for the same weight takes its place.
   */
  groups?: readonly GroupOptions[];
}

export const compileSchema = z.strictObject({
  optimizer: z.unknown(),
  loss: z.unknown(),
  metrics: z.array(z.unknown()).default([]),
  groups: z.array(z.unknown()).optional(),
});

/** A compiled model's loss, optimizer and metrics. */
export interface Compiled {
  optimizer: OptimizerSpec;
  loss: LossSpec;
  metrics: MetricSpec[];
  /** Where any were given. */
  groups?: GroupSpec[];
}

/** What it takes to make the same model again; the form in which model files keep it. */
export interface ModelConfig {
  inputShape: [number | null, number];
  dtype: DType;
  seed: number;
  layers: LayerSpec[];
}

export interface EvaluateOptions {
  /** Rows per call of the layers; results do not depend on it (with batch norm on running statistics). Default 256. */
  batchSize?: number;
  signal?: AbortSignal;
  /** As in {@link FitOptions}: over contiguous streams, from no states. Default false. */
  stateful?: boolean;
  /** As in {@link FitOptions}. Default 0. */
  burnIn?: number;
}

/** Options of {@link Model.confusionMatrix}. */
export type ConfusionOptions = Pick<EvaluateOptions, 'batchSize' | 'signal'>;

export interface PredictOptions<Told extends boolean = boolean>
  extends Pick<EvaluateOptions, 'batchSize' | 'signal'>, StateOptions<Told> {
  /** Valid steps of each row, `[n]` as Int32Array. Default: all. */
  lengths?: TensorLike;
  /** Where rows start afresh, as in {@link TrainingData}. Default: nowhere. */
  resets?: TensorLike;
}

/** Options of {@link Model.forward}. */
export interface ForwardOptions<Told extends boolean = boolean> extends StateOptions<Told> {
  /** Whether dropout draws and batch norms use (and update by) the batch. Default true. */
  training?: boolean;
  /** As in {@link PredictOptions}. */
  lengths?: TensorLike;
  /** As in {@link PredictOptions}. */
  resets?: TensorLike;
}

/** Named tensors. */
export type NamedTensors = Record<string, Tensor<FloatArray>>;

export const evaluateSchema = z.strictObject({
  batchSize: z.int().min(1).default(256),
  signal: fitSchema.shape.signal,
  ...continuingSchema,
});
export const confusionSchema = evaluateSchema.pick({ batchSize: true, signal: true });
const passSchema = z.strictObject({
  lengths: z.unknown().optional(),
  resets: z.unknown().optional(),
  initialState: z.unknown().optional(),
  returnState: z.boolean().default(false),
});
export const predictSchema = passSchema.extend({
  batchSize: evaluateSchema.shape.batchSize,
  signal: evaluateSchema.shape.signal,
});
export const attentionSchema = passSchema.pick({ lengths: true });
export const forwardSchema = passSchema.extend({ training: z.boolean().default(true) });
export const backwardSchema = z.strictObject({
  states: z.unknown().optional(),
  returnInitialState: z.boolean().default(false),
});

export const saveSchema = z.strictObject({
  metadata: z.record(z.string(), z.string()).default({}),
});

/** Options of {@link Model.summary}. */
export interface SummaryOptions {
  /** Takes one line. Default: standard output. */
  print?: (line: string) => void;
  /** Also how every recurrent layer runs, as {@link Model.explain} with those options. Default false. */
  explain?: boolean | ExplainOptions;
}

export const summarySchema = z.strictObject({
  print: z
    .custom<(line: string) => void>((value) => typeof value === 'function', 'expected a function')
    .optional(),
  explain: z
    .custom<boolean | ExplainOptions>(
      (value) => typeof value === 'boolean' || (typeof value === 'object' && value !== null),
      'expected true, false or options of explain',
    )
    .optional(),
});

/** Anything by name: what a name stands for is checked where the names are known. */
export const byNameSchema = z.record(z.string(), z.unknown());

export const stepSchema = z.strictObject({ learningRate: z.number().min(0).optional() });
