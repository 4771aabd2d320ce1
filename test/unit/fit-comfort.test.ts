/**
 * What `fit` offers beside the loop itself: events, accumulation, short epochs, weights, metrics from predictions.
 */
import type { Callback, FitEvent, FitOptions, LossLike, Model, TrainingData } from '../../lib';
import {
  callbacks,
  layers,
  LookbackError,
  losses,
  metrics,
  schedules,
  sequential,
} from '../../lib';
import { predictedLogs } from '../../lib/training/predicted-metrics';
import { features, steps, tinyData, tinyModel, weightsOf } from './support/tiny';

const train = tinyData(44);
const held = tinyData(20, 7);
const silent = { verbose: 0, batchSize: 16 } as const;

describe('accumulateSteps', () => {
  const make = (options: { dropout?: number } = {}): Model =>
    sequential({
      inputShape: [steps, features],
      layers: [
        layers.gru({ units: 4 }),
        ...(options.dropout ? [layers.dropout({ rate: options.dropout })] : []),
        layers.dense({ units: 2 }),
      ],
      dtype: 'float64',
      seed: 2,
    }).compile({ optimizer: 'adam', loss: 'sparseCategoricalCrossentropy', metrics: ['accuracy'] });
  const wide = (data: typeof train, sampleWeight?: Float64Array): TrainingData => ({
    x: { shape: data.x.shape, data: Float64Array.from(data.x.data) },
    y: data.y,
    ...(sampleWeight && { sampleWeight }),
  });
  const trained = async (data: TrainingData, options: FitOptions) => {
    using model = make();
    const { history } = await model.fit(data, { verbose: 0, epochs: 2, ...options });
    return { weights: weightsOf(model), history };
  };

  it('of 4 batches makes the update of one batch 4 times as large, also with weights and an odd rest', async () => {
    const uneven = Float64Array.from({ length: 44 }, (_, row) => (row % 5) / 2);
    for (const data of [wide(train), wide(train, uneven)]) {
      const whole = await trained(data, { batchSize: 16 });
      const parts = await trained(data, { batchSize: 4, accumulateSteps: 4 });
      const single = await trained(data, { batchSize: 4 });
      for (const [name, numbers] of Object.entries(parts.weights)) {
        // Sums in another order, through six updates of Adam: a few thousand times 2^-53.
        numbers.forEach((value, at) => {
          expect(value).toBeCloseTo(whole.weights[name]?.[at] ?? NaN, 11);
        });
      }
      parts.history['loss']?.forEach((loss, epoch) =>
        expect(loss).toBeCloseTo(whole.history['loss']?.[epoch] ?? NaN, 11),
      );
      expect(single.weights).not.toEqual(whole.weights);
    }
  });

  it('of one batch is the same run to the bit', async () => {
    const options = { batchSize: 16 };
    expect(await trained(wide(train), { ...options, accumulateSteps: 1 })).toEqual(
      await trained(wide(train), options),
    );
  });

  it('draws another mask for every batch, and is seen as one batch by callbacks', async () => {
    using model = make({ dropout: 0.5 });
    const batches: number[] = [];
    const note: Callback = { onBatchEnd: (batch) => void batches.push(batch) };
    const options = { ...silent, batchSize: 4, accumulateSteps: 4, callbacks: [note] };
    await model.fit(wide(train), options);
    expect(batches).toEqual([0, 1, 2]);
    expect(model.state().counters).toEqual({ updates: 3, draws: 11 });
  });
});

describe('stepsPerEpoch', () => {
  it('cuts epochs short, each with an order of its own', async () => {
    using model = tinyModel();
    const history = await model.fit(train, { ...silent, epochs: 2, stepsPerEpoch: 2 });
    expect(history.epoch).toEqual([0, 1]);
    expect(model.state().counters.updates).toBe(4);
  });

  it('beyond the data is all of them', async () => {
    const trained = async (options: FitOptions) => {
      using model = tinyModel();
      await model.fit(train, { ...silent, ...options });
      return weightsOf(model);
    };
    expect(await trained({ stepsPerEpoch: 99 })).toEqual(await trained({}));
  });
});

describe('fitEvents', () => {
  it('gives epochs, batches where asked for, and the history', async () => {
    using model = tinyModel();
    const events: FitEvent[] = [];
    const options = { ...silent, epochs: 2, batches: true };
    for await (const event of model.fitEvents(train, options)) events.push(event);
    expect(events.map(({ type }) => type)).toEqual([
      ...['batch', 'batch', 'batch', 'epoch'],
      ...['batch', 'batch', 'batch', 'epoch'],
      'end',
    ]);
    expect(events[5]).toMatchObject({ type: 'batch', epoch: 1, batch: 1 });
    const last = events.at(-1);
    expect(last?.type === 'end' && last.history.epoch).toEqual([0, 1]);
    using other = tinyModel();
    await other.fit(train, { ...silent, epochs: 2 });
    expect(weightsOf(model)).toEqual(weightsOf(other));
  });

  it('ends the run where the loop is left, and the model is free', async () => {
    using model = tinyModel();
    for await (const event of model.fitEvents(train, { ...silent, epochs: 1e6 })) {
      if (event.type === 'epoch' && event.epoch === 2) break;
    }
    expect(model.history.epoch).toEqual([0, 1, 2]);
    await expect(model.evaluate(held)).resolves.toBeDefined();
  });

  it('waits while an event is dealt with', async () => {
    using model = tinyModel();
    const updates: number[] = [];
    for await (const event of model.fitEvents(train, { ...silent, epochs: 3 })) {
      if (event.type !== 'epoch') continue;
      await new Promise((resolve) => setTimeout(resolve, 20));
      updates.push(model.state().counters.updates);
    }
    expect(updates).toEqual([3, 6, 9]);
  });

  it('throws what fit throws', async () => {
    using model = tinyModel();
    const run = async (options: FitOptions) => {
      for await (const _ of model.fitEvents(train, options));
    };
    await expect(run({ ...silent, signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'ERR_ABORTED',
    });
    await expect(run({ epochs: 0 })).rejects.toMatchObject({ code: 'ERR_OPTION' });
  });
});

it('a run that is aborted tells the epochs until then', async () => {
  using model = tinyModel();
  const abort = new AbortController();
  const callbacks: Callback[] = [
    { onEpochEnd: (epoch) => (epoch === 1 ? abort.abort() : undefined) },
  ];
  const how = { ...silent, epochs: 9, callbacks, signal: abort.signal };
  const error = await model.fit(train, how).catch((caught: unknown) => caught);
  expect(error).toBeInstanceOf(LookbackError);
  const { code, history } = error as LookbackError;
  expect([code, history?.epoch]).toEqual(['ERR_ABORTED', [0, 1]]);
  expect(history?.history['loss']).toHaveLength(2);
  expect(history).toBe(model.history);
});

describe('metrics from predictions', () => {
  const specs = [metrics.topKAccuracy({ k: 2 }), metrics.macroF1(), metrics.weightedF1()];

  it('are what their definitions say', () => {
    // Labels 0 0 0 1 1 2; predicted 0 0 1 1 2 2; class 3 occurs nowhere.
    const outputs = {
      shape: [6, 4],
      data: Float32Array.of(
        ...[9, 1, 0, 0],
        ...[9, 1, 0, 0],
        ...[1, 9, 0, 0],
        ...[1, 9, 0, 0],
        ...[5, 0, 9, 1],
        ...[0, 1, 9, 0],
      ),
    };
    const answers = {
      rows: 6,
      steps: 1,
      y: { shape: [6], data: Int32Array.of(0, 0, 0, 1, 1, 2) },
      lengths: null,
      weights: null,
    };
    const logs = predictedLogs(specs, outputs, answers);
    // F1: class 0 2*2/(3+2), class 1 2*1/(2+2), class 2 2*1/(1+2).
    const f1 = [4 / 5, 1 / 2, 2 / 3];
    expect(logs['macroF1']).toBeCloseTo((f1[0]! + f1[1]! + f1[2]!) / 3, 12);
    expect(logs['weightedF1']).toBeCloseTo((3 * f1[0]! + 2 * f1[1]! + f1[2]!) / 6, 12);
    // The fifth row's label has the smallest output.
    expect(logs['top2Accuracy']).toBeCloseTo(5 / 6, 12);
    const weights = { shape: [6], data: Float32Array.of(0, 1, 0, 1, 0, 1) };
    expect(predictedLogs(specs, outputs, { ...answers, weights })).toEqual({
      top2Accuracy: 1,
      macroF1: 1,
      weightedF1: 1,
    });
  });

  it('take the first of equal outputs, as accuracy does', () => {
    const outputs = { shape: [2, 3], data: Float32Array.of(1, 1, 1, 1, 1, 1) };
    const y = { shape: [2], data: Int32Array.of(0, 2) };
    const answers = { rows: 2, steps: 1, y, lengths: null, weights: null };
    const tops = [1, 2, 3].map((k) => metrics.topKAccuracy({ k }));
    expect(predictedLogs(tops, outputs, answers)).toEqual({
      top1Accuracy: 0.5,
      top2Accuracy: 0.5,
      top3Accuracy: 1,
    });
  });

  it('leave out steps behind a length', () => {
    const outputs = { shape: [1, 3, 2], data: Float32Array.of(1, 0, 0, 1, 1, 0) };
    const y = { shape: [1, 3], data: Int32Array.of(0, 1, 1) };
    const answers = { rows: 1, steps: 3, y, lengths: Int32Array.of(2), weights: null };
    expect(predictedLogs([metrics.macroF1()], outputs, answers)).toEqual({ macroF1: 1 });
    expect(
      predictedLogs([metrics.macroF1()], outputs, { ...answers, lengths: null })['macroF1'],
    ).toBeCloseTo(2 / 3, 12);
  });

  it('stand in evaluate and beside validation, agree with each other and with accuracy', async () => {
    using model = tinyModel().compile({
      optimizer: 'adam',
      loss: 'sparseCategoricalCrossentropy',
      metrics: ['accuracy', { kind: 'topKAccuracy', k: 1 }, 'macroF1', 'weightedF1'],
    });
    const { history } = await model.fit(train, { ...silent, validationData: held });
    const logs = await model.evaluate(held);
    expect(Object.keys(history)).toEqual([
      ...['loss', 'accuracy', 'valLoss', 'valAccuracy'],
      ...['valTop1Accuracy', 'valMacroF1', 'valWeightedF1'],
    ]);
    expect(logs['top1Accuracy']).toBeCloseTo(logs['accuracy'] ?? NaN, 12);
    expect(history['valMacroF1']).toEqual([logs['macroF1']]);
    const matrix = await model.confusionMatrix(held);
    const sum = (numbers: number[]) => numbers.reduce((total, number) => total + number, 0);
    expect(sum(matrix.flat())).toBe(20);
    expect(matrix.map(sum)).toEqual(
      [0, 1].map((label) => held.y.filter((y) => y === label).length),
    );
    expect(sum(matrix.map((row, own) => row[own] ?? NaN)) / 20).toBeCloseTo(
      logs['accuracy'] ?? NaN,
    );
  });

  it('of rows that each begin afresh, so the matrix takes no options for others', async () => {
    using model = tinyModel();
    for (const option of [{ stateful: true }, { burnIn: 1 }]) {
      await expect(model.confusionMatrix(held, option as object)).rejects.toMatchObject({
        code: 'ERR_OPTION',
        message: expect.stringMatching(/confusionMatrix: unknown option/) as string,
      });
    }
    await expect(model.confusionMatrix(held, { batchSize: 3 })).resolves.toHaveLength(2);
  });

  it('go with labels alone', async () => {
    const model = sequential({
      inputShape: [steps, features],
      layers: [layers.gru({ units: 2 }), layers.dense({ units: 1 })],
    });
    using used = model;
    const compile = { optimizer: 'adam', loss: 'meanSquaredError' } as const;
    expect(() => used.compile({ ...compile, metrics: ['macroF1'] })).toThrow(
      /goes with the loss sparseCategoricalCrossentropy/,
    );
    used.compile(compile);
    await expect(used.confusionMatrix([held.x, [...held.y]])).rejects.toMatchObject({
      code: 'ERR_STATE',
    });
  });
});

describe('a schedule', () => {
  it('of steps that end within an epoch does not depend on who listens to batches', async () => {
    const ran = async (listeners: Callback[]) => {
      using model = tinyModel();
      const schedule = schedules.stepDecay({ every: 1.5, factor: 0.1 });
      await model.fit(train, { ...silent, epochs: 3, schedule, callbacks: listeners });
      return weightsOf(model);
    };
    expect(await ran([])).toEqual(await ran([{ onBatchEnd: () => undefined }]));
  });

  it('that stands still over a source of unknown length says so, once', async () => {
    const warn = jest.spyOn(process, 'emitWarning').mockImplementation();
    const source = {
      async *[Symbol.asyncIterator]() {
        yield await Promise.resolve(train);
      },
    };
    using model = tinyModel();
    const told = async (options: FitOptions): Promise<number> => {
      await model.fit(source, { verbose: 0, ...options });
      return warn.mock.calls.length;
    };
    expect(await told({ schedule: 'cosine', stepsPerEpoch: 1 })).toBe(0);
    expect(await told({ schedule: schedules.stepDecay({ every: 2 }) })).toBe(0);
    expect(await told({ schedule: () => 1 })).toBe(0);
    expect(await told({ schedule: 'oneCycle' })).toBe(1);
    expect(await told({ schedule: 'cosine' })).toBe(1);
    expect(warn.mock.calls[0]).toEqual([
      expect.stringMatching(/first epoch.*give stepsPerEpoch/),
      { type: 'LookbackWarning' },
    ]);
    warn.mockRestore();
  });
});

describe('weights of classes and rows', () => {
  it('of classes in fit are those of the loss, in training alone', async () => {
    const ran = async (loss: LossLike, options: FitOptions) => {
      using model = tinyModel().compile({ optimizer: 'adam', loss });
      const { history } = await model.fit(train, { ...silent, validationSplit: 0.25, ...options });
      return { weights: weightsOf(model), loss: history['loss'], valLoss: history['valLoss'] };
    };
    const sparse = 'sparseCategoricalCrossentropy';
    const plain = await ran(sparse, {});
    const inFit = await ran(sparse, { classWeight: [1, 3] });
    const inLoss = await ran(losses[sparse]({ classWeight: [1, 3] }), {});
    expect(inFit.weights).toEqual(inLoss.weights);
    expect(inFit.loss).toEqual(inLoss.loss);
    expect(inFit.weights).not.toEqual(plain.weights);
    expect(inFit.valLoss).not.toEqual(inLoss.valLoss);
    // As weights of rows, batch by batch from a source, and over what the rows weigh already.
    const sampleWeight = Float32Array.from(train.y, (label) => (label === 1 ? 3 : 1));
    const byRow = async (data: TrainingData, options: FitOptions) => {
      using model = tinyModel();
      const source = {
        async *[Symbol.asyncIterator]() {
          yield await Promise.resolve(data);
        },
      };
      await model.fit(source, { verbose: 0, ...options });
      return weightsOf(model);
    };
    const weighed = { ...train, sampleWeight };
    expect(await byRow(train, { classWeight: [1, 3] })).toEqual(await byRow(weighed, {}));
    const tripled = { ...train, sampleWeight: sampleWeight.map((weight) => weight * weight) };
    expect(await byRow(weighed, { classWeight: [1, 3] })).toEqual(await byRow(tripled, {}));
  });

  it.each<[string, FitOptions, LossLike, RegExp]>([
    [
      'too few',
      { classWeight: [1] },
      'sparseCategoricalCrossentropy',
      /has 1 entries but the data have label 1/,
    ],
    [
      'a negative one',
      { classWeight: [1, -1] },
      'sparseCategoricalCrossentropy',
      /classWeight\[1\] is -1/,
    ],
    [
      'those of a loss without labels',
      { classWeight: [1, 1] },
      'meanSquaredError',
      /goes with labels/,
    ],
  ])('of classes in fit: %s are refused', async (_, options, loss, message) => {
    using model = sequential({
      inputShape: [steps, features],
      layers: [layers.gru({ units: 2 }), layers.dense({ units: 2 })],
    }).compile({ optimizer: 'adam', loss });
    const y =
      loss === 'meanSquaredError' ? { shape: [44, 2], data: new Float32Array(88) } : train.y;
    const failed = model.fit({ x: train.x, y }, { verbose: 0, ...options });
    await expect(failed).rejects.toMatchObject({
      code: 'ERR_OPTION',
      message: expect.stringMatching(message) as string,
    });
  });

  it('that are all 0 leave nothing to say of the data', async () => {
    using model = tinyModel().compile({
      optimizer: 'adam',
      loss: 'sparseCategoricalCrossentropy',
      metrics: ['accuracy', 'macroF1', metrics.topKAccuracy({ k: 1 }), 'perplexity'],
    });
    const nothing = { ...held, sampleWeight: new Float32Array(held.y.length) };
    const logs = await model.evaluate(nothing);
    expect(Object.keys(logs)).toHaveLength(5);
    expect(Object.values(logs)).toEqual([NaN, NaN, NaN, NaN, NaN]);
    // A batch of nothing within an epoch leaves the epoch's mean to the others, and none is the best epoch.
    const half = Float32Array.from(train.y, (_, row) => (row < 32 ? 0 : 1));
    const stop = [callbacks.terminateOnNaN(), callbacks.earlyStopping({ monitor: 'loss' })];
    const options = { ...silent, epochs: 2, shuffle: false, callbacks: stop };
    const { history } = await model.fit({ ...train, sampleWeight: half }, options);
    expect(history['loss']).toEqual([expect.any(Number), expect.any(Number)]);
    expect(history['loss']?.every(Number.isFinite)).toBe(true);
    const ended = await model.fit(nothing, { ...options, epochs: 9, callbacks: stop.slice(1) });
    expect(ended.history['loss']).toEqual([NaN]);
  });

  it('are factors on the same loss', async () => {
    const lossOf = async (classWeight: number[] | undefined, sampleWeight?: Float32Array) => {
      using model = tinyModel();
      const loss = losses.sparseCategoricalCrossentropy(classWeight ? { classWeight } : {});
      model.compile({ optimizer: 'adam', loss });
      return (await model.evaluate({ ...held, ...(sampleWeight && { sampleWeight }) }))['loss'];
    };
    const perRow = Float32Array.from(held.y, (label) => [0.5, 3][label] ?? NaN);
    expect(await lossOf([0.5, 3])).toBe(await lossOf(undefined, perRow));
    expect(await lossOf([0.5, 3])).not.toBe(await lossOf(undefined));
  });
});
