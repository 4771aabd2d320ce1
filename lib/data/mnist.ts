/**
 * MNIST as sequences: pixel by pixel, in the published permuted order, or row by row.
 */
import { mersenne } from 'pure-rand/generator/mersenne';
import { z } from 'zod';
import { LookbackError } from '../errors';
import { parseOptions } from '../options';
import type { Dataset, Split } from './dataset';
import { cutSequences } from './dataset';
import type { DownloadOptions } from './download';
import { afterDownload, downloadSchema } from './download';
import { whereToGet } from './homes';
import { readIdx } from './parsers/idx';
import { join } from 'node:path';
import { findFile } from './parsers/text-file';

const SIDE = 28;
const PIXELS = SIDE * SIDE;
/** The seed of scoRNN's, scuRNN's and expRNN's published programs. */
const PUBLISHED_SEED = 92916;

const optionsSchema = z.strictObject({
  dir: z.string().min(1),
  order: z.enum(['sequential', 'permuted', 'rows']).default('sequential'),
  validation: z.int().min(0).max(59_999).default(0),
  download: downloadSchema,
});

export interface MnistOptions {
  /** Folder with the four IDX files under their official names, each plain or `.gz`. */
  dir: string;
  /**
   * `'sequential'`: 784 steps of one pixel, row after row. `'permuted'`: the same pixels in the fixed order of the
   * orthogonal networks' papers, step `t` reads pixel `perm[t]` of `RandomState(92916).permutation(784)`. `'rows'`: 28
   * steps of 28 pixels. Default `'sequential'`.
   */
  order?: 'sequential' | 'permuted' | 'rows';
  /** Images, from the end of the training part, that make up a validation part. The papers take 5000. Default 0. */
  validation?: number;
  /**
   * Fetches the files that `dir` lacks from the data set's home and gives a promise; checked, resumed, and off by
   * default.
   */
  download?: boolean | DownloadOptions;
}

/**
 * Reads the handwritten digits: 60 000 images to train from, 10 000 to test with, 28 x 28 pixels each. `x` is
 * `[n, 784, 1]`, or `[n, 28, 28]` for rows; raw brightness 0 to 255; `y` is `[n]`, the digit. Blocks while it reads:
 * about a second.
 *
 * Data: Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits".
 *
 * @throws {@link LookbackError} `ERR_OPTION` for a wrong option; `ERR_DATA` when a file is missing or damaged, with its
 * path and offset; `ERR_IO` when it cannot be read.
 * With `download`, it rejects with `ERR_IO` where there is no network, the connection breaks or a server refuses, and with
 * `ERR_DATA` for bytes that are not the published ones.
 *
 * @example
 * ```ts
 * const { train, test } = datasets.mnist({ dir: 'downloads/mnist', order: 'permuted' });
 * ```
 */
export function mnist(
  options: MnistOptions & { download: true | DownloadOptions },
): Promise<Dataset<Split<Int32Array>>>;
export function mnist(options: MnistOptions & { download?: false }): Dataset<Split<Int32Array>>;
export function mnist(
  options: MnistOptions,
): Dataset<Split<Int32Array>> | Promise<Dataset<Split<Int32Array>>> {
  const given = parseOptions(optionsSchema, options, 'datasets.mnist');
  return afterDownload('mnist', given.dir, given.download, () => read(given));
}

function read({
  dir,
  order,
  validation,
}: z.output<typeof optionsSchema>): Dataset<Split<Int32Array>> {
  const all = readPart(dir, 'train', order);
  const test = readPart(dir, 't10k', order);
  const classNames = Array.from({ length: 10 }, (_, digit) => String(digit));
  if (validation === 0) return { train: all, test, classNames };
  const n = all.x.shape[0] ?? 0;
  if (validation >= n) {
    throw new LookbackError(
      'ERR_OPTION',
      `datasets.mnist: validation ${validation} of ${n} images leaves none to train from`,
    );
  }
  const [train, held] = cutSequences(all, n - validation);
  return { train, validation: held, test, classNames };
}

/**
 * The order in which the permuted task reads the pixels: `RandomState(92916).permutation(784)` of NumPy, whose
 * generator is MT19937 and whose shuffle draws places from the end by masks and rejection.
 */
export function publishedPermutation(seed = PUBLISHED_SEED, size = PIXELS): Int32Array {
  const random = mersenne(seed);
  const order = Int32Array.from({ length: size }, (_, at) => at);
  for (let last = size - 1; last > 0; --last) {
    const mask = 2 ** (32 - Math.clz32(last)) - 1;
    let other = random.next() & mask;
    while (other > last) other = random.next() & mask;
    const kept = order[last] ?? 0;
    order[last] = order[other] ?? 0;
    order[other] = kept;
  }
  return order;
}

function readPart(
  dir: string,
  part: 'train' | 't10k',
  order: 'sequential' | 'permuted' | 'rows',
): Split<Int32Array> {
  const images = readIdx(
    nameIn(dir, part, 'images', 3),
    3,
    `the official MNIST image file; ${whereToGet('mnist')}`,
  );
  const labels = readIdx(
    nameIn(dir, part, 'labels', 1),
    1,
    `the official MNIST label file; ${whereToGet('mnist')}`,
  );
  const [n = 0, height = 0, width = 0] = images.shape;
  if (height !== SIDE || width !== SIDE || n === 0) {
    throw new LookbackError(
      'ERR_DATA',
      `${images.path} has ${n} images of ${height} x ${width}; expected at least one, of ${SIDE} x ${SIDE}`,
    );
  }
  if (labels.data.length !== n) {
    throw new LookbackError(
      'ERR_DATA',
      `${labels.path} has ${labels.data.length} labels but ${images.path} has ${n} images; get both again`,
    );
  }
  const wrong = labels.data.findIndex((label) => label > 9);
  if (wrong >= 0) {
    throw new LookbackError(
      'ERR_DATA',
      `${labels.path}, offset ${8 + wrong}: label ${labels.data[wrong]}; expected 0 to 9`,
      { details: { path: labels.path, offset: 8 + wrong } },
    );
  }
  const x = new Float32Array(images.data.length);
  if (order === 'permuted') {
    const permutation = publishedPermutation();
    for (let row = 0; row < n; ++row) {
      const from = row * PIXELS;
      for (let step = 0; step < PIXELS; ++step) {
        x[from + step] = images.data[from + (permutation[step] ?? 0)] ?? 0;
      }
    }
  } else {
    x.set(images.data);
  }
  const [steps, features] = order === 'rows' ? [SIDE, SIDE] : [PIXELS, 1];
  return {
    x: { shape: [n, steps, features], data: x },
    y: { shape: [n], data: Int32Array.from(labels.data) },
    steps,
    features,
  };
}

/** Both spellings in circulation: `train-images-idx3-ubyte` and `train-images.idx3-ubyte`. */
function nameIn(dir: string, part: string, what: string, rank: number): string {
  const official = join(dir, `${part}-${what}-idx${rank}-ubyte`);
  const dotted = join(dir, `${part}-${what}.idx${rank}-ubyte`);
  return findFile(official) === null && findFile(dotted) !== null ? dotted : official;
}
