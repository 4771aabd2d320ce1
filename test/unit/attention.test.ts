/**
 * What the attention of a model looks at, against the cells that compute it and against weights known beforehand.
 */
import type { LayerAttention, Tensor } from 'lookback';
import { cells, layers, sequential } from 'lookback';
import { firstSequence } from '../../lib/report/report';

const [BATCH, STEPS, FEATURES] = [3, 7, 2];
const x = {
  shape: [BATCH, STEPS, FEATURES],
  data: Float64Array.from({ length: BATCH * STEPS * FEATURES }, (_, at) => Math.sin(3 * at + 1)),
};
const how = {
  inputShape: [STEPS, FEATURES] as [number, number],
  dtype: 'float64',
  seed: 5,
} as const;

function weightAt(
  { weights, heads, window }: LayerAttention,
  b: number,
  t: number,
  head: number,
  age: number,
): number {
  return weights.data[((b * STEPS + t) * heads + head) * window + age - 1] ?? NaN;
}

/** Of all heads and ages at one step. */
function sumAt(layer: LayerAttention, b: number, t: number, head = 0): number {
  let sum = 0;
  for (let age = 1; age <= layer.window; age += 1) sum += weightAt(layer, b, t, head, age);
  return sum;
}

describe('attention of a LARNN', () => {
  const options = { units: 4, heads: 2, window: 3, positional: 'concat' } as const;

  it('is what its cell computes, behind the layers before it', async () => {
    using model = sequential({
      ...how,
      layers: [
        layers.lstm({ units: 5, returnSequences: true, dropout: 0.5 }),
        layers.larnn({ ...options, dropout: 0.5, normalization: 'batch' }),
        layers.dense({ units: 2 }),
      ],
    });
    const [layer, ...others] = await model.attention(x);
    expect(others).toEqual([]);
    expect(layer).toMatchObject({ layer: 'larnn', kind: 'larnn', heads: 2, window: 3 });
    expect(layer!.weights.shape).toEqual([BATCH, STEPS, 2, 3]);

    using before = sequential({
      ...how,
      layers: [layers.lstm({ units: 5, returnSequences: true })],
    });
    const all = Object.entries(model.getWeights());
    before.setWeights(Object.fromEntries(all.filter(([name]) => name.startsWith('lstm.'))));
    const input = (await before.predict(x)) as Tensor;
    const cell = cells.larnn(
      { ...options, inputSize: 5, normalization: 'batch', keepAttention: true },
      { dtype: 'float64' },
    );
    const own = all
      .filter(([name]) => name.startsWith('larnn.'))
      .map(([name, tensor]) => [name.slice('larnn.'.length), tensor] as const);
    const part = (buffers: boolean) =>
      Object.fromEntries(own.filter(([name]) => name.startsWith('buf.') === buffers));
    const { handle } = await cell.forward({ x: input, ...part(true) }, part(false));
    expect(layer!.weights.data).toEqual(handle.saved()['l0.attention']!.data);
    handle.dispose();
  });

  it('adds up to 1 over the states that are there', async () => {
    using model = sequential({ ...how, layers: [layers.larnn(options)] });
    const [layer] = await model.attention(x);
    for (let b = 0; b < BATCH; b += 1)
      for (let t = 0; t < STEPS; t += 1)
        for (let head = 0; head < 2; head += 1) {
          expect(sumAt(layer!, b, t, head)).toBeCloseTo(1, 12);
          for (let age = 1; age <= 3; age += 1)
            expect(weightAt(layer!, b, t, head, age) > 0).toBe(age <= Math.min(t + 1, 3));
        }
  });

  it('is even where the query is zero, also in its mean by age', async () => {
    using model = sequential({ ...how, layers: [layers.larnn(options)] });
    const zeros = Object.entries(model.getWeights()).filter(([name]) => /\.[Wb]_q$/.test(name));
    expect(zeros).toHaveLength(2);
    for (const [, { data }] of zeros) data.fill(0);
    model.setWeights(Object.fromEntries(zeros));
    const [layer] = await model.attention(x);
    expect(weightAt(layer!, 0, 1, 0, 1)).toBeCloseTo(1 / 2, 14);
    expect(weightAt(layer!, 0, 6, 1, 3)).toBeCloseTo(1 / 3, 14);
    // Only steps with a full window count, else the newest state would have more.
    expect(layer!.meanByAge.shape).toEqual([2, 3]);
    for (const mean of layer!.meanByAge.data) expect(mean).toBeCloseTo(1 / 3, 14);
  });

  it('ends with a row, and its mean takes what there is where no row is long', async () => {
    using model = sequential({ ...how, layers: [layers.larnn({ ...options, window: 6 })] });
    const lengths = Int32Array.of(4, 2, 0);
    const [layer] = await model.attention(x, { lengths });
    for (let b = 0; b < BATCH; b += 1)
      for (let t = 0; t < STEPS; t += 1)
        expect(sumAt(layer!, b, t)).toBeCloseTo(t < lengths[b]! ? 1 : 0, 12);
    let newest = 0;
    for (const [b, t] of [
      [0, 0],
      [0, 1],
      [0, 2],
      [0, 3],
      [1, 0],
      [1, 1],
    ] as const)
      newest += weightAt(layer!, b, t, 0, 1) / 6;
    expect(layer!.meanByAge.data[0]).toBeCloseTo(newest, 12);
  });

  it('tells of every recurrent layer and every layer of the model', async () => {
    using model = sequential({
      ...how,
      layers: [
        layers.larnn({ ...options, layers: 2, returnSequences: true, name: 'low' }),
        layers.rra({ units: 3, K: 2, returnSequences: true }),
        layers.larnn({ ...options, goBackwards: true }),
      ],
    });
    const told = await model.attention(x);
    expect(told.map(({ layer }) => layer)).toEqual(['low.l0', 'low.l1', 'rra']);
    expect(told[1]!.weights.data).not.toEqual(told[0]!.weights.data);
  });
});

describe('attention of an RRA', () => {
  async function of(options: object): Promise<{ layer: LayerAttention; W_a: Float64Array }> {
    using model = sequential({ ...how, layers: [layers.rra({ units: 4, K: 3, ...options })] });
    const { 'rra.W_a': gate } = model.getWeights();
    if (gate) {
      gate.data.forEach((_, at) => (gate.data[at] = Math.cos(at)));
      model.setWeights({ 'rra.W_a': gate });
    }
    const [layer] = await model.attention(x);
    return { layer: layer!, W_a: Float64Array.from(gate?.data ?? []) };
  }
  const softmax = (scores: ArrayLike<number>): number[] => {
    const powers = Array.from(scores, Math.exp);
    const sum = powers.reduce((total, power) => total + power, 0);
    return powers.map((power) => power / sum);
  };

  it('is its learned weights, of states that are there', async () => {
    const { layer, W_a } = await of({});
    const expected = softmax(W_a);
    expect(layer).toMatchObject({ layer: 'rra', kind: 'rra', heads: 1, window: 3 });
    for (let age = 1; age <= 3; age += 1) {
      expect(weightAt(layer, 1, 6, 0, age)).toBeCloseTo(expected[age - 1]!, 14);
      expect(layer.meanByAge.data[age - 1]).toBeCloseTo(expected[age - 1]!, 14);
    }
    // At the second step there is one state: the first step's.
    expect(weightAt(layer, 0, 0, 0, 1)).toBe(0);
    expect(weightAt(layer, 0, 1, 0, 1)).toBeCloseTo(expected[0]!, 14);
    expect(weightAt(layer, 0, 1, 0, 2)).toBe(0);
  });

  it('is normalised over the states that are there where the warm-up is', async () => {
    const { layer, W_a } = await of({ warmup: 'renormalize', lag: 2 });
    expect(sumAt(layer, 0, 1)).toBe(0);
    for (let t = 2; t < STEPS; t += 1) {
      const expected = softmax(W_a.subarray(0, Math.min(t - 1, 3)));
      expected.forEach((weight, at) =>
        expect(weightAt(layer, 2, t, 0, at + 1)).toBeCloseTo(weight, 14),
      );
    }
  });

  it('is the mean of the units where each has its own', async () => {
    const { layer, W_a } = await of({ gateShape: 'matrix', includeInitial: true });
    // Each unit's three weights are normalised by themselves.
    const shares = [0, 1, 2, 3].map((unit) => softmax([0, 1, 2].map((k) => W_a[4 * k + unit]!)));
    const mean = shares.reduce((sum, share) => sum + share[1]! / 4, 0);
    expect(weightAt(layer, 0, 5, 0, 2)).toBeCloseTo(mean, 14);
    expect(weightAt(layer, 0, 0, 0, 1)).toBeGreaterThan(0);
  });

  it.each(['softmaxPerStep', 'dotPerStep'])(
    'differs from step to step with %s',
    async (attention) => {
      const { layer } = await of({ attention });
      expect(sumAt(layer, 0, 5)).toBeCloseTo(1, 12);
      expect(weightAt(layer, 0, 5, 0, 1)).not.toBe(weightAt(layer, 1, 4, 0, 1));
      expect(weightAt(layer, 0, 1, 0, 2)).toBe(0);
      const steps = [3, 4, 5, 6].flatMap((t) => [0, 1, 2].map((b) => weightAt(layer, b, t, 0, 3)));
      const mean = steps.reduce((sum, weight) => sum + weight, 0) / steps.length;
      expect(layer.meanByAge.data[2]).toBeCloseTo(mean, 14);
    },
  );
});

it('a model without attention says so', async () => {
  using model = sequential({ ...how, layers: [layers.lstm({ units: 3 })] });
  await expect(model.attention(x)).rejects.toMatchObject({
    code: 'ERR_STATE',
    message: expect.stringMatching(/no larnn or rra layer.*its layers are lstm/) as string,
  });
  const shape = { shape: [1, 2, 9], data: new Float64Array(18) };
  await expect(model.attention(shape)).rejects.toMatchObject({ code: 'ERR_SHAPE' });
});

it('the picture of one sequence has the mean of the heads, at some steps of a long one', () => {
  const steps = 300;
  const layer: LayerAttention = {
    ...{ layer: 'a', kind: 'larnn', heads: 2, window: 2 },
    weights: {
      shape: [1, steps, 2, 2],
      data: Float64Array.from({ length: 4 * steps }, (_, at) => at),
    },
    meanByAge: { shape: [2, 2], data: new Float64Array(4) },
  };
  const points = firstSequence(layer);
  expect(points).toHaveLength(2 * 100);
  // Step 3 holds 8, 9 for head 1 and 10, 11 for head 2.
  expect(points.slice(0, 2)).toEqual([
    { step: 3, age: 1, weight: 9 },
    { step: 3, age: 2, weight: 10 },
  ]);
});
