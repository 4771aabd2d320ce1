/**
 * CSV by csv-parse, with errors that name file and line.
 */
import { CsvError } from 'csv-parse';
import { CsvError as SyncCsvError, parse } from 'csv-parse/sync';
import { LookbackError } from '../../errors';
import { show } from '../../options';
import type { TextFile } from './text-file';
import { utf8Of } from './text-file';

export interface CsvOptions {
  /** What stands between two fields. Default `','`. */
  delimiter?: string;
}

/** Longest line, in bytes: a quote that never ends must not swallow the file. */
export const MAX_LINE = 2 ** 20;

/** What csv-parse is told, in memory and in streams alike. */
export function csvParseOptions({ delimiter = ',' }: CsvOptions): object {
  return { bom: true, delimiter, skip_empty_lines: true, max_record_size: MAX_LINE };
}

/** Where a row is in its file, as csv-parse tells it. */
export interface RowPlace {
  /** Line, counted from 1. */
  lines: number;
  /** Blank lines that were passed over before it. */
  empty_lines: number;
}

/**
 * Refuses a row with blank lines between it and the row `before` it where rows have one column: such a line is a value
 * that is missing, and no sequence may reach across it.
 *
 * @throws {@link LookbackError} `ERR_DATA` with the line
 */
export function requireNoGap(
  columns: readonly string[],
  before: RowPlace,
  row: RowPlace,
  path: string,
): void {
  if (columns.length > 1 || row.empty_lines === before.empty_lines) return;
  const line = before.lines + 1;
  const message = `${path}, line ${line}: the line is blank, and ${show(columns[0])} is the only column; expected a value: fill it or take the line out`;
  throw new LookbackError('ERR_DATA', message, { details: { path, line } });
}

/**
 * Calls `onRow` with the fields of every row behind the header and its line in the file, counted from 1. Every row has
 * as many fields as the header. Blank lines are passed over where that has several.
 *
 * @returns the names of the columns
 * @throws {@link LookbackError} `ERR_DATA` for text that is not UTF-8, rows of another length, a blank line for the only
 * value of a row, open quotes, a column named twice, or a file without a header
 */
export function readCsv(
  file: TextFile,
  options: CsvOptions,
  onHeader: (columns: string[]) => void,
  onRow: (fields: string[], line: number) => void,
): void {
  const text = utf8Of(file);
  let columns: string[] | null = null;
  let before: RowPlace | null = null;
  try {
    parse(text, {
      ...csvParseOptions(options),
      on_record: (fields: string[], place) => {
        if (columns === null || before === null) {
          columns = checkHeader(fields, file.path);
          onHeader(columns);
        } else {
          requireNoGap(columns, before, place, file.path);
          onRow(fields, place.lines);
        }
        before = place;
        return null;
      },
    });
  } catch (cause) {
    throw csvFailure(cause, file.path);
  }
  if (columns === null) {
    throw new LookbackError('ERR_DATA', `${file.path} is empty; expected a line of column names`, {
      details: { path: file.path },
    });
  }
}

/** @throws {@link LookbackError} `ERR_DATA` for a name that occurs twice */
export function checkHeader(fields: string[], path: string): string[] {
  const columns = fields.map((name) => name.trim());
  const twice = columns.find((name, at) => columns.indexOf(name) !== at);
  if (twice === undefined) return columns;
  throw new LookbackError('ERR_DATA', `${path}, line 1: the column ${show(twice)} is named twice`, {
    details: { path, line: 1 },
  });
}

/** What csv-parse found, as an error of ours; others pass. Its two builds have error classes of their own. */
export function csvFailure(cause: unknown, path: string): unknown {
  if (!(cause instanceof CsvError) && !(cause instanceof SyncCsvError)) return cause;
  const line = Number(cause['lines'] ?? NaN);
  return new LookbackError('ERR_DATA', `${path}, line ${line}: ${cause.message}`, {
    cause,
    details: { path, line },
  });
}
