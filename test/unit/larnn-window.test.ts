/** What LARNN's window holds where a float's exponents end. */
import { cells } from '../../lib/cell';
import type { DType, Tensor } from '../../lib/tensor';

const [ROWS, UNITS, WINDOW] = [5, 4, 3];

/**
 * One step over a window that is given. Values are ELU(u + v), u = 400 c of a state and v = -100 of its age: their sum is
 * -1, -3 or 20, though e^v is no float and e^u none either.
 */
async function step(dtype: DType): Promise<number[]> {
  const tensor = (shape: readonly number[], at: (i: number) => number): Tensor => {
    const numbers = { length: shape.reduce((a, b) => a * b, 1) };
    const from = (_: unknown, i: number): number => at(i);
    const data =
      dtype === 'float32' ? Float32Array.from(numbers, from) : Float64Array.from(numbers, from);
    return { shape: [...shape], data };
  };
  const options = { units: UNITS, inputSize: 2, heads: 2, window: WINDOW } as const;
  const cell = cells.larnn(
    { ...options, positional: 'concat', normalization: 'none' },
    { dtype, threads: 1 },
  );
  const weights = Object.fromEntries(
    cell.weights.map(({ name, shape }) => {
      const width = shape[1] ?? 0; // of W_v: the state, then the code of its position
      if (name.endsWith('W_v'))
        return [name, tensor(shape, (i) => (i % width === Math.floor(i / width) ? 400 : 0))];
      if (name.endsWith('b_v')) return [name, tensor(shape, () => -100)];
      return [name, tensor(shape, (i) => 0.3 * Math.sin(1.3 * i + name.length))];
    }),
  );
  const sums = [-1, -3, 20, -1, 20, -3, -1];
  const { outputs, handle } = await cell.forward(
    {
      x: tensor([ROWS, 1, 2], Math.sin),
      h0: tensor([1, ROWS, UNITS], () => 0.2),
      queue0: tensor([1, WINDOW, ROWS, UNITS], (i) => (100 + (sums[i % sums.length] ?? NaN)) / 400),
    },
    weights,
  );
  handle.dispose();
  return Array.from(outputs['y']?.data ?? []);
}

it('values of large parts are those of their sum, in float32 too', async () => {
  const [single, double] = [await step('float32'), await step('float64')];
  expect(single).toHaveLength(ROWS * UNITS);
  // Rounding of u is 100 * 6e-8.
  single.forEach((value, i) => expect(value).toBeCloseTo(double[i] ?? NaN, 4));
});
