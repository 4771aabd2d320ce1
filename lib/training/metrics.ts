import { z } from 'zod';
import { LookbackError } from '../errors';
import type { EngineSums } from '../native';
import type { LossSpec } from './losses';
import { resolveKind } from './specs';

const schemas = {
  accuracy: z.strictObject({}),
  meanSquaredError: z.strictObject({}),
};

/** A metric by its kind. */
export interface MetricSpec {
  kind: keyof typeof schemas;
}
/** What `compile` takes: a description or a name. */
export type MetricLike = MetricSpec | MetricSpec['kind'];

/** Constructors of metrics. */
export const metrics = {
  /** Share of rows whose largest output is the label; for `sparseCategoricalCrossentropy`. */
  accuracy: (): MetricSpec => ({ kind: 'accuracy' }),
  /** For `meanSquaredError`, whose value it equals; there so that logs can name it. */
  meanSquaredError: (): MetricSpec => ({ kind: 'meanSquaredError' }),
} as const;

const lossOf: Record<MetricSpec['kind'], LossSpec['kind']> = {
  accuracy: 'sparseCategoricalCrossentropy',
  meanSquaredError: 'meanSquaredError',
};

/** @throws {LookbackError} ERR_OPTION, also for a metric that says nothing under `loss` */
export function resolveMetrics(
  values: readonly unknown[],
  loss: LossSpec,
  where = 'metrics',
): MetricSpec[] {
  return values.map((value, index) => {
    const metric = resolveKind<MetricSpec>(schemas, value, `${where}[${index}]`);
    if (lossOf[metric.kind] !== loss.kind) {
      const message = `${where}[${index}] is "${metric.kind}", which goes with the loss ${lossOf[metric.kind]}; the loss is ${loss.kind}`;
      throw new LookbackError('ERR_OPTION', message);
    }
    return metric;
  });
}

/** Named numbers of an epoch or an evaluation: `loss`, `accuracy`, `valLoss`, ... */
export type Logs = Record<string, number>;

/** Means over the rows that `sums` covers. */
export function logsOf(
  sums: Pick<EngineSums, 'rows' | 'loss' | 'hits'>,
  metricSpecs: readonly MetricSpec[],
): Logs {
  const rows = Math.max(1, sums.rows);
  const logs: Logs = { loss: sums.loss / rows };
  for (const { kind } of metricSpecs) {
    logs[kind] = kind === 'accuracy' ? sums.hits / rows : sums.loss / rows;
  }
  return logs;
}
