/**
 * The data of a run, as its configuration asks for it.
 */
import type { Split } from '../data';
import { datasets } from '../data';
import { cutSequences } from '../data/dataset';
import { LookbackError } from '../errors';
import type { EvaluateOptions } from '../model-options';
import type { TextOptions } from '../preprocessing/text';
import type { DType, Tensor } from '../tensor';
import { dtypeOf, rowsWithout } from '../tensor';
import { idleOption } from '../training/validation';
import type { RunConfig } from './config';
import { loadDataset } from './data-config';

/** One part of the data in the model's number type. */
export interface RunSplit {
  x: Tensor;
  y: Tensor;
  /** Valid steps of each sequence, where they differ. */
  lengths?: Int32Array;
}

export interface RunData {
  train: RunSplit;
  /** Held out of the training part; null where the configuration holds nothing out. */
  validation: RunSplit | null;
  test: RunSplit;
  classNames: string[] | null;
  /** How text became the numbers of `x`; null where it is not text. */
  text: TextOptions | null;
  /** For each target the feature that it is told as a change from; null where targets are told as they are. */
  change: number[] | null;
  steps: number;
  features: number;
}

/** @throws {LookbackError} ERR_IO, ERR_DATA, ERR_FORMAT, or ERR_OPTION for subjects that are not there */
export async function loadRunData(config: RunConfig): Promise<RunData> {
  const dataset = await loadDataset(config.data);
  const { train, validation = dataset.validation } = holdOut(dataset.train, config.validation);
  return {
    train: inType(train, config.dtype),
    validation: validation ? inType(validation, config.dtype) : null,
    test: inType(dataset.test, config.dtype),
    classNames: dataset.classNames ?? null,
    text: dataset.text ?? null,
    change: dataset.change ?? null,
    steps: dataset.train.steps,
    features: dataset.train.features,
  };
}

/** @throws {LookbackError} ERR_OPTION for options of a validation that does not take place */
export function checkValidation(config: RunConfig, { validation }: RunData): void {
  const [name, value] = (validation === null && idleOption(config)) || [];
  if (name === undefined) return;
  const message = `${name} is ${value}, but there is nothing to validate on: ${config.data.name} has no validation part; hold one out by "validation": { "split": 0.1 }, or leave ${name} out`;
  throw new LookbackError('ERR_OPTION', message);
}

/** How a run goes over its test part: as over its validation part. */
export function evaluationOf({
  batchSize,
  stateful,
  burnIn,
}: Pick<RunConfig, 'batchSize' | 'stateful' | 'burnIn'>): EvaluateOptions {
  return stateful ? { batchSize, stateful, burnIn } : { burnIn };
}

/** `fit` checks the other parts before it begins; the test part's turn comes when the work is done. @throws {LookbackError} ERR_DATA */
export function checkTestStreams(config: RunConfig, { test }: RunData): void {
  const rows = test.x.shape[0] ?? 0;
  if (!config.stateful || rows % config.batchSize === 0) return;
  throw new LookbackError(
    'ERR_DATA',
    `the test part has ${rows} rows, which are no whole batches of ${config.batchSize}; with stateful, row b of a batch goes on with row b of the next: choose another batchSize`,
  );
}

/** Where the configuration asks for it, a part of the training part in place of the data set's own validation part. */
function holdOut(
  train: Split,
  validation: RunConfig['validation'],
): { train: Split; validation?: Split } {
  if (validation === undefined) return { train };
  const { subjects, split = 0 } = validation;
  if (subjects) {
    const parts = datasets.splitBySubject(train, subjects);
    return { train: parts.train, validation: parts.held };
  }
  const rows = train.x.shape[0] ?? 0;
  const at = rowsWithout(split, rows);
  if (at < 1 || at >= rows) {
    throw new LookbackError(
      'ERR_OPTION',
      `validation.split ${split} of ${rows} rows leaves one side empty`,
    );
  }
  const [first, rest] = cutSequences(train, at);
  return { train: first, validation: rest };
}

function inType({ x, y, lengths }: Split, dtype: DType): RunSplit {
  const cast = (tensor: Tensor): Tensor =>
    dtype === 'float64' && dtypeOf(tensor.data) === 'float32'
      ? { shape: tensor.shape, data: Float64Array.from(tensor.data) }
      : tensor;
  return { x: cast(x), y: cast(y), ...(lengths ? { lengths } : {}) };
}
