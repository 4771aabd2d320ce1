import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { cells } from '../../lib/cell';
import type { Cell } from '../../lib/cell';
import type { ForeignWeightsOptions } from '../../lib/foreign-weights';
import { exportWeights, importWeights } from '../../lib/foreign-weights';
import type { Tensor } from '../../lib/tensor';

interface Listed {
  shape: number[];
  data: number[];
}

interface Part {
  layer: number;
  reverse: boolean;
  x: Listed;
  y: Listed;
  h_n: Listed;
  c_n?: Listed;
}

interface TorchCase {
  kind: 'lstm' | 'gru' | 'rnn';
  options: { units: number };
  state: Record<string, Listed>;
  parts: Part[];
}

const fixture = JSON.parse(
  readFileSync(join(__dirname, '..', 'fixtures', 'torch', 'recurrent.json'), 'utf8'),
) as { cases: TorchCase[] };

const tensor = ({ shape, data }: Listed): Tensor => ({ shape, data: Float32Array.from(data) });

const stateOf = ({ state }: TorchCase): Record<string, Tensor> =>
  Object.fromEntries(Object.entries(state).map(([name, listed]) => [name, tensor(listed)]));

function cellOf({ kind, options }: Pick<TorchCase, 'kind' | 'options'>, inputSize: number): Cell {
  const make: (given: never) => Cell = cells[kind];
  return make({ ...options, inputSize } as never);
}

const noise = (count: number): Float32Array =>
  Float32Array.from({ length: count }, (_, i) => Math.sin(3 * i + 1));

describe('weights of PyTorch', () => {
  const named = fixture.cases.map((each): [string, TorchCase] => [
    `${each.kind} ${JSON.stringify(each.options)}`,
    each,
  ]);

  it.each(named)('%s give its outputs', async (_name, each) => {
    for (const part of each.parts) {
      const cell = cellOf(each, part.x.shape[2] ?? 0);
      const { layer, reverse } = part;
      const weights = importWeights(cell, stateOf(each), { format: 'pytorch', layer, reverse });
      const { outputs, handle } = await cell.forward({ x: tensor(part.x) }, weights);
      handle.dispose();
      for (const name of ['y', 'h_n', 'c_n'] as const) {
        const wanted = part[name];
        if (!wanted) continue;
        expect(outputs[name]?.shape).toEqual(wanted.shape);
        wanted.data.forEach((value, at) =>
          expect(Math.abs((outputs[name]?.data[at] ?? NaN) - value)).toBeLessThan(1e-6),
        );
      }
    }
  });

  it.each(named)('%s go back as they came', (_name, each) => {
    const state = stateOf(each);
    const back: Record<string, Tensor> = {};
    for (const { layer, reverse, x } of each.parts) {
      const cell = cellOf(each, x.shape[2] ?? 0);
      const how = { format: 'pytorch', layer, reverse } as const;
      Object.assign(back, exportWeights(cell, importWeights(cell, state, how), how));
    }
    if ('bias' in each.options && each.options.bias === 'single') {
      // One bias stands for the sum of two; PyTorch adds a zero to it.
      for (const name of Object.keys(state).filter((key) => key.startsWith('bias_hh'))) {
        expect(back[name]?.data.every((value) => value === 0)).toBe(true);
        const twin = name.replace('bias_hh', 'bias_ih');
        state[twin]?.data.forEach((value, at) =>
          expect(back[twin]?.data[at]).toBe(Math.fround(value + (state[name]?.data[at] ?? NaN))),
        );
      }
      expect(Object.keys(back).sort()).toEqual(Object.keys(state).sort());
    } else {
      expect(back).toEqual(state);
    }
  });

  it('may have a name before theirs', () => {
    const [each] = fixture.cases;
    if (!each) throw new Error('no case');
    const cell = cellOf(each, 3);
    const state = Object.fromEntries(
      Object.entries(stateOf(each)).map(([name, value]) => [`encoder.${name}`, value]),
    );
    const how = { format: 'pytorch', prefix: 'encoder.' } as const;
    expect(importWeights(cell, state, how)['b_h']?.data).toEqual(state['encoder.bias_hh_l0']?.data);
  });
});

describe('weights of Keras', () => {
  it.each([
    ['lstm', {}, { kernel: [2, 12], recurrent_kernel: [3, 12], bias: [12] }],
    ['lstm', { bias: 'none' }, { kernel: [2, 12], recurrent_kernel: [3, 12] }],
    ['gru', {}, { kernel: [2, 9], recurrent_kernel: [3, 9], bias: [2, 9] }],
    ['gru', { reset: 'before' }, { kernel: [2, 9], recurrent_kernel: [3, 9], bias: [9] }],
    ['rnn', {}, { kernel: [2, 3], recurrent_kernel: [3, 3], bias: [3] }],
  ] as const)('%s %j come and go', (kind, options, shapes) => {
    const cell = cellOf({ kind, options: { ...options, units: 3 } }, 2);
    const given = Object.fromEntries(
      Object.entries(shapes).map(([name, shape]) => [
        name,
        { shape: [...shape], data: noise(shape[0] * ((shape as readonly number[])[1] ?? 1)) },
      ]),
    );
    const weights = importWeights(cell, given, { format: 'keras' });
    expect(exportWeights(cell, weights, { format: 'keras' })).toEqual(given);
  });

  it('have their gates z, r, h and every matrix the other way round', () => {
    const cell = cellOf({ kind: 'gru', options: { units: 1 } }, 2);
    const given = {
      kernel: { shape: [2, 3], data: Float32Array.of(1, 2, 3, 4, 5, 6) },
      recurrent_kernel: { shape: [1, 3], data: Float32Array.of(7, 8, 9) },
      bias: { shape: [2, 3], data: Float32Array.of(10, 11, 12, 13, 14, 15) },
    };
    const { W_x, W_h, b_x, b_h } = importWeights(cell, given, { format: 'keras' });
    expect(Array.from(W_x?.data ?? [])).toEqual([2, 5, 1, 4, 3, 6]);
    expect(Array.from(W_h?.data ?? [])).toEqual([8, 7, 9]);
    expect(Array.from(b_x?.data ?? [])).toEqual([11, 10, 12]);
    expect(Array.from(b_h?.data ?? [])).toEqual([14, 13, 15]);
  });
});

describe('foreign weights that do not fit', () => {
  const lstm = (): Cell => cells.lstm({ units: 3, inputSize: 2 });

  it('are listed, all of them', () => {
    const given = {
      weight_ih_l0: { shape: [12, 3], data: new Float32Array(36) },
      weight_hh_l0: { shape: [12, 3], data: new Float32Array(36) },
      weight_hr_l0: { shape: [2, 3], data: new Float32Array(6) },
      bias_ih_l0: { shape: [12], data: new Float32Array(12) },
      weight_ih_l1: { shape: [1], data: new Float32Array(1) },
    };
    const read = (): unknown => importWeights(lstm(), given, { format: 'pytorch' });
    expect(read).toThrow(expect.objectContaining({ code: 'ERR_FORMAT' }) as Error);
    expect(read).toThrow(/weight_ih_l0.*\[12, 3\].*\[12, 2\]/);
    expect(read).toThrow(/bias_hh_l0 is missing \(expected \[12\]\)/);
    expect(read).toThrow(/weight_hr_l0 has no place in this cell/);
    expect(read).not.toThrow(/weight_ih_l1/);
  });

  it.each<[string, Cell, 'pytorch' | 'keras', RegExp]>([
    ['a larnn', cells.larnn({ units: 4, inputSize: 2 }), 'keras', /expected an lstm, gru or rnn/],
    [
      'layer norm',
      cells.rnn({ units: 3, inputSize: 2, normalization: 'layer' }),
      'keras',
      /no layer norm/,
    ],
    [
      'a forget bias',
      cells.lstm({ units: 3, inputSize: 2, forgetBiasAdd: 1 }),
      'pytorch',
      /use forgetBiasAdd 0/,
    ],
    [
      'hard gates',
      cells.lstm({ units: 3, inputSize: 2, recurrentActivation: 'hardSigmoid' }),
      'pytorch',
      /use recurrentActivation "sigmoid"/,
    ],
    [
      'a writing gate',
      cells.gru({ units: 3, inputSize: 2, update: 'write' }),
      'pytorch',
      /use update "keep"/,
    ],
    [
      'a reset before the product',
      cells.gru({ units: 3, inputSize: 2, reset: 'before' }),
      'pytorch',
      /use reset "after"/,
    ],
    [
      'half the biases',
      cells.gru({ units: 3, inputSize: 2, bias: 'single' }),
      'keras',
      /use bias "double" or "none"/,
    ],
  ])('are refused for %s', (_name, cell, format, message) => {
    const refused = expect.objectContaining({ code: 'ERR_OPTION' }) as Error;
    expect(() => importWeights(cell, {}, { format })).toThrow(refused);
    expect(() => exportWeights(cell, {}, { format })).toThrow(message);
  });

  it('name the formats there are', () => {
    expect(() => importWeights(lstm(), {}, { format: 'jax' as 'keras' })).toThrow(
      /format is "jax"; expected one of "pytorch", "keras"/,
    );
  });

  it('are refused with an option that is misspelt', () => {
    const options = { format: 'pytorch', revers: true } as ForeignWeightsOptions;
    const message = /Weights: unknown option revers; did you mean reverse\?/;
    expect(() => importWeights(lstm(), {}, options)).toThrow(message);
    expect(() => exportWeights(lstm(), {}, options)).toThrow(message);
  });
});
