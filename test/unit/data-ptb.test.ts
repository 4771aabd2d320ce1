import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { datasets } from '../../lib/data';
import { damaged, failureOf, requireTyped } from './support/damage';
import { describeReal, sumOf } from './support/real-data';
import type { Folder } from './support/uci-tree';
import { temporaryFolder } from './support/uci-tree';

const texts = {
  train: ' the cat sat \n the <unk> sat on the mat \n',
  valid: ' the mat \n',
  test: ' on the cat \n',
};

function tree(replace: Record<string, string | Uint8Array | null> = {}): Folder {
  const folder = temporaryFolder();
  for (const [part, text] of Object.entries({ ...texts, ...replace })) {
    if (text !== null) folder.write(`ptb.${part}.txt`, text);
  }
  return folder;
}

describe('datasets.ptb', () => {
  it('reads words, each answered by the next', () => {
    using folder = tree();
    const { train, validation, vocabulary } = datasets.ptb({ dir: folder.path, steps: 4 });
    expect(vocabulary).toEqual(['the', '<eos>', 'sat', '<unk>', 'cat', 'mat', 'on']);
    const all = [0, 4, 2, 1, 0, 3, 2, 6, 0, 5, 1];
    expect(train.x.shape).toEqual([3, 4, 1]);
    expect([...train.x.data]).toEqual([...all.slice(0, 10), 0, 0]);
    expect([...train.y.data]).toEqual([...all.slice(1), 0, 0]);
    expect(train.lengths).toEqual(Int32Array.of(4, 4, 2));
    expect(validation?.y).toEqual({ shape: [1, 4], data: Int32Array.of(5, 1, 0, 0) });
  });

  it('reads characters by the published rule', () => {
    using folder = tree();
    const { test, vocabulary } = datasets.ptb({ dir: folder.path, unit: 'characters' });
    const spelt = [...test.x.data.slice(0, test.lengths![0])].map((number) => vocabulary[number]);
    expect(spelt.join('')).toBe('on_the_cat');
    expect(vocabulary[test.y.data[test.lengths![0]! - 1]!]).toBe('\n');
  });

  it.each(['words', 'characters'] as const)('reads lines that end as on Windows: %s', (unit) => {
    const packed = (text: string): string => text.replaceAll('\n', '\r\n');
    using plain = tree();
    using other = tree({
      train: packed(texts.train),
      valid: packed(texts.valid),
      test: packed(texts.test),
    });
    const read = ({ path }: Folder) => datasets.ptb({ dir: path, unit });
    expect(read(other)).toEqual(read(plain));
  });

  it('reads compressed files', () => {
    using plain = tree();
    using packed = tree({ train: null });
    packed.write('ptb.train.txt.gz', gzipSync(texts.train));
    expect(datasets.ptb({ dir: packed.path })).toEqual(datasets.ptb({ dir: plain.path }));
  });

  it.each<[string, Parameters<typeof tree>[0], RegExp]>([
    ['a missing part', { test: null }, /missing file .*ptb\.test\.txt/],
    ['an empty part', { valid: '' }, /ptb\.valid\.txt is empty/],
    ['a strange word', { valid: ' the dog \n' }, /valid\.txt: token 2 is "dog"/],
    [
      'Latin 1, at the byte behind an open character',
      { train: Buffer.from(' caf\xe9 the \n', 'latin1') },
      /byte 0x20 at offset 5/,
    ],
    ['UTF-16', { train: Buffer.from('\ufeffthe cat\n', 'utf16le') }, /byte 0xff at offset 0/],
  ])('refuses %s', (_, replace, message) => {
    using folder = tree(replace);
    const failure = failureOf(() => datasets.ptb({ dir: folder.path }));
    expect(failure.code).toBe('ERR_DATA');
    expect(failure.message).toMatch(message);
  });

  it('names the byte that is no UTF-8 in a long text', () => {
    const long = Buffer.from(`${' žluťoučký kůň'.repeat(20_000)}\n`);
    long[300_001] = 0xff;
    using folder = tree({ train: long });
    const failure = failureOf(() => datasets.ptb({ dir: folder.path }));
    // The broken byte may leave a character open; then the byte that fails to close it is named.
    expect(Math.abs(Number(failure.details['offset']) - 300_001)).toBeLessThanOrEqual(1);
  });

  it('gives typed errors for damaged files', () => {
    using folder = tree({ train: null });
    fc.assert(
      fc.property(damaged(gzipSync(texts.train)), (bytes) => {
        folder.write('ptb.train.txt.gz', bytes);
        requireTyped(() => datasets.ptb({ dir: folder.path }));
      }),
      { numRuns: 100 },
    );
  });
});

describeReal('datasets.ptb', 'ptb', (dir) => {
  it.each([
    ['words', 10_000, [929_589, 73_760, 82_430], [759_988_546, 64_186_253, 63_559_285]],
    ['characters', 50, [5_017_482, 393_042, 442_423], [35_955_115, 2_823_439, 3_201_423]],
  ] as const)('has the published numbers of %s', (unit, size, tokens, sums) => {
    const data = datasets.ptb({ dir, unit });
    expect(data.vocabulary).toHaveLength(size);
    const parts = [data.train, data.validation!, data.test];
    // The first token of a part is no answer.
    expect(parts.map(({ lengths }) => sumOf(lengths!) + 1)).toEqual(tokens);
    // Places in the vocabulary of the training part, the most frequent first: as Python counts them.
    expect(parts.map(({ y }) => sumOf(y.data))).toEqual(sums);
  });
});
