/**
 * The option `calibrate` of a training run: statistics of batches over the training part, with the weights that the last
 * epoch has left.
 */
import { calibrate, requireCalibratable } from '../calibrate';
import type { CalibrationBatch } from '../calibrate';
import { gather } from '../data/dataset';
import { LookbackError } from '../errors';
import type { Model } from '../model';
import { loadAddon } from '../native';
import { shuffled } from '../training/fit';
import { throwIfAborted } from '../training/signal';
import type { RunConfig } from './config';
import type { RunData, RunSplit } from './run-data';

/** What is wrong is said before the training, not behind it. @throws {LookbackError} ERR_OPTION, ERR_SHAPE */
export function checkCalibration(
  { calibrate: asked, stateful }: RunConfig,
  { steps }: RunData,
  model: Model,
): void {
  if (asked === false) return;
  if (stateful) {
    const message =
      'calibrate goes over rows that each begin from no states, and with stateful they go on with those before; leave one of the two out';
    throw new LookbackError('ERR_OPTION', message);
  }
  requireCalibratable(model, steps);
}

/** Of the `rows` of the training part, how many a run is calibrated on. */
export function calibrationRows({ calibrate: asked, batchSize }: RunConfig, rows: number): number {
  if (typeof asked === 'boolean') return asked ? rows : 0;
  return Math.min(asked * batchSize, rows);
}

/**
 * Calibrates where the configuration asks for it, on rows in the order that the epoch behind the last would have: batches
 * as in training, and the same ones in a run that was interrupted.
 *
 * @returns the batches that were averaged
 * @throws {LookbackError} ERR_ABORTED; the model is then as before
 */
export async function calibrateRun(
  model: Model,
  config: RunConfig,
  train: RunSplit,
  signal: AbortSignal,
): Promise<number> {
  const all = train.x.shape[0] ?? 0;
  const rows = calibrationRows(config, all);
  if (rows === 0) return 0;
  const { uniforms } = loadAddon();
  const order = shuffled({ uniforms, seed: config.seed }, all, config.epochs).subarray(0, rows);
  await calibrate(model, batchesOf(train, order, config.batchSize, signal));
  return Math.ceil(rows / config.batchSize);
}

function* batchesOf(
  { x, lengths }: RunSplit,
  order: Uint32Array,
  batchSize: number,
  signal: AbortSignal,
): Generator<CalibrationBatch> {
  const [all = 1, ...rest] = x.shape;
  const size = x.data.length / all;
  for (let at = 0; at < order.length; at += batchSize) {
    throwIfAborted(signal);
    const rows = [...order.subarray(at, at + batchSize)];
    yield {
      x: { shape: [rows.length, ...rest], data: gather(x.data, rows, size) },
      ...(lengths ? { lengths: gather(lengths, rows, 1) } : {}),
    };
  }
}
