/**
 * The copying problem: can a network carry ten symbols across a long silence?
 */
import { uniformInt } from 'pure-rand/distribution/uniformInt';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import type { JumpableRandomGenerator } from 'pure-rand/types/JumpableRandomGenerator';
import { z } from 'zod';
import { LookbackError } from '../errors';
import { parseOptions } from '../options';
import type { Dataset, Split } from './dataset';

/** Symbols to be remembered, at the begin of a sequence and, as answers, at its end. */
const LENGTH = 10;
/** Symbols 1 to 8 carry the message; 0 is the blank and 9 the marker. */
const ALPHABET = 8;
const MARKER = 9;
const FEATURES = 10;
/** 4 GiB; also what keeps a mistyped size from filling the memory. */
const MAX_NUMBERS = 2 ** 30;

const optionsSchema = z.strictObject({
  delay: z.int().min(1).max(1_000_000),
  train: z.int().min(1).default(20_000),
  test: z.int().min(1).default(1000),
  marker: z.enum(['before', 'on']).default('before'),
  seed: z
    .int()
    .min(0)
    .max(2 ** 32 - 1)
    .default(0),
});

export interface CopyingOptions {
  /** Steps between message and answer, the T of the papers; a sequence has `delay + 20` steps. 1 to 1 000 000. */
  delay: number;
  /** Sequences to train from, at least 1. Default 20 000, as published. */
  train?: number;
  /** Sequences to test with, at least 1. Default 1000, as published. */
  test?: number;
  /**
   * The first answer belongs to the step after the marker (scoRNN, scuRNN, ENRNN), or to the marker's own step (expRNN).
   * Default `'before'`.
   */
  marker?: 'before' | 'on';
  /** Whole number from 0 to 2^32 - 1. Default 0. The same seed gives the same sequences, and `train` does not change `test`. */
  seed?: number;
}

/**
 * Generates the copying problem. `x` is `[n, delay + 20, 10]`, one-hot: ten symbols out of 1 to 8, blanks (0), a marker
 * (9) that asks for the answer, blanks; `y` is `[n, delay + 20]`, a label for every step: 0, and the ten symbols again
 * at the last ten steps. Knowing nothing of the message, the best mean cross-entropy is `10 ln 8 / (delay + 20)`.
 *
 * @throws {@link LookbackError} `ERR_OPTION` for an unknown option or a number out of range.
 *
 * @example
 * ```ts
 * const { train, test } = datasets.copying({ delay: 100, train: 50, test: 10 });
 * ```
 */
export function copying(options: CopyingOptions): Dataset<Split<Int32Array>> {
  const where = 'datasets.copying';
  const { delay, train, test, marker, seed } = parseOptions(optionsSchema, options, where);
  const steps = delay + 2 * LENGTH;
  const most = Math.floor(MAX_NUMBERS / (steps * FEATURES));
  if (Math.max(train, test) > most) {
    throw new LookbackError(
      'ERR_OPTION',
      `${where}: ${Math.max(train, test)} sequences of ${steps} steps are too many; expected at most ${most}`,
    );
  }
  // Streams a jump (2^64 draws) apart never meet; the first jump also mixes small seeds well.
  const random = xoroshiro128plus(seed);
  random.jump();
  const trainRandom = random.clone();
  random.jump();
  const markerStep = steps - LENGTH - (marker === 'before' ? 1 : 0);
  return {
    train: copyingSplit(steps, markerStep, train, trainRandom),
    test: copyingSplit(steps, markerStep, test, random),
    classNames: ['blank', ...Array.from({ length: ALPHABET }, (_, symbol) => `${symbol + 1}`)],
    featureNames: Array.from({ length: FEATURES }, (_, symbol) => `symbol ${symbol}`),
  };
}

function copyingSplit(
  steps: number,
  markerStep: number,
  n: number,
  random: JumpableRandomGenerator,
): Split<Int32Array> {
  const x = new Float32Array(n * steps * FEATURES);
  const y = new Int32Array(n * steps);
  for (let row = 0; row < n; ++row) {
    const symbols = new Uint8Array(steps);
    for (let at = 0; at < LENGTH; ++at) symbols[at] = uniformInt(random, 1, ALPHABET);
    y.set(symbols.subarray(0, LENGTH), (row + 1) * steps - LENGTH);
    symbols[markerStep] = MARKER;
    symbols.forEach((symbol, step) => {
      x[(row * steps + step) * FEATURES + symbol] = 1;
    });
  }
  return {
    x: { shape: [n, steps, FEATURES], data: x },
    y: { shape: [n, steps], data: y },
    steps,
    features: FEATURES,
  };
}
