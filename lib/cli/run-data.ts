/**
 * The data of a run, as its configuration asks for it.
 */
import type { Dataset, Split } from '../data';
import { datasets } from '../data';
import { LookbackError } from '../errors';
import type { DType, Tensor } from '../tensor';
import { dtypeOf } from '../tensor';
import type { RunConfig } from './config';

/** One part of the data in the model's number type. */
export interface RunSplit {
  x: Tensor;
  y: Tensor;
}

export interface RunData {
  train: RunSplit;
  /** Held out of the training part; null where the configuration holds nothing out. */
  validation: RunSplit | null;
  test: RunSplit;
  classNames: string[] | null;
  steps: number;
  features: number;
}

/** @throws {LookbackError} ERR_IO, ERR_DATA, ERR_FORMAT, or ERR_OPTION for subjects that are not there */
export function loadRunData(config: RunConfig): RunData {
  const dataset = loadDataset(config.data);
  const { train, validation } = holdOut(dataset.train, config.validation);
  return {
    train: inType(train, config.dtype),
    validation: validation && inType(validation, config.dtype),
    test: inType(dataset.test, config.dtype),
    classNames: dataset.classNames ?? null,
    steps: dataset.train.steps,
    features: dataset.train.features,
  };
}

function loadDataset(data: RunConfig['data']): Dataset {
  switch (data.name) {
    case 'har':
      return datasets.har(data.dir === undefined ? {} : { dir: data.dir });
    case 'uciHar':
      return datasets.uciHar({ dir: data.dir });
    case 'adding': {
      const { name: _, ...options } = data;
      return datasets.adding(options);
    }
    case 'copying': {
      const { name: _, ...options } = data;
      return datasets.copying(options);
    }
  }
}

type Part = Pick<Split, 'x' | 'y'>;

function holdOut(
  train: Split,
  validation: RunConfig['validation'],
): { train: Part; validation: Part | null } {
  if (validation === undefined) return { train, validation: null };
  const { subjects, split = 0 } = validation;
  if (subjects) {
    const parts = datasets.splitBySubject(train, subjects);
    return { train: parts.train, validation: parts.held };
  }
  const rows = train.x.shape[0] ?? 0;
  const at = Math.floor(rows * (1 - split));
  if (at < 1 || at >= rows) {
    throw new LookbackError(
      'ERR_OPTION',
      `validation.split ${split} of ${rows} rows leaves one side empty`,
    );
  }
  const cut = (from: number, to: number): Part => ({
    x: rowsOf(train.x, from, to),
    y: rowsOf(train.y, from, to),
  });
  return { train: cut(0, at), validation: cut(at, rows) };
}

function rowsOf<T extends Split['x'] | Split['y']>(tensor: T, from: number, to: number): T {
  const [rows = 1, ...rest] = tensor.shape;
  const size = tensor.data.length / rows;
  return { shape: [to - from, ...rest], data: tensor.data.subarray(from * size, to * size) } as T;
}

function inType(part: Part, dtype: DType): RunSplit {
  const cast = (tensor: Tensor): Tensor =>
    dtype === 'float64' && dtypeOf(tensor.data) === 'float32'
      ? { shape: tensor.shape, data: Float64Array.from(tensor.data) }
      : tensor;
  return { x: cast(part.x), y: cast(part.y) };
}
