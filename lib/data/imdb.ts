/**
 * The Large Movie Review Dataset: reviews, and whether they are favourable.
 */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import { LookbackError } from '../errors';
import { parseOptions } from '../options';
import { countTokens, tokenizers, Vocabulary, vocabularyOf } from '../preprocessing/text';
import type { TextOptions } from '../preprocessing/text';
import type { Split } from './dataset';
import type { DownloadOptions } from './download';
import { afterDownload, downloadSchema } from './download';
import { whereToGet } from './homes';
import { readTar } from './parsers/tar';
import { readBytes, utf8Of } from './parsers/text-file';
import type { TokenDataset } from './ptb';

const FOLDER = 'aclImdb';
const ARCHIVES = ['aclImdb_v1.tar.gz', 'aclImdb_v1.labelled.tar.gz', 'aclImdb_v1.tar'];
/** The longest published review has 14 kB; all together 65 MB. */
const LIMITS = { file: 2 ** 20, total: 2 ** 28 };
/** Longest sequence; what keeps a mistyped number from filling the memory. */
const MAX_STEPS = 5000;
const REVIEW = /(?:^|\/)(train|test)\/(neg|pos)\/(\d+)_(\d+)\.txt$/;

const optionsSchema = z.strictObject({
  dir: z.string().min(1),
  steps: z.int().min(1).max(MAX_STEPS).default(400),
  vocabulary: z.int().min(3).max(1_000_000).default(10_000),
  keep: z.enum(['start', 'end']).default('start'),
  download: downloadSchema,
});

export interface ImdbOptions {
  /**
   * The unpacked `aclImdb` folder, the folder that holds it or its archive, or the `tar.gz` itself. A download goes to
   * the folder.
   */
  dir: string;
  /** Words of a review that are kept; shorter ones are padded behind their end. Default 400. */
  steps?: number;
  /** Tokens of the vocabulary with `<pad>` and `<unk>`: the commonest words of the training part. Default 10 000. */
  vocabulary?: number;
  /** Which end of a longer review is kept. Default `'start'`. */
  keep?: 'start' | 'end';
  /**
   * Fetches the archive (84 MB) from the data set's home where `dir` has no reviews, and gives a promise; checked,
   * resumed, and off by default.
   */
  download?: boolean | DownloadOptions;
}

/** Reviews as token numbers. */
export interface ImdbDataset extends TokenDataset {
  train: ReviewSplit;
  test: ReviewSplit;
  classNames: string[];
}

/** Reviews with the stars that they gave. */
export interface ReviewSplit extends Split<Int32Array> {
  lengths: Int32Array;
  /** 1 to 10, `[n]`. */
  stars: Int32Array;
}

interface Review {
  label: number;
  id: number;
  stars: number;
  text: string;
}

/**
 * Reads 25 000 reviews to train from and 25 000 to test with, half of each favourable. `x` is `[n, steps, 1]` word
 * numbers, 0 (`<pad>`) behind the end and 1 (`<unk>`) for words outside of the vocabulary, with `lengths`; `y` is 0 for
 * `neg` and 1 for `pos`. Words are lower-case, of letters, digits and inner apostrophes. Rows are in the order `neg`,
 * `pos`, then by number. Blocks while it reads: some seconds.
 *
 * Data: A. L. Maas et al., "Learning Word Vectors for Sentiment Analysis", ACL 2011.
 *
 * @throws {@link LookbackError} `ERR_OPTION` for a wrong option; `ERR_DATA` when the reviews are missing or the archive
 * is damaged, with path and offset; `ERR_IO` when it cannot be read.
 * With `download`, it rejects with `ERR_IO` where there is no network, the connection breaks or a server refuses, and with
 * `ERR_DATA` for bytes that are not the published ones.
 *
 * @example
 * ```ts
 * const { train, test, text } = datasets.imdb({ dir: 'downloads/aclImdb_v1.tar.gz', steps: 400 });
 * ```
 */
export function imdb(
  options: ImdbOptions & { download: true | DownloadOptions },
): Promise<ImdbDataset>;
export function imdb(options: ImdbOptions & { download?: false }): ImdbDataset;
export function imdb(options: ImdbOptions): ImdbDataset | Promise<ImdbDataset> {
  const given = parseOptions(optionsSchema, options, 'datasets.imdb');
  const { dir, download } = given;
  // Where the archive itself is named, its folder is where it goes.
  const folder = ARCHIVES.includes(basename(dir)) ? dirname(dir) : dir;
  const wanted = findReviews(dir) === null ? undefined : [];
  // An archive under another name than the published one stays away: the published one lies beside where it would be.
  const from = () => (download === false || existsSync(dir) ? given : { ...given, dir: folder });
  return afterDownload('imdb', folder, download, () => read(from()), wanted);
}

function read({ dir, steps, keep, ...given }: z.output<typeof optionsSchema>): ImdbDataset {
  const parts = readReviews(dir);
  const counts = new Map<string, number>();
  for (const { text } of parts.train) countTokens(tokenizers.words(text), counts);
  const vocabulary = vocabularyOf(counts, { first: ['<pad>', '<unk>'], size: given.vocabulary });
  const text: TextOptions = { tokenizer: 'words', vocabulary, unknown: '<unk>', steps, keep };
  const encoder = new Vocabulary(text);
  return {
    train: encode(parts.train, encoder),
    test: encode(parts.test, encoder),
    classNames: ['neg', 'pos'],
    vocabulary,
    text,
  };
}

function encode(reviews: readonly Review[], encoder: Vocabulary): ReviewSplit {
  const texts = reviews.map(({ text }) => text);
  const { data, steps, lengths } = encoder.encode(texts, 'datasets.imdb');
  const n = reviews.length;
  return {
    x: { shape: [n, steps, 1], data: Float32Array.from(data) },
    y: { shape: [n], data: Int32Array.from(reviews, ({ label }) => label) },
    lengths,
    stars: Int32Array.from(reviews, ({ stars }) => stars),
    steps,
    features: 1,
  };
}

function readReviews(dir: string): { train: Review[]; test: Review[] } {
  const parts: { train: Review[]; test: Review[] } = { train: [], test: [] };
  const add = (path: string, bytes: Uint8Array, file: string): void => {
    const [, part, sign, id, stars] = REVIEW.exec(file) ?? [];
    const text = utf8Of({ path, bytes });
    const review = { label: sign === 'pos' ? 1 : 0, id: Number(id), stars: Number(stars), text };
    parts[part === 'test' ? 'test' : 'train'].push(review);
  };
  const found = findReviews(dir);
  if (found === null) {
    const message = `no reviews in ${dir}; expected the folder ${FOLDER} or ${ARCHIVES[0]}; ${whereToGet('imdb')}`;
    throw new LookbackError('ERR_DATA', message, { details: { path: dir } });
  }
  const { path, archive } = found;
  if (archive) {
    readTar(
      path,
      (file) => REVIEW.test(file),
      LIMITS,
      (file, bytes) => add(`${path}, ${file}`, bytes, file),
    );
  } else {
    for (const file of readdirSync(path, { recursive: true, encoding: 'utf8' })) {
      const name = file.replaceAll('\\', '/');
      if (REVIEW.test(name)) add(join(path, file), readBytes(join(path, file)), name);
    }
  }
  for (const part of ['train', 'test'] as const) {
    if (parts[part].length === 0) {
      throw new LookbackError(
        'ERR_DATA',
        `${path} has no reviews to ${part}; expected ${FOLDER}/${part}/{neg,pos}/<number>_<stars>.txt`,
        { details: { path } },
      );
    }
    parts[part].sort((a, b) => a.label - b.label || a.id - b.id);
  }
  return parts;
}

/** Where the reviews are, under whichever of their names; null without any. */
function findReviews(dir: string): { path: string; archive: boolean } | null {
  if (existsSync(dir) && !statSync(dir).isDirectory()) return { path: dir, archive: true };
  for (const path of [dir, join(dir, FOLDER)]) {
    if (existsSync(join(path, 'train')) || existsSync(join(path, 'test'))) {
      return { path, archive: false };
    }
  }
  const archive = ARCHIVES.map((name) => join(dir, name)).find((path) => existsSync(path));
  return archive === undefined ? null : { path: archive, archive: true };
}
