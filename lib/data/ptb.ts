/**
 * Penn Treebank in Mikolov's preparation, by words or by characters.
 */
import { join } from 'node:path';
import { z } from 'zod';
import { LookbackError } from '../errors';
import { parseOptions } from '../options';
import { countTokens, tokenizers, vocabularyOf } from '../preprocessing/text';
import type { TextOptions } from '../preprocessing/text';
import type { Dataset, Split } from './dataset';
import { closedDownload } from './download';
import { whereToGet } from './homes';
import { nextTokenSplit } from './language';
import { readTextFile, utf8Of } from './parsers/text-file';

const optionsSchema = z.strictObject({
  dir: z.string().min(1),
  unit: z.enum(['words', 'characters']).default('words'),
  steps: z.int().min(1).max(1_000_000).default(35),
  download: closedDownload('ptb').optional(),
});

export interface PtbOptions {
  /** Folder with `ptb.train.txt`, `ptb.valid.txt` and `ptb.test.txt`, each plain or `.gz`. */
  dir: string;
  /**
   * `'words'`: what spaces separate, with `<eos>` for every line. `'characters'`: those of the line without the spaces at
   * both ends, an inner space being `_`, and a line feed for every line. Default `'words'`.
   */
  unit?: 'words' | 'characters';
  /** Tokens of a sequence. Default 35. */
  steps?: number;
  /** Refused, with the reason: the licence leaves the text to those who have one. */
  download?: false;
}

/** A data set of token sequences. */
export interface TokenDataset extends Dataset<Split<Int32Array>> {
  /** The tokens by number: those of the training part, the commonest first. */
  vocabulary: string[];
  /** How the text became numbers: what a model needs to take text. */
  text: TextOptions;
}

/**
 * Reads Penn Treebank for predicting the next token: `x` is `[n, steps, 1]` token numbers, `y` `[n, steps]` the token
 * behind each, `lengths` shorter only in the last sequence of a part. Sequences follow each other as in the text. There
 * are 929 589, 73 760 and 82 430 words of 10 000, or 5 017 482, 393 042 and 442 423 characters of 50.
 *
 * The text is licensed by the Linguistic Data Consortium (LDC99T42).
 *
 * @throws {@link LookbackError} `ERR_OPTION` for a wrong option; `ERR_DATA` when a file is missing, damaged, not UTF-8,
 * or has a token that the training part lacks; `ERR_IO` when it cannot be read.
 *
 * @example
 * ```ts
 * const { train, validation, vocabulary } = datasets.ptb({ dir: 'downloads/ptb', unit: 'characters', steps: 150 });
 * ```
 */
export function ptb(options: PtbOptions): TokenDataset {
  const { dir, unit, steps } = parseOptions(optionsSchema, options, 'datasets.ptb');
  const tokenizer = unit === 'words' ? 'whitespace' : 'underscored';
  const tokenize = tokenizers[tokenizer];
  const parts = (['train', 'valid', 'test'] as const).map((part) => {
    const file = readTextFile(
      join(dir, `ptb.${part}.txt`),
      `Mikolov's preparation of the text; ${whereToGet('ptb')}`,
    );
    const text = utf8Of(file);
    const tokens = tokenize(text.endsWith('\n') || text === '' ? text : `${text}\n`);
    if (tokens.length < 2) {
      throw new LookbackError('ERR_DATA', `${file.path} is empty; expected lines of text`, {
        details: { path: file.path },
      });
    }
    return { path: file.path, tokens };
  });
  const vocabulary = vocabularyOf(countTokens(parts[0]?.tokens ?? []));
  const numbers = new Map(vocabulary.map((token, number) => [token, number]));
  const [train, validation, test] = parts.map(({ path, tokens }) => {
    const encoded = Int32Array.from(tokens, (token) => numbers.get(token) ?? -1);
    const strange = encoded.indexOf(-1);
    if (strange >= 0) {
      throw new LookbackError(
        'ERR_DATA',
        `${path}: token ${strange + 1} is ${JSON.stringify(tokens[strange])}, which the training part lacks; ` +
          'the files do not belong together',
        { details: { path, token: strange } },
      );
    }
    return nextTokenSplit(encoded, steps);
  }) as [Split<Int32Array>, Split<Int32Array>, Split<Int32Array>];
  return { train, validation, test, vocabulary, text: { tokenizer, vocabulary } };
}
