import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { create } from 'tar';
import { datasets } from '../../lib/data';
import { readTar } from '../../lib/data/parsers/tar';
import { damaged, damagedAtHead, failureOf, requireTyped } from './support/damage';
import { countsOf, describeReal, sumOf } from './support/real-data';
import type { Folder } from './support/uci-tree';
import { temporaryFolder } from './support/uci-tree';
import { readdirSync, readFileSync } from 'node:fs';

const reviews = {
  'train/pos/0_9.txt': 'A good film.<br /><br />GOOD, I say!',
  'train/pos/10_8.txt': 'good',
  'train/neg/0_2.txt': "It isn't a good film",
  'test/pos/1_10.txt': 'A superb film',
  'test/neg/0_1.txt': '',
};

function tree(files: Record<string, string> = reviews): Folder {
  const folder = temporaryFolder();
  for (const [file, text] of Object.entries(files)) folder.write(join('aclImdb', file), text);
  return folder;
}

/** The tree of `folder` as an archive beside it. */
function archive(folder: Folder, gzip = true): string {
  const file = join(folder.path, gzip ? 'aclImdb_v1.tar.gz' : 'aclImdb_v1.tar');
  create({ sync: true, gzip, cwd: folder.path, file }, ['aclImdb']);
  return file;
}

describe('datasets.imdb', () => {
  it('reads a tree: neg before pos, by number, padded behind the end', () => {
    using folder = tree();
    const data = datasets.imdb({ dir: folder.path, steps: 5 });
    expect(data.vocabulary).toEqual([
      '<pad>',
      '<unk>',
      'good',
      'a',
      'film',
      'i',
      "isn't",
      'it',
      'say',
    ]);
    expect(data.train.x.shape).toEqual([3, 5, 1]);
    expect([...data.train.x.data]).toEqual([7, 6, 3, 2, 4, 3, 2, 4, 2, 5, 2, 0, 0, 0, 0]);
    expect([data.train.y.data, data.train.stars, data.train.lengths]).toEqual([
      Int32Array.of(0, 1, 1),
      Int32Array.of(2, 9, 8),
      Int32Array.of(5, 5, 1),
    ]);
    expect([...data.test.x.data]).toEqual([0, 0, 0, 0, 0, 3, 1, 4, 0, 0]);
    expect(data.test.lengths).toEqual(Int32Array.of(0, 3));
  });

  it('caps the vocabulary and keeps the end where asked to', () => {
    using folder = tree();
    const data = datasets.imdb({ dir: folder.path, steps: 2, vocabulary: 4, keep: 'end' });
    expect(data.vocabulary).toEqual(['<pad>', '<unk>', 'good', 'a']);
    expect([...data.train.x.data]).toEqual([2, 1, 1, 1, 2, 0]);
  });

  it.each([true, false])('reads an archive as it reads the tree (gzip %s)', (gzip) => {
    using folder = tree();
    const plain = datasets.imdb({ dir: join(folder.path, 'aclImdb') });
    const file = archive(folder, gzip);
    expect(datasets.imdb({ dir: file })).toEqual(plain);
    using other = temporaryFolder();
    other.write('aclImdb_v1.tar.gz', readFileSync(file));
    expect(datasets.imdb({ dir: other.path })).toEqual(plain);
  });

  it.each<[string, Record<string, string>, RegExp]>([
    ['no reviews to test', { 'train/pos/0_9.txt': 'good' }, /no reviews to test/],
    ['another tree', { 'test/readme.txt': 'x', 'train/x': 'y' }, /no reviews to train; expected/],
  ])('refuses %s', (_, files, message) => {
    using folder = tree(files);
    const failure = failureOf(() => datasets.imdb({ dir: folder.path }));
    expect(failure).toMatchObject({ code: 'ERR_DATA' });
    expect(failure.message).toMatch(message);
  });

  it('refuses a folder without it', () => {
    using folder = temporaryFolder();
    expect(failureOf(() => datasets.imdb({ dir: folder.path })).message).toMatch(
      /no reviews in .*get "Large Movie Review Dataset" from https:.*stanford/,
    );
  });

  it.each<[string, (sound: Buffer) => Uint8Array, RegExp]>([
    [
      'cut',
      (sound) => sound.subarray(0, 200),
      /damaged or truncated: unexpected end of file after 200 bytes/,
    ],
    [
      'not an archive',
      () => Buffer.from('a text that is long enough to be no header'.repeat(99)),
      /damaged/,
    ],
    ['a gzip bomb', () => gzipSync(Buffer.alloc(2 ** 28)), /does not begin with the header/],
  ])('refuses an archive: %s', (_, damage, message) => {
    using folder = tree();
    const file = archive(folder);
    folder.write('aclImdb_v1.tar.gz', damage(readFileSync(file)));
    const failure = failureOf(() => datasets.imdb({ dir: file }));
    expect(failure).toMatchObject({ code: 'ERR_DATA' });
    expect(failure.message).toMatch(message);
  });

  it('stops at a file that no review is', () => {
    using folder = tree({ ...reviews, 'train/pos/7_9.txt': 'x'.repeat(2 ** 20 + 1) });
    const failure = failureOf(() => datasets.imdb({ dir: archive(folder) }));
    expect(failure.message).toMatch(/7_9\.txt of 1048577 bytes is beyond the limit/);
  });

  it.each([
    ['size', 124],
    ['device', 329],
  ])('refuses an archive whose header has a %s beyond all numbers', (_name, place) => {
    using folder = tree();
    const bytes = readFileSync(archive(folder, false));
    bytes[place] = 0x80;
    bytes.fill(0x7f, place + 1, place + 8);
    folder.write('beyond.tar', bytes);
    const failure = failureOf(() => datasets.imdb({ dir: join(folder.path, 'beyond.tar') }));
    expect(failure.code).toBe('ERR_DATA');
    expect(failure.message).toContain('does not begin with the header');
  });

  it('gives typed errors for damaged archives', () => {
    using folder = tree();
    const packed = readFileSync(archive(folder));
    const plain = readFileSync(archive(folder, false));
    fc.assert(
      fc.property(fc.oneof(damaged(packed), damaged(plain)), (bytes) => {
        folder.write('damaged.tar', bytes);
        requireTyped(() => datasets.imdb({ dir: join(folder.path, 'damaged.tar') }));
      }),
      { numRuns: 150 },
    );
  });
});

describeReal('datasets.imdb', 'imdb', (dir) => {
  it('has the published numbers', () => {
    const { train, test, vocabulary } = datasets.imdb({ dir });
    expect([train.x.shape, test.x.shape, vocabulary.length]).toEqual([
      [25_000, 400, 1],
      [25_000, 400, 1],
      10_000,
    ]);
    expect(countsOf(train.y.data, 2)).toEqual([12_500, 12_500]);
    expect(countsOf(test.y.data, 2)).toEqual([12_500, 12_500]);
    expect(countsOf(train.stars, 11)).toEqual([
      0, 5100, 2284, 2420, 2696, 0, 0, 2496, 3009, 2263, 4732,
    ]);
    expect(countsOf(test.stars, 11)).toEqual([
      0, 5022, 2302, 2541, 2635, 0, 0, 2307, 2850, 2344, 4999,
    ]);
    // As this tokeniser first counted them; the files are those of the official archive.
    expect([sumOf(train.lengths), sumOf(test.lengths)]).toEqual([5_196_276, 5_115_028]);
    expect(vocabulary.slice(2, 6)).toEqual(['the', 'and', 'a', 'of']);
  });

  it('gives typed errors for a damaged slice of the archive', () => {
    using folder = temporaryFolder();
    const file = join(
      dir,
      readdirSync(dir).find((name) => name.endsWith('.tar.gz'))!,
    );
    const wanted = (name: string) => /(test|train)\/(neg|pos)\/[0-2]_\d+\.txt$/.test(name);
    readTar(file, wanted, { file: 2 ** 20, total: 2 ** 20 }, (name, bytes) =>
      folder.write(name, bytes),
    );
    const sound = readFileSync(archive(folder, false));
    const path = join(folder.path, 'slice.tar');
    folder.write('slice.tar', sound);
    expect(datasets.imdb({ dir: path }).train.y.shape).toEqual([6]);
    fc.assert(
      fc.property(damagedAtHead(sound, 2048), (bytes) => {
        folder.write('slice.tar', bytes);
        requireTyped(() => datasets.imdb({ dir: path }));
      }),
      { numRuns: 100 },
    );
  });
});
