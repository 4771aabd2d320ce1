/**
 * Single jobs on data that the engine holds.
 */
import { LookbackError } from '../errors';
import type { NativeEngine } from '../native';
import type { PreparedData } from './data';
import type { LossSpec } from './losses';
import { wantsLabels } from './losses';
import type { Logs, MetricSpec } from './metrics';
import { logsOf } from './metrics';
import { confusionOf, needPredictions, predictedLogs } from './predicted-metrics';

/** How batches go on from each other. */
export interface Continuing {
  batchSize: number;
  stateful: boolean;
  burnIn: number;
}

/** @throws {LookbackError} ERR_OPTION for metrics of predictions, which begin every row afresh, on rows that go on */
export function checkPredicted(
  metrics: readonly MetricSpec[],
  { stateful, burnIn }: Continuing,
  where: string,
): void {
  if ((!stateful && burnIn === 0) || !needPredictions(metrics)) return;
  const message = `${where}: ${stateful ? 'stateful' : 'burnIn'} does not go with metrics that are computed from predictions; keep to accuracy and the loss`;
  throw new LookbackError('ERR_OPTION', message);
}

export interface DataJob {
  engine: NativeEngine;
  /** By which the engine knows `data`. */
  handle: number;
  data: PreparedData;
  loss: LossSpec;
  metrics: readonly MetricSpec[];
}

/** Loss and metrics over the data. */
export async function evaluateData(job: Omit<DataJob, 'loss'>, how: Continuing): Promise<Logs> {
  const { engine, handle, metrics } = job;
  const { batchSize, stateful, burnIn } = how;
  const call = { data: handle, batchSize, stateful, burnIn };
  const logs = logsOf(await engine.evaluate(call), metrics);
  if (!needPredictions(metrics)) return logs;
  const { outputs } = await engine.predict({ data: handle, batchSize });
  return { ...logs, ...predictedLogs(metrics, outputs, job.data) };
}

/** `counts[label][prediction]` over the data. @throws {LookbackError} ERR_STATE without labels */
export async function confusionOfData(job: DataJob, batchSize: number): Promise<number[][]> {
  if (!wantsLabels(job.loss)) {
    const message = `confusionMatrix: the loss ${job.loss.kind} has no labels; it goes with sparseCategoricalCrossentropy`;
    throw new LookbackError('ERR_STATE', message);
  }
  const { outputs } = await job.engine.predict({ data: job.handle, batchSize });
  return confusionOf(outputs, job.data);
}

/** One update from all rows as one batch. */
export async function updateFromAll({ engine, handle, data, metrics }: DataJob): Promise<Logs> {
  const rows = Uint32Array.from({ length: data.rows }, (_, row) => row);
  const call = { data: handle, rows, batchSize: data.rows, rateFactor: 1 };
  return logsOf(await engine.train(call, null), metrics);
}
