import { LookbackError } from '../errors';
import { z } from 'zod';
import type { EngineSums } from '../native';
import type { LossSpec } from './losses';
import { ofKind } from '../options';
import { resolveKind } from './specs';

/** The options of each kind. @internal */
export const metricSchemas = {
  accuracy: z.strictObject({}),
  meanSquaredError: z.strictObject({}),
  meanAbsoluteError: z.strictObject({}),
  bitsPerCharacter: z.strictObject({}),
  perplexity: z.strictObject({}),
  topKAccuracy: z.strictObject({ k: z.int().min(1).default(5) }),
  macroF1: z.strictObject({}),
  weightedF1: z.strictObject({}),
};

/** A metric by its kind. */
export type MetricSpec =
  | {
      kind:
        | 'accuracy'
        | 'meanSquaredError'
        | 'meanAbsoluteError'
        | 'bitsPerCharacter'
        | 'perplexity'
        | 'macroF1'
        | 'weightedF1';
    }
  | { kind: 'topKAccuracy'; k: number };
/** What `compile` takes: a description or a name. */
export type MetricLike = MetricSpec | MetricSpec['kind'];

/** Constructors of metrics. */
export const metrics = {
  /**
   * Share of rows (or steps) whose largest output is the label; with `binaryCrossentropy`, of outputs on the target's
   * side of one half.
   */
  accuracy: (): MetricSpec => ({ kind: 'accuracy' }),
  /** For `meanSquaredError`, whose value it equals; there so that logs can name it. */
  meanSquaredError: (): MetricSpec => ({ kind: 'meanSquaredError' }),
  /** Mean absolute difference of outputs (of a Gaussian its mean) and targets. */
  meanAbsoluteError: (): MetricSpec => ({ kind: 'meanAbsoluteError' }),
  /** The cross-entropy in bits. */
  bitsPerCharacter: (): MetricSpec => ({ kind: 'bitsPerCharacter' }),
  /** e to the power of the cross-entropy. */
  perplexity: (): MetricSpec => ({ kind: 'perplexity' }),
  /**
   * Share of rows (or steps) whose label is among the `k` largest outputs; logged as `top5Accuracy`. Like F1 computed
   * from predictions, so only by `evaluate` and for validation data, at the cost of a second pass over them.
   */
  topKAccuracy: (options: { k?: number } = {}): MetricSpec =>
    resolveKind<MetricSpec>(
      metricSchemas,
      ofKind('topKAccuracy', options, 'metric topKAccuracy'),
      'topKAccuracy',
    ),
  /** The mean of the classes' F1, each class alike. Only by `evaluate` and for validation data, as `topKAccuracy`. */
  macroF1: (): MetricSpec => ({ kind: 'macroF1' }),
  /** The mean of the classes' F1 by how often each is the label. As `macroF1`. */
  weightedF1: (): MetricSpec => ({ kind: 'weightedF1' }),
} as const;

/** The losses under which a metric says something. */
const lossesOf: Record<MetricSpec['kind'], readonly LossSpec['kind'][]> = {
  accuracy: ['sparseCategoricalCrossentropy', 'binaryCrossentropy'],
  meanSquaredError: ['meanSquaredError'],
  meanAbsoluteError: [
    'meanSquaredError',
    'meanAbsoluteError',
    'huber',
    'gaussianNegativeLogLikelihood',
  ],
  bitsPerCharacter: ['sparseCategoricalCrossentropy'],
  perplexity: ['sparseCategoricalCrossentropy'],
  topKAccuracy: ['sparseCategoricalCrossentropy'],
  macroF1: ['sparseCategoricalCrossentropy'],
  weightedF1: ['sparseCategoricalCrossentropy'],
};

/** @throws {LookbackError} ERR_OPTION, also for a metric that says nothing under `loss` */
export function resolveMetrics(
  values: readonly unknown[],
  loss: LossSpec,
  where = 'metrics',
): MetricSpec[] {
  return values.map((value, index) => {
    const metric = resolveKind<MetricSpec>(metricSchemas, value, `${where}[${index}]`);
    const fitting = lossesOf[metric.kind];
    if (!fitting.includes(loss.kind)) {
      const message = `${where}[${index}] is "${metric.kind}", which goes with the loss ${fitting.join(' or ')}; the loss is ${loss.kind}`;
      throw new LookbackError('ERR_OPTION', message);
    }
    return metric;
  });
}

/** Named numbers of an epoch or an evaluation: `loss`, `accuracy`, `valLoss`, ... */
export type Logs = Record<string, number>;

/** What logs are made from. */
export type LossSums = Pick<EngineSums, 'rows' | 'weight' | 'count' | 'loss' | 'hits' | 'absolute'>;

/** Sums over nothing. */
export function noSums(): LossSums {
  return { rows: 0, weight: 0, count: 0, loss: 0, hits: 0, absolute: 0 };
}

/** Adds what one call of the engine gave. */
export function addSums(sums: LossSums, more: LossSums): void {
  for (const key of ['rows', 'weight', 'count', 'loss', 'hits', 'absolute'] as const) {
    sums[key] += more[key];
  }
}

/** What a metric is called in logs. */
export function metricKey(spec: MetricSpec): string {
  return spec.kind === 'topKAccuracy' ? `top${spec.k}Accuracy` : spec.kind;
}

/** Means over what `sums` covers, NaN where that is nothing; metrics that need predictions are not among them. */
export function logsOf(sums: LossSums, metricSpecs: readonly MetricSpec[]): Logs {
  const share = (sum: number, of: number): number => (of > 0 ? sum / of : NaN);
  const loss = share(sums.loss, sums.weight);
  const values: Partial<Record<MetricSpec['kind'], number>> = {
    accuracy: share(sums.hits, sums.count),
    meanSquaredError: loss,
    meanAbsoluteError: share(sums.absolute, sums.count),
    bitsPerCharacter: loss / Math.LN2,
    perplexity: Math.exp(loss),
  };
  const logs: Logs = { loss };
  for (const { kind } of metricSpecs) {
    const value = values[kind];
    if (value !== undefined) logs[kind] = value;
  }
  return logs;
}
