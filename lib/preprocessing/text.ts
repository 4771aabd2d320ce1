/**
 * Text as numbers: how it is cut into tokens, and which number each token has.
 */
import { LookbackError } from '../errors';
import { show } from '../options';

/** The ways to cut text into tokens. */
export const tokenizers = {
  /**
   * Lower-case words: letters and digits with inner apostrophes. Everything else separates, HTML line breaks
   * included.
   */
  words: (text: string): string[] =>
    text
      .toLowerCase()
      .replace(/<br\s*\/?>/g, ' ')
      .match(/[\p{L}\p{N}]+(?:'[\p{L}\p{N}]+)*/gu) ?? [],
  /** Whatever white space separates, as it stands; a line feed is `<eos>`. */
  whitespace: (text: string): string[] => text.replace(/\n/g, ' <eos> ').match(/\S+/g) ?? [],
  /** Every character (code point) as it stands. */
  characters: (text: string): string[] => [...text],
  /** Characters of lines without the spaces at both ends; inner spaces are `_`, and `\r\n` ends a line as `\n` does. */
  underscored: (text: string): string[] => [
    ...text
      .split(/\r?\n/)
      .map((line) => line.replace(/^ +| +$/g, '').replaceAll(' ', '_'))
      .join('\n'),
  ],
} as const satisfies Record<Tokenizer, (text: string) => string[]>;

/** Name of a way to cut text into tokens. */
export type Tokenizer = 'words' | 'whitespace' | 'characters' | 'underscored';

/** How texts become numbers. */
export interface TextOptions {
  /**
   * `'words'`: lower-case words of letters, digits and inner apostrophes. `'whitespace'`: whatever white space
   * separates, a line feed being `<eos>`. `'characters'`: code points. `'underscored'`: the characters of Penn Treebank.
   */
  tokenizer: Tokenizer;
  /** Token of each number. */
  vocabulary: readonly string[];
  /** Token of the vocabulary that stands for all others; without it another token is an error. */
  unknown?: string;
  /** Longest text in tokens; the rest is cut off. Default: as long as the model takes. */
  steps?: number;
  /** Which end of a longer text is kept. Default `'start'`. */
  keep?: 'start' | 'end';
}

/** Texts as numbers. */
export interface EncodedTexts {
  /** `[n, steps]`, 0 behind the end of a text. */
  data: Int32Array;
  steps: number;
  lengths: Int32Array;
}

/** Texts to numbers and back. */
export class Vocabulary {
  readonly #options: TextOptions;
  readonly #numbers: ReadonlyMap<string, number>;

  /** @throws {LookbackError} ERR_OPTION where the vocabulary names a token twice or lacks the unknown one */
  constructor(options: TextOptions) {
    this.#options = options;
    this.#numbers = new Map(options.vocabulary.map((token, number) => [token, number]));
    if (this.#numbers.size !== options.vocabulary.length) {
      const twice = options.vocabulary.find((token, at) => this.#numbers.get(token) !== at);
      throw new LookbackError('ERR_OPTION', `the vocabulary has the token ${show(twice)} twice`);
    }
    const { unknown } = options;
    if (unknown !== undefined && !this.#numbers.has(unknown)) {
      throw new LookbackError(
        'ERR_OPTION',
        `unknown is ${show(unknown)}, which is not in the vocabulary`,
      );
    }
  }

  /** @throws {LookbackError} ERR_DATA for a token that is not in the vocabulary where none stands for the unknown */
  numberOf(token: string, where: string): number {
    const { unknown } = this.#options;
    const number =
      this.#numbers.get(token) ?? (unknown === undefined ? undefined : this.#numbers.get(unknown));
    if (number !== undefined) return number;
    throw new LookbackError(
      'ERR_DATA',
      `${where}: the token ${show(token)} is not in the vocabulary of ${this.#numbers.size}`,
    );
  }

  /**
   * The number of a text that is one token, which is how a text arrives step by step. A space that arrives by itself is
   * within its line: under `'underscored'` it is `_`.
   *
   * @throws {LookbackError} ERR_DATA for none or several tokens, and as {@link Vocabulary.numberOf}
   */
  numberOfOne(text: string, where: string): number {
    const { tokenizer } = this.#options;
    const isInner = tokenizer === 'underscored' && text === ' ';
    const tokens = isInner ? ['_'] : tokenizers[tokenizer](text);
    const [token] = tokens;
    if (token !== undefined && tokens.length === 1) return this.numberOf(token, where);
    const found = tokens.length === 0 ? 'no token' : `${tokens.length} tokens`;
    const message = `${where}: ${show(text)} is ${found} for the tokenizer ${show(tokenizer)}; expected one, as a step takes one token of each text`;
    throw new LookbackError('ERR_DATA', message);
  }

  /** All numbers of a text. @throws as {@link Vocabulary.numberOf} */
  numbersOf(text: string, where: string): number[] {
    return tokenizers[this.#options.tokenizer](text).map((token) => this.numberOf(token, where));
  }

  /** `[n, steps]`: `steps` is that of the options, else that given, else the longest text's. @throws likewise */
  encode(texts: readonly string[], where: string, steps?: number | null): EncodedTexts {
    const { keep = 'start' } = this.#options;
    const limit = this.#options.steps ?? steps ?? null;
    const all = texts.map((text, row) => {
      const numbers = this.numbersOf(text, `${where}[${row}]`);
      if (limit === null || numbers.length <= limit) return numbers;
      return keep === 'start' ? numbers.slice(0, limit) : numbers.slice(-limit);
    });
    const width = limit ?? all.reduce((most, numbers) => Math.max(most, numbers.length), 1);
    const data = new Int32Array(all.length * width);
    all.forEach((numbers, row) => data.set(numbers, row * width));
    return { data, steps: width, lengths: Int32Array.from(all, (numbers) => numbers.length) };
  }
}

/**
 * The tokens of `counts`, the commonest first and equally common ones in the order of their code units; `first` stand
 * before all others, and all together are at most `size`.
 */
export function vocabularyOf(
  counts: ReadonlyMap<string, number>,
  { first = [], size = Infinity }: { first?: readonly string[]; size?: number } = {},
): string[] {
  const fixed = new Set(first);
  const others = [...counts].filter(([token]) => !fixed.has(token));
  others.sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1));
  return [...first, ...others.slice(0, Math.max(0, size - fixed.size)).map(([token]) => token)];
}

/** How often each token occurs. */
export function countTokens(
  tokens: Iterable<string>,
  counts = new Map<string, number>(),
): Map<string, number> {
  for (const token of tokens) counts.set(token, (counts.get(token) ?? 0) + 1);
  return counts;
}
