import { calibrate } from '../../lib/calibrate';
import { cells } from '../../lib/cell';
import { definitions } from '../../lib/cells';
import type { BnlstmOptions } from '../../lib/cells/bnlstm';
import { layers, resolveLayer, resolveStack } from '../../lib/layers';
import { sequential } from '../../lib/model';
import type { TensorLike } from '../../lib/tensor';

const { bnlstm } = definitions;
const units = 2;

const noise = (count: number, seed = 1): Float64Array =>
  Float64Array.from({ length: count }, (_, i) => Math.sin(7 * i + seed));

function cellOf(options: Partial<BnlstmOptions> = {}): ReturnType<typeof cells.bnlstm> {
  return cells.bnlstm({ units, inputSize: 1, tMax: 4, ...options }, { dtype: 'float64' });
}

function weightsOf(cell: ReturnType<typeof cells.bnlstm>): Record<string, Float64Array> {
  return Object.fromEntries(
    cell.weights.map(({ name, shape }) => [
      name,
      noise(shape.reduce((product, extent) => product * extent, 1)),
    ]),
  );
}

const sequences = (rows: number, steps: number, seed = 1): TensorLike => ({
  shape: [rows, steps, 1],
  data: noise(rows * steps, seed),
});

describe('bnlstm options', () => {
  it('has the defaults of its document', () => {
    expect(bnlstm.resolve({ units: 3 })).toMatchObject({
      units: 3,
      gateOrder: 'ifgo',
      terms: 'separate',
      bnOutput: true,
      inputStats: 'perStep',
      eps: 1e-5,
      momentum: 0.01,
      initialState: 'zeros',
    });
  });

  it.each<[Partial<BnlstmOptions>, RegExp]>([
    [{ terms: 'joint', inputStats: 'sequence' }, /inputStats "sequence" needs terms "separate"/],
    [{ tMax: 0 }, /tMax is 0; expected at least 1/],
    [{ momentum: 2 }, /momentum is 2; expected at most 1/],
    [{ eps: 0 }, /eps is 0; expected more than 0/],
  ])('refuses %j', (options, message) => {
    expect(() => bnlstm.resolve({ units: 3, ...options })).toThrow(message);
  });

  it('needs to know how many steps have statistics', () => {
    expect(() => cells.bnlstm({ units: 3, inputSize: 1 })).toThrow(/bnlstm: tMax is missing/);
    expect(() => resolveStack([null, 2], [layers.bnlstm({ units: 3 })], 'layers')).toThrow(
      /layers\[0\]: tMax is missing and the length of the sequences is not fixed/,
    );
    const { layers: resolved } = resolveStack([9, 2], [layers.bnlstm({ units: 3 })], 'layers');
    expect(resolved[0]?.['tMax']).toBe(9);
    const given = layers.bnlstm({ units: 3, tMax: 5 });
    expect(resolveLayer(given, 'layer')).toEqual(given);
  });
});

describe('bnlstm', () => {
  it('does not train on one row', async () => {
    const cell = cellOf();
    const forward = cell.forward({ x: sequences(1, 4) }, weightsOf(cell), { training: true });
    await expect(forward).rejects.toMatchObject({
      code: 'ERR_SHAPE',
      message: expect.stringContaining('a batch of 1 row') as string,
    });
  });

  it('does not train with lengths where statistics are of whole sequences', async () => {
    const cell = cellOf({ inputStats: 'sequence' });
    const lengths = Int32Array.of(4, 2);
    const inputs = { x: sequences(2, 4), lengths };
    await expect(cell.forward(inputs, weightsOf(cell), { training: true })).rejects.toMatchObject({
      code: 'ERR_OPTION',
    });
    const { handle } = await cell.forward(inputs, weightsOf(cell));
    handle.dispose();
  });

  it('takes the statistics of a step over the rows that still run', async () => {
    const cell = cellOf({ momentum: 1 });
    const inputs = { x: sequences(3, 4), lengths: Int32Array.of(3, 2, 1) };
    const run = await cell.forward(inputs, weightsOf(cell), { training: true });
    run.handle.dispose();
    const moved = (name: string, start: number): boolean[] => {
      const data = Array.from(run.outputs[name]?.data ?? []);
      const width = 4 * units;
      return [0, 1, 2, 3].map((t) =>
        data.slice(t * width, (t + 1) * width).every((value) => value !== start),
      );
    };
    // Steps of three rows, two, one and none.
    expect(moved('running_mean_x', 0)).toEqual([true, true, true, false]);
    expect(moved('running_var_x', 1)).toEqual([true, true, false, false]);
    expect(moved('mean_x', 0)).toEqual([true, true, true, false]);
    expect(moved('var_x', 0)).toEqual([true, true, false, false]);
  });

  it('takes statistics under one name at a time', async () => {
    const cell = cellOf();
    const mean = new Float64Array(4 * 4 * units);
    const both = { x: sequences(2, 4), mean_h: mean, running_mean_h: mean };
    await expect(cell.forward(both, weightsOf(cell))).rejects.toThrow(/is given twice/);
  });

  it('has no gradient for statistics', async () => {
    const cell = cellOf();
    const { outputs, handle } = await cell.forward({ x: sequences(2, 4) }, weightsOf(cell), {
      training: true,
    });
    await expect(handle.backward({ mean_h: outputs['mean_h'] ?? [] })).rejects.toThrow(
      /mean_h.*no output that has a gradient/,
    );
  });

  it('a trained start gets the sum of the gradients over the rows', async () => {
    const cell = cellOf({ initialState: 'trained' });
    const weights = weightsOf(cell);
    const start = { shape: [units], data: weights['h_start'] ?? new Float64Array() };
    const { outputs, handle } = await cell.forward({ x: sequences(3, 4) }, weights);
    const { grads } = await handle.backward({ y: outputs['y'] ?? [] });
    const h0 = {
      shape: [3, units],
      data: Float64Array.from({ length: 6 }, (_, i) => start.data[i % 2] ?? 0),
    };
    const c0 = {
      shape: [3, units],
      data: Float64Array.from({ length: 6 }, (_, i) => weights['c_start']?.[i % 2] ?? 0),
    };
    const given = await cell.forward({ x: sequences(3, 4), h0, c0 }, weights);
    expect(given.outputs['y']?.data).toEqual(outputs['y']?.data);
    const { grads: rows } = await given.handle.backward({ y: outputs['y'] ?? [] });
    const sum = [0, 1].map((j) =>
      [0, 2, 4].reduce((total, at) => total + (rows['h0']?.data[at + j] ?? NaN), 0),
    );
    sum.forEach((total, j) => expect(grads['h_start']?.data[j]).toBeCloseTo(total, 12));
  });
});

describe('calibrate', () => {
  it('averages the statistics of the batches, step by step', async () => {
    const cell = cellOf({ tMax: 5 });
    const weights = weightsOf(cell);
    const batches = [sequences(3, 4, 1), sequences(4, 3, 2)].map((x) => ({ x }));
    const statistics = await cells.bnlstm.calibrate(cell, weights, batches);
    expect(Object.keys(statistics).sort()).toEqual(
      ['c', 'h', 'x']
        .flatMap((name) => [`running_mean_${name}`])
        .concat(['c', 'h', 'x'].map((name) => `running_var_${name}`)),
    );
    const outputs = await Promise.all(
      batches.map(async (inputs) => {
        const pass = await cell.forward(inputs, weights, { training: true });
        pass.handle.dispose();
        return pass.outputs['var_x']?.data ?? [];
      }),
    );
    const [first, second] = outputs;
    const width = 4 * units;
    const result = statistics['running_var_x'];
    expect(result?.shape).toEqual([5, width]);
    for (let at = 0; at < 5 * width; at += 1) {
      const row = Math.min(Math.floor(at / width), 3);
      const from = row * width + (at % width);
      const wanted =
        row < 3 ? (Number(first?.[from]) + Number(second?.[from])) / 2 : Number(first?.[from]);
      expect(result?.data[at]).toBeCloseTo(wanted, 12);
    }
    const evaluated = await cell.forward({ x: sequences(1, 5), ...statistics }, weights);
    evaluated.handle.dispose();
    expect(evaluated.outputs['y']?.data.every(Number.isFinite)).toBe(true);
  });

  it('wants batches, and a cell with statistics', async () => {
    const cell = cellOf();
    await expect(cells.bnlstm.calibrate(cell, weightsOf(cell), [])).rejects.toMatchObject({
      code: 'ERR_DATA',
    });
    const lstm = cells.lstm({ units, inputSize: 1 });
    await expect(cells.bnlstm.calibrate(lstm, {}, [])).rejects.toThrow(/the cell is a lstm/);
  });
});

describe('a model with bnlstm', () => {
  it('trains and keeps its statistics', async () => {
    using model = sequential({
      inputShape: [4, 1],
      layers: [layers.bnlstm({ units: 3 }), layers.dense({ units: 1 })],
      seed: 1,
    });
    model.compile({ optimizer: 'adam', loss: 'meanSquaredError' });
    const x = { shape: [6, 4, 1], data: Float32Array.from(noise(24)) };
    const y = { shape: [6, 1], data: Float32Array.from(noise(6)) };
    await model.trainOnBatch(x, y);
    const mean = model.getWeights()['bnlstm.buf.x.mean'];
    expect(mean?.shape).toEqual([4, 12]);
    expect(mean?.data.some((value) => value !== 0)).toBe(true);
    expect((await model.predict(x)).shape).toEqual([6, 1]);
  });

  it('is calibrated: its statistics are the average of those of the batches', async () => {
    using model = sequential({
      inputShape: [4, 1],
      layers: [layers.bnlstm({ units: 3, momentum: 0.25 }), layers.dense({ units: 1 })],
      dtype: 'float64',
    });
    const batches = [sequences(5, 4, 1), sequences(3, 4, 2)];
    const before = model.getWeights();
    const cell = cells.bnlstm({ units: 3, inputSize: 1, tMax: 4 }, { dtype: 'float64' });
    const weights = Object.fromEntries(
      cell.weights.map(({ name }) => [name, before[`bnlstm.${name}`] ?? []]),
    );
    const wanted = await cells.bnlstm.calibrate(
      cell,
      weights,
      batches.map((x) => ({ x })),
    );
    await calibrate(model, batches);
    const after = model.getWeights();
    for (const [name, tensor] of Object.entries(before))
      if (!name.includes('.buf.')) expect(after[name]).toEqual(tensor);
    for (const site of ['h', 'x', 'c']) {
      for (const part of ['mean', 'var']) {
        const own = after[`bnlstm.buf.${site}.${part}`]?.data ?? [];
        expect(own.length).toBeGreaterThan(0);
        wanted[`running_${part}_${site}`]?.data.forEach((value, at) =>
          expect(own[at]).toBeCloseTo(value, 10),
        );
      }
    }
  });

  it('is calibrated on the steps that rows have', async () => {
    using model = sequential({
      inputShape: [4, 1],
      layers: [layers.bnlstm({ units: 3 }), layers.dense({ units: 1 })],
      dtype: 'float64',
    });
    const x = sequences(3, 4);
    const lengths = Int32Array.of(3, 1, 3);
    const before = model.getWeights();
    const cell = cells.bnlstm({ units: 3, inputSize: 1, tMax: 4 }, { dtype: 'float64' });
    const weights = Object.fromEntries(
      cell.weights.map(({ name }) => [name, before[`bnlstm.${name}`] ?? []]),
    );
    const pass = await cell.forward({ x, lengths }, weights, { training: true });
    pass.handle.dispose();
    await calibrate(model, [{ x, lengths }]);
    const after = model.getWeights();
    for (const [name, width] of Object.entries({ h: 12, x: 12, c: 3 })) {
      const own = after[`bnlstm.buf.${name}.mean`]?.data ?? [];
      const wanted = pass.outputs[`mean_${name}`]?.data ?? [];
      // No row has the last step, which repeats the one before it.
      for (let at = 0; at < 4 * width; at += 1)
        expect(own[at]).toBeCloseTo(Number(wanted[at < 3 * width ? at : at - width]), 10);
    }
    const none = calibrate(model, [{ x, lengths: new Int32Array(3) }]);
    await expect(none).rejects.toMatchObject({ code: 'ERR_DATA' });
    const alone = calibrate(model, [{ x: sequences(1, 4), lengths: Int32Array.of(3) }]);
    await expect(alone).rejects.toThrow(/training on a batch of 1 row is not possible/);
  });

  it.each([
    ['bidirectional', ['bidirectional.forward', 'bidirectional.backward']],
    ['residual', ['residual.bnlstm']],
  ] as const)('is calibrated inside of %s as well', async (kind, inside) => {
    const one = layers.bnlstm({ units: 3, returnSequences: true });
    using model = sequential({
      inputShape: [4, 1],
      layers: [
        layers.dense({ units: 3 }),
        kind === 'residual' ? layers.residual(one) : layers.bidirectional(one),
        layers.bnlstm({ units: 2 }),
      ],
      dtype: 'float64',
      seed: 1,
    });
    const before = model.getWeights();
    await calibrate(model, [sequences(5, 4, 1)]);
    const once = model.getWeights();
    for (const path of [...inside, 'bnlstm']) {
      const name = `${path}.buf.x.mean`;
      expect(once[name]?.data).not.toEqual(before[name]?.data);
    }
    // The average of two batches, the second of which is the first: the same.
    await calibrate(model, [sequences(5, 4, 1), sequences(5, 4, 1)]);
    for (const [name, { data }] of Object.entries(model.getWeights()))
      data.forEach((value, at) => expect(value).toBeCloseTo(once[name]?.data[at] ?? NaN, 12));
  });

  it('is not calibrated on what is no list of batches', async () => {
    using model = sequential({ inputShape: [4, 1], layers: [layers.bnlstm({ units: 3 })] });
    const cell = cellOf();
    for (const batches of [sequences(5, 4), undefined, new Float32Array(20), 'x'] as never[]) {
      const wanted = {
        code: 'ERR_OPTION',
        message: expect.stringMatching(/^calibrate: batches is/),
      };
      await expect(calibrate(model, batches)).rejects.toMatchObject(wanted);
      await expect(cells.bnlstm.calibrate(cell, {}, batches)).rejects.toMatchObject(wanted);
    }
  });

  it('is not calibrated on steps that one row has alone', async () => {
    using model = sequential({
      inputShape: [4, 1],
      layers: [layers.bnlstm({ units: 3 }), layers.dense({ units: 1 })],
      dtype: 'float64',
    });
    const x = sequences(3, 4);
    const lengths = Int32Array.of(4, 2, 1);
    const before = model.getWeights();
    const cell = cells.bnlstm({ units: 3, inputSize: 1, tMax: 4 }, { dtype: 'float64' });
    const weights = Object.fromEntries(
      cell.weights.map(({ name }) => [name, before[`bnlstm.${name}`] ?? []]),
    );
    const pass = await cell.forward({ x, lengths }, weights, { training: true });
    pass.handle.dispose();
    await calibrate(model, [{ x, lengths }]);
    const after = model.getWeights();
    const short = { x: sequences(2, 4, 2), lengths: Int32Array.of(4, 0) };
    const statistics = await cells.bnlstm.calibrate(cell, weights, [{ x, lengths }, short]);
    for (const [name, width] of Object.entries({ h: 12, x: 12, c: 3 })) {
      const wanted = pass.outputs[`var_${name}`]?.data ?? [];
      for (let at = 0; at < 4 * width; at += 1) {
        const value = Number(wanted[at < 2 * width ? at : width + (at % width)]);
        expect(after[`bnlstm.buf.${name}.var`]?.data[at]).toBeCloseTo(value, 10);
        expect(statistics[`running_var_${name}`]?.data[at]).toBeCloseTo(value, 12);
      }
    }
  });

  it('is left as it was where calibration fails', async () => {
    using model = sequential({
      inputShape: [4, 1],
      layers: [layers.bnlstm({ units: 3, tMax: 3 }), layers.dense({ units: 1 })],
    });
    const before = model.getWeights();
    const long = { shape: [2, 4, 1], data: Float32Array.from(noise(8)) };
    await expect(calibrate(model, [long])).rejects.toThrow(/4 steps but layer bnlstm has.* for 3/);
    await expect(calibrate(model, [])).rejects.toMatchObject({ code: 'ERR_DATA' });
    expect(model.getWeights()).toEqual(before);
    using plain = sequential({ inputShape: [4, 1], layers: [layers.dense({ units: 1 })] });
    await expect(calibrate(plain, [])).rejects.toThrow(/has no bnlstm layer/);
  });
});

describe('noise on the first h', () => {
  /** What h starts from: with zoneout of (all but) everything the output of the only step is that. */
  async function starts(initialNoise: number, training: boolean): Promise<number[]> {
    const rows = 500;
    const model = sequential({
      inputShape: [1, 1],
      layers: [layers.bnlstm({ units: 8, zoneout: 1 - 1e-9, initialNoise })],
      dtype: 'float64',
      seed: 11,
    });
    const y = await model.forward(sequences(rows, 1), { training });
    model.dispose();
    return Array.from(y.data);
  }

  it('is Gaussian, of its deviation, another for every row and unit', async () => {
    const drawn = await starts(0.1, true);
    expect(drawn).toHaveLength(4000);
    expect(new Set(drawn).size).toBe(4000);
    const mean = drawn.reduce((sum, value) => sum + value, 0) / 4000;
    const square = drawn.reduce((sum, value) => sum + value * value, 0) / 4000;
    const fourth = drawn.reduce((sum, value) => sum + value ** 4, 0) / 4000;
    // Six deviations of each: 0.1 / sqrt(n), 0.01 sqrt(2 / n), 1e-4 sqrt(96 / n).
    expect(Math.abs(mean)).toBeLessThan((6 * 0.1) / Math.sqrt(4000));
    expect(Math.abs(square - 0.01)).toBeLessThan(6 * 0.01 * Math.sqrt(2 / 4000));
    expect(Math.abs(fourth - 3e-4)).toBeLessThan(6 * 1e-4 * Math.sqrt(96 / 4000));
    expect(await starts(0.1, true)).toEqual(drawn);
  });

  it('is for training alone', async () => {
    for (const value of await starts(0.1, false)) expect(Math.abs(value)).toBeLessThan(1e-8);
    for (const value of await starts(0, true)) expect(Math.abs(value)).toBeLessThan(1e-8);
  });

  it('cannot be less than none', () => {
    expect(() => bnlstm.resolve({ units, initialNoise: -0.1 })).toThrow(
      /initialNoise is -0.1; expected at least 0/,
    );
  });
});
