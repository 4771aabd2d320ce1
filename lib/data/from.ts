/**
 * Data sets from files and arrays of the caller's own.
 */
import { z } from 'zod';
import { LookbackError } from '../errors';
import { parseOptions, requirePath, show } from '../options';
import type { TableRow } from '../preprocessing/table';
import type { CsvOptions } from './parsers/csv';
import { readCsv } from './parsers/csv';
import { readTextFile, utf8Of } from './parsers/text-file';
import { TableBuilder } from './table';
import type { TableDataset } from './table';
import type { FromTableOptions } from './table-options';
import { tableOptionsSchema } from './table-options';

/** Options of `datasets.fromCSV`. */
export interface FromCsvOptions extends FromTableOptions, CsvOptions {}

/** Columns of numbers or names, all equally long. */
export type TableColumns = Readonly<Record<string, ArrayLike<unknown>>>;

export const csvOptionsSchema = tableOptionsSchema.extend({
  delimiter: z.string().length(1).default(','),
});

/**
 * Sequences from a CSV file with a line of column names, plain or `.gz`, in UTF-8: windows of `steps` rows with the
 * columns `features`, each with its target. It is held in memory; see `datasets.streamCSV` for files larger than that.
 *
 * @param path - The file; up to 512 MiB unpacked.
 * @returns `{ train, validation, test }` with raw values, and `preprocessing`, with which a model takes such rows itself.
 * @throws {@link LookbackError} `ERR_OPTION` for a wrong option; `ERR_DATA` with path and line for ragged rows, fields
 * that are no numbers, missing columns, another encoding, or too few rows; `ERR_IO` when the file cannot be read.
 *
 * @example
 * ```ts
 * const { train, test, preprocessing } = datasets.fromCSV('downloads/load.csv', {
 *   features: ['load', 'temperature', 'weekday'],
 *   categorical: ['weekday'],
 *   target: 'load',
 *   steps: 48,
 *   horizon: 24,
 * });
 * ```
 */
export function fromCSV(path: string, options: FromCsvOptions): TableDataset {
  const { delimiter, ...table } = parseOptions(csvOptionsSchema, options, 'datasets.fromCSV');
  const file = readTextFile(requirePath(path, 'datasets.fromCSV'), 'a CSV file');
  const builder = new TableBuilder(table, file.path);
  let names: string[] = [];
  // Without a prototype, a column may have any name, such as __proto__.
  const row = Object.create(null) as Record<string, string>;
  readCsv(
    file,
    { delimiter },
    (columns) => (names = requireColumns(columns, builder.columns, file.path)),
    (fields, line) => {
      names.forEach((name, at) => (row[name] = fields[at] ?? ''));
      builder.add(row, `${file.path}, line ${line}`);
    },
  );
  return builder.build();
}

/** @throws {@link LookbackError} `ERR_DATA` where a column that is needed is not there */
export function requireColumns(
  columns: string[],
  needed: readonly string[],
  path: string,
): string[] {
  const absent = needed.find((name) => !columns.includes(name));
  if (absent === undefined) return columns;
  throw new LookbackError(
    'ERR_DATA',
    `${path}, line 1: there is no column ${show(absent)}; the columns are ${columns.slice(0, 20).join(', ')}`,
    { details: { path, line: 1, column: absent } },
  );
}

/**
 * As `datasets.fromCSV`, from a file with one JSON object a line, plain or `.gz`.
 *
 * @throws {@link LookbackError} as `datasets.fromCSV`
 *
 * @example
 * ```ts
 * const data = datasets.fromJSONL('downloads/events.jsonl', {
 *   features: ['value'],
 *   target: 'state',
 *   categorical: ['state'],
 *   steps: 32,
 *   groupBy: 'device',
 *   split: { by: 'group', validation: 0.1, test: 0.2 },
 * });
 * ```
 */
export function fromJSONL(path: string, options: FromTableOptions): TableDataset {
  const table = parseOptions(tableOptionsSchema, options, 'datasets.fromJSONL');
  const file = readTextFile(
    requirePath(path, 'datasets.fromJSONL'),
    'a file with a JSON object a line',
  );
  const builder = new TableBuilder(table, file.path);
  const text = utf8Of(file);
  for (let start = 0, line = 1; start < text.length; line += 1) {
    const found = text.indexOf('\n', start);
    const end = found < 0 ? text.length : found;
    const json = text.slice(start, end).trim();
    start = end + 1;
    if (json !== '') builder.add(parseRow(json, file.path, line), `${file.path}, line ${line}`);
  }
  return builder.build();
}

function parseRow(json: string, path: string, line: number): TableRow {
  let row: unknown;
  let problem = 'expected an object';
  try {
    row = JSON.parse(json);
  } catch (cause) {
    problem = (cause as Error).message;
  }
  if (typeof row === 'object' && row !== null && !Array.isArray(row)) return row as TableRow;
  throw new LookbackError('ERR_DATA', `${path}, line ${line}: ${show(json)}: ${problem}`, {
    details: { path, line },
  });
}

/**
 * As `datasets.fromCSV`, from rows `[{ load: 1.5, day: 'mon' }, ...]` or columns `{ load: [1.5, ...], day: ['mon', ...] }`.
 *
 * @throws {@link LookbackError} as `datasets.fromCSV`
 *
 * @example
 * ```ts
 * const wave = Float64Array.from({ length: 400 }, (_, t) => Math.sin(t / 10));
 * const data = datasets.fromArrays({ wave }, { features: ['wave'], target: 'wave', steps: 20, horizon: 5 });
 * console.log(data.train.x.shape, data.train.y.shape);
 * ```
 */
export function fromArrays(
  table: readonly TableRow[] | TableColumns,
  options: FromTableOptions,
): TableDataset {
  const checked = parseOptions(tableOptionsSchema, options, 'datasets.fromArrays');
  const source = 'datasets.fromArrays';
  const builder = new TableBuilder(checked, source);
  requireObject(
    table,
    `${source}: the table`,
    'rows [{ column: value }] or columns { column: [value] }',
  );
  if (Array.isArray(table)) {
    (table as readonly TableRow[]).forEach((row, at) => {
      const where = `${source}, row ${at}`;
      requireObject(row, where, 'an object with a value for each column');
      builder.add(row, where);
    });
    return builder.build();
  }
  const columns = table as TableColumns;
  requireColumns(Object.keys(columns), builder.columns, source);
  const rows = columns[builder.columns[0] ?? '']?.length ?? 0;
  const other = builder.columns.find((name) => columns[name]?.length !== rows);
  if (other !== undefined) {
    const message = `${source}: column ${show(other)} has ${columns[other]?.length} entries; expected ${rows} as in ${show(builder.columns[0])}`;
    throw new LookbackError('ERR_DATA', message, { details: { column: other } });
  }
  for (let at = 0; at < rows; at += 1) {
    const row = Object.fromEntries(builder.columns.map((name) => [name, columns[name]?.[at]]));
    builder.add(row, `${source}, row ${at}`);
  }
  return builder.build();
}

function requireObject(value: unknown, where: string, expected: string): void {
  if (typeof value === 'object' && value !== null) return;
  throw new LookbackError('ERR_DATA', `${where} is ${show(value)}; expected ${expected}`);
}
