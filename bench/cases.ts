/**
 * What is measured: one recurrent layer, at the shapes of the papers' experiments.
 */

/** One layer on one batch: x is `[batch, steps, inputSize]`, y is `[batch, steps, units]`. */
export interface Shape {
  batch: number;
  steps: number;
  inputSize: number;
  units: number;
}

export type CellKey = 'lstm' | 'gru' | 'larnn' | 'rra' | 'scornn' | 'enrnn';

export type Form = 'skew' | 'signs' | 'negative';

export interface BenchCase {
  name: string;
  cell: CellKey;
  shape: Shape;
  /** Options of the cell, every one that matters here given explicitly. */
  spec: Record<string, string | number | boolean>;
  /** Every weight by its vector name. */
  weights: Record<string, number[]>;
  /**
   * Weights that are not just any numbers: skew-symmetric, made of signs, or small and below 0 (with a bias above 0 modReLU
   * jumps, and rounding decides on which side).
   */
  forms?: Record<string, Form>;
  /** Multiplications and additions of one forward pass. */
  forwardFlops: number;
  /** The same of forward and backward, with gradients of input and weights. */
  stepFlops: number;
  /**
   * Largest difference between our results and a peer's, relative to each tensor's largest entry, that still counts as
   * the same function in 32 bits. Measured differences are some ten times smaller.
   */
  tolerance: number;
}

interface LarnnChoice {
  heads: number;
  window: number;
  normalization: 'none' | 'batch';
  positional: 'none' | 'concat';
}

/**
 * Where |z| lies within rounding of modReLU's bias, one side lets a gradient through and the other does not; among the 17
 * million of a case there are some.
 */
const KINK_TOLERANCE = 5e-2;

const HAR = { steps: 128, inputSize: 9 };
const MNIST = { steps: 784, inputSize: 1 };
const PTB = { steps: 150, inputSize: 50 };

export function lstm(data: string, shape: Shape): BenchCase {
  const { batch, steps, inputSize, units } = shape;
  const gates = 4 * units;
  const forwardFlops = 2 * batch * steps * gates * (inputSize + units);
  return {
    name: `lstm-${data}-b${batch}-h${units}`,
    cell: 'lstm',
    shape,
    spec: { inputSize, units, bias: 'double', gateOrder: 'ifgo' },
    weights: { W_x: [gates, inputSize], W_h: [gates, units], b_x: [gates], b_h: [gates] },
    forwardFlops,
    stepFlops: 3 * forwardFlops,
    tolerance: 1e-3,
  };
}

function gru(data: string, shape: Shape): BenchCase {
  const { batch, steps, inputSize, units } = shape;
  const gates = 3 * units;
  const forwardFlops = 2 * batch * steps * gates * (inputSize + units);
  return {
    name: `gru-${data}-b${batch}-h${units}`,
    cell: 'gru',
    shape,
    spec: { inputSize, units, bias: 'double', gateOrder: 'rzn', reset: 'after', update: 'keep' },
    weights: { W_x: [gates, inputSize], W_h: [gates, units], b_x: [gates], b_h: [gates] },
    forwardFlops,
    stepFlops: 3 * forwardFlops,
    tolerance: 1e-3,
  };
}

function larnn(data: string, shape: Shape, choice: LarnnChoice): BenchCase {
  const { batch, steps, inputSize, units } = shape;
  const { heads, window, normalization, positional } = choice;
  // The code has as many cosines as sines: one of each for every bit of 4 window - 1.
  const code = positional === 'concat' ? 2 * (4 * window - 1).toString(2).length : 0;
  const weights: Record<string, number[]> = {
    W_x: [4 * units, inputSize],
    W_h: [4 * units, units],
    W_a: [4 * units, units],
    b: [4 * units],
    W_q: [units, inputSize + units],
    b_q: [units],
    W_k: [units, units + code],
    b_k: [units],
    W_v: [units, units + code],
    b_v: [units],
    W_o: [units, units],
    b_o: [units],
  };
  if (normalization === 'batch') {
    for (const site of ['bn_k', 'bn_v', 'bn_att', 'bn_pre', 'bn_cell', 'bn_hid']) {
      const features = site === 'bn_pre' ? 4 * units : units;
      weights[`${site}.gamma`] = [features];
      weights[`${site}.beta`] = [features];
    }
  }
  // Gates, query, keys, values and output: each state is projected once. Attention: scores and weighted sum.
  const products = 10 * inputSize * units + 24 * units * units;
  let attended = 0;
  for (let step = 0; step < steps; ++step) attended += Math.min(step + 1, window);
  const attention = 4 * units * attended;
  return {
    name: `larnn-${data}-b${batch}-h${units}-k${window}`,
    cell: 'larnn',
    shape,
    spec: {
      inputSize,
      units,
      heads,
      window,
      normalization,
      positional,
      positionalOffset: 1,
      keyValueActivation: true,
      bnEps: 1e-5,
      bnMomentum: 0.1,
    },
    weights: Object.fromEntries(
      Object.entries(weights).map(([name, dims]) => [`l0.${name}`, dims]),
    ),
    forwardFlops: batch * (steps * products + attention),
    // Scores and weighted sum have two operands each that want a gradient, and the shares are computed again.
    stepFlops: batch * (3 * steps * products + 4 * attention),
    // Batch norm multiplies rounding by up to 1/sqrt(bnEps) = 316 where the rows of a step hardly differ.
    tolerance: normalization === 'batch' ? 5e-2 : 1e-3,
  };
}

function rra(data: string, shape: Shape, K: number, name?: string): BenchCase {
  const { batch, steps, inputSize, units } = shape;
  const gates = 4 * units;
  let attended = 0;
  for (let step = 0; step < steps; ++step) attended += Math.min(step, K);
  const products = 2 * batch * steps * gates * (inputSize + units);
  const attention = 2 * batch * units * attended;
  return {
    name: name ?? `rra-${data}-b${batch}-h${units}-k${K}`,
    cell: 'rra',
    shape,
    spec: { inputSize, units, K, normalize: 'softmax', gateOrder: 'ifgo' },
    weights: { W_x: [gates, inputSize], W_h: [gates, units], b: [gates], W_a: [K] },
    forwardFlops: products + attention,
    stepFlops: 3 * (products + attention),
    tolerance: 1e-3,
  };
}

/** Of the time loop alone; the matrices are made once a pass and count as time, not as work. */
function scornn(data: string, shape: Shape): BenchCase {
  const { batch, steps, inputSize, units } = shape;
  const forwardFlops = 2 * batch * steps * units * (inputSize + units);
  return {
    name: `scornn-${data}-b${batch}-h${units}`,
    cell: 'scornn',
    shape,
    spec: { inputSize, units },
    weights: { A: [units, units], d: [units], W_x: [units, inputSize], b: [units] },
    forms: { A: 'skew', d: 'signs', b: 'negative' },
    forwardFlops,
    stepFlops: 3 * forwardFlops,
    tolerance: KINK_TOLERANCE,
  };
}

/** The last `shortUnits` of the units are the short-term block. */
function enrnn(data: string, shape: Shape, shortUnits: number): BenchCase {
  const { batch, steps, inputSize, units } = shape;
  const longUnits = units - shortUnits;
  const products = longUnits * units + shortUnits * shortUnits;
  const forwardFlops = 2 * batch * steps * (units * inputSize + products);
  return {
    name: `enrnn-${data}-b${batch}-h${units}`,
    cell: 'enrnn',
    shape,
    spec: { inputSize, longUnits, shortUnits, normMode: 'always' },
    weights: {
      A: [longUnits, longUnits],
      d: [longUnits],
      T: [shortUnits, shortUnits],
      W_C: [shortUnits, longUnits],
      W_x: [units, inputSize],
      b: [units],
    },
    forms: { A: 'skew', d: 'signs', b: 'negative' },
    forwardFlops,
    stepFlops: 3 * forwardFlops,
    tolerance: KINK_TOLERANCE,
  };
}

const plain = { heads: 4, window: 16, normalization: 'none', positional: 'concat' } as const;
const published = { heads: 27, window: 38, normalization: 'batch', positional: 'none' } as const;

export const CASES: readonly BenchCase[] = [
  lstm('har', { batch: 64, ...HAR, units: 32 }),
  lstm('har', { batch: 64, ...HAR, units: 128 }),
  lstm('har', { batch: 256, ...HAR, units: 128 }),
  lstm('har', { batch: 1, ...HAR, units: 128 }),
  lstm('har', { batch: 37, ...HAR, units: 100 }),
  lstm('mnist', { batch: 128, ...MNIST, units: 128 }),
  lstm('ptb', { batch: 128, ...PTB, units: 512 }),
  gru('har', { batch: 64, ...HAR, units: 32 }),
  gru('har', { batch: 64, ...HAR, units: 128 }),
  gru('mnist', { batch: 128, ...MNIST, units: 128 }),
  gru('ptb', { batch: 128, ...PTB, units: 512 }),
  larnn('har', { batch: 64, ...HAR, units: 32 }, plain),
  larnn('har', { batch: 64, ...HAR, units: 128 }, plain),
  larnn('har', { batch: 256, ...HAR, units: 81 }, published),
  rra('har', { batch: 64, ...HAR, units: 32 }, 10),
  rra('har', { batch: 64, ...HAR, units: 128 }, 10, 'rra-har-b64-h128'),
  scornn('mnist', { batch: 128, ...MNIST, units: 170 }),
  enrnn('mnist', { batch: 128, ...MNIST, units: 170 }, 42),
];
