/**
 * Data sets from tables: columns are collected row by row, split, and cut into windows.
 */
import { types } from 'node:util';
import { uniformInt } from 'pure-rand/distribution/uniformInt';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import { LookbackError } from '../errors';
import { show } from '../options';
import type { PreprocessingOptions } from '../preprocessing/preprocessing';
import type { ColumnSpec, TableOptions, TableRow } from '../preprocessing/table';
import {
  encodeRow,
  featureNamesOf,
  featuresOfTable,
  gatherLines,
  membersOf,
  nameIn,
  numberIn,
  startsOf,
} from '../preprocessing/table';
import type { Split } from './dataset';
import type { ResolvedTable } from './table-options';

/** What a table became. */
export interface TableDataset {
  train: Split;
  /** Absent where nothing is held out for it. */
  validation?: Split;
  /** Absent where nothing is held out for it. */
  test?: Split;
  /** Names of the labels; absent for targets that are numbers. */
  classNames?: string[];
  featureNames: string[];
  /** Names of the targets of a row; absent for labels. */
  targetNames?: string[];
  /** For `sequential({ preprocessing })`, with scales added as wished: the model then takes rows of such a table. */
  preprocessing: PreprocessingOptions;
}

type Part = 'train' | 'validation' | 'test';

/** Collects rows and makes a data set of them. */
export class TableBuilder {
  readonly #options: ResolvedTable;
  readonly #targets: readonly string[];
  readonly #names: ReadonlySet<string>;
  /** The columns that are told, or told from, as numbers. */
  readonly #numeric: ReadonlySet<string>;
  readonly #isLabel: boolean;
  readonly #source: string;
  readonly #rows: Record<string, string | number>[] = [];
  /** What the rows of a group are sorted by; empty where they stand in order. */
  readonly #moments: number[] = [];

  /** @throws {@link LookbackError} `ERR_OPTION` for targets that are neither numbers nor one label */
  constructor(options: ResolvedTable, source: string) {
    this.#options = options;
    this.#source = source;
    const { target, categorical, features, groupBy, time } = options;
    this.#targets = typeof target === 'string' ? [target] : target;
    this.#names = new Set(categorical);
    const labels = this.#targets.filter((name) => this.#names.has(name));
    this.#isLabel = labels.length > 0;
    if (labels.length > 0 && this.#targets.length > 1) {
      const message = `${source}: target has ${this.#targets.length} columns with ${show(labels[0])} among them, which is categorical; expected numbers, or one column of names`;
      throw new LookbackError('ERR_OPTION', message);
    }
    const used = [...features, ...this.#targets];
    const idle = categorical.find((name) => !used.includes(name));
    if (idle !== undefined) {
      const message = `${source}: categorical names ${show(idle)}, which is neither a feature nor the target`;
      throw new LookbackError('ERR_OPTION', message);
    }
    this.#numeric = new Set(used.filter((name) => !this.#names.has(name)));
    this.columns = [...new Set([...used, ...[groupBy, time].filter((name) => name !== undefined)])];
  }

  /** The columns that are needed. */
  readonly columns: readonly string[];

  /** Checks one row and keeps what is needed of it. @throws {@link LookbackError} `ERR_DATA` that names the row */
  add(row: TableRow, where: string): void {
    const { groupBy, time } = this.#options;
    const kept = Object.create(null) as Record<string, string | number>;
    for (const name of this.columns) {
      const isNumber = this.#numeric.has(name);
      if (name === time) this.#moments.push(momentIn(row, name, where, isNumber));
      if (isNumber) kept[name] = numberIn(row, name, where);
      // A group is told apart by its name as it is spelt, also where the column is told as a number.
      if (name === groupBy || this.#names.has(name)) kept[name] = nameIn(row, name, where);
    }
    this.#rows.push(kept);
  }

  /** @throws {@link LookbackError} `ERR_DATA` where a part has no window, `ERR_OPTION` for groups that are not there */
  build(): TableDataset {
    const { steps, stride, groupBy, features } = this.#options;
    const ranges = this.#split();
    const training = ranges.train.flatMap((range) => [...range]);
    const names = (column: string): string[] =>
      [...new Set(training.map((row) => String(this.#rows[row]?.[column])))].sort();
    const columns = features.map((name): ColumnSpec =>
      this.#names.has(name) ? { name, categories: names(name) } : { name },
    );
    const table: TableOptions = {
      ...{ columns, steps, stride },
      ...(groupBy === undefined ? {} : { groupBy }),
    };
    const width = featuresOfTable(table);
    const lines = new Float32Array(this.#rows.length * width);
    this.#rows.forEach((row, at) => encodeRow(table, row, lines, at * width, this.#source));
    const classNames = this.#isLabel ? names(this.#targets[0] ?? '') : null;
    const make = (part: Part): Split => this.#windows(part, ranges[part], lines, width, classNames);
    return {
      train: make('train'),
      ...(ranges.validation.length > 0 ? { validation: make('validation') } : {}),
      ...(ranges.test.length > 0 ? { test: make('test') } : {}),
      ...(classNames ? { classNames } : { targetNames: [...this.#targets] }),
      featureNames: featureNamesOf(table),
      preprocessing: {
        table,
        ...(classNames && classNames.length > 1 ? { labels: classNames } : {}),
      },
    };
  }

  #windows(
    part: Part,
    ranges: readonly Int32Array[],
    lines: Float32Array,
    features: number,
    classNames: readonly string[] | null,
  ): Split {
    const { steps, horizon = this.#isLabel ? 0 : 1 } = this.#options;
    const windows: Int32Array[] = [];
    const answers: Int32Array[] = [];
    for (const range of ranges) {
      for (const start of startsOf(range.length, this.#options, horizon)) {
        const end = start + steps;
        windows.push(range.subarray(start, end));
        const first = horizon === 0 || this.#isLabel ? end - 1 + horizon : end;
        answers.push(range.subarray(first, end + horizon));
      }
    }
    if (windows.length === 0) {
      const longest = ranges.reduce((most, range) => Math.max(most, range.length), 0);
      throw new LookbackError(
        'ERR_DATA',
        `${this.#source}: the ${part} part has no sequence of ${steps} rows with a target ${horizon} ahead; ` +
          `its longest stretch has ${longest}. Give more rows, fewer steps, or another split`,
      );
    }
    return {
      x: { shape: [windows.length, steps, features], data: gatherLines(lines, features, windows) },
      y: classNames ? this.#labels(answers, classNames) : this.#numbers(answers),
      steps,
      features,
    };
  }

  #numbers(answers: readonly Int32Array[]): Split['y'] {
    const perRow = this.#targets.length;
    const size = (answers[0]?.length ?? 0) * perRow;
    const data = new Float32Array(answers.length * size);
    let to = 0;
    for (const answer of answers) {
      for (const row of answer) {
        for (const name of this.#targets) data[to++] = Number(this.#rows[row]?.[name]);
      }
    }
    return { shape: [answers.length, size], data };
  }

  #labels(answers: readonly Int32Array[], classNames: readonly string[]): Split['y'] {
    const target = this.#targets[0] ?? '';
    const numbers = new Map(classNames.map((name, number) => [name, number]));
    const data = Int32Array.from(answers, ([row = 0]) => {
      const name = String(this.#rows[row]?.[target]);
      const number = numbers.get(name);
      if (number !== undefined) return number;
      throw new LookbackError(
        'ERR_DATA',
        `${this.#source}, row ${row}: ${target} is ${show(name)}, which the training part lacks; split otherwise`,
        { details: { row, column: target } },
      );
    });
    return { shape: [answers.length], data };
  }

  /** Stretches of rows that sequences are cut from, by part. */
  #split(): Record<Part, Int32Array[]> {
    const { groupBy, time, split } = this.#options;
    const groups = groupBy === undefined ? null : this.#rows.map((row) => String(row[groupBy]));
    const members = membersOf(groups, this.#rows.length);
    if (time !== undefined) {
      const moment = (row: number): number => this.#moments[row] ?? 0;
      // Rows of the same moment keep their order: the sort is stable.
      for (const list of members.values()) list.sort((a, b) => moment(a) - moment(b) || a - b);
    }
    const named = Array.isArray(split.validation) || Array.isArray(split.test);
    const by = split.by ?? (named ? 'group' : 'time');
    return by === 'group' ? this.#byGroup(members) : this.#byTime(members);
  }

  #byTime(members: ReadonlyMap<string, Int32Array>): Record<Part, Int32Array[]> {
    const { validation, test } = this.#options.split;
    if (typeof validation !== 'number' || typeof test !== 'number') {
      throw new LookbackError(
        'ERR_OPTION',
        `${this.#source}: split by time takes shares, no names`,
      );
    }
    const ranges: Record<Part, Int32Array[]> = { train: [], validation: [], test: [] };
    for (const rows of members.values()) {
      const held = Math.round(rows.length * test);
      const tested = rows.length - held;
      const trained = tested - Math.round(rows.length * validation);
      ranges.train.push(rows.subarray(0, Math.max(0, trained)));
      if (validation > 0) ranges.validation.push(rows.subarray(Math.max(0, trained), tested));
      if (test > 0) ranges.test.push(rows.subarray(tested));
    }
    return ranges;
  }

  #byGroup(members: ReadonlyMap<string, Int32Array>): Record<Part, Int32Array[]> {
    const { validation, test, seed } = this.#options.split;
    const left = [...members.keys()];
    if (this.#options.groupBy === undefined) {
      throw new LookbackError('ERR_OPTION', `${this.#source}: split by group needs groupBy`);
    }
    const total = left.length;
    const random = xoroshiro128plus(seed);
    random.jump();
    const draw = (wanted: number | readonly string[]): string[] => {
      if (typeof wanted !== 'number') return wanted.map((name) => this.#take(left, name));
      // Beside named groups a share may ask for more than is left.
      const count = Math.min(left.length, Math.round(total * wanted));
      return Array.from({ length: count }, () =>
        this.#take(left, left[uniformInt(random, 0, left.length - 1)] ?? ''),
      );
    };
    const [held, validated] = [draw(test), draw(validation)];
    const rowsOf = (names: readonly string[]): Int32Array[] =>
      names.map((name) => members.get(name) ?? new Int32Array());
    return { train: rowsOf(left), validation: rowsOf(validated), test: rowsOf(held) };
  }

  /** Takes a group out of those that are left. */
  #take(left: string[], name: string): string {
    const at = left.indexOf(name);
    if (at < 0) {
      const message = `${this.#source}: the group ${show(name)} does not occur, or is held out twice; left are ${left.slice(0, 20).join(', ')}`;
      throw new LookbackError('ERR_OPTION', message);
    }
    left.splice(at, 1);
    return name;
  }
}

/**
 * A number, or the time of a date, in a column. A column that is used as a number as well may not have dates: a model
 * takes none.
 */
function momentIn(row: TableRow, name: string, where: string, isNumber: boolean): number {
  const value = row[name];
  const date = types.isDate(value) ? value.toString() : value;
  if (typeof date !== 'string' || !Number.isNaN(Number(date))) return numberIn(row, name, where);
  const moment = types.isDate(value) ? value.getTime() : Date.parse(date);
  if (Number.isNaN(moment)) return numberIn({ [name]: date }, name, where);
  if (!isNumber) return moment;
  const message = `${where}, column ${show(name)}: ${show(date)} is a date, and the column is a feature or a target too; give those a column of numbers of its own`;
  throw new LookbackError('ERR_DATA', message, { details: { column: name } });
}
