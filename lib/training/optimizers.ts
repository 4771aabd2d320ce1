import { z } from 'zod';
import { ofKind } from '../options';
import { resolveKind } from './specs';

/** What every optimizer takes. */
export interface OptimizerOptions {
  /** Step size before the schedule's factor. Above 0. Default 0.001 (sgd, adagrad: 0.01, adadelta: 1). */
  learningRate?: number;
  /** Added to every gradient as `l2 * parameter`, behind clipping. Default 0. */
  l2?: number;
  /** Largest Euclidean norm of all gradients together; larger ones are scaled down. Default: no limit. */
  clipNorm?: number;
  /** Largest absolute value of an entry of a gradient, after `clipNorm`'s scaling. Default: no limit. */
  clipValue?: number;
}

export interface SgdOptions extends OptimizerOptions {
  /** 0 to below 1. Default 0. */
  momentum?: number;
  /** Default false. */
  nesterov?: boolean;
}

export interface RmspropOptions extends OptimizerOptions {
  /** Decay of the mean square. Default 0.9. */
  rho?: number;
  /** 0 to below 1. Default 0. */
  momentum?: number;
  /** Default 1e-8. */
  epsilon?: number;
  /** Divide by `sqrt(s + epsilon)` as TensorFlow 1, not by `sqrt(s) + epsilon` as PyTorch. Default false. */
  epsilonInside?: boolean;
  /** Where the mean square starts. TensorFlow 1 has 1. Default 0. */
  initialMeanSquare?: number;
}

export interface AdamOptions extends OptimizerOptions {
  /** Decay of the mean. Default 0.9. */
  beta1?: number;
  /** Decay of the mean square. Default 0.999. */
  beta2?: number;
  /** Default 1e-8. */
  epsilon?: number;
  /** Divide by the largest mean square so far (AMSGrad). Default false. */
  amsgrad?: boolean;
}

export interface AdagradOptions extends OptimizerOptions {
  /** Where the sum of squares starts. TensorFlow 1 has 0.1. Default 0. */
  initialAccumulator?: number;
  /** TensorFlow 1 has 0. Above 0 where `initialAccumulator` is 0. Default 1e-10. */
  epsilon?: number;
}

export interface AdadeltaOptions extends OptimizerOptions {
  /** Decay of both mean squares. Default 0.9. */
  rho?: number;
  /** Default 1e-6. */
  epsilon?: number;
}

export interface AdamWOptions extends AdamOptions {
  /** Share of each parameter taken off per unit of learning rate, apart from the gradient. Default 0.01. */
  weightDecay?: number;
}

const unit = z.number().min(0).lt(1);
const common = {
  learningRate: z.number().gt(0).default(0.001),
  l2: z.number().min(0).default(0),
  clipNorm: z.number().gt(0).optional(),
  clipValue: z.number().gt(0).optional(),
};
const adam = {
  ...common,
  beta1: unit.default(0.9),
  beta2: unit.default(0.999),
  epsilon: z.number().gt(0).default(1e-8),
  amsgrad: z.boolean().default(false),
};

/** The options of each kind. @internal */
export const optimizerSchemas = {
  sgd: z.strictObject({
    ...common,
    learningRate: z.number().gt(0).default(0.01),
    momentum: unit.default(0),
    nesterov: z.boolean().default(false),
  }),
  rmsprop: z.strictObject({
    ...common,
    rho: unit.default(0.9),
    momentum: unit.default(0),
    epsilon: z.number().gt(0).default(1e-8),
    epsilonInside: z.boolean().default(false),
    initialMeanSquare: z.number().min(0).default(0),
  }),
  adam: z.strictObject(adam),
  adamw: z.strictObject({ ...adam, weightDecay: z.number().min(0).default(0.01) }),
  adagrad: z
    .strictObject({
      ...common,
      learningRate: z.number().gt(0).default(0.01),
      initialAccumulator: z.number().min(0).default(0),
      epsilon: z.number().min(0).default(1e-10),
    })
    .refine(({ initialAccumulator, epsilon }) => initialAccumulator > 0 || epsilon > 0, {
      message: 'initialAccumulator and epsilon are both 0; expected one above 0',
    }),
  adadelta: z.strictObject({
    ...common,
    learningRate: z.number().gt(0).default(1),
    rho: unit.default(0.9),
    epsilon: z.number().gt(0).default(1e-6),
  }),
};

type Described =
  | ({ kind: 'sgd' } & SgdOptions)
  | ({ kind: 'rmsprop' } & RmspropOptions)
  | ({ kind: 'adam' } & AdamOptions)
  | ({ kind: 'adamw' } & AdamWOptions)
  | ({ kind: 'adagrad' } & AdagradOptions)
  | ({ kind: 'adadelta' } & AdadeltaOptions);

type Limits = 'clipNorm' | 'clipValue';
type Filled<O> = O extends OptimizerOptions
  ? Required<Omit<O, Limits>> & Pick<OptimizerOptions, Limits>
  : never;

/** An optimizer with all its numbers. */
export type OptimizerSpec = Filled<Described>;
/** What `compile` takes: a description or a name, which then has its defaults. */
export type OptimizerLike = Described | Described['kind'];

/** @throws {LookbackError} ERR_OPTION */
export function resolveOptimizer(value: unknown, where = 'optimizer'): OptimizerSpec {
  return resolveKind<OptimizerSpec>(optimizerSchemas, value, where);
}

/** Constructors of optimizers; each checks its options at once. @throws {LookbackError} ERR_OPTION */
export const optimizers = {
  /** Stochastic gradient descent with momentum. */
  sgd: (options: SgdOptions = {}): OptimizerSpec =>
    resolveOptimizer(ofKind('sgd', options, 'optimizer sgd')),
  /** Gradient divided by its running root mean square. */
  rmsprop: (options: RmspropOptions = {}): OptimizerSpec =>
    resolveOptimizer(ofKind('rmsprop', options, 'optimizer rmsprop')),
  /** Adam; `l2` is coupled (in the gradient). */
  adam: (options: AdamOptions = {}): OptimizerSpec =>
    resolveOptimizer(ofKind('adam', options, 'optimizer adam')),
  /** Adam with decoupled weight decay. */
  adamw: (options: AdamWOptions = {}): OptimizerSpec =>
    resolveOptimizer(ofKind('adamw', options, 'optimizer adamw')),
  /** Gradient divided by the root of the sum of all its squares so far. */
  adagrad: (options: AdagradOptions = {}): OptimizerSpec =>
    resolveOptimizer(ofKind('adagrad', options, 'optimizer adagrad')),
  /** Steps of the size of earlier steps, divided by the gradient's running root mean square. */
  adadelta: (options: AdadeltaOptions = {}): OptimizerSpec =>
    resolveOptimizer(ofKind('adadelta', options, 'optimizer adadelta')),
} as const;
