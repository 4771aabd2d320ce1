/**
 * What every loader returns: plain typed arrays with their shapes, raw and unscaled.
 */
import { LookbackError } from '../errors';
import { requireNamed, show } from '../options';
import type { TextOptions } from '../preprocessing/text';
import type { Tensor, TypedArray } from '../tensor';

/** Integer labels from 0, or float targets. */
export type Answers = Int32Array | Float32Array;

/** One part of a data set: `n` sequences and what is known about each. */
export interface Split<Y extends Answers = Answers> {
  /** `[n, steps, features]`, in the units of the source. */
  x: Tensor<Float32Array>;
  /** `[n]` labels from 0 (`Int32Array`; `[n, steps]` where every step has one), or `[n, outputs]` targets (`Float32Array`). */
  y: Tensor<Y>;
  /** Valid steps of each sequence, `[n]`; `x` and `y` are 0 behind them. Absent where all have `steps`. */
  lengths?: Int32Array;
  /** Who was recorded, `[n]`, by the publisher's number. Only where the data set knows. */
  subjects?: Int32Array;
  /** Time steps of a sequence; `x.shape[1]`. */
  steps: number;
  /** Numbers per time step; `x.shape[2]`. */
  features: number;
}

/** A split whose sequences carry the subject they were recorded from. */
export type SubjectSplit<Y extends Answers = Answers> = Split<Y> & { subjects: Int32Array };

/** A data set with its official (or generated) test part. */
export interface Dataset<S extends Split = Split> {
  train: S;
  /** Where the data set has an official validation part, or one was asked for. */
  validation?: S;
  test: S;
  /** Name of each label, in label order; absent for float targets. */
  classNames?: string[];
  /** Name of each feature, in feature order. */
  featureNames?: string[];
  /** Name of each target of a step, in order; absent for labels. */
  targetNames?: string[];
  /** What each token of `x` stands for, by number. */
  vocabulary?: string[];
  /** How text became the numbers of `x`: the `preprocessing.text` of a model that takes text. */
  text?: TextOptions;
  /** Where the targets are to be told as changes: the `preprocessing.change` of a model. `y` is raw all the same. */
  change?: number[];
}

/**
 * Splits by who was recorded, so that nobody is on both sides: the honest way to choose settings
 * without touching the test part.
 *
 * @param split - Any split with `subjects`, such as `datasets.har().train`. It is copied, not changed.
 * @param heldSubjects - Subject numbers that go to `held`; the others go to `train`. Order of rows is kept.
 * @throws {@link LookbackError} `ERR_DATA` when the split knows no subjects; `ERR_OPTION` when a subject
 * does not occur, or when one side would be empty.
 *
 * @example
 * ```ts
 * const { train, held } = datasets.splitBySubject(datasets.har().train, [27, 28, 29, 30]);
 * ```
 */
export function splitBySubject<Y extends Answers>(
  split: Split<Y>,
  heldSubjects: readonly number[],
): { train: SubjectSplit<Y>; held: SubjectSplit<Y> } {
  const { subjects } = requireNamed(split, 'splitBySubject: split', 'a part of a data set');
  const given: unknown = heldSubjects;
  if (!Array.isArray(given)) {
    const message = `splitBySubject: heldSubjects is ${show(given)}; expected a list of numbers, such as [27, 28]`;
    throw new LookbackError('ERR_OPTION', message);
  }
  if (subjects === undefined) {
    throw new LookbackError(
      'ERR_DATA',
      'this split has no subjects; expected a data set recorded from people, such as datasets.har()',
    );
  }
  const present = new Set(subjects);
  for (const subject of heldSubjects) {
    if (!present.has(subject)) {
      const known = [...present].sort((a, b) => a - b).join(' ');
      throw new LookbackError(
        'ERR_OPTION',
        `subject ${subject} does not occur in this split; expected some of ${known}`,
      );
    }
  }
  const isHeld = new Set(heldSubjects);
  if (isHeld.size === 0 || isHeld.size === present.size) {
    throw new LookbackError(
      'ERR_OPTION',
      `${isHeld.size} of ${present.size} subjects are held out, which leaves one side empty; ` +
        `hold out 1 to ${present.size - 1} subjects`,
    );
  }
  const rows: { train: number[]; held: number[] } = { train: [], held: [] };
  subjects.forEach((subject, row) => rows[isHeld.has(subject) ? 'held' : 'train'].push(row));
  return {
    train: takeRows(split, subjects, rows.train),
    held: takeRows(split, subjects, rows.held),
  };
}

function takeRows<Y extends Answers>(
  split: Split<Y>,
  subjects: Int32Array,
  rows: readonly number[],
): SubjectSplit<Y> {
  return { ...takeSequences(split, rows), subjects: gather(subjects, rows, 1) };
}

/** Copies the sequences `rows` of a split, in that order. */
export function takeSequences<Y extends Answers>(
  split: Split<Y>,
  rows: readonly number[],
): Split<Y> {
  const { steps, features, lengths, subjects } = split;
  const [n, ...answer] = split.y.shape;
  const answerSize = n ? split.y.data.length / n : 0;
  return {
    x: {
      shape: [rows.length, steps, features],
      data: gather(split.x.data, rows, steps * features),
    },
    y: { shape: [rows.length, ...answer], data: gather(split.y.data, rows, answerSize) },
    ...(lengths ? { lengths: gather(lengths, rows, 1) } : {}),
    ...(subjects ? { subjects: gather(subjects, rows, 1) } : {}),
    steps,
    features,
  };
}

/** The first `at` sequences of a split and the others, without copying. */
export function cutSequences<Y extends Answers>(
  split: Split<Y>,
  at: number,
): [first: Split<Y>, rest: Split<Y>] {
  const n = split.x.shape[0] ?? 0;
  const part = (from: number, to: number): Split<Y> => ({
    x: cutRows(split.x, from, to),
    y: cutRows(split.y, from, to),
    ...(split.lengths ? { lengths: split.lengths.subarray(from, to) } : {}),
    ...(split.subjects ? { subjects: split.subjects.subarray(from, to) } : {}),
    steps: split.steps,
    features: split.features,
  });
  return [part(0, at), part(at, n)];
}

function cutRows<Data extends Answers>(
  { shape, data }: Tensor<Data>,
  from: number,
  to: number,
): Tensor<Data> {
  const [n = 0, ...rest] = shape;
  const size = n === 0 ? 0 : data.length / n;
  return { shape: [to - from, ...rest], data: data.subarray(from * size, to * size) as Data };
}

/** A copy of the `rows`, in that order, of data whose rows have `size` numbers each. */
export function gather<Data extends TypedArray>(
  data: Data,
  rows: readonly number[],
  size: number,
): Data {
  const taken = new (data.constructor as new (length: number) => Data)(rows.length * size);
  rows.forEach((row, to) => taken.set(data.subarray(row * size, (row + 1) * size), to * size));
  return taken;
}
