/**
 * The official tree of "Human Activity Recognition Using Smartphones" (UCI Machine Learning Repository, data set 240).
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { LookbackError } from '../errors';
import { parseOptions } from '../options';
import { closedDownload } from './download';
import { emptyHarSplit, HAR_CLASSES, HAR_SIGNALS, HAR_STEPS } from './har-layout';
import type { HarDataset, HarSplit } from './har-layout';
import { whereToGet } from './homes';
import { badTable, readTable } from './parsers/number-table';
import { readTextFile } from './parsers/text-file';
import type { TextFile } from './parsers/text-file';

const OFFICIAL_FOLDER = 'UCI HAR Dataset';

const optionsSchema = z.strictObject({
  dir: z.string().min(1),
  download: closedDownload('uciHar').optional(),
});

export interface UciHarOptions {
  /** The unpacked `UCI HAR Dataset` folder, or the folder that holds it. */
  dir: string;
  /** Refused, with the reason: no checksum of the publisher's archive is published. */
  download?: false;
}

/**
 * Reads the windows of the official UCI HAR tree, raw and unscaled: `x` is `[n, 128, 9]` in the order body_acc x y z,
 * body_gyro x y z, total_acc x y z; labels are 0..5 in the order of `classNames`; `subjects` are the publisher's 1..30.
 * Every text file may be compressed (`.txt.gz`). Only `Inertial Signals/`, `y_*.txt` and `subject_*.txt` are needed.
 * Blocks while it reads: about a second for the whole set.
 *
 * @param options - `dir`: the unpacked `UCI HAR Dataset` folder, or the folder that holds it.
 * @throws {@link LookbackError} `ERR_OPTION` for a wrong option; `ERR_DATA` when a file is missing, truncated or damaged,
 * a row is ragged, a token is no number, a label is outside 1..6, or files disagree in their number of rows;
 * `ERR_IO` when a file cannot be read. The message names file and line.
 *
 * @example
 * ```ts
 * const { train, test, classNames } = datasets.uciHar({ dir: 'downloads/UCI HAR Dataset' });
 * ```
 */
export function uciHar(options: UciHarOptions): HarDataset {
  const { dir } = parseOptions(optionsSchema, options, 'datasets.uciHar');
  const root = findTree(dir);
  return {
    train: readSplit(root, 'train'),
    test: readSplit(root, 'test'),
    classNames: [...HAR_CLASSES],
    featureNames: [...HAR_SIGNALS],
  };
}

function findTree(dir: string): string {
  for (const root of [dir, join(dir, OFFICIAL_FOLDER)]) {
    if (existsSync(join(root, 'train')) || existsSync(join(root, 'test'))) return root;
  }
  throw new LookbackError(
    'ERR_DATA',
    `no UCI HAR data in ${dir}; expected the unpacked "${OFFICIAL_FOLDER}" folder with train/ and test/; ${whereToGet('uciHar')}`,
  );
}

function readSplit(root: string, part: 'train' | 'test'): HarSplit {
  const labels = open(root, part, `y_${part}.txt`);
  const y = readIntegers(labels, 'label', 1, HAR_CLASSES.length).map((label) => label - 1);
  const people = open(root, part, `subject_${part}.txt`);
  const subjects = readIntegers(people, 'subject', 1, 2 ** 31 - 1);
  if (subjects.length !== y.length) {
    throw rowsDisagree(people, subjects.length, labels, y.length);
  }
  const split = emptyHarSplit(y.length);
  split.y.data = y;
  split.subjects = subjects;
  HAR_SIGNALS.forEach((signal, feature) => {
    const file = open(root, part, 'Inertial Signals', `${signal}_${part}.txt`);
    const rows = readSignal(file, split, feature);
    if (rows !== y.length) throw rowsDisagree(file, rows, labels, y.length);
  });
  return split;
}

function open(root: string, ...path: string[]): TextFile {
  return readTextFile(
    join(root, ...path),
    'the official UCI HAR tree with {train,test}/y_*.txt, subject_*.txt and "Inertial Signals"/*.txt',
  );
}

/** Writes one signal of all windows into its feature column of `x`; returns the rows found. */
function readSignal(file: TextFile, split: HarSplit, feature: number): number {
  const { data } = split.x;
  const { features } = split;
  return readTable(file, HAR_STEPS, (values, row, line) => {
    let to = row * HAR_STEPS * features + feature;
    if (to >= data.length) return; // One row too many is reported with the count, by the caller.
    for (let step = 0; step < HAR_STEPS; ++step, to += features) {
      const value = Math.fround(values[step] ?? NaN);
      if (!Number.isFinite(value)) {
        throw badTable(file, line, `value ${step + 1} is ${values[step]}, beyond a 32-bit float`);
      }
      data[to] = value;
    }
  });
}

function readIntegers(file: TextFile, what: string, from: number, to: number): Int32Array {
  const numbers: number[] = [];
  readTable(file, 1, ([value = NaN], _row, line) => {
    if (!Number.isInteger(value) || value < from || value > to) {
      throw badTable(file, line, `${what} ${value}; expected a whole number from ${from} to ${to}`);
    }
    numbers.push(value);
  });
  if (numbers.length === 0) {
    throw new LookbackError('ERR_DATA', `${file.path} is empty; expected one ${what} a line`);
  }
  return Int32Array.from(numbers);
}

function rowsDisagree(file: TextFile, rows: number, labels: TextFile, n: number): LookbackError {
  return new LookbackError(
    'ERR_DATA',
    `${file.path} has ${rows} rows but ${labels.path} has ${n}; expected one row a window in every file. ` +
      'One of them is truncated or of another version; get both again',
  );
}
