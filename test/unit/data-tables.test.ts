import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { datasets, layers, sequential } from '../../lib';
import type { FromCsvOptions, FromTableOptions } from '../../lib';
import { damaged, failureOf, requireTyped } from './support/damage';
import { temporaryFolder } from './support/uci-tree';

const csv = [
  'when,site,load,day,state',
  '3,a,30,free,low',
  '1,a,10,work,low',
  '2,b,-1,"work",high',
  '2,a,20,work,high',
  '4,a,40,work,low',
  '1,b,-2,free,low',
  '3,b,-3,work,high',
].join('\n');

const options: FromCsvOptions = {
  features: ['load', 'day'],
  categorical: ['day'],
  target: 'load',
  steps: 2,
  groupBy: 'site',
  time: 'when',
  split: { test: 0 },
};

/** Undefined takes an option out. */
type Changes = { [Name in keyof FromCsvOptions]?: FromCsvOptions[Name] | undefined };

function fromText(text: string | Uint8Array, changes: Changes = {}) {
  using folder = temporaryFolder();
  folder.write('t.csv', text);
  return datasets.fromCSV(join(folder.path, 't.csv'), {
    ...options,
    ...changes,
  } as FromCsvOptions);
}

describe('datasets.fromCSV', () => {
  it('cuts sequences within groups, in the order of time', () => {
    const { train, featureNames, targetNames, test } = fromText(csv);
    expect([featureNames, targetNames, test]).toEqual([
      ['load', 'day=free', 'day=work'],
      ['load'],
      undefined,
    ]);
    expect(train.x.shape).toEqual([3, 2, 3]);
    const sequence = [
      [10, 0, 1, 20, 0, 1],
      [20, 0, 1, 30, 1, 0],
      [-2, 1, 0, -1, 0, 1],
    ];
    expect([...train.x.data]).toEqual(sequence.flat());
    expect(train.y).toEqual({ shape: [3, 1], data: Float32Array.of(30, 40, -3) });
  });

  it('tells several rows and several targets ahead, row after row', () => {
    const { train } = fromText(csv, {
      features: ['load'],
      categorical: [],
      target: ['load', 'when'],
      steps: 1,
      horizon: 2,
      stride: 2,
    });
    expect(train.y.shape).toEqual([2, 4]);
    expect([...train.y.data]).toEqual([20, 2, 30, 3, -1, 2, -3, 3]);
  });

  it('tells labels of the last row, or of one ahead', () => {
    const labelled = { categorical: ['day', 'state'], target: 'state' };
    const now = fromText(csv, labelled);
    expect(now.classNames).toEqual(['high', 'low']);
    expect(now.train.y).toEqual({ shape: [5], data: Int32Array.of(0, 1, 1, 0, 0) });
    const next = fromText(csv, { ...labelled, horizon: 1 });
    expect(next.train.y).toEqual({ shape: [3], data: Int32Array.of(1, 1, 0) });
  });

  it('splits by time: no sequence reaches across', () => {
    const line = (_: unknown, at: number): string => `${at},x`;
    const text = ['n,c', ...Array.from({ length: 100 }, line)].join('\n');
    const given = {
      features: ['n'],
      categorical: [],
      target: 'n',
      steps: 5,
      split: { validation: 0.1, test: 0.2 },
    };
    using folder = temporaryFolder();
    folder.write('t.csv', text);
    const { train, validation, test } = datasets.fromCSV(join(folder.path, 't.csv'), given);
    const ends = (split: typeof train) => [split.x.data[0], split.y.data.at(-1)];
    expect([ends(train), ends(validation!), ends(test!)]).toEqual([
      [0, 69],
      [70, 79],
      [80, 99],
    ]);
  });

  it('splits by group, drawn or named; categories are those of the training part', () => {
    const rows = Array.from({ length: 60 }, (_, at) => `${at},g${at % 6},c${at % 6}`);
    const text = ['n,g,c', ...rows].join('\n');
    const given = {
      features: ['n', 'c'],
      categorical: ['c'],
      target: 'n',
      steps: 2,
      groupBy: 'g',
      time: 'n',
    };
    const drawn = fromText(text, {
      ...given,
      split: { by: 'group', validation: 1 / 6, test: 1 / 3, seed: 3 },
    });
    expect([drawn.train, drawn.validation!, drawn.test!].map(({ x }) => x.shape[0])).toEqual([
      24, 8, 16,
    ]);
    expect(drawn.featureNames).toHaveLength(1 + 3);
    const named = fromText(text, { ...given, split: { validation: ['g1'], test: ['g0', 'g5'] } });
    expect(named.featureNames).toEqual(['n', 'c=c2', 'c=c3', 'c=c4']);
    expect([...named.validation!.x.data.slice(0, 4)]).toEqual([1, 0, 0, 0]);
    expect(failureOf(() => fromText(text, { ...given, split: { test: ['g9'] } })).message).toMatch(
      /the group "g9" does not occur/,
    );
  });

  it('tells a column of numbers that tells groups apart too', () => {
    const text = ['run,load', '1.50,10', '1.50,20', '2,30', '2,40'].join('\n');
    const told = { features: ['load'], categorical: [], target: 'run', steps: 1 };
    const given = { ...told, groupBy: 'run', time: undefined };
    expect([...fromText(text, given).train.y.data]).toEqual([1.5, 2]);
    const failure = failureOf(() => fromText(text.replaceAll('2,', 'b,'), given));
    expect(failure.code).toBe('ERR_DATA');
    expect(failure.message).toMatch(/line 4, column "run": "b" is not a finite number/);
  });

  it('takes blank lines before the header and at the end of a file with one column', () => {
    const changes = { features: ['load'], categorical: [], steps: 1, groupBy: undefined };
    const { train } = fromText('\n\nload\n1\n2\n3\n\n\n', { ...changes, time: undefined });
    expect([...train.y.data]).toEqual([2, 3]);
  });

  it('goes with a model that takes the same rows, to the bit', async () => {
    const { train, preprocessing } = fromText(csv);
    using model = sequential({
      inputShape: [2, 3],
      layers: [layers.lstm({ units: 3 }), layers.dense({ units: 1 })],
      preprocessing: {
        ...preprocessing,
        input: { kind: 'standardize', only: [0] },
        target: 'standardize',
      },
    });
    model.compile({ optimizer: 'adam', loss: 'meanSquaredError' });
    await model.fit(train, { verbose: 0 });
    const rows = [
      { load: 10, day: 'work', site: 'a' },
      { load: '20', day: 'work', site: 'a' },
      { load: 30, day: 'free', site: 'a' },
    ];
    const { data } = await model.predict(rows);
    expect(data).toEqual((await model.predict(train.x)).data.slice(0, 2));
    using stream = model.createStream();
    stream.step(rows[0]!);
    expect(stream.step(rows[1]!).data).toEqual(data.slice(0, 1));
  });

  it('reads byte order marks, other delimiters, blank lines and gzip', () => {
    const plain = fromText(csv);
    const other = `\ufeff${csv.replaceAll(',', ';').replaceAll('\n', '\r\n\r\n')}\r\n`;
    expect(fromText(other, { delimiter: ';' })).toEqual(plain);
    using folder = temporaryFolder();
    folder.write('t.csv.gz', gzipSync(csv));
    expect(datasets.fromCSV(join(folder.path, 't.csv'), options)).toEqual(plain);
  });

  it.each<[string, string | Uint8Array, RegExp, Changes?]>([
    ['a ragged row', csv.replace('2,b,-1', '2,-1'), /t\.csv, line 4: Invalid Record Length/],
    ['an open quote', csv.replace('"work"', '"work'), /t\.csv, line \d+: .*Quote/],
    [
      'a word for a number',
      csv.replace('20', 'many'),
      /t\.csv, line 5, column "load": "many" is not a finite/,
    ],
    ['an empty field', csv.replace('20', ''), /line 5, column "load": "" is not/],
    [
      'an empty category',
      csv.replace('free,low', ',low'),
      /line 2, column "day": "" is not a name/,
    ],
    [
      'a missing column',
      csv.replace('load', 'loads'),
      /line 1: there is no column "load"; .* when, site, loads/,
    ],
    ['a column twice', csv.replace('state', 'day'), /line 1: the column "day" is named twice/],
    ['an empty file', '', /is empty; expected a line of column names/],
    ['no rows', 'when,site,load,day,state\n', /train part has no sequence of 2 rows/],
    ['Latin 1', Buffer.from(csv.replace('free', 'fr\xe9e'), 'latin1'), /not UTF-8 text: byte/],
    ['UTF-16', Buffer.from(`\ufeff${csv}`, 'utf16le'), /byte 0xff at offset 0/],
    [
      'too long a horizon',
      csv,
      /no sequence of 2 rows with a target 9 ahead; its longest stretch has 4/,
      { horizon: 9 },
    ],
    ['a date that is none', csv.replace('3,a', 'never,a'), /line 2, column "when": "never"/],
    [
      'dates in a feature that orders the rows',
      csv.replace('3,a', '2024-01-03,a'),
      /line 2, column "when": "2024-01-03" is a date, and the column is a feature or a target too/,
      { features: ['load', 'when'], categorical: [] },
    ],
    ['a number beyond float32', csv.replace('20', '1e39'), /line 5, column "load": "1e39" is too/],
    ...['\n', '\r\n'].map((end): [string, string, RegExp, Changes] => [
      `a blank line for the only value of a row that ends in ${JSON.stringify(end)}`,
      ['load', '1', '2', '', '4', '5'].join(end),
      /t\.csv, line 4: the line is blank, and "load" is the only column/,
      { features: ['load'], categorical: [], groupBy: undefined, time: undefined },
    ]),
    [
      'a label only held out',
      csv.replace('3,b,-3,work,high', '3,b,-3,work,odd'),
      /state is "odd", which the training part lacks/,
      { categorical: ['day', 'state'], target: 'state', steps: 1, split: { test: 0.3 } },
    ],
  ])('refuses %s', (_, text, message, changes = {}) => {
    const failure = failureOf(() => fromText(text, changes));
    expect(failure.code).toBe('ERR_DATA');
    expect(failure.message).toMatch(message);
  });

  it.each<[string, object]>([
    ['a misspelt option', { feature: ['load'] }],
    ['no steps', { steps: 0 }],
    ['labels beside numbers', { target: ['load', 'state'], categorical: ['day', 'state'] }],
    ['an idle categorical column', { categorical: ['day', 'nothing'] }],
    ['shares that leave nothing', { split: { validation: 0.6, test: 0.5 } }],
    ['groups without a column', { groupBy: undefined, split: { by: 'group' } }],
    ['names for a split by time', { split: { by: 'time', test: ['a'] } }],
  ])('refuses %s as options', (_, changes) => {
    expect(failureOf(() => fromText(csv, changes)).code).toBe('ERR_OPTION');
  });

  it('names shares that leave nothing to train from', () => {
    const split = { by: 'group', validation: 0.6, test: 0.5 } as const;
    expect(failureOf(() => fromText(csv, { split })).message).toBe(
      'datasets.fromCSV: split has validation 0.6 and test 0.5; expected less than 1 together, so that something is left to train from',
    );
    // A named group is no share.
    const named = failureOf(() => fromText(csv, { split: { validation: 0.9, test: ['a'] } }));
    expect(named.message).toMatch(/the train part has no sequence/);
  });

  it('refuses a path that is none', () => {
    const path = pathToFileURL('/t.csv') as unknown as string;
    const expected = 'path is the URL file:///t.csv; expected a string';
    const { categorical: _c, time: _t, split: _s, ...streamed } = options;
    for (const read of [
      () => datasets.fromCSV(path, options),
      () => datasets.fromJSONL(path, options),
      () => datasets.streamCSV(path, streamed),
    ]) {
      const failure = failureOf(read);
      expect([failure.code, failure.message]).toEqual([
        'ERR_OPTION',
        expect.stringContaining(expected),
      ]);
    }
  });

  it('gives typed errors for damaged files', () => {
    using folder = temporaryFolder();
    fc.assert(
      fc.property(damaged(Buffer.from(csv)), damaged(gzipSync(csv)), (plain, packed) => {
        folder.write('a.csv', plain);
        folder.write('b.csv.gz', packed);
        requireTyped(() => datasets.fromCSV(join(folder.path, 'a.csv'), options));
        requireTyped(() => datasets.fromCSV(join(folder.path, 'b.csv'), options));
      }),
      { numRuns: 200 },
    );
  });
});

describe('datasets.fromJSONL and fromArrays', () => {
  const [header, ...lines] = csv.replaceAll('"', '').split('\n');
  const names = header!.split(',');
  const rows = lines.map((line) =>
    Object.fromEntries(line.split(',').map((field, at) => [names[at]!, field])),
  );

  it('give what the same CSV gives', () => {
    const plain = fromText(csv);
    expect(datasets.fromArrays(rows, options)).toEqual(plain);
    const columns = Object.fromEntries(names.map((name) => [name, rows.map((row) => row[name])]));
    expect(datasets.fromArrays(columns, options)).toEqual(plain);
    using folder = temporaryFolder();
    folder.write(
      't.jsonl',
      `${rows.map((row) => JSON.stringify({ ...row, load: Number(row['load']) })).join('\n\n')}\n`,
    );
    expect(datasets.fromJSONL(join(folder.path, 't.jsonl'), options)).toEqual(plain);
  });

  it.each(['__proto__', 'constructor', 'length'])('take a column named %s', (name) => {
    using folder = temporaryFolder();
    const numbers = [1, 2, 3, 4];
    folder.write('t.csv', `${name},b\n${numbers.map((number) => `${number},0`).join('\n')}\n`);
    const lines = numbers.map((number) => `{"${name}": ${number}, "b": 0}`);
    folder.write('t.jsonl', lines.join('\n'));
    const wish: FromTableOptions = { features: ['b'], target: name, steps: 1, split: { test: 0 } };
    const { train } = datasets.fromCSV(join(folder.path, 't.csv'), wish);
    expect(train.y).toEqual({ shape: [3, 1], data: Float32Array.of(2, 3, 4) });
    expect(datasets.fromJSONL(join(folder.path, 't.jsonl'), wish).train).toEqual(train);
    const table = lines.map((line) => JSON.parse(line) as Record<string, number>);
    expect(datasets.fromArrays(table, wish).train).toEqual(train);
  });

  it.each([
    ['{"load": 1', /t\.jsonl, line 2: .*load/],
    ['[1, 2]', /line 2: "\[1, 2\]": expected an object/],
    ['{"load": 1}', /line 2 has no column "day"; its columns are load/],
    [
      '{"load": null, "day": "x", "site": "a", "when": 1}',
      /line 2, column "load": null is not a finite number/,
    ],
  ])('refuse the line %s', (line, message) => {
    using folder = temporaryFolder();
    folder.write('t.jsonl', `${JSON.stringify(rows[0])}\n${line}\n`);
    const failure = failureOf(() => datasets.fromJSONL(join(folder.path, 't.jsonl'), options));
    expect(failure.code).toBe('ERR_DATA');
    expect(failure.message).toMatch(message);
  });

  it('give typed errors for damaged files', () => {
    using folder = temporaryFolder();
    const path = join(folder.path, 't.jsonl');
    const sound = Buffer.from(rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
    folder.write('t.jsonl', sound);
    expect(datasets.fromJSONL(path, options).train.x.shape[0]).toBeGreaterThan(0);
    fc.assert(
      fc.property(damaged(sound), (bytes) => {
        folder.write('t.jsonl', bytes);
        requireTyped(() => datasets.fromJSONL(path, options));
      }),
      { numRuns: 300 },
    );
  });

  it('sort by dates, as texts and as objects, in columns of names too', () => {
    const days = ['2024-03-03', '2024-03-01', '2024-03-02'];
    const given = { features: ['n'], target: 'n', steps: 3, horizon: 0, split: { test: 0 } };
    const sorted = (when: unknown[], more: object = {}): number[] => {
      const table = { n: [3, 1, 2], when };
      return [...datasets.fromArrays(table, { ...given, ...more, time: 'when' }).train.x.data];
    };
    expect(sorted(days)).toEqual([1, 2, 3]);
    expect(sorted(days.map((day) => new Date(day)))).toEqual([1, 2, 3]);
    const named = sorted(days, { features: ['n', 'when'], categorical: ['when'] });
    expect(named.filter((_, at) => at % 4 === 0)).toEqual([1, 2, 3]);
    expect(failureOf(() => sorted([new Date(NaN), 1, 2])).message).toMatch(
      /row 0, column "when": "Invalid Date" is not a finite number/,
    );
  });

  it.each<[unknown, RegExp]>([
    [null, /the table is null; expected rows/],
    ['t.csv', /the table is "t\.csv"; expected rows/],
    [[{ a: 1, b: 1 }, null], /row 1 is null; expected an object/],
    [[{ a: 1, b: 1 }, 5], /row 1 is 5; expected an object/],
  ])('refuse the table %j', (table, message) => {
    const failure = failureOf(() =>
      datasets.fromArrays(table as [], { features: ['a'], target: 'b', steps: 1 }),
    );
    expect(failure.code).toBe('ERR_DATA');
    expect(failure.message).toMatch(message);
  });

  it('refuse columns of different lengths', () => {
    const failure = failureOf(() =>
      datasets.fromArrays({ a: [1, 2], b: [1] }, { features: ['a'], target: 'b', steps: 1 }),
    );
    expect(failure.message).toMatch(/column "b" has 1 entries; expected 2 as in "a"/);
  });
});
