import { join } from 'node:path';
import fc from 'fast-check';
import { datasets } from '../../lib/data';
import { readSphere } from '../../lib/data/parsers/sphere';
import { halve } from '../../lib/data/timit';
import { damaged, failureOf, requireTyped } from './support/damage';
import type { Folder } from './support/uci-tree';
import { temporaryFolder } from './support/uci-tree';

const tone = (hertz: number, length: number): number[] =>
  Array.from({ length }, (_, at) =>
    Math.round(9000 * Math.sin((2 * Math.PI * hertz * at) / 16_000)),
  );

/** A SPHERE file as it is documented. */
function sphere(
  samples: readonly number[],
  order: '01' | '10',
  fields: Record<string, string> = {},
): Buffer {
  const all = {
    sample_count: `-i ${samples.length}`,
    sample_rate: '-i 16000',
    channel_count: '-i 1',
    sample_n_bytes: '-i 2',
    sample_byte_format: `-s2 ${order}`,
    sample_sig_bits: '-i 16',
    ...fields,
  };
  const lines = Object.entries(all).map(([name, value]) => `${name} ${value}`);
  const header = Buffer.alloc(1024, ' ');
  header.write(`NIST_1A\n   1024\n${lines.join('\n')}\nend_head\n`);
  const data = Buffer.alloc(2 * samples.length);
  samples.forEach((sample, at) =>
    order === '01' ? data.writeInt16LE(sample, 2 * at) : data.writeInt16BE(sample, 2 * at),
  );
  return Buffer.concat([header, data]);
}

const phones = '0 700 h#\n700 1100 iy\n1100 2000 ax-h\n';

interface TreeOptions {
  upper?: boolean;
  order?: '01' | '10';
  replace?: Record<string, string | Uint8Array>;
}

function tree({ upper = true, order = '01', replace = {} }: TreeOptions = {}): Folder {
  const folder = temporaryFolder();
  const files: Record<string, string | Uint8Array> = {
    'TIMIT/TRAIN/DR1/FCJF0/SX127.WAV': sphere(tone(1000, 2000), order),
    'TIMIT/TRAIN/DR1/FCJF0/SX127.PHN': phones,
    'TIMIT/TRAIN/DR1/FCJF0/SA1.WAV': sphere(tone(500, 1500), order),
    'TIMIT/TRAIN/DR1/FCJF0/SA1.PHN': phones,
    'TIMIT/TEST/DR2/MDAB0/SI1039.WAV': sphere(tone(2000, 1300), order),
    'TIMIT/TEST/DR2/MDAB0/SI1039.PHN': phones,
    'TIMIT/TEST/DR8/MABC0/SI7.WAV': sphere(tone(2000, 1300), order),
    'TIMIT/TEST/DR8/MABC0/SI7.PHN': phones,
    ...replace,
  };
  for (const [file, content] of Object.entries(files))
    folder.write(upper ? file : file.toLowerCase(), content);
  return folder;
}

describe('datasets.timit', () => {
  it('reads frames, each answered by the next', () => {
    using folder = tree();
    const { train, test, speakers } = datasets.timit({ dir: folder.path });
    // 2000 samples are 1000 at half the rate: 6 frames, 5 of them with a next one.
    expect([train.x.shape, train.y.shape, test.x.shape]).toEqual([
      [1, 5, 129],
      [1, 5, 129],
      [1, 5, 129],
    ]);
    expect([train.lengths, test.lengths, speakers]).toEqual([
      Int32Array.of(5),
      Int32Array.of(3),
      ['fcjf0', 'mdab0'],
    ]);
    expect(train.y.data.slice(0, 4 * 129)).toEqual(train.x.data.slice(129));
    // 1000 Hz is bin 32 of 31.25 Hz each.
    const frame = [...train.x.data.slice(129, 258)];
    expect(frame.indexOf(Math.max(...frame))).toBe(32);
    expect(test.subjects).toEqual(Int32Array.of(1));
  });

  it('reads the phone at the middle of each frame', () => {
    using folder = tree();
    const { train, classNames } = datasets.timit({ dir: folder.path, target: 'phones' });
    expect(classNames).toHaveLength(61);
    // Middles at the samples 256, 512, 768, 1024, 1280, 1536.
    expect([...(train.y.data as Int32Array)].map((label) => classNames![label])).toEqual([
      'h#',
      'h#',
      'iy',
      'iy',
      'ax-h',
      'ax-h',
    ]);
    expect(train.lengths).toEqual(Int32Array.of(6));
  });

  it('reads both byte orders and both cases alike', () => {
    using folder = tree();
    const plain = datasets.timit({ dir: folder.path });
    using swapped = tree({ order: '10' });
    using lower = tree({ upper: false });
    expect(datasets.timit({ dir: swapped.path })).toEqual(plain);
    expect(datasets.timit({ dir: join(lower.path, 'timit') })).toEqual(plain);
    expect(datasets.timit({ dir: lower.path, target: 'phones' })).toEqual(
      datasets.timit({ dir: folder.path, target: 'phones' }),
    );
  });

  it('takes the complete test and the sentences that all read where asked to', () => {
    using folder = tree();
    const { train, test } = datasets.timit({ dir: folder.path, test: 'complete', sa: true });
    expect([train.x.shape[0], test.x.shape[0]]).toEqual([2, 2]);
  });

  it.each<[string, Record<string, string | Uint8Array>, RegExp]>([
    [
      'another format',
      { 'TIMIT/TRAIN/DR1/FCJF0/SX127.WAV': 'RIFFxxxxWAVE' },
      /SX127\.WAV, offset 0: .* NIST_1A/,
    ],
    [
      'samples cut off',
      { 'TIMIT/TRAIN/DR1/FCJF0/SX127.WAV': sphere(tone(9, 2000), '01').subarray(0, 3000) },
      /2000 samples are said to follow; there are 988/,
    ],
    [
      'compressed samples',
      {
        'TIMIT/TRAIN/DR1/FCJF0/SX127.WAV': sphere(tone(9, 900), '01', {
          sample_coding: '-s26 pcm,embedded-shorten-v2.00',
        }),
      },
      /coding pcm,embedded/,
    ],
    [
      'another rate',
      { 'TIMIT/TRAIN/DR1/FCJF0/SX127.WAV': sphere(tone(9, 900), '01', { sample_rate: '-i 8000' }) },
      /at 8000 Hz; expected/,
    ],
    [
      'two channels',
      { 'TIMIT/TRAIN/DR1/FCJF0/SX127.WAV': sphere(tone(9, 900), '01', { channel_count: '-i 2' }) },
      /2 channels of 2 bytes/,
    ],
    [
      'a header without end',
      { 'TIMIT/TRAIN/DR1/FCJF0/SX127.WAV': `NIST_1A\n   1024\n${' '.repeat(2000)}` },
      /no end_head/,
    ],
    [
      'a strange phone',
      { 'TIMIT/TRAIN/DR1/FCJF0/SX127.PHN': '0 700 h#\n700 900 xx\n' },
      /SX127\.PHN, line 2: "700 900 xx"/,
    ],
  ])('refuses %s', (_, replace, message) => {
    using folder = tree({ replace });
    const failure = failureOf(() => datasets.timit({ dir: folder.path, target: 'phones' }));
    expect(failure.code).toBe('ERR_DATA');
    expect(failure.message).toMatch(message);
  });

  it('refuses a folder without utterances', () => {
    using folder = temporaryFolder();
    expect(failureOf(() => datasets.timit({ dir: folder.path })).message).toMatch(
      /0 utterances .* train part/,
    );
    expect(failureOf(() => datasets.timit({ dir: join(folder.path, 'x') })).code).toBe('ERR_DATA');
    folder.write('file', '');
    const file = failureOf(() => datasets.timit({ dir: join(folder.path, 'file') }));
    expect(file.code).toBe('ERR_DATA');
    expect(file.message).toMatch(/file is not a folder; expected the folder TIMIT/);
  });

  it('gives typed errors for damaged files', () => {
    const sound = sphere(tone(9, 40), '10');
    fc.assert(
      fc.property(damaged(sound), (bytes) => requireTyped(() => readSphere('x.wav', bytes))),
      { numRuns: 500 },
    );
  });

  it('gives typed errors for damaged phones', () => {
    using folder = tree();
    fc.assert(
      fc.property(damaged(Buffer.from(phones)), (bytes) => {
        folder.write('TIMIT/TRAIN/DR1/FCJF0/SX127.PHN', bytes);
        requireTyped(() => datasets.timit({ dir: folder.path, target: 'phones' }));
      }),
      { numRuns: 200 },
    );
  });

  it('halves the rate: low tones pass, high ones do not fold', () => {
    const size = (hertz: number): number => {
      const sound = Float32Array.from({ length: 4000 }, (_, at) =>
        Math.sin((2 * Math.PI * hertz * at) / 16_000),
      );
      return Math.max(...halve(sound).slice(100, -100).map(Math.abs));
    };
    expect(size(1000)).toBeGreaterThan(0.99);
    expect(size(3000)).toBeGreaterThan(0.98);
    expect(size(5000)).toBeLessThan(0.01);
    expect(size(7000)).toBeLessThan(0.01);
  });
});
