/**
 * The Large Movie Review Dataset: reviews, and whether they are favourable.
 */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { LookbackError } from '../errors';
import { parseOptions } from '../options';
import { countTokens, tokenizers, Vocabulary, vocabularyOf } from '../preprocessing/text';
import type { TextOptions } from '../preprocessing/text';
import type { Split } from './dataset';
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
});

export interface ImdbOptions {
  /** The unpacked `aclImdb` folder, the folder that holds it or its archive, or the `tar.gz` itself. */
  dir: string;
  /** Words of a review that are kept; shorter ones are padded behind their end. Default 400. */
  steps?: number;
  /** Tokens of the vocabulary with `<pad>` and `<unk>`: the commonest words of the training part. Default 10 000. */
  vocabulary?: number;
  /** Which end of a longer review is kept. Default `'start'`. */
  keep?: 'start' | 'end';
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
 *
 * @example
 * ```ts
 * const { train, test, text } = datasets.imdb({ dir: 'downloads/aclImdb_v1.tar.gz', steps: 400 });
 * ```
 */
export function imdb(options: ImdbOptions): ImdbDataset {
  const { dir, steps, keep, ...given } = parseOptions(optionsSchema, options, 'datasets.imdb');
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
  const { path, archive } = findReviews(dir);
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

function findReviews(dir: string): { path: string; archive: boolean } {
  if (existsSync(dir) && !statSync(dir).isDirectory()) return { path: dir, archive: true };
  for (const path of [dir, join(dir, FOLDER)]) {
    if (existsSync(join(path, 'train')) || existsSync(join(path, 'test'))) {
      return { path, archive: false };
    }
  }
  const archive = ARCHIVES.map((name) => join(dir, name)).find((path) => existsSync(path));
  if (archive !== undefined) return { path: archive, archive: true };
  throw new LookbackError(
    'ERR_DATA',
    `no reviews in ${dir}; expected the folder ${FOLDER} or ${ARCHIVES[0]}; ${whereToGet('imdb')}`,
    { details: { path: dir } },
  );
}
