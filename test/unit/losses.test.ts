import type { DataLike, LossLike, Model, TrainingData } from '../../lib';
import { layers, losses, sequential } from '../../lib';

const steps = 4;

type Answers = Omit<TrainingData, 'x'>;

/** A model with an output at every step, or for the last one. */
function compiled(loss: LossLike, units: number, options: { perStep?: boolean } = {}): Model {
  return sequential({
    inputShape: [steps, 1],
    layers: [
      layers.lstm({ units: 3, returnSequences: options.perStep === true }),
      layers.dense({ units }),
    ],
    dtype: 'float64',
    seed: 3,
  }).compile({ optimizer: 'sgd', loss });
}

const rows = 3;
const x = {
  shape: [rows, steps, 1],
  data: Float64Array.from({ length: rows * steps }, (_, at) => Math.sin(at)),
};
const sparse = 'sparseCategoricalCrossentropy' as const;

async function lossOf(model: Model, data: DataLike): Promise<number> {
  return (await model.evaluate(data))['loss'] ?? NaN;
}

describe('a loss at every step', () => {
  it('is the mean over the valid steps, for labels and targets', async () => {
    using labels = compiled(sparse, 2, { perStep: true });
    const lengths = Int32Array.of(4, 1, 2);
    const y = Int32Array.from({ length: rows * steps }, (_, at) => at % 2);
    y[7] = 99; // behind the length of its row
    const { data: logits } = await labels.predict(x);
    const terms = [0, 1, 2, 3, 4, 8, 9].map((term) => {
      const [a = 0, b = 0] = logits.subarray(2 * term, 2 * term + 2);
      const own = y[term] === 0 ? a : b;
      return Math.log(Math.exp(a) + Math.exp(b)) - own;
    });
    const mean = terms.reduce((sum, term) => sum + term, 0) / terms.length;
    const shaped = { shape: [rows, steps], data: y };
    expect(await lossOf(labels, { x, y: shaped, lengths })).toBeCloseTo(mean, 12);

    using targets = compiled('meanAbsoluteError', 1, { perStep: true });
    const { data: outputs } = await targets.predict(x);
    const z = Float64Array.from(outputs, (value, at) => value + (at < 8 ? 1 : -3));
    z[5] = NaN;
    const wanted = { x, y: { shape: [rows, steps, 1], data: z }, lengths };
    expect(await lossOf(targets, wanted)).toBeCloseTo((5 * 1 + 2 * 3) / 7, 12);
  });

  it('trains', async () => {
    using model = sequential({
      inputShape: [null, 1],
      layers: [
        layers.lstm({ units: 8, returnSequences: true }),
        layers.dense({ units: 2, activation: 'softmax' }),
      ],
    }).compile({
      optimizer: { kind: 'adam', learningRate: 0.02 },
      loss: sparse,
      metrics: ['accuracy', 'bitsPerCharacter', 'perplexity'],
    });
    const data = Float32Array.from({ length: 64 * steps }, (_, at) => Math.sin(at * at));
    // Whether the number before was positive.
    const y = Int32Array.from(data, (_, at) => (at % steps > 0 && (data[at - 1] ?? 0) > 0 ? 1 : 0));
    const set = { x: { shape: [64, steps, 1], data }, y: { shape: [64, steps], data: y } };
    await model.fit(set, { epochs: 40, batchSize: 16, verbose: 0 });
    const { loss = NaN, accuracy, bitsPerCharacter, perplexity } = await model.evaluate(set);
    expect(accuracy).toBeGreaterThan(0.95);
    expect(bitsPerCharacter).toBeCloseTo(loss / Math.LN2, 12);
    expect(perplexity).toBeCloseTo(Math.exp(loss), 12);
  });
});

describe('weights', () => {
  it('of rows: one of weight 0 is as if it were not there, one of weight 2 as if it came twice', async () => {
    using model = compiled('meanSquaredError', 1);
    const y = Float64Array.of(1, -2, 3);
    const { data } = await model.predict(x);
    const error = (row: number) => ((data[row] ?? 0) - (y[row] ?? 0)) ** 2;
    const sampleWeight = Float64Array.of(0, 2, 1);
    expect(await lossOf(model, { x, y, sampleWeight })).toBeCloseTo((2 * error(1) + error(2)) / 3);
    expect(await lossOf(model, { x, y, sampleWeight: [0, 0, 5] })).toBeCloseTo(error(2), 12);
  });

  it('of classes and steps multiply', async () => {
    using model = compiled(losses.sparseCategoricalCrossentropy({ classWeight: [1, 3] }), 2, {
      perStep: true,
    });
    using plain = compiled(sparse, 2, { perStep: true });
    const labels = Int32Array.from({ length: rows * steps }, (_, at) => (at % 3 === 0 ? 1 : 0));
    const y = { shape: [rows, steps], data: labels };
    const own = Float64Array.from(labels, (_, at) => at % 5);
    const both = own.map((weight, at) => weight * (labels[at] === 1 ? 3 : 1));
    const sampleWeight = { shape: [rows, steps], data: own };
    expect(await lossOf(model, { x, y, sampleWeight })).toBe(
      await lossOf(plain, { x, y, sampleWeight: { shape: [rows, steps], data: both } }),
    );
    const perRow = await lossOf(plain, { x, y, sampleWeight: [1, 2, 3] });
    const repeated = Float64Array.from(labels, (_, at) => 1 + Math.floor(at / steps));
    expect(perRow).toBe(await lossOf(plain, { x, y, sampleWeight: repeated }));
  });

  it('move with their rows in fit', async () => {
    const y = Float64Array.of(1, -2, 3);
    const trained = async (sampleWeight: number[]) => {
      using model = compiled('meanSquaredError', 1);
      await model.fit({ x, y, sampleWeight }, { verbose: 0, batchSize: 1, epochs: 2 });
      return model.getWeights();
    };
    // A batch of one row has a mean over that row, whatever it weighs.
    expect(await trained([2, 3, 4])).toEqual(await trained([1, 1, 1]));
    expect(await trained([0, 1, 1])).not.toEqual(await trained([1, 1, 1]));
  });
});

describe('targets that are NaN', () => {
  const y = Float64Array.of(1, NaN, 3);

  it('are skipped on request', async () => {
    using model = compiled(losses.huber({ skipNaN: true, delta: 0.5 }), 1);
    using all = compiled(losses.huber({ delta: 0.5 }), 1);
    const first = { x: { shape: [1, steps, 1], data: x.data.slice(0, steps) }, y: [1] };
    const last = { x: { shape: [1, steps, 1], data: x.data.slice(2 * steps) }, y: [3] };
    const mean = ((await lossOf(all, first)) + (await lossOf(all, last))) / 2;
    expect(await lossOf(model, { x, y })).toBeCloseTo(mean, 12);
    await model.fit({ x, y }, { verbose: 0 });
  });

  it('are an error else, which names the row', async () => {
    using model = compiled('meanSquaredError', 1);
    await expect(model.evaluate({ x, y })).rejects.toMatchObject({
      code: 'ERR_DATA',
      message: expect.stringMatching(/y\[1, 0\] is NaN; expected a finite number, or skipNaN/),
    });
  });
});

describe('wrong answers', () => {
  it.each<[string, LossLike, number, Answers, string, RegExp]>([
    ['too few labels', sparse, 2, { y: Int32Array.of(0, 1) }, 'ERR_SHAPE', /expected \[3\]/],
    ['a label too high', sparse, 2, { y: [0, 1, 2] }, 'ERR_DATA', /y\[2\] is 2/],
    [
      'a probability above 1',
      'binaryCrossentropy',
      1,
      { y: [0, 1, 1.5] },
      'ERR_DATA',
      /y\[2, 0\] is 1.5; expected a number from 0 to 1/,
    ],
    [
      'targets in the shape of all quantiles',
      losses.quantile({ quantiles: [0.1, 0.9] }),
      2,
      { y: { shape: [3, 2], data: new Float64Array(6) } },
      'ERR_SHAPE',
      /expected \[3, 1\]/,
    ],
    [
      'a negative weight',
      sparse,
      2,
      { y: [0, 1, 1], sampleWeight: [1, -1, 1] },
      'ERR_DATA',
      /sampleWeight\[1\] is -1/,
    ],
    [
      'too few weights',
      sparse,
      2,
      { y: [0, 1, 1], sampleWeight: [1, 1] },
      'ERR_SHAPE',
      /sampleWeight has shape \[2\]/,
    ],
  ])('%s', async (_, loss, units, answers, code, message) => {
    using model = compiled(loss, units);
    await expect(model.evaluate({ x, ...answers })).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message) as string,
    });
  });
});

describe('distributions', () => {
  it('quantiles are learned in order', async () => {
    using model = sequential({
      inputShape: [1, 1],
      layers: [layers.lstm({ units: 2 }), layers.dense({ units: 3 })],
    }).compile({
      optimizer: { kind: 'adam', learningRate: 0.05 },
      loss: losses.quantile({ quantiles: [0.1, 0.5, 0.9] }),
    });
    const n = 200;
    const zeros = { shape: [n, 1, 1], data: new Float32Array(n) };
    const y = Float32Array.from({ length: n }, (_, at) => (at + 0.5) / n);
    await model.fit({ x: zeros, y }, { epochs: 60, batchSize: 50, verbose: 0 });
    const [low = NaN, middle = NaN, high = NaN] = (await model.predict(zeros)).data;
    // Uniform targets: their quantiles are 0.1, 0.5 and 0.9.
    expect(Math.abs(low - 0.1)).toBeLessThan(0.06);
    expect(Math.abs(middle - 0.5)).toBeLessThan(0.06);
    expect(Math.abs(high - 0.9)).toBeLessThan(0.06);
  });

  it('a Gaussian learns mean and variance, a sigmoid its share', async () => {
    const n = 200;
    const zeros = { shape: [n, 1, 1], data: new Float32Array(n) };
    const fitted = async (loss: LossLike, units: number, y: Float32Array) => {
      using model = sequential({
        inputShape: [1, 1],
        layers: [layers.lstm({ units: 2 }), layers.dense({ units, name: 'out' })],
      }).compile({ optimizer: { kind: 'adam', learningRate: 0.05 }, loss });
      await model.fit({ x: zeros, y }, { epochs: 60, batchSize: 50, verbose: 0 });
      return (await model.predict(zeros)).data;
    };
    const y = Float32Array.from(
      { length: n },
      (_, at) => 2 + Math.sqrt(3) * ((2 * at + 1) / n - 1),
    );
    const [mean = NaN, logVariance = NaN] = await fitted('gaussianNegativeLogLikelihood', 2, y);
    expect(Math.abs(mean - 2)).toBeLessThan(0.1);
    expect(Math.abs(logVariance)).toBeLessThan(0.2); // variance 1
    const quarter = Float32Array.from({ length: n }, (_, at) => (at % 4 === 0 ? 1 : 0));
    const [logit = NaN] = await fitted('binaryCrossentropy', 1, quarter);
    expect(Math.abs(1 / (1 + Math.exp(-logit)) - 0.25)).toBeLessThan(0.05);
  });
});
