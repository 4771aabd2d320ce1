import type { Cell } from '../../lib/cell';
import { cells } from '../../lib/cell';
import type { Tensor, TensorLike } from '../../lib/tensor';

const [BATCH, STEPS, INPUTS, UNITS] = [2, 5, 3, 4];

const wave = (count: number, scale = 1): Float64Array =>
  Float64Array.from({ length: count }, (_, i) => scale * Math.sin(7 * i + 1));

function weightsOf(cell: Cell): Record<string, Float64Array> {
  return Object.fromEntries(
    cell.weights.map(({ name, shape }) => {
      const count = shape.reduce((product, extent) => product * extent, 1);
      if (name === 'd') return [name, new Float64Array(count).fill(1)];
      if (name === 'A' || name.startsWith('A_')) return [name, new Float64Array(count)];
      if (name === 'base')
        return [
          name,
          Float64Array.from({ length: count }, (_, i) => (i % ((shape[0] ?? 0) + 1) === 0 ? 1 : 0)),
        ];
      return [name, wave(count, 0.5)];
    }),
  );
}

type Saved = Record<string, Tensor>;

async function run(
  cell: Cell,
  inputs: Record<string, TensorLike> = {},
): Promise<{ saved: Saved; outputs: Saved }> {
  const x = { shape: [BATCH, STEPS, INPUTS], data: wave(BATCH * STEPS * INPUTS, 2) };
  const { outputs, handle } = await cell.forward({ x, ...inputs }, weightsOf(cell));
  const saved = handle.saved();
  handle.dispose();
  return { saved, outputs };
}

const at = (tensor: Tensor | undefined, b: number, t: number, j: number): number => {
  const [, steps = 0, ...rest] = tensor?.shape ?? [];
  const units = rest.reduce((product, extent) => product * extent, 1);
  return tensor?.data[(b * steps + t) * units + j] ?? NaN;
};

function forAll(check: (b: number, t: number, j: number) => void): void {
  for (let b = 0; b < BATCH; b += 1)
    for (let t = 0; t < STEPS; t += 1) for (let j = 0; j < UNITS; j += 1) check(b, t, j);
}

const how = { dtype: 'float64' } as const;
const sizes = { units: UNITS, inputSize: INPUTS };

describe('what a cell saves', () => {
  it.each([{}, { gateOrder: 'gfio' }, { normalization: 'layer', gateOrder: 'fiog' }] as const)(
    'of an lstm are its gates and states, whatever the order of storage: %j',
    async (options) => {
      const { saved, outputs } = await run(cells.lstm({ ...sizes, ...options }, how));
      expect(Object.keys(saved).sort()).toEqual(['c', 'f', 'g', 'h', 'i', 'o']);
      forAll((b, t, j) => {
        const [i, f, g, o, c] = ['i', 'f', 'g', 'o', 'c'].map((name) => at(saved[name], b, t, j));
        const before = t === 0 ? 0 : at(saved['c'], b, t - 1, j);
        expect(c).toBeCloseTo((f ?? NaN) * before + (i ?? NaN) * (g ?? NaN), 14);
        expect(at(saved['h'], b, t, j)).toBe(at(outputs['y'], b, t, j));
        if (!('normalization' in options))
          expect(at(saved['h'], b, t, j)).toBeCloseTo((o ?? NaN) * Math.tanh(c ?? NaN), 14);
      });
    },
  );

  it.each([{}, { reset: 'before' }, { normalization: 'layer', gateOrder: 'zrn' }] as const)(
    'of a gru are its gates: %j',
    async (options) => {
      const { saved } = await run(cells.gru({ ...sizes, ...options }, how));
      forAll((b, t, j) => {
        const [z, n] = [at(saved['z'], b, t, j), at(saved['n'], b, t, j)];
        const before = t === 0 ? 0 : at(saved['h'], b, t - 1, j);
        expect(at(saved['h'], b, t, j)).toBeCloseTo(z * before + (1 - z) * n, 14);
        expect(at(saved['r'], b, t, j)).toBeGreaterThan(0);
        expect(at(saved['r'], b, t, j)).toBeLessThan(1);
      });
    },
  );

  it('of a larnn are its gates, and its attention by head and age where asked for', async () => {
    const options = { ...sizes, heads: 2, window: 3 };
    const { saved, outputs } = await run(cells.larnn({ ...options, keepAttention: true }, how));
    const attention = saved['l0.attention'];
    expect(attention?.shape).toEqual([BATCH, STEPS, 2, 3]);
    for (let b = 0; b < BATCH; b += 1) {
      for (let t = 0; t < STEPS; t += 1) {
        for (let head = 0; head < 2; head += 1) {
          const weights = [0, 1, 2].map((age) => at(attention, b, t, head * 3 + age));
          expect(weights.reduce((sum, w) => sum + w, 0)).toBeCloseTo(1, 14);
          // The queue begins with the single zero entry.
          weights.forEach((w, age) => expect(w > 0).toBe(age < Math.min(t + 1, 3)));
        }
      }
    }
    forAll((b, t, j) => {
      const [i, f, g, c] = ['i', 'f', 'g', 'c'].map((name) => at(saved[`l0.${name}`], b, t, j));
      const before = t === 0 ? 0 : at(saved['l0.c'], b, t - 1, j);
      expect(c).toBeCloseTo((f ?? NaN) * before + (i ?? NaN) * (g ?? NaN), 14);
    });
    // Keeping them changes nothing else.
    const plain = await run(cells.larnn(options, how));
    expect(plain.outputs).toEqual(outputs);
    expect(plain.saved).not.toHaveProperty(['l0.attention']);
    expect(plain.saved['l0.k']?.shape).toEqual([BATCH, STEPS, UNITS]);
  });

  it('of an rra are its gates, and the weights of every step where they are made per step', async () => {
    for (const attention of ['softmaxPerStep', 'dotPerStep'] as const) {
      const { saved } = await run(cells.rra({ ...sizes, K: 3, attention }, how));
      expect(saved['w']?.shape).toEqual([BATCH, STEPS, 3]);
      for (let t = 0; t < STEPS; t += 1) {
        const sum = [0, 1, 2].reduce((total, k) => total + at(saved['w'], 0, t, k), 0);
        expect(sum).toBeCloseTo(1, 14);
      }
    }
    const { saved } = await run(cells.rra({ ...sizes, K: 3 }, how));
    expect(Object.keys(saved).sort()).toEqual(['c', 'f', 'g', 'h', 'i', 'o', 'p']);
    const base = await run(cells.rra({ ...sizes, K: 3, base: 'rnn' }, how));
    expect(Object.keys(base.saved).sort()).toEqual(['h', 'phi']);
  });

  it('of the other cells are their activations and states', async () => {
    const all: [Cell, string[]][] = [
      [cells.rnn(sizes, how), ['h', 'p']],
      [cells.scornn(sizes, how), ['h', 'p']],
      [cells.exprnn(sizes, how), ['h', 'p']],
      [cells.enrnn({ inputSize: INPUTS, longUnits: 2, shortUnits: 2 }, how), ['h', 'p']],
      [cells.scurnn(sizes, how), ['h', 'z_im', 'z_re']],
      [cells.bnlstm({ ...sizes, tMax: STEPS }, how), ['c', 'f', 'g', 'h', 'i', 'o']],
    ];
    for (const [cell, names] of all) {
      const { saved, outputs } = await run(cell);
      expect(Object.keys(saved).sort()).toEqual(names);
      expect(saved['h']).toEqual(outputs['y']);
    }
  });

  it('is zero beyond the length of a row, and that of separate rows with resets', async () => {
    const cell = cells.lstm(sizes, how);
    const { saved: whole } = await run(cell);
    const { saved: cut } = await run(cell, { lengths: Int32Array.of(5, 2) });
    forAll((b, t, j) => {
      expect(at(cut['f'], b, t, j)).toBe(b === 1 && t >= 2 ? 0 : at(whole['f'], b, t, j));
    });
    const resets = Float64Array.of(0, 0, 1, 0, 0, 0, 0, 0, 0, 0);
    const { saved: afresh } = await run(cell, { resets });
    forAll((b, t, j) => {
      const { [b === 0 && t >= 2 ? 'other' : 'same']: compare } = {
        same: () => expect(at(afresh['c'], b, t, j)).toBe(at(whole['c'], b, t, j)),
        other: () => expect(at(afresh['c'], b, t, j)).not.toBe(at(whole['c'], b, t, j)),
      };
      compare?.();
    });
    // At the reset c is i g alone.
    expect(at(afresh['c'], 0, 2, 1)).toBeCloseTo(
      at(afresh['i'], 0, 2, 1) * at(afresh['g'], 0, 2, 1),
      14,
    );
  });

  it('is there until backward, which works once and not twice over', async () => {
    const cell = cells.gru(sizes, how);
    const x = { shape: [BATCH, STEPS, INPUTS], data: wave(BATCH * STEPS * INPUTS) };
    const { outputs, handle } = await cell.forward({ x }, weightsOf(cell));
    const upstream = { y: outputs['y'] ?? x };
    const spent = { code: 'ERR_STATE' };
    await expect(handle.backward(upstream, { createGraph: true as false })).rejects.toMatchObject({
      ...spent,
      message: expect.stringMatching(/second derivatives are not computed/) as string,
    });
    expect(Object.keys(handle.saved())).toContain('r');
    await handle.backward(upstream);
    expect(() => handle.saved()).toThrow(/saved works before backward, which works once/);
    expect(() => handle.saved()).toThrow(expect.objectContaining(spent) as Error);
    await expect(handle.backward(upstream)).rejects.toMatchObject(spent);
  });
});
