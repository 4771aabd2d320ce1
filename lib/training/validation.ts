/**
 * What a run is validated on, and after which epochs.
 */
import { LookbackError } from '../errors';
import type { NativeEngine } from '../native';
import type { PreparedData } from './data';
import { addData, sliceRows } from './data';
import { evaluateData } from './evaluation';
import type { FitHost, ResolvedFit } from './fit';
import type { Logs, MetricSpec } from './metrics';
import { addSums, logsOf, metricKey, noSums } from './metrics';
import { needPredictions } from './predicted-metrics';
import { throwIfAborted } from './signal';
import type { BatchSource } from './source';
import { batchSourceOf, prefetched, requireAlive, requireBeginsAnew } from './source';

/** Checks one part of the data, or one batch; `where` names it. */
type Prepare = (part: unknown, where: string) => PreparedData;

/** Validation data that come as batches. */
export interface ValidationBatches {
  source: BatchSource;
  prepare: Prepare;
}

export type ValidationData = PreparedData | ValidationBatches;

/** The same once data in memory are copied to the engine, which knows them by `handle`. */
export type LoadedValidation = ValidationBatches | { data: PreparedData; handle: number };

export function loadValidation(engine: NativeEngine, given: ValidationData): LoadedValidation {
  return 'source' in given ? given : { data: given, handle: addData(engine, given) };
}

/**
 * The validation data of a run: in memory, of which `validationSteps` keeps the first rows, or batches.
 *
 * @throws {LookbackError} ERR_OPTION for `stateful` and `burnIn` with batches, and for batches that can be gone through once
 * where they are needed more often; ERR_SHAPE, ERR_DATA
 */
export function prepareValidation(
  given: unknown,
  options: ResolvedFit,
  prepare: Prepare,
): ValidationData {
  const source = batchSourceOf(given);
  if (!source) return firstSteps(prepare(given, 'fit: validationData'), options);
  const { stateful, burnIn, initialEpoch } = options;
  if (validationsFrom(initialEpoch, options) > 1)
    requireBeginsAnew(given, 'validation after several epochs');
  if (!stateful && burnIn === 0) return { source, prepare };
  const message = `fit: ${stateful ? 'stateful' : 'burnIn'} does not go with validationData that come as batches; leave it out, or give validation data in memory`;
  throw new LookbackError('ERR_OPTION', message);
}

/** The rows of the first `validationSteps` batches. */
export function firstSteps(
  data: PreparedData,
  { validationSteps, batchSize }: Pick<ResolvedFit, 'validationSteps' | 'batchSize'>,
): PreparedData {
  const rows = (validationSteps ?? Infinity) * batchSize;
  return rows < data.rows ? sliceRows(data, 0, rows) : data;
}

/** An option that means nothing where no validation takes place, and its value; null where none is given. */
export function idleOption({
  validationFreq,
  validationSteps,
}: Pick<ResolvedFit, 'validationFreq' | 'validationSteps'>): [string, number] | null {
  if (validationFreq > 1) return ['validationFreq', validationFreq];
  return validationSteps === undefined ? null : ['validationSteps', validationSteps];
}

/** @throws {LookbackError} ERR_OPTION for options of a validation that does not take place */
export function requireValidation(options: ResolvedFit): void {
  const [name, value] = idleOption(options) ?? [];
  if (name === undefined) return;
  const message = `fit: ${name} is ${value}, but there is nothing to validate on; give validationData or validationSplit, or leave it out`;
  throw new LookbackError('ERR_OPTION', message);
}

/** @throws {LookbackError} ERR_OPTION for metrics that need the predictions of all rows at once */
export function checkBatchesMetrics(
  validation: ValidationData | null,
  metrics: readonly MetricSpec[],
): void {
  if (validation === null || !('source' in validation) || !needPredictions(metrics)) return;
  const message =
    'fit: validationData that come as batches do not go with metrics that are computed from predictions; keep to accuracy and the loss, or give validation data in memory';
  throw new LookbackError('ERR_OPTION', message);
}

/** Whether an epoch, counted from 0, is validated at its end. */
export function isValidated(epoch: number, { validationFreq }: ResolvedFit): boolean {
  return (epoch + 1) % validationFreq === 0;
}

/** How often a run that begins with epoch `from` is validated. */
export function validationsFrom(
  from: number,
  { epochs, validationFreq }: Pick<ResolvedFit, 'epochs' | 'validationFreq'>,
): number {
  return Math.max(0, Math.floor(epochs / validationFreq) - Math.floor(from / validationFreq));
}

/** What validation adds to the logs. */
export function validationKeys(metrics: readonly MetricSpec[]): string[] {
  return ['loss', ...metrics.map(metricKey)].map(validationKey);
}

function validationKey(key: string): string {
  return `val${key.charAt(0).toUpperCase()}${key.slice(1)}`;
}

/**
 * Loss and metrics over the validation data, named as in the logs of an epoch; null where the run is stopped before all
 * batches of a source were there.
 */
export async function validate(
  host: FitHost,
  validation: LoadedValidation,
  options: ResolvedFit,
): Promise<Logs | null> {
  const { engine, metrics } = host;
  const logs =
    'source' in validation
      ? await evaluateBatches(host, validation, options)
      : await evaluateData({ engine, metrics, ...validation }, options);
  if (logs === null) return null;
  return Object.fromEntries(
    Object.entries(host.told(logs)).map(([key, value]) => [validationKey(key), value]),
  );
}

async function evaluateBatches(
  host: FitHost,
  { source, prepare }: ValidationBatches,
  { validationSteps = Infinity, signal }: ResolvedFit,
): Promise<Logs | null> {
  const { engine, metrics, disposed } = host;
  const sums = noSums();
  let count = 0;
  const ahead = source.prefetch ?? 2;
  const how = { ahead, limit: validationSteps, signal, stop: host.stopSignal };
  for await (const batch of prefetched(source, how)) {
    const data = prepare(batch, `fit: batch ${count} of validationData`);
    const handle = addData(engine, data);
    try {
      addSums(sums, await engine.evaluate({ data: handle, batchSize: data.rows }));
    } finally {
      if (!disposed()) engine.removeData(handle);
    }
    throwIfAborted(signal);
    count += 1;
  }
  throwIfAborted(signal);
  requireAlive(host);
  if (host.stopped() && count < validationSteps) return null;
  if (count > 0) return logsOf(sums, metrics);
  const message =
    'fit: validationData gave no batch; expected an object that begins anew for every validation (a generator can be gone through once)';
  throw new LookbackError('ERR_DATA', message);
}
