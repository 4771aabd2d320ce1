import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { datasets } from '../../lib/data';
import { damagedAtHead, failureOf, requireTyped } from './support/damage';
import { describeReal, sumOf } from './support/real-data';
import { temporaryFolder } from './support/uci-tree';

const HEADER = 'date,HUFL,HULL,MUFL,MULL,LUFL,LULL,OT';

/** A table whose entry in row `r` and column `c` is `10 r + c`. */
function table(
  rows: number,
  change: (line: string, row: number) => string = (line) => line,
): string {
  const lines = Array.from({ length: rows }, (_, row) =>
    change(
      ['2016-07-01 00:00:00', ...[0, 1, 2, 3, 4, 5, 6].map((c) => 10 * row + c)].join(','),
      row,
    ),
  );
  return [HEADER, ...lines].join('\n');
}

function load(text: string, options: object = {}) {
  using folder = temporaryFolder();
  folder.write('ETTh1.csv', text);
  return datasets.ett({ dir: folder.path, ...options });
}

describe('datasets.ett', () => {
  it('cuts a window for every hour, told within its part', () => {
    const { train, validation, test } = load(table(14_400), {
      steps: 3,
      horizon: 2,
      features: ['HULL', 'OT'],
      targets: ['OT', 'HUFL'],
    });
    expect([...train.x.data.slice(0, 6)]).toEqual([1, 6, 11, 16, 21, 26]);
    expect([...train.y.data.slice(0, 4)]).toEqual([36, 30, 46, 40]);
    expect(train.x.shape).toEqual([8640 - 3 - 2 + 1, 3, 2]);
    // Seen hours reach back, told hours do not.
    expect(validation.x.data[0]).toBe(10 * 8637 + 1);
    expect(validation.y.data[0]).toBe(10 * 8640 + 6);
    expect([validation, test].map(({ x }) => x.shape[0])).toEqual([2880 - 2 + 1, 2880 - 2 + 1]);
    expect(test.y.data.at(-1)).toBe(10 * 14_399);
  });

  it.each<[string, string, RegExp]>([
    ['a short table', table(100), /has 100 rows; expected at least the 14400/],
    ['a missing column', table(1).replace('LULL,OT', 'LULL,OIL'), /no column "OT"/],
    [
      'a ragged row',
      table(10, (line, row) => (row === 4 ? `${line},1` : line)),
      /line 6: Invalid Record/,
    ],
    [
      'a word',
      table(10, (line, row) => (row === 4 ? line.replace('46', 'x') : line)),
      /line 6: OT is "x"/,
    ],
  ])('refuses %s', (_, text, message) => {
    const failure = failureOf(() => load(text));
    expect(failure.code).toBe('ERR_DATA');
    expect(failure.message).toMatch(message);
  });
});

describeReal('datasets.ett', 'ett', (dir) => {
  // Means of OT over the rows 0 to 8638, computed by awk.
  it.each([
    ['ETTh1', 17.1278],
    ['ETTh2', 26.8708],
  ] as const)('has the published numbers: %s', (name, mean) => {
    const { train, validation, test, featureNames } = datasets.ett({
      dir,
      name,
      steps: 96,
      horizon: 24,
    });
    expect([train, validation, test].map(({ x }) => x.shape)).toEqual([
      [8521, 96, 7],
      [2857, 96, 7],
      [2857, 96, 7],
    ]);
    expect(featureNames).toEqual(HEADER.split(',').slice(1));
    const { data } = datasets.ett({ dir, name, steps: 1, horizon: 1, features: ['OT'] }).train.x;
    if (name === 'ETTh1') expect(data[0]).toBeCloseTo(30.531, 3);
    expect(sumOf(data) / data.length).toBeCloseTo(mean, 3);
  });

  it('gives typed errors for a damaged file', () => {
    using folder = temporaryFolder();
    const sound = gunzipSync(readFileSync(join(dir, 'ETTh1.csv.gz')));
    const read = () => datasets.ett({ dir: folder.path, steps: 1, horizon: 1, features: ['OT'] });
    folder.write('ETTh1.csv', sound);
    expect(read().train.x.shape[0]).toBeGreaterThan(8000);
    fc.assert(
      fc.property(damagedAtHead(sound, 200), (bytes) => {
        folder.write('ETTh1.csv', bytes);
        requireTyped(read);
      }),
      { numRuns: 20 },
    );
  });
});
