/**
 * CSV files of any size as batches of sequences: read once an epoch, never held.
 */
import { createReadStream, existsSync } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { parse } from 'csv-parse';
import { z } from 'zod';
import { LookbackError } from '../errors';
import { parseOptions, requirePath, show } from '../options';
import type { PreprocessingOptions } from '../preprocessing/preprocessing';
import type { ColumnSpec, TableOptions, TableRow } from '../preprocessing/table';
import {
  encodeRow,
  featureNamesOf,
  featuresOfTable,
  nameIn,
  numberIn,
} from '../preprocessing/table';
import type { Tensor } from '../tensor';
import { requireColumns } from './from';
import type { CsvOptions, RowPlace } from './parsers/csv';
import { checkHeader, csvFailure, csvParseOptions, requireNoGap } from './parsers/csv';

/** Options of `datasets.streamCSV`. */
export interface StreamCsvOptions extends CsvOptions {
  /** The columns that a step consists of, in order. */
  features: readonly string[];
  /** Columns of numbers that are to be told, or one column of `categories`, whose names are then the labels. */
  target: string | readonly string[];
  /** The names that occur in columns of names; they must be known before the file is read. */
  categories?: Readonly<Record<string, readonly string[]>>;
  /** Rows of a sequence. */
  steps: number;
  /** Rows from the start of a sequence to that of the next. Default 1. */
  stride?: number;
  /** As in {@link FromTableOptions}: default 1 for numbers, 0 for labels. */
  horizon?: number;
  /** A column whose value tells sequences apart; the rows of a group stand together in the file. */
  groupBy?: string;
  /** Sequences of a batch. Default 64. */
  batchSize?: number;
  /** Batches that are made while others are trained on. Default 2. */
  prefetch?: number;
}

const optionsSchema = z.strictObject({
  delimiter: z.string().length(1).default(','),
  features: z.array(z.string()).min(1),
  target: z.union([z.string(), z.array(z.string()).min(1)]),
  categories: z.record(z.string(), z.array(z.string()).min(1)).default({}),
  steps: z.int().min(1).max(1_000_000),
  stride: z.int().min(1).max(1_000_000).default(1),
  horizon: z.int().min(0).max(1_000_000).optional(),
  groupBy: z.string().optional(),
  batchSize: z.int().min(1).max(1_000_000).default(64),
  prefetch: z.int().min(0).max(1000).default(2),
});

/** A batch of sequences. */
export interface TableBatch {
  /** `[n, steps, features]`. */
  x: Tensor<Float32Array>;
  /** `[n]` labels, or `[n, horizon * targets]`. */
  y: Tensor<Int32Array> | Tensor<Float32Array>;
}

/** A file as batches; every iteration reads it from its start. */
export interface CsvStream extends AsyncIterable<TableBatch> {
  readonly prefetch: number;
  /** Numbers of a step. */
  readonly features: number;
  readonly featureNames: string[];
  /** For `sequential({ preprocessing })`: the model then takes rows of such a table. */
  readonly preprocessing: PreprocessingOptions;
}

/**
 * The sequences of a CSV file as batches that `model.fit` takes, in the order of the file, plain or `.gz`, in UTF-8. One
 * batch, those read ahead and a line of at most 1 MiB are in memory, whatever the size of the file. Where the model
 * scales, call `model.fitPreprocessing` with a sample first.
 *
 * @throws {@link LookbackError} `ERR_OPTION` for a wrong option and `ERR_IO` where there is no file, at once; while it is
 * read, `ERR_DATA` with path and line as `datasets.fromCSV`, and `ERR_IO`.
 *
 * @example
 * ```ts
 * const source = datasets.streamCSV('downloads/ticks.csv.gz', {
 *   features: ['price', 'volume'],
 *   target: 'price',
 *   steps: 64,
 *   horizon: 1,
 * });
 * for await (const { x, y } of source) console.log(x.shape, y.shape);
 * ```
 */
export function streamCSV(path: string, options: StreamCsvOptions): CsvStream {
  const given = parseOptions(optionsSchema, options, 'datasets.streamCSV');
  if (!existsSync(requirePath(path, 'datasets.streamCSV'))) {
    throw new LookbackError('ERR_IO', `${path} does not exist; expected a CSV file`, {
      details: { path },
    });
  }
  const { steps, stride, groupBy, categories, prefetch } = given;
  const namesOf = (column: string): readonly string[] | null =>
    Object.hasOwn(categories, column) ? (categories[column] ?? null) : null;
  const columns = given.features.map((name): ColumnSpec => {
    const names = namesOf(name);
    return names ? { name, categories: names } : { name };
  });
  const table: TableOptions = {
    columns,
    steps,
    stride,
    ...(groupBy === undefined ? {} : { groupBy }),
  };
  const targets = typeof given.target === 'string' ? [given.target] : given.target;
  const labelled = targets.filter((name) => namesOf(name));
  if (labelled.length > 0 && targets.length > 1) {
    const message = `datasets.streamCSV: target has ${targets.length} columns with ${show(labelled[0])} among them, which has categories; expected numbers, or one column of names`;
    throw new LookbackError('ERR_OPTION', message);
  }
  const labels = labelled[0] === undefined ? null : namesOf(labelled[0]);
  const plan: Plan = { path, table, targets, labels, options: given };
  return {
    prefetch,
    features: featuresOfTable(table),
    featureNames: featureNamesOf(table),
    preprocessing: { table, ...(labels && labels.length > 1 ? { labels } : {}) },
    [Symbol.asyncIterator]: () => batches(plan),
  };
}

interface Plan {
  path: string;
  table: TableOptions;
  targets: readonly string[];
  labels: readonly string[] | null;
  options: z.output<typeof optionsSchema>;
}

async function* batches(plan: Plan): AsyncGenerator<TableBatch> {
  const windows = new Windows(plan);
  for await (const [row, line] of rowsOf(plan)) {
    const batch = windows.add(row, `${plan.path}, line ${line}`);
    if (batch) yield batch;
  }
  const rest = windows.rest();
  if (rest) yield rest;
  windows.requireSome();
}

/** The rows behind the header, with their lines. */
async function* rowsOf({ path, targets, options }: Plan): AsyncGenerator<[TableRow, number]> {
  const parser = parse({ ...csvParseOptions(options), info: true });
  const packed = createReadStream(path);
  const bytes = path.endsWith('.gz') ? packed.pipe(createGunzip()) : packed;
  packed.on('error', (cause) => bytes.destroy(cause));
  const flow = pipeline(Readable.from(decoded(bytes, path)), parser);
  flow.catch(() => undefined); // told by the loop below
  const needed = [...options.features, ...targets];
  if (options.groupBy !== undefined) needed.push(options.groupBy);
  let names: string[] | null = null;
  let before: RowPlace | null = null;
  try {
    for await (const { record, info } of parser as AsyncIterable<ParsedRecord>) {
      if (names === null || before === null) {
        names = requireColumns(checkHeader(record, path), needed, path);
      } else {
        const columns: readonly string[] = names;
        requireNoGap(columns, before, info, path);
        const row = Object.fromEntries(columns.map((name, at) => [name, record[at] ?? '']));
        yield [row, info.lines];
      }
      before = info;
    }
  } catch (cause) {
    throw readFailure(csvFailure(cause, path), path);
  } finally {
    packed.destroy();
  }
  if (names === null) {
    throw new LookbackError('ERR_DATA', `${path} is empty; expected a line of column names`, {
      details: { path },
    });
  }
}

interface ParsedRecord {
  record: string[];
  info: RowPlace;
}

/** The text of UTF-8 bytes. @throws {@link LookbackError} `ERR_DATA` near the first byte that is not */
async function* decoded(bytes: AsyncIterable<Uint8Array>, path: string): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  let offset = 0;
  for await (const piece of bytes) {
    const end = offset + piece.length;
    yield decode(
      () => decoder.decode(piece, { stream: true }),
      `between the bytes ${offset} and ${end}`,
    );
    offset = end;
  }
  yield decode(() => decoder.decode(), 'at its end, which is half a character');

  function decode(text: () => string, where: string): string {
    try {
      return text();
    } catch (cause) {
      const message = `${path} is not UTF-8 text ${where}; save it as UTF-8`;
      throw new LookbackError('ERR_DATA', message, { cause, details: { path, offset } });
    }
  }
}

function readFailure(cause: unknown, path: string): unknown {
  if (cause instanceof LookbackError) return cause;
  const { code = '', message } = cause as NodeJS.ErrnoException;
  const damaged = code.startsWith('Z_');
  const text = damaged ? `${path} is damaged: ${message}` : `cannot read ${path}: ${message}`;
  return new LookbackError(damaged ? 'ERR_DATA' : 'ERR_IO', text, { cause, details: { path } });
}

/** Rows that came last, and the batch under way. */
class Windows {
  readonly #plan: Plan;
  readonly #features: number;
  readonly #horizon: number;
  readonly #outputs: number;
  readonly #numbers: ReadonlyMap<string, number>;
  /** The rows of the group under way that a sequence may still need. */
  #rows: { x: Float32Array; y: number[] }[] = [];
  /** Rows to pass over before the next sequence begins. */
  #skip = 0;
  #group: string | null = null;
  #x: Float32Array[] = [];
  #y: number[] = [];
  #count = 0;
  /** Sequences so far, in all batches. */
  #total = 0;
  /** Rows of the group under way, and of the longest one. */
  #stretch = 0;
  #longest = 0;

  constructor(plan: Plan) {
    const { labels, targets, options } = plan;
    this.#plan = plan;
    this.#features = featuresOfTable(plan.table);
    this.#horizon = options.horizon ?? (labels ? 0 : 1);
    this.#outputs = labels ? 1 : Math.max(1, this.#horizon) * targets.length;
    this.#numbers = new Map((labels ?? []).map((name, number) => [name, number]));
  }

  /** Takes the next row; gives a batch when it is full. */
  add(row: TableRow, where: string): TableBatch | null {
    const { table, options } = this.#plan;
    const { groupBy, steps, stride, batchSize } = options;
    if (groupBy !== undefined) {
      const group = nameIn(row, groupBy, where);
      if (group !== this.#group) [this.#rows, this.#skip, this.#stretch] = [[], 0, 0];
      this.#group = group;
    }
    this.#stretch += 1;
    this.#longest = Math.max(this.#longest, this.#stretch);
    const x = new Float32Array(this.#features);
    encodeRow(table, row, x, 0, where);
    const entry = { x, y: this.#answer(row, where) };
    if (this.#skip > 0) {
      this.#skip -= 1;
      return null;
    }
    this.#rows.push(entry);
    if (this.#rows.length < steps + this.#horizon) return null;
    for (const each of this.#rows.slice(0, steps)) this.#x.push(each.x);
    const first = this.#plan.labels || this.#horizon === 0 ? steps - 1 + this.#horizon : steps;
    for (const each of this.#rows.slice(first)) this.#y.push(...each.y);
    this.#count += 1;
    this.#total += 1;
    this.#skip = Math.max(0, stride - this.#rows.length);
    this.#rows = this.#rows.slice(stride);
    return this.#count === batchSize ? this.rest() : null;
  }

  /** The sequences that are there, as a batch; null without any. */
  rest(): TableBatch | null {
    if (this.#count === 0) return null;
    const { labels, options } = this.#plan;
    const [n, features] = [this.#count, this.#features];
    const data = new Float32Array(n * options.steps * features);
    this.#x.forEach((line, at) => data.set(line, at * features));
    const y = labels
      ? { shape: [n], data: Int32Array.from(this.#y) }
      : { shape: [n, this.#outputs], data: Float32Array.from(this.#y) };
    [this.#x, this.#y, this.#count] = [[], [], 0];
    return { x: { shape: [n, options.steps, features], data }, y };
  }

  /** @throws {@link LookbackError} `ERR_DATA` where the file had no sequence */
  requireSome(): void {
    if (this.#total > 0) return;
    const { path, options } = this.#plan;
    const message = `${path} has no sequence of ${options.steps} rows with a target ${this.#horizon} ahead; its longest stretch has ${this.#longest}. Give more rows or fewer steps`;
    throw new LookbackError('ERR_DATA', message, { details: { path } });
  }

  #answer(row: TableRow, where: string): number[] {
    const { labels, targets } = this.#plan;
    if (!labels) return targets.map((name) => numberIn(row, name, where));
    const target = targets[0] ?? '';
    const name = nameIn(row, target, where);
    const number = this.#numbers.get(name);
    if (number !== undefined) return [number];
    throw new LookbackError(
      'ERR_DATA',
      `${where}, column ${show(target)}: ${show(name)} is none of its categories ${labels.slice(0, 20).join(', ')}`,
      { details: { column: target } },
    );
  }
}
