import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { datasets } from '../../lib/data';
import { publishedPermutation } from '../../lib/data/mnist';
import { readIdx } from '../../lib/data/parsers/idx';
import { damaged, damagedAtHead, failureOf, requireTyped } from './support/damage';
import { countsOf, describeReal, sumOf } from './support/real-data';
import type { Folder } from './support/uci-tree';
import { temporaryFolder } from './support/uci-tree';

const names = {
  trainImages: 'train-images-idx3-ubyte',
  trainLabels: 'train-labels-idx1-ubyte',
  testImages: 't10k-images-idx3-ubyte',
  testLabels: 't10k-labels-idx1-ubyte',
};

/** The format as it is documented, written independently of the reader. */
function idx(shape: number[], data: Uint8Array, type = 8): Uint8Array {
  const bytes = Buffer.alloc(4 + 4 * shape.length);
  bytes[2] = type;
  bytes[3] = shape.length;
  shape.forEach((size, axis) => bytes.writeUInt32BE(size, 4 + 4 * axis));
  return Buffer.concat([bytes, data]);
}

const pixel = (image: number, at: number): number => (image * 31 + at * 7) % 256;
const images = (n: number): Uint8Array =>
  idx(
    [n, 28, 28],
    Uint8Array.from({ length: n * 784 }, (_, at) => pixel(Math.floor(at / 784), at % 784)),
  );
const labels = (n: number): Uint8Array =>
  idx(
    [n],
    Uint8Array.from({ length: n }, (_, at) => at % 10),
  );

function tree(replace: Partial<Record<keyof typeof names, Uint8Array | null>> = {}): Folder {
  const folder = temporaryFolder();
  const files = {
    trainImages: images(4),
    trainLabels: labels(4),
    testImages: images(2),
    testLabels: labels(2),
    ...replace,
  };
  for (const [key, bytes] of Object.entries(files)) {
    if (bytes) folder.write(names[key as keyof typeof names], bytes);
  }
  return folder;
}

describe('datasets.mnist', () => {
  it('reads pixel after pixel', () => {
    using folder = tree();
    const { train, test, classNames } = datasets.mnist({ dir: folder.path });
    expect([train.x.shape, test.x.shape]).toEqual([
      [4, 784, 1],
      [2, 784, 1],
    ]);
    expect(train.x.data).toEqual(
      Float32Array.from({ length: 4 * 784 }, (_, at) => pixel(Math.floor(at / 784), at % 784)),
    );
    expect(train.y).toEqual({ shape: [4], data: Int32Array.of(0, 1, 2, 3) });
    expect(classNames).toHaveLength(10);
  });

  it('reads rows, and the same pixels in the permuted order', () => {
    using folder = tree();
    const rows = datasets.mnist({ dir: folder.path, order: 'rows' }).train;
    expect(rows.x.shape).toEqual([4, 28, 28]);
    const permuted = datasets.mnist({ dir: folder.path, order: 'permuted' }).train;
    publishedPermutation().forEach((from, step) => {
      expect(permuted.x.data[784 + step]).toBe(rows.x.data[784 + from]);
    });
  });

  it('has the permutation of the papers', () => {
    // NumPy 1.24: RandomState(92916).permutation(784)
    const order = publishedPermutation();
    expect([...order.slice(0, 12)]).toEqual([
      319, 576, 323, 107, 355, 716, 197, 20, 625, 60, 443, 620,
    ]);
    expect(Int32Array.from(order).sort()).toEqual(Int32Array.from({ length: 784 }, (_, at) => at));
  });

  it('takes validation from the end of the training part', () => {
    using folder = tree();
    const { train, validation } = datasets.mnist({ dir: folder.path, validation: 1 });
    expect([train.y.data, validation?.y.data]).toEqual([Int32Array.of(0, 1, 2), Int32Array.of(3)]);
    expect(validation?.x.data[5]).toBe(pixel(3, 5));
    const failure = failureOf(() => datasets.mnist({ dir: folder.path, validation: 4 }));
    expect(failure).toMatchObject({ code: 'ERR_OPTION' });
  });

  it('reads compressed files and the dotted names', () => {
    using plain = tree();
    using other = temporaryFolder();
    other.write('train-images.idx3-ubyte.gz', gzipSync(images(4)));
    other.write('train-labels.idx1-ubyte', labels(4));
    other.write(`${names.testImages}.gz`, gzipSync(images(2)));
    other.write(names.testLabels, labels(2));
    expect(datasets.mnist({ dir: other.path })).toEqual(datasets.mnist({ dir: plain.path }));
  });

  it.each<[string, Parameters<typeof tree>[0], RegExp]>([
    ['a missing file', { testLabels: null }, /missing file .*t10k-labels/],
    ['a header cut off', { trainImages: images(4).subarray(0, 10) }, /offset 10: the file ends/],
    ['another type', { trainLabels: idx([4], new Uint8Array(4), 9) }, /offset 0: .*0x00000901/],
    ['pixels cut off', { trainImages: images(4).subarray(0, 1000) }, /ask for 3136 bytes; 984/],
    ['too many images', { testImages: images(3) }, /2 labels but .* has 3 images/],
    ['another size', { testImages: idx([2, 2, 2], new Uint8Array(8)) }, /2 images of 2 x 2/],
    ['a label of 10', { testLabels: idx([2], Uint8Array.of(1, 10)) }, /offset 9: label 10/],
    [
      'a size beyond any file',
      { trainImages: idx([0xffffffff, 0xffffffff, 28], new Uint8Array(8)) },
      /ask for \d+/,
    ],
  ])('refuses %s', (_, replace, message) => {
    using folder = tree(replace);
    const failure = failureOf(() => datasets.mnist({ dir: folder.path }));
    expect(failure.code).toBe('ERR_DATA');
    expect(failure.message).toMatch(message);
  });

  it('gives typed errors for damaged files', () => {
    using folder = tree();
    fc.assert(
      fc.property(damaged(labels(4)), damaged(gzipSync(images(4))), (damagedLabels, packed) => {
        folder.write(names.trainLabels, damagedLabels);
        requireTyped(() => datasets.mnist({ dir: folder.path }));
        folder.write(names.trainLabels, labels(4));
        folder.write(`${names.trainImages}.gz`, packed);
        requireTyped(() => datasets.mnist({ dir: folder.path }));
      }),
      { numRuns: 60 },
    );
  });

  it('does not unpack a gzip bomb', () => {
    using folder = tree({ trainImages: null });
    folder.write(`${names.trainImages}.gz`, gzipSync(Buffer.alloc(2 ** 29 + 1), { level: 1 }));
    const failure = failureOf(() => datasets.mnist({ dir: folder.path }));
    expect(failure).toMatchObject({ code: 'ERR_DATA' });
    expect(failure.message).toMatch(/unpacks to more than 536870912 bytes/);
  });
});

describeReal('datasets.mnist', 'mnist', (dir) => {
  it('has the published numbers', () => {
    const { train, validation, test } = datasets.mnist({ dir, validation: 5000 });
    expect([train.x.shape, validation?.x.shape, test.x.shape]).toEqual([
      [55_000, 784, 1],
      [5000, 784, 1],
      [10_000, 784, 1],
    ]);
    const digits = countsOf(train.y.data, 10).map(
      (count, digit) => count + countsOf(validation!.y.data, 10)[digit]!,
    );
    expect(digits).toEqual([5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]);
    expect(countsOf(test.y.data, 10)).toEqual([
      980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009,
    ]);
    const mean = (sumOf(train.x.data) + sumOf(validation!.x.data)) / (60_000 * 784 * 255);
    expect(mean).toBeCloseTo(0.1307, 4);
  });

  it('gives typed errors for a damaged file', () => {
    using folder = temporaryFolder();
    const packed = readFileSync(join(dir, `${names.testLabels}.gz`));
    const read = (name: string) => readIdx(join(folder.path, name), 1, 'labels');
    folder.write('sound', gunzipSync(packed));
    expect(read('sound').shape).toEqual([10_000]);
    const plain = damagedAtHead(gunzipSync(packed), 8);
    fc.assert(
      fc.property(plain, damagedAtHead(packed, 20), (unpacked, compressed) => {
        folder.write('plain', unpacked);
        requireTyped(() => read('plain'));
        folder.write('packed.gz', compressed);
        requireTyped(() => read('packed'));
      }),
      { numRuns: 100 },
    );
  });
});
