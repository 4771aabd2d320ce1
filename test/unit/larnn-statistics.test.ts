/** LARNN with batch norm: statistics that go round, and the first step that has nothing to attend to. */
import { cells } from '../../lib/cell';
import type { Tensor } from '../../lib/tensor';

const [ROWS, STEPS, UNITS] = [5, 3, 4];

function cellOf(options: object = {}): ReturnType<typeof cells.larnn> {
  const base = { units: UNITS, inputSize: 2, heads: 2, window: 3, normalization: 'batch' } as const;
  return cells.larnn({ ...base, ...options }, { threads: 1 });
}

function waves(shape: readonly number[], phase = 0): Tensor {
  const numbers = { length: shape.reduce((a, b) => a * b, 1) };
  const data = Float32Array.from(numbers, (_, i) => Math.sin(1.7 * i + phase));
  return { shape: [...shape], data };
}

function weightsOf(cell: ReturnType<typeof cellOf>): Record<string, Tensor> {
  return Object.fromEntries(
    cell.weights.map(({ name, shape }, i) => [name, waves(shape, 0.7 * i + 1)]),
  );
}

describe.each([
  ['shared', {}, []],
  ['per step', { bnStats: 'perStep', bnMaxSteps: 2 }, [2]],
  // One row of statistics is still a row.
  ['per step, of one step', { bnStats: 'perStep' }, [1]],
])('running statistics, %s', (_, options, rows) => {
  it('go out of training and into evaluation', async () => {
    const cell = cellOf(options);
    const weights = weightsOf(cell);
    const x = waves([ROWS, STEPS, 2]);
    const trained = await cell.forward({ x }, weights, { training: true });
    trained.handle.dispose();
    const statistics = Object.fromEntries(
      Object.entries(trained.outputs).filter(([name]) => name.startsWith('buf.')),
    );
    expect(statistics['buf.l0.bn_pre.mean']?.shape).toEqual([...rows, 4 * UNITS]);
    const evaluated = await cell.forward({ x, ...statistics }, weights);
    evaluated.handle.dispose();
    expect(evaluated.outputs).toMatchObject(statistics);
  });
});

it('with one entry in every queue the attention learns nothing, whatever h starts from', async () => {
  const cell = cellOf();
  const inputs = { x: waves([ROWS, 1, 2]), h0: waves([1, ROWS, UNITS], 2) };
  const { handle } = await cell.forward(inputs, weightsOf(cell), { training: true });
  const { grads } = await handle.backward({ y: waves([ROWS, 1, UNITS], 3) });
  const silent = ['W_v', 'b_v', 'W_o', 'b_o', 'W_k', 'b_k', 'bn_v.beta'];
  for (const name of silent) {
    const largest = Math.max(...Array.from(grads[`l0.${name}`]?.data ?? [NaN], Math.abs));
    expect({ name, largest }).toEqual({ name, largest: 0 });
  }
});
