/**
 * The adding problem: can a network carry two numbers across a long sequence?
 */
import { uniformFloat32 } from 'pure-rand/distribution/uniformFloat32';
import { uniformInt } from 'pure-rand/distribution/uniformInt';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import type { JumpableRandomGenerator } from 'pure-rand/types/JumpableRandomGenerator';
import { z } from 'zod';
import { LookbackError } from '../errors';
import { parseOptions } from '../options';
import type { Dataset, Split } from './dataset';

const FEATURE_NAMES = ['value', 'marker'];
/** 4 GiB; also what keeps a mistyped size from filling the memory. */
const MAX_NUMBERS = 2 ** 30;

const optionsSchema = z.strictObject({
  steps: z.int().min(2).max(1_000_000),
  train: z.int().min(1).default(10_000),
  test: z.int().min(1).default(1000),
  seed: z
    .int()
    .min(0)
    .max(2 ** 32 - 1)
    .default(0),
});

export interface AddingOptions {
  /** Length of a sequence, 2 to 1 000 000. */
  steps: number;
  /** Sequences to train from, at least 1. Default 10 000. */
  train?: number;
  /** Sequences to test with, at least 1. Default 1000. */
  test?: number;
  /** Whole number from 0 to 2^32 - 1. Default 0. The same seed gives the same sequences, and `train` does not change `test`. */
  seed?: number;
}

/**
 * Generates the adding problem. `x` is `[n, steps, 2]`: a number uniform in [0, 1) and a marker that is 1 at two steps, one in
 * `[0, floor((steps - 1) / 2))` (step 0 for sequences too short for that) and one behind; `y` is `[n, 1]`, the sum of the two
 * marked numbers. Always answering 1 has a mean squared error of 1/6.
 *
 * @throws {@link LookbackError} `ERR_OPTION` for an unknown option or a number out of range.
 *
 * @example
 * ```ts
 * const { train, test } = datasets.adding({ steps: 100, train: 5000, test: 500, seed: 7 });
 * ```
 */
export function adding(options: AddingOptions): Dataset<Split<Float32Array>> {
  const { steps, train, test, seed } = parseOptions(optionsSchema, options, 'datasets.adding');
  const most = Math.floor(MAX_NUMBERS / (steps * FEATURE_NAMES.length));
  if (Math.max(train, test) > most) {
    throw new LookbackError(
      'ERR_OPTION',
      `datasets.adding: ${Math.max(train, test)} sequences of ${steps} steps are too many; expected at most ${most}`,
    );
  }

  // Streams a jump (2^64 draws) apart never meet; the first jump also mixes small seeds well.
  const random = xoroshiro128plus(seed);
  random.jump();
  const trainRandom = random.clone();
  random.jump();
  return {
    train: addingSplit(steps, train, trainRandom),
    test: addingSplit(steps, test, random),
    featureNames: [...FEATURE_NAMES],
  };
}

function addingSplit(
  steps: number,
  n: number,
  random: JumpableRandomGenerator,
): Split<Float32Array> {
  const features = FEATURE_NAMES.length;
  const x = new Float32Array(n * steps * features);
  const y = new Float32Array(n);
  const half = Math.max(1, Math.floor((steps - 1) / 2));
  for (let row = 0; row < n; ++row) {
    const start = row * steps * features;
    for (let step = 0; step < steps; ++step) x[start + step * features] = uniformFloat32(random);
    let sum = 0;
    for (const step of [uniformInt(random, 0, half - 1), uniformInt(random, half, steps - 1)]) {
      const at = start + step * features;
      x[at + 1] = 1;
      sum += x[at] ?? NaN;
    }
    y[row] = sum;
  }
  return {
    x: { shape: [n, steps, features], data: x },
    y: { shape: [n, 1], data: y },
    steps,
    features,
  };
}
