/**
 * Records (rows of a table) as windows of numbers, in training and in serving alike.
 */
import { z } from 'zod';
import { LookbackError } from '../errors';
import { show } from '../options';

/** A row of a table: numbers, or texts that spell numbers or name categories. */
export type TableRow = Readonly<Record<string, unknown>>;

/** A column as the model reads it. */
export interface ColumnSpec {
  name: string;
  /**
   * The categories of a column of texts: it becomes one feature for each, 1 for the row's own and else 0 (all 0 for one
   * that is not among them). Without it the column holds numbers.
   */
  categories?: readonly string[];
}

/** How rows become windows. */
export interface TableOptions {
  /** The columns of the features, in order. */
  columns: readonly ColumnSpec[];
  /** Rows of a window. */
  steps: number;
  /** Rows from the start of a window to that of the next. Default 1. */
  stride?: number;
  /** A column whose value must not change within a window, such as a patient or a share. */
  groupBy?: string;
}

export const tableSchema = z.strictObject({
  columns: z
    .array(z.strictObject({ name: z.string(), categories: z.array(z.string()).min(1).optional() }))
    .min(1),
  steps: z.int().min(1).max(1_000_000),
  stride: z.int().min(1).max(1_000_000).default(1),
  groupBy: z.string().optional(),
});

/** Numbers of a step. */
export function featuresOfTable({ columns }: TableOptions): number {
  return columns.reduce((sum, { categories }) => sum + (categories?.length ?? 1), 0);
}

/** Name of each feature: the column's, or `column=category`. */
export function featureNamesOf({ columns }: TableOptions): string[] {
  return columns.flatMap(({ name, categories }) =>
    categories ? categories.map((category) => `${name}=${category}`) : [name],
  );
}

/**
 * The features of one row, written to `out` from `at` on. Training rounds to float32 as serving does: both compute the
 * same bits from the same row.
 *
 * @throws {LookbackError} ERR_DATA that names the row's place and the column
 */
export function encodeRow(
  { columns }: TableOptions,
  row: TableRow,
  out: Float32Array,
  at: number,
  where: string,
): void {
  let next = at;
  for (const { name, categories } of columns) {
    if (categories) {
      const own = nameIn(row, name, where);
      for (const category of categories) out[next++] = category === own ? 1 : 0;
    } else {
      out[next++] = numberIn(row, name, where);
    }
  }
}

/** The number in a column of a row, within the range of float32. @throws {LookbackError} ERR_DATA */
export function numberIn(row: TableRow, name: string, where: string): number {
  if (!Object.hasOwn(row, name)) throw missing(row, name, where);
  const value = row[name];
  const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
  if (typeof number === 'number' && Number.isFinite(Math.fround(number))) return number;
  const problem = Number.isFinite(number) ? 'is too large for float32' : 'is not a finite number';
  throw new LookbackError('ERR_DATA', `${where}, column ${show(name)}: ${show(value)} ${problem}`, {
    details: { column: name },
  });
}

/** The name of a category or group in a column of a row. @throws {LookbackError} ERR_DATA */
export function nameIn(row: TableRow, name: string, where: string): string {
  if (!Object.hasOwn(row, name)) throw missing(row, name, where);
  const value = row[name];
  if (typeof value === 'string' && value !== '') return value;
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  throw new LookbackError(
    'ERR_DATA',
    `${where}, column ${show(name)}: ${show(value)} is not a name`,
    { details: { column: name } },
  );
}

function missing(row: TableRow, name: string, where: string): LookbackError {
  const message = `${where} has no column ${show(name)}; its columns are ${Object.keys(row).slice(0, 20).join(', ')}`;
  return new LookbackError('ERR_DATA', message, { details: { column: name } });
}

/** Row numbers of each group, in the order of the rows; groups in the order of their first rows. */
export function membersOf(groups: readonly string[] | null, rows: number): Map<string, Int32Array> {
  if (groups === null) return new Map([['', Int32Array.from({ length: rows }, (_, row) => row)]]);
  const members = new Map<string, number[]>();
  groups.forEach((group, row) => {
    const list = members.get(group);
    if (list) list.push(row);
    else members.set(group, [row]);
  });
  return new Map([...members].map(([group, list]) => [group, Int32Array.from(list)]));
}

/** Where the windows of `steps` entries in `length` begin that have `horizon` more entries behind them. */
export function startsOf(
  length: number,
  { steps, stride = 1 }: Pick<TableOptions, 'steps' | 'stride'>,
  horizon = 0,
): number[] {
  const starts: number[] = [];
  for (let start = 0; start + steps + horizon <= length; start += stride) starts.push(start);
  return starts;
}

/** Whole tables: all windows, `[n, steps, features]`. @throws {LookbackError} ERR_DATA without a whole window */
export function encodeTable(
  options: TableOptions,
  rows: readonly TableRow[],
  where: string,
): { shape: [number, number, number]; data: Float32Array } {
  const features = featuresOfTable(options);
  const encoded = new Float32Array(rows.length * features);
  rows.forEach((row, at) => encodeRow(options, row, encoded, at * features, `${where}[${at}]`));
  const { groupBy, steps } = options;
  const groups =
    groupBy === undefined ? null : rows.map((row, at) => nameIn(row, groupBy, `${where}[${at}]`));
  const windows = [...membersOf(groups, rows.length).values()].flatMap((members) =>
    startsOf(members.length, options).map((start) => members.subarray(start, start + steps)),
  );
  if (windows.length === 0) {
    throw new LookbackError(
      'ERR_DATA',
      `${where} has ${rows.length} rows and no window of ${steps}; expected at least ${steps} rows of a group`,
    );
  }
  return {
    shape: [windows.length, steps, features],
    data: gatherLines(encoded, features, windows),
  };
}

/** The lines of `features` numbers that the windows name, one behind the other. */
export function gatherLines(
  lines: Float32Array,
  features: number,
  windows: readonly Int32Array[],
): Float32Array {
  const total = windows.reduce((sum, window) => sum + window.length, 0);
  const data = new Float32Array(total * features);
  let to = 0;
  for (const window of windows) {
    for (const line of window) {
      data.set(lines.subarray(line * features, (line + 1) * features), to);
      to += features;
    }
  }
  return data;
}
