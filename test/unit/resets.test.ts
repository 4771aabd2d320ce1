/**
 * `resets` through the public cells: what a user gives and gets. That every cell keeps to it is the native tests' matter.
 */
import type { TensorsByName } from '../../lib';
import { cells, LookbackError } from '../../lib';

const steps = 5;
const features = 2;
const units = 3;
const numbers = (count: number, seed: number): Float64Array =>
  Float64Array.from({ length: count }, (_, i) => Math.sin(1.7 * i + seed));

const cell = cells.rra({ units, inputSize: features, K: 2 }, { dtype: 'float64' });
const weights = Object.fromEntries(
  cell.weights.map(({ name, shape }, i) => [
    name,
    numbers(
      shape.reduce((a, b) => a * b, 1),
      i,
    ),
  ]),
);
const x = numbers(2 * steps * features, 9);
const dy = numbers(2 * steps * units, 10);
const states = { h0: numbers(2 * units, 11), c0: numbers(2 * units, 12) };

async function run(inputs: TensorsByName, upstream: TensorsByName) {
  const { outputs, handle } = await cell.forward(inputs, weights);
  const { grads } = await handle.backward(upstream);
  return { outputs, grads };
}

it('a row that is reset is two runs, and the other row is as ever', async () => {
  const resets = { shape: [2, steps], data: Float64Array.of(0, 0, 1, 0, 0, 0, 0, 0, 0, 0) };
  const whole = await run(
    { x: { shape: [2, steps, features], data: x }, ...states, resets },
    { y: dy },
  );
  const part = (row: number, begin: number, end: number, given: boolean) => {
    const slice = (all: Float64Array, width: number) => ({
      shape: [1, end - begin, width],
      data: all.slice((row * steps + begin) * width, (row * steps + end) * width),
    });
    const own = (state: Float64Array) => state.slice(row * units, (row + 1) * units);
    const initial = given ? { h0: own(states.h0), c0: own(states.c0) } : {};
    return run({ x: slice(x, features), ...initial }, { y: slice(dy, units) });
  };
  const parts = [await part(0, 0, 2, true), await part(0, 2, 5, false), await part(1, 0, 5, true)];
  const joined = (pick: (one: (typeof parts)[number]) => ArrayLike<number> | undefined) =>
    parts.flatMap((one) => Array.from(pick(one) ?? []));
  expect(Array.from(whole.outputs['y']?.data ?? [])).toEqual(joined((p) => p.outputs['y']?.data));
  expect(Array.from(whole.grads['x']?.data ?? [])).toEqual(joined((p) => p.grads['x']?.data));
  expect(Array.from(whole.grads['h0']?.data ?? [])).toEqual(joined((p) => p.grads['h0']?.data));
  const last = [parts[1], parts[2]].flatMap((one) => Array.from(one?.outputs['c_n']?.data ?? []));
  expect(Array.from(whole.outputs['c_n']?.data ?? [])).toEqual(last);
  const sum = parts.reduce((total, one) => total + (one.grads['W_a']?.data[0] ?? NaN), 0);
  expect(whole.grads['W_a']?.data[0]).toBeCloseTo(sum, 12);
});

const failure = async (resets: unknown): Promise<unknown> =>
  cell
    .forward(
      { x: { shape: [2, steps, features], data: x }, resets: resets as Float64Array },
      weights,
    )
    .then(
      () => null,
      (error: unknown) => error,
    );

it.each<[string, unknown, string, RegExp]>([
  ['too few', new Float64Array(steps), 'ERR_SHAPE', /resets/],
  [
    'another shape',
    { shape: [steps, 2], data: new Float64Array(2 * steps) },
    'ERR_SHAPE',
    /resets has shape \[5, 2\]/,
  ],
  [
    'neither 0 nor 1',
    new Float64Array(2 * steps).fill(0.5, 7, 8),
    'ERR_DATA',
    /'resets' holds 0.5 at row 1, step 2; expected 0, or 1/,
  ],
])('%s: an error that says so', async (_what, resets, code, message) => {
  const error = await failure(resets);
  expect(error).toBeInstanceOf(LookbackError);
  expect((error as LookbackError).message).toMatch(message);
  expect((error as LookbackError).code).toBe(code);
});

it('rows that meet in batch statistics are refused in training only', async () => {
  const larnn = cells.larnn({ units: 4, inputSize: 1, normalization: 'batch' });
  const all = Object.fromEntries(
    larnn.weights.map(({ name, shape }) => [
      name,
      new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(0.1),
    ]),
  );
  const inputs = {
    x: { shape: [2, 3, 1], data: Float32Array.of(1, 2, 3, 4, 5, 6) },
    resets: Float32Array.of(0, 1, 0, 0, 0, 1),
  };
  await expect(larnn.forward(inputs, all, { training: true })).rejects.toThrow(
    /resets do not go with batch statistics/,
  );
  const { handle } = await larnn.forward(inputs, all);
  handle.dispose();
});
