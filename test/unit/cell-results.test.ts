/**
 * The arrays that a cell gives: made before its pass has run, and arrays like any other.
 */
import type { Tensor } from '../../lib';
import { cells } from '../../lib';

const T = 16;

function noise(...shape: number[]): Tensor<Float32Array> {
  const size = shape.reduce((all, dim) => all * dim, 1);
  return { shape, data: Float32Array.from({ length: size }, (_, i) => Math.sin(i * 12.9898)) };
}

async function pass(units: number, batch: number) {
  const cell = cells.lstm({ units, inputSize: 3 });
  const weights = Object.fromEntries(
    cell.weights.map(({ name, shape }) => [name, noise(...shape)]),
  );
  const { outputs, handle } = await cell.forward({ x: noise(batch, T, 3) }, weights);
  const { grads } = await handle.backward({ y: noise(batch, T, units) });
  return { outputs, grads };
}

// Cleared; not cleared; with huge pages or copied at the end, as the heap has it; beyond what the heap keeps, so with huge pages.
it.each([
  ['small', 4, 8],
  ['some', 32, 64],
  ['large', 1024, 128],
  ['very large', 256, 2560],
])('%s results are arrays of their own size, which may move to another thread', async (...how) => {
  const [, units, batch] = how;
  const { outputs, grads } = await pass(units, batch);
  expect(Object.keys(outputs)).toEqual(['y', 'h_n', 'c_n']);
  expect(Object.keys(grads)).toEqual(['x', 'W_x', 'W_h', 'b_x', 'b_h']);
  expect(outputs['y']?.shape).toEqual([batch, T, units]);
  expect(outputs['h_n']?.data).toEqual(
    Float32Array.from({ length: batch * units }, (_, i) => {
      const [row, unit] = [Math.floor(i / units), i % units];
      return outputs['y']!.data[(row * T + T - 1) * units + unit]!;
    }),
  );
  for (const { shape, data } of [...Object.values(outputs), ...Object.values(grads)]) {
    const bytes = shape.reduce((all, dim) => all * dim, 4);
    expect([data.byteOffset, data.byteLength, data.buffer.byteLength]).toEqual([0, bytes, bytes]);
    const first = data[0];
    const moved = structuredClone(data, { transfer: [data.buffer as ArrayBuffer] });
    expect([data.length, moved[0]]).toEqual([0, first]);
  }
});

it('two passes share no array', async () => {
  const [one, other] = await Promise.all([pass(32, 64), pass(32, 64)]);
  expect(one.outputs['y']?.data.buffer).not.toBe(other.outputs['y']?.data.buffer);
  expect(one).toEqual(other);
});
