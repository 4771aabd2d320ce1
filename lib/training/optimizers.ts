import { z } from 'zod';
import { resolveKind } from './specs';

/** What every optimizer takes. */
export interface OptimizerOptions {
  /** Step size before the schedule's factor. Above 0. Default 0.001 (sgd: 0.01). */
  learningRate?: number;
  /** Added to every gradient as `l2 * parameter`, before clipping's result is used. Default 0. */
  l2?: number;
  /** Largest Euclidean norm of all gradients together; larger ones are scaled down. Default: no limit. */
  clipNorm?: number;
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
}

export interface AdamOptions extends OptimizerOptions {
  /** Decay of the mean. Default 0.9. */
  beta1?: number;
  /** Decay of the mean square. Default 0.999. */
  beta2?: number;
  /** Default 1e-8. */
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
};
const adam = {
  ...common,
  beta1: unit.default(0.9),
  beta2: unit.default(0.999),
  epsilon: z.number().gt(0).default(1e-8),
};

const schemas = {
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
  }),
  adam: z.strictObject(adam),
  adamw: z.strictObject({ ...adam, weightDecay: z.number().min(0).default(0.01) }),
};

type Described =
  | ({ kind: 'sgd' } & SgdOptions)
  | ({ kind: 'rmsprop' } & RmspropOptions)
  | ({ kind: 'adam' } & AdamOptions)
  | ({ kind: 'adamw' } & AdamWOptions);

type Filled<O> = O extends OptimizerOptions
  ? Required<Omit<O, 'clipNorm'>> & Pick<OptimizerOptions, 'clipNorm'>
  : never;

/** An optimizer with all its numbers. */
export type OptimizerSpec = Filled<Described>;
/** What `compile` takes: a description or a name, which then has its defaults. */
export type OptimizerLike = Described | Described['kind'];

/** @throws {LookbackError} ERR_OPTION */
export function resolveOptimizer(value: unknown, where = 'optimizer'): OptimizerSpec {
  return resolveKind<OptimizerSpec>(schemas, value, where);
}

/** Constructors of optimizers; each checks its options at once. @throws {LookbackError} ERR_OPTION */
export const optimizers = {
  /** Stochastic gradient descent with momentum. */
  sgd: (options: SgdOptions = {}): OptimizerSpec => resolveOptimizer({ ...options, kind: 'sgd' }),
  /** Gradient divided by its running root mean square. */
  rmsprop: (options: RmspropOptions = {}): OptimizerSpec =>
    resolveOptimizer({ ...options, kind: 'rmsprop' }),
  /** Adam; `l2` is coupled (in the gradient). */
  adam: (options: AdamOptions = {}): OptimizerSpec =>
    resolveOptimizer({ ...options, kind: 'adam' }),
  /** Adam with decoupled weight decay. */
  adamw: (options: AdamWOptions = {}): OptimizerSpec =>
    resolveOptimizer({ ...options, kind: 'adamw' }),
} as const;
