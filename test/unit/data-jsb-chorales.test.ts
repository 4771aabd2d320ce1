import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { datasets } from '../../lib/data';
import { damaged, failureOf, requireTyped } from './support/damage';
import { describeReal, sumOf } from './support/real-data';
import { temporaryFolder } from './support/uci-tree';

const FILE = 'jsb-chorales-quarter.json';
const chorales = {
  train: [
    [[21, 108], [60], []],
    [[60], [61]],
  ],
  valid: [[[60], [62], [64], [65]]],
  test: [[[70], []]],
};

describe('datasets.jsbChorales', () => {
  it('reads chords, each answered by the next', () => {
    using folder = temporaryFolder();
    folder.write(FILE, JSON.stringify(chorales));
    const { train, validation, test, featureNames } = datasets.jsbChorales({ dir: folder.path });
    expect([train.x.shape, validation.x.shape, test.x.shape]).toEqual([
      [2, 3, 88],
      [1, 3, 88],
      [1, 3, 88],
    ]);
    const sounding = (data: Float32Array): number[][] =>
      [...data].flatMap((value, at) =>
        value === 1 ? [[Math.floor(at / 88), 21 + (at % 88)]] : [],
      );
    expect(sounding(train.x.data)).toEqual([
      [0, 21],
      [0, 108],
      [1, 60],
      [3, 60],
    ]);
    expect(sounding(train.y.data)).toEqual([
      [0, 60],
      [3, 61],
    ]);
    expect(train.lengths).toEqual(Int32Array.of(2, 1));
    expect(featureNames[39]).toBe('midi 60');
  });

  it.each<[string, string, RegExp]>([
    ['no JSON', '{"train": [', /is not JSON/],
    ['a missing part', JSON.stringify({ ...chorales, valid: undefined }), /valid is undefined/],
    ['a list instead', '[]', /train is undefined/],
    ['a short chorale', JSON.stringify({ ...chorales, test: [[[60]]] }), /test\[0\] is/],
    [
      'a pitch of 20',
      JSON.stringify({ ...chorales, test: [[[60], [20]]] }),
      /test\[0\]\[1\] is \[20\]/,
    ],
    ['a text', JSON.stringify({ ...chorales, test: [[[60], 'x']] }), /test\[0\]\[1\] is "x"/],
  ])('refuses %s', (_, text, message) => {
    using folder = temporaryFolder();
    folder.write(FILE, text);
    const failure = failureOf(() => datasets.jsbChorales({ dir: folder.path }));
    expect(failure).toMatchObject({ code: 'ERR_DATA' });
    expect(failure.message).toMatch(message);
    expect(failure.message).toContain(FILE);
  });

  it('gives typed errors for damaged files', () => {
    using folder = temporaryFolder();
    const text = JSON.stringify(chorales);
    fc.assert(
      fc.property(damaged(Buffer.from(text)), damaged(gzipSync(text)), (plain, packed) => {
        folder.write('a.json', plain);
        folder.write('b.json.gz', packed);
        requireTyped(() => datasets.jsbChorales({ dir: join(folder.path, 'a.json') }));
        requireTyped(() => datasets.jsbChorales({ dir: join(folder.path, 'b.json.gz') }));
      }),
      { numRuns: 100 },
    );
  });
});

describeReal('datasets.jsbChorales', 'jsb_chorales', (dir) => {
  it('has the published numbers', () => {
    const { train, validation, test } = datasets.jsbChorales({ dir });
    const parts = [train, validation, test];
    expect(parts.map(({ x }) => x.shape[0])).toEqual([229, 76, 77]);
    // Steps of the chorales: the last chord of each is only an answer.
    expect(parts.map(({ lengths }) => sumOf(lengths) + lengths.length)).toEqual([
      13_807, 4602, 4725,
    ]);
    expect(readFileSync(join(dir, FILE)).length).toBe(407_200);
    // Notes of the JSON, without those of the last chord of each chorale.
    expect(parts.map(({ x }) => sumOf(x.data))).toEqual([52_911, 17_508, 18_059]);
  });
});
