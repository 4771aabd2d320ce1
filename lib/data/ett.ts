/**
 * Electricity transformer temperatures: hourly series for forecasting.
 */
import { join } from 'node:path';
import { z } from 'zod';
import { LookbackError } from '../errors';
import { parseOptions } from '../options';
import type { Dataset, Split } from './dataset';
import type { DownloadOptions } from './download';
import { afterDownload, downloadSchema } from './download';
import { requireColumns } from './from';
import { homes, whereToGet } from './homes';
import { readCsv } from './parsers/csv';
import { readTextFile } from './parsers/text-file';

const COLUMNS = ['HUFL', 'HULL', 'MUFL', 'MULL', 'LUFL', 'LULL', 'OT'] as const;
/** Months of 30 days: 12 to train, 4 to validate, 4 to test. */
const BORDERS = [0, 12, 16, 20].map((months) => months * 30 * 24);

const column = z.enum(COLUMNS);
const optionsSchema = z.strictObject({
  dir: z.string().min(1),
  name: z.enum(['ETTh1', 'ETTh2']).default('ETTh1'),
  steps: z.int().min(1).max(8000).default(96),
  horizon: z.int().min(1).max(2000).default(24),
  features: z
    .array(column)
    .min(1)
    .default([...COLUMNS]),
  targets: z.array(column).min(1).default(['OT']),
  change: z.boolean().default(false),
  download: downloadSchema,
});

export interface EttOptions {
  /** Folder with `ETTh1.csv` or `ETTh2.csv`, plain or `.gz`. */
  dir: string;
  /** Default `'ETTh1'`. */
  name?: 'ETTh1' | 'ETTh2';
  /** Hours that are seen. Default 96. */
  steps?: number;
  /** Hours that are told. Default 24. */
  horizon?: number;
  /** Default: all seven, HUFL HULL MUFL MULL LUFL LULL OT. */
  features?: readonly (typeof COLUMNS)[number][];
  /** Default: the oil temperature, OT. */
  targets?: readonly (typeof COLUMNS)[number][];
  /**
   * The data set's `change` for a model whose targets are told as changes from the last hour seen:
   * `sequential({ preprocessing: { change } })`. The targets must be among the features. `y` stays in degrees. Default
   * false.
   */
  change?: boolean;
  /**
   * Fetches the files that `dir` lacks from the data set's home and gives a promise; checked, resumed, and off by
   * default.
   */
  download?: boolean | DownloadOptions;
}

/** Forecasting windows. */
export interface EttDataset extends Dataset<Split<Float32Array>> {
  validation: Split<Float32Array>;
  featureNames: string[];
  targetNames: string[];
}

/**
 * Reads forecasting windows, one for every hour: `x` is `[n, steps, features]`, `y` `[n, horizon * targets]`, hour after
 * hour. The usual split: 12 months of 30 days to train, 4 to validate, 4 to test. The hours that are told lie within
 * their part; those that are seen may reach back into the part before, as in the published programs.
 *
 * Data: H. Zhou et al., "Informer", AAAI 2021.
 *
 * @throws {@link LookbackError} `ERR_OPTION` for a wrong option; `ERR_DATA` when the file is missing, damaged or shorter
 * than 20 months, with its line; `ERR_IO` when it cannot be read.
 * With `download`, it rejects with `ERR_IO` where there is no network, the connection breaks or a server refuses, and with
 * `ERR_DATA` for bytes that are not the published ones.
 *
 * @example
 * ```ts
 * const { train, validation, test } = datasets.ett({ dir: 'downloads/ett', steps: 96, horizon: 24 });
 * ```
 */
export function ett(
  options: EttOptions & { download: true | DownloadOptions },
): Promise<EttDataset>;
export function ett(options: EttOptions & { download?: false }): EttDataset;
export function ett(options: EttOptions): EttDataset | Promise<EttDataset> {
  const given = parseOptions(optionsSchema, options, 'datasets.ett');
  const wanted = homes.ett.files.filter(({ name }) => name === `${given.name}.csv`);
  return afterDownload('ett', given.dir, given.download, () => read(given), wanted);
}

function read(given: z.output<typeof optionsSchema>): EttDataset {
  const { steps, horizon, features, targets } = given;
  const change = given.change ? { change: placesAmong(features, targets) } : {};
  const file = readTextFile(
    join(given.dir, `${given.name}.csv`),
    `the published hourly table; ${whereToGet('ett')}`,
  );
  const [, , , rows = 0] = BORDERS;
  const table = new Float32Array(rows * COLUMNS.length);
  let places: number[] = [];
  let row = 0;
  readCsv(
    file,
    {},
    (columns) => {
      requireColumns(columns, COLUMNS, file.path);
      places = COLUMNS.map((name) => columns.indexOf(name));
    },
    (fields, line) => {
      places.forEach((place, at) => {
        const text = fields[place] ?? '';
        const value = text.trim() === '' ? NaN : Number(text);
        if (!Number.isFinite(value)) {
          throw new LookbackError(
            'ERR_DATA',
            `${file.path}, line ${line}: ${COLUMNS[at]} is ${JSON.stringify(text)}; expected a finite number`,
            { details: { path: file.path, line } },
          );
        }
        if (row < rows) table[row * COLUMNS.length + at] = value;
      });
      row += 1;
    },
  );
  if (row < rows) {
    throw new LookbackError(
      'ERR_DATA',
      `${file.path} has ${row} rows; expected at least the ${rows} of 20 months`,
      { details: { path: file.path } },
    );
  }
  const sizes = { steps, horizon };
  const columns = { features: placesOf(features), targets: placesOf(targets) };
  const [train, validation, test] = [0, 1, 2].map((part) =>
    windows(table, sizes, columns, BORDERS[part] ?? 0, BORDERS[part + 1] ?? 0),
  ) as [Split<Float32Array>, Split<Float32Array>, Split<Float32Array>];
  const names = { featureNames: [...features], targetNames: [...targets] };
  return { train, validation, test, ...names, ...change };
}

/** The feature that each target is. @throws {LookbackError} ERR_OPTION */
function placesAmong(features: readonly string[], targets: readonly string[]): number[] {
  return targets.map((target) => {
    const place = features.indexOf(target);
    if (place >= 0) return place;
    throw new LookbackError(
      'ERR_OPTION',
      `datasets.ett: with change the target ${target} must be among the features, which are ${features.join(', ')}`,
    );
  });
}

function placesOf(names: readonly (typeof COLUMNS)[number][]): number[] {
  return names.map((name) => COLUMNS.indexOf(name));
}

/** All windows whose told hours lie in `from` to below `to`. */
function windows(
  table: Float32Array,
  { steps, horizon }: { steps: number; horizon: number },
  columns: { features: number[]; targets: number[] },
  from: number,
  to: number,
): Split<Float32Array> {
  const first = Math.max(from, steps);
  const n = Math.max(0, to - horizon - first + 1);
  const [features, outputs] = [columns.features.length, horizon * columns.targets.length];
  const x = new Float32Array(n * steps * features);
  const y = new Float32Array(n * outputs);
  const copy = (places: number[], begin: number, end: number, out: Float32Array, at: number) => {
    let next = at;
    for (let hour = begin; hour < end; hour += 1) {
      for (const place of places) out[next++] = table[hour * COLUMNS.length + place] ?? NaN;
    }
  };
  for (let window = 0; window < n; window += 1) {
    const now = first + window;
    copy(columns.features, now - steps, now, x, window * steps * features);
    copy(columns.targets, now, now + horizon, y, window * outputs);
  }
  return {
    x: { shape: [n, steps, features], data: x },
    y: { shape: [n, outputs], data: y },
    steps,
    features,
  };
}
