import type { Cell } from '../../lib/cell';
import { cells } from '../../lib/cell';
import { definitions } from '../../lib/cells';
import { layers, resolveLayer } from '../../lib/layers';
import type { TensorLike } from '../../lib/tensor';

const { lstm, gru, rnn } = definitions;

const spec = { units: 2, inputSize: 1 };
const noise = (count: number, scale = 1): Float64Array =>
  Float64Array.from({ length: count }, (_, i) => scale * Math.sin(7 * i + 1));

/** An LSTM of two units over three rows of four steps, with every weight drawn from a sine. */
async function run(
  options: object,
  inputs: Record<string, TensorLike>,
  training = false,
  shift: (name: string, weight: Float64Array) => Float64Array = (_, weight) => weight,
): Promise<Record<string, number[]>> {
  const cell = cells.lstm({ ...spec, ...options }, { dtype: 'float64' });
  const weights = Object.fromEntries(
    cell.weights.map(({ name, shape }) => [
      name,
      shift(name, noise(shape.reduce((product, extent) => product * extent, 1))),
    ]),
  );
  const x = { shape: [3, 4, 1], data: noise(12) };
  const { outputs, handle } = await cell.forward({ x, ...inputs }, weights, { training });
  handle.dispose();
  return Object.fromEntries(
    Object.entries(outputs).map(([name, { data }]) => [name, Array.from(data)]),
  );
}

describe('extensions', () => {
  it('are off by default and the same for every cell', () => {
    const off = { dropout: 0, recurrentDropout: 0, zoneout: 0, normalization: 'none' };
    expect(lstm.resolve({ units: 3 })).toMatchObject({ ...off, zoneoutCell: 0 });
    expect(gru.resolve({ units: 3 })).toMatchObject(off);
    expect(rnn.resolve({ units: 3 })).toMatchObject(off);
    expect(lstm.resolve({ units: 3 })).not.toHaveProperty('dropoutMask');
  });

  it.each([
    [{ dropout: 1 }, /dropout is 1; expected less than 1/],
    [{ recurrentDropout: -0.1 }, /recurrentDropout is -0.1; expected at least 0/],
    [{ zoneout: 1.5 }, /zoneout is 1.5; expected less than 1/],
    [{ dropoutMask: 'steps' }, /dropoutMask is "steps".*did you mean "step"/],
  ])('refuse %j', (options, message) => {
    for (const cell of [lstm, gru, rnn])
      expect(() => cell.resolve({ units: 3, ...options } as never)).toThrow(message);
  });

  it('know a state of the cell only where there is one', () => {
    expect(() => gru.resolve({ units: 3, zoneoutCell: 0.1 } as never)).toThrow(
      /unknown option zoneoutCell/,
    );
    expect(gru.inputs(gru.resolve({ units: 3, inputSize: 2 }), 4, 5)).not.toHaveProperty([
      'mask.zoneout_c',
    ]);
  });

  it('make room for a recurrent mask where it is asked for', () => {
    const masks = (options: object): string[] =>
      Object.keys(lstm.inputs(lstm.resolve({ ...spec, ...options }), 3, 4));
    expect(masks({})).not.toContain('mask.recurrent');
    expect(masks({ dropoutMask: 'sequence' })).toContain('mask.recurrent');
    expect(masks({ recurrentDropout: 0.2 })).toContain('mask.recurrent');
  });

  it('a mask of ones is no mask, and one of zeros cuts the input off', async () => {
    const plain = await run({}, {});
    const ones = { 'mask.input': new Float64Array(12).fill(1) };
    expect((await run({}, ones))['y']).toEqual(plain['y']);
    const zeros = await run({}, { 'mask.input': new Float64Array(12) });
    const nothing = await run({}, { x: { shape: [3, 4, 1], data: new Float64Array(12) } });
    expect(zeros['y']).toEqual(nothing['y']);
  });

  it('zoneout of everything keeps the state', async () => {
    const keep = { 'mask.zoneout_h': new Float64Array(24).fill(1) };
    const h0 = noise(6);
    const { h_n, c_n } = await run({}, { h0, ...keep });
    expect(h_n).toEqual(Array.from(h0));
    expect(c_n).not.toEqual(Array(6).fill(0));
  });

  it('evaluation keeps the share that training keeps on average', async () => {
    const share = { 'mask.zoneout_h': new Float64Array(24).fill(0.25) };
    expect((await run({ zoneout: 0.25 }, {}))['y']).toEqual((await run({}, share))['y']);
  });

  it('a cell draws nothing: without masks it trains as it evaluates', async () => {
    const rates = { dropout: 0.5, recurrentDropout: 0.5, zoneout: 0.5, zoneoutCell: 0.5 };
    expect(await run(rates, {}, true)).toEqual(await run(rates, {}, false));
  });
});

/** Every cell that has them, with a state of four numbers. */
const everywhere = {
  lstm: cells.lstm,
  gru: cells.gru,
  rnn: cells.rnn,
  bnlstm: (options: object, how: object) =>
    cells.bnlstm({ units: 4, inputSize: 2, tMax: 3, ...options }, how),
  larnn: cells.larnn,
  rra: cells.rra,
  scornn: cells.scornn,
  exprnn: cells.exprnn,
  enrnn: ({ units: _, ...options }: { units?: number }, how: object) =>
    cells.enrnn({ longUnits: 2, shortUnits: 2, ...options }, how),
  scurnn: (options: object, how: object) =>
    cells.scurnn({ inputSize: 2, ...options, units: 2 }, how),
} as unknown as Record<string, (options: object, how: object) => Cell>;

describe.each(Object.entries(everywhere))('extensions of %s', (kind, make) => {
  const prefix = kind === 'larnn' ? 'mask.l0' : 'mask';
  const build = (options: object): Cell =>
    make({ units: 4, inputSize: 2, ...options }, { dtype: 'float64' });

  async function outputs(
    options: object,
    inputs: Record<string, TensorLike> = {},
  ): Promise<number[]> {
    const cell = build(options);
    const weights = Object.fromEntries(
      cell.weights.map(({ name, shape }) => [name, weight(name, shape)]),
    );
    const given = { x: { shape: [2, 3, 2], data: noise(12) }, ...inputs };
    const { outputs: all, handle } = await cell.forward(given, weights);
    handle.dispose();
    return Array.from(all['y']?.data ?? []);
  }

  it('dropped inputs are inputs of zero', async () => {
    const dropped = await outputs({}, { [`${prefix}.input`]: new Float64Array(12) });
    const nothing = await outputs({}, { x: { shape: [2, 3, 2], data: new Float64Array(12) } });
    expect(dropped).toEqual(nothing);
    expect(dropped).not.toEqual(await outputs({}));
  });

  it('a recurrent mask of ones is none, and one of zeros changes the steps behind the first', async () => {
    const plain = await outputs({});
    const numbers = 2 * 3 * (kind === 'scurnn' ? 2 : 4);
    const mask = (value: number): Promise<number[]> =>
      outputs(
        { dropoutMask: 'step' },
        { [`${prefix}.recurrent`]: new Float64Array(numbers).fill(value) },
      );
    expect(await mask(1)).toEqual(plain);
    expect(await mask(0)).not.toEqual(plain);
  });

  it('zoneout keeps its share of the old state outside training', async () => {
    const plain = await outputs({});
    const kept = await outputs({ zoneout: 0.25 });
    // The first step starts from zero, but for scuRNN's trained state: what is kept of that is little.
    if (kind !== 'scurnn')
      kept.slice(0, 4).forEach((value, j) => {
        expect(value).toBeCloseTo(0.75 * (plain[j] ?? NaN), 14);
      });
    expect(kept.slice(4)).not.toEqual(plain.slice(4));
  });

  it('zoneout of the cell is an option of cells that have one', () => {
    if (['lstm', 'bnlstm', 'larnn', 'rra'].includes(kind)) {
      expect(build({ zoneoutCell: 0.5 }).spec).toMatchObject({ zoneoutCell: 0.5 });
      return;
    }
    expect(() => build({ zoneoutCell: 0.5 })).toThrow(/unknown option zoneoutCell/);
  });

  it('is the same cell when resolved again', () => {
    const { inputSize: _, ...spec } = build({
      dropout: 0.1,
      zoneout: 0.2,
      dropoutMask: 'step',
    }).spec;
    expect(resolveLayer({ ...spec, kind }, 'layer')).toMatchObject(spec);
  });
});

/** Small weights, of the form that a cell asks for. */
function weight(name: string, shape: readonly number[]): Float64Array {
  const count = shape.reduce((product, extent) => product * extent, 1);
  if (name === 'd') return new Float64Array(count).fill(1);
  if (name === 'A' || name.startsWith('A_')) return new Float64Array(count);
  if (name === 'base')
    return Float64Array.from({ length: count }, (_, i) =>
      i % ((shape[0] ?? 0) + 1) === 0 ? 1 : 0,
    );
  return noise(count, 0.5);
}

it('zoneout of c needs a c', () => {
  expect(() => cells.rra({ units: 4, inputSize: 2, base: 'rnn', zoneoutCell: 0.5 })).toThrow(
    /rra: zoneoutCell needs base "lstm"; base "rnn" has no c/,
  );
});

it('a complex unit is dropped as a whole', () => {
  const { scurnn } = definitions;
  const resolved = scurnn.resolve({ units: 3, inputSize: 2, recurrentDropout: 0.5 });
  expect(scurnn.inputs(resolved, 5, 7)).toMatchObject({
    'mask.recurrent': { shape: [5, 7, 3] },
    'mask.zoneout_h': { shape: [5, 7, 3] },
  });
});

it('LARNN takes masks of zoneout where its rate makes room for them', () => {
  const { larnn } = definitions;
  const names = (options: object): string[] =>
    Object.keys(
      larnn.inputs(larnn.resolve({ units: 4, inputSize: 2, layers: 2, ...options }), 1, 1),
    );
  expect(names({})).not.toContain('mask.l0.zoneout_h');
  expect(names({ zoneout: 0.1, zoneoutCell: 0.2 })).toEqual(
    expect.arrayContaining(['mask.l1.zoneout_h', 'mask.l1.zoneout_c', 'mask.l1.input']),
  );
});

it('LARNN makes h from the new c and pushes what zoneout keeps', async () => {
  const step = async (options: object): Promise<Record<string, number[]>> => {
    const cell = cells.larnn(
      { units: 4, inputSize: 2, window: 2, ...options },
      { dtype: 'float64' },
    );
    const weights = Object.fromEntries(
      cell.weights.map(({ name, shape }) => [name, weight(name, shape)]),
    );
    const given = {
      x: { shape: [1, 1, 2], data: noise(2) },
      h0: { shape: [1, 1, 4], data: noise(4, 0.5) },
      queue0: { shape: [1, 1, 1, 4], data: noise(4, 2) },
    };
    const { outputs, handle } = await cell.forward(given, weights);
    handle.dispose();
    return Object.fromEntries(
      Object.entries(outputs).map(([name, { data }]) => [name, Array.from(data)]),
    );
  };
  const plain = await step({});
  const zoned = await step({ zoneout: 0.25, zoneoutCell: 0.5 });
  const [h0, c0] = [noise(4, 0.5), noise(4, 2)];
  expect(plain['y']).toEqual(plain['h_n']);
  expect(zoned['y']).toEqual(zoned['h_n']);
  for (let j = 0; j < 4; j += 1) {
    expect(zoned['h_n']?.[j]).toBeCloseTo(
      0.25 * (h0[j] ?? 0) + 0.75 * (plain['h_n']?.[j] ?? NaN),
      14,
    );
    expect(zoned['queue_n']?.[4 + j]).toBeCloseTo(
      0.5 * (c0[j] ?? 0) + 0.5 * (plain['queue_n']?.[4 + j] ?? NaN),
      14,
    );
  }
});

describe('layer norm', () => {
  it.each(['sigmoid', 'hardSigmoid'] as const)(
    "forgetBiasAdd is added to the forget gate's bias, with %s gates",
    async (recurrentActivation) => {
      const options = { normalization: 'layer', recurrentActivation };
      const added = await run({ ...options, forgetBiasAdd: 0.5 }, {});
      // Two units: entries 2 and 3 of b are the forget gate's.
      const moved = await run(options, {}, false, (name, weight) =>
        name === 'b' ? weight.map((value, i) => (i >> 1 === 1 ? value + 0.5 : value)) : weight,
      );
      for (const name of ['y', 'c_n'])
        added[name]?.forEach((value, i) => expect(value).toBeCloseTo(moved[name]?.[i] ?? NaN, 14));
    },
  );

  it('has one bias', () => {
    expect(lstm.resolve({ units: 3, normalization: 'layer' })['bias']).toBe('single');
    expect(rnn.resolve({ units: 3, normalization: 'layer' })['bias']).toBe('single');
    for (const cell of [lstm, rnn])
      expect(() => cell.resolve({ units: 3, normalization: 'layer', bias: 'double' })).toThrow(
        /bias "double" with normalization "layer".*use "single" or "none"/,
      );
  });

  it('is not defined for a reset before the product', () => {
    expect(() => gru.resolve({ units: 3, reset: 'before', normalization: 'layer' })).toThrow(
      /normalization "layer" with reset "before" is not defined; use reset "after"/,
    );
  });

  it('is refused by name where it is not known', () => {
    expect(() => lstm.resolve({ units: 3, normalization: 'batch' as 'layer' })).toThrow(
      /normalization is "batch"; expected one of "none", "layer"/,
    );
  });

  it('is the same layer when resolved again', () => {
    for (const layer of [
      layers.lstm({ units: 2, normalization: 'layer' }),
      layers.gru({ units: 2, normalization: 'layer', dropout: 0.1, dropoutMask: 'step' }),
      layers.rnn({ units: 2, normalization: 'layer', zoneout: 0.1 }),
    ]) {
      expect(resolveLayer(layer, 'layer')).toEqual(layer);
    }
  });
});
