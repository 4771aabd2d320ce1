import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Callback, CallbackContext, FitOptions, Logs, LookbackError, Model } from '../../lib';
import { callbacks, layers, loadModel, sequential } from '../../lib';
import { crc32c } from '../../lib/storage/tfevents';
import type { Event } from './support/events';
import { eventsIn } from './support/events';
import { features, steps, tinyData, tinyModel, weightsOf } from './support/tiny';

const train = tinyData(44);
const held = tinyData(20, 7);
const folder = mkdtempSync(join(tmpdir(), 'lookback-callbacks-'));
afterAll(() => rmSync(folder, { recursive: true }));

const fit = { batchSize: 16, epochs: 4, verbose: 0, validationData: held } as const;

/** Gives the watched log these values, epoch by epoch. */
function played(key: string, values: readonly number[]): Callback {
  return { onEpochEnd: (epoch, logs) => void (logs[key] = values[epoch] ?? NaN) };
}

async function ran(list: Callback[], options: FitOptions = {}, model: Model = tinyModel()) {
  using used = model;
  return await used.fit(train, { ...fit, ...options, callbacks: list });
}

describe('a callback', () => {
  it('may be a class or a plain object, and sees what those before it add to the logs', async () => {
    class Adding implements Callback {
      readonly #value = 7;
      onEpochEnd(_epoch: number, logs: Logs): void {
        logs['mine'] = this.#value;
      }
    }
    const seen: (number | undefined)[] = [];
    const plain: Callback = { onEpochEnd: (_epoch, logs) => void seen.push(logs['mine']) };
    const { history, records } = await ran([new Adding(), plain], { epochs: 2 });
    expect(seen).toEqual([7, 7]);
    expect(history['mine']).toEqual([7, 7]);
    expect(records.map(({ epoch, mine }) => [epoch, mine])).toEqual([
      [0, 7],
      [1, 7],
    ]);
  });

  class Older {
    onBatchBegin(): void {}
  }
  class Newer extends Older {
    onEpochEnd(): void {}
  }
  const nothing = (): void => undefined;
  it.each<[object, string]>([
    [{ onEpochEnds: nothing }, 'has onEpochEnds, which nothing calls; did you mean onEpochEnd?'],
    [{ on_epoch_end: nothing }, 'has on_epoch_end, which nothing calls; did you mean onEpochEnd?'],
    [{ onepochend: nothing }, 'has onepochend, which nothing calls; did you mean onEpochEnd?'],
    [
      new Newer(),
      'has onBatchBegin, which nothing calls; did you mean onEpochBegin? A callback may have onTrainBegin, onEpochBegin, onBatchEnd,',
    ],
    [
      { onPredict: nothing },
      'has onPredict, which nothing calls. A callback may have onTrainBegin,',
    ],
    [
      { getState: nothing, setSate: nothing },
      'has setSate, which nothing calls; did you mean setSt',
    ],
    [{ onEpochEnd: 5 }, ': onEpochEnd is 5; expected a function'],
    [{ kind: 'timeLimit', seconds: 1 }, ' is an object with kind, seconds and has none of the'],
  ])('that would not be called is refused: %j', async (callback, message) => {
    using model = tinyModel();
    const given = [callbacks.terminateOnNaN(), callback as Callback];
    const error = (await model
      .fit(train, { ...fit, callbacks: given })
      .catch((e: unknown) => e)) as LookbackError | undefined;
    expect([error?.code, error?.message]).toEqual([
      'ERR_OPTION',
      expect.stringContaining(
        `fit: callbacks[1]${message.startsWith(':') ? '' : ' '}${message.trim()}`,
      ),
    ]);
    expect(model.history.epoch).toEqual([]);
  });

  it('may have methods, fields and getters of its own', async () => {
    class Own implements Callback {
      best = 0;
      online = true;
      get onLine(): never {
        throw new Error('a getter was run');
      }
      only(): void {}
      resetState(): void {}
      onEpochEnd(): void {
        this.best += 1;
      }
    }
    const own = new Own();
    const bare = Object.assign(Object.create(null) as Callback, { onEpochEnd: () => own.only() });
    await ran([own, {}, bare, { onTrainEnd: undefined } as unknown as Callback]);
    expect(own.best).toBe(4);
  });

  it('is called in this order, and waited for', async () => {
    const calls: string[] = [];
    const note = async (call: string): Promise<void> => {
      await Promise.resolve();
      calls.push(call);
    };
    await ran(
      [
        {
          onTrainBegin: () => note('train begins'),
          onEpochBegin: (epoch) => note(`epoch ${epoch} begins`),
          onBatchEnd: (batch) => note(`batch ${batch}`),
          onEpochEnd: (epoch) => note(`epoch ${epoch} ends`),
          onTrainEnd: () => note('train ends'),
        },
      ],
      { epochs: 1 },
    );
    expect(calls).toEqual([
      'train begins',
      'epoch 0 begins',
      'batch 0',
      'batch 1',
      'batch 2',
      'epoch 0 ends',
      'train ends',
    ]);
  });

  it('knows updates and learning rate, and may change the rate', async () => {
    const seen: number[][] = [];
    const note = (context: CallbackContext) =>
      seen.push([context.updates, context.learningRate, context.epochs]);
    const lowering: Callback = {
      onEpochEnd(_epoch, _logs, context) {
        note(context);
        context.rateFactor *= 0.5;
      },
    };
    await ran([lowering], { epochs: 3, schedule: { kind: 'stepDecay', every: 2, factor: 0.1 } });
    // Rate 0.02, halved after every epoch; a tenth from the third on.
    expect(seen.map(([updates, , epochs]) => [updates, epochs])).toEqual([
      [3, 3],
      [6, 3],
      [9, 3],
    ]);
    [0.02, 0.01, 0.0005].forEach((rate, at) => expect(seen[at]?.[1]).toBeCloseTo(rate, 12));
  });

  it('a rate of zero changes nothing', async () => {
    using model = tinyModel();
    const before = weightsOf(model);
    const still: Callback = { onTrainBegin: (context) => void (context.rateFactor = 0) };
    await model.fit(train, { ...fit, callbacks: [still] });
    expect(weightsOf(model)).toEqual(before);
  });
});

describe('reduceLROnPlateau', () => {
  const rates = async (values: number[], options: object): Promise<number[]> => {
    const seen: number[] = [];
    await ran(
      [
        played('watched', values),
        { onEpochEnd: (_epoch, _logs, { learningRate }) => void seen.push(learningRate / 0.02) },
        callbacks.reduceLROnPlateau({ monitor: 'watched', factor: 0.5, ...options }),
      ],
      { epochs: values.length },
    );
    return seen.map((rate) => Math.round(rate * 1e6) / 1e6);
  };

  it('lowers the rate behind its patience', async () => {
    expect(await rates([1, 1, 1, 1, 1], { patience: 1 })).toEqual([1, 1, 1, 0.5, 0.5]);
  });

  it('counts from every improvement on, by more than minDelta', async () => {
    const options = { patience: 0, minDelta: 0.1 };
    expect(await rates([1, 0.5, 0.45, 0.2, 0.2], options)).toEqual([1, 1, 1, 0.5, 0.5]);
  });

  it('waits after it, and stays above the minimum', async () => {
    expect(await rates([1, 1, 1, 1, 1], { patience: 0, cooldown: 1 })).toEqual([
      1, 1, 0.5, 0.5, 0.25,
    ]);
    expect(await rates([1, 1, 1, 1], { patience: 0, minLearningRate: 0.008 })).toEqual([
      1, 1, 0.5, 0.4,
    ]);
  });
});

describe('earlyStopping', () => {
  it.each([
    ['ends by itself', 9],
    ['is ended by a callback behind it', 2],
  ])('takes the best weights also where the run %s', async (_how, last) => {
    using model = tinyModel();
    let best: unknown;
    const note: Callback = {
      onEpochEnd: (epoch) => void (epoch === 1 && (best = weightsOf(model))),
    };
    const early = callbacks.earlyStopping({
      monitor: 'watched',
      patience: 9,
      restoreBestWeights: true,
    });
    const ending: Callback = {
      onEpochEnd: (epoch) => void (epoch === last && (model.stopTraining = true)),
    };
    const list = [played('watched', [2, 1, 3, 3]), note, early, ending];
    const { epoch } = await model.fit(train, { ...fit, callbacks: list });
    expect(epoch).toHaveLength(Math.min(4, last + 1));
    expect(weightsOf(model)).toEqual(best);
  });

  it('takes more for better where the name says so, and a NaN for no improvement', async () => {
    const stopped = async (monitor: string, values: number[]) =>
      (await ran([played(monitor, values), callbacks.earlyStopping({ monitor })], { epochs: 9 }))
        .epoch.length;
    expect(await stopped('valF1', [1, 2, 3, 2])).toBe(4);
    expect(await stopped('valLoss', [3, 2, 1, 2])).toBe(4);
    expect(await stopped('valLoss', [3, NaN])).toBe(2);
  });

  it('starts anew in every run', async () => {
    const early = callbacks.earlyStopping({ monitor: 'watched' });
    const list = [played('watched', [1, 2]), early];
    expect((await ran(list)).epoch).toHaveLength(2);
    expect((await ran(list)).epoch).toHaveLength(2);
  });
});

it('modelCheckpoint saves the best alone', async () => {
  const path = join(folder, 'best.safetensors');
  using model = tinyModel();
  let best: unknown;
  const note: Callback = { onEpochEnd: (epoch) => void (epoch === 1 && (best = weightsOf(model))) };
  const saving = callbacks.modelCheckpoint({ path, monitor: 'watched', saveBestOnly: true });
  const list = [played('watched', [2, 1, 3, 3]), note, saving];
  await model.fit(train, { ...fit, callbacks: list });
  using loaded = await loadModel(path);
  expect(weightsOf(loaded)).toEqual(best);
});

it('modelCheckpoint makes its folder, and says before the first epoch where it cannot', async () => {
  const path = join(folder, 'not', 'there', 'model.safetensors');
  const each = join(folder, 'of-{epoch}', 'model.safetensors');
  const list = [callbacks.modelCheckpoint({ path }), callbacks.modelCheckpoint({ path: each })];
  await ran(list, { epochs: 2 });
  for (const epoch of [1, 2])
    expect(readFileSync(each.replace('{epoch}', `${epoch}`)).length).toBeGreaterThan(0);
  let begun = false;
  const note: Callback = { onEpochBegin: () => void (begun = true) };
  const below = callbacks.modelCheckpoint({ path: join(path, 'below-a-file', 'm.safetensors') });
  await expect(ran([below, note])).rejects.toMatchObject({
    code: 'ERR_IO',
    message: expect.stringMatching(/below-a-file could not be made: /) as string,
  });
  expect(begun).toBe(false);
});

describe('timeLimit', () => {
  it('ends a run that would not end', async () => {
    const begun = performance.now();
    const { epoch } = await ran([callbacks.timeLimit({ seconds: 0.2 })], { epochs: 1e9 });
    expect(performance.now() - begun).toBeGreaterThan(190);
    expect(epoch.length).toBeGreaterThan(0);
  });

  it('counts the time before a resume', async () => {
    const limit = callbacks.timeLimit({ seconds: 1000 });
    const context = { model: tinyModel() } as CallbackContext;
    await limit.onTrainBegin?.(context);
    await limit.setState?.({ values: { seconds: 5 } }, context);
    const { values } = (await limit.getState?.()) ?? {};
    expect((values as { seconds: number }).seconds).toBeGreaterThanOrEqual(5);
    await limit.onTrainEnd?.(context);
    context.model.dispose();
  });
});

describe('terminateOnNaN', () => {
  const wild = (): Model =>
    tinyModel().compile({
      optimizer: { kind: 'sgd', learningRate: 3e38 },
      loss: 'sparseCategoricalCrossentropy',
    });

  it('makes a failing run end quietly, with the last finite weights', async () => {
    await expect(ran([], {}, wild())).rejects.toMatchObject({ code: 'ERR_NUMERIC' });
    using model = wild();
    let ended = false;
    const note: Callback = { onTrainEnd: () => void (ended = true) };
    await model.fit(train, { ...fit, callbacks: [callbacks.terminateOnNaN(), note] });
    expect(ended).toBe(true);
    for (const numbers of Object.values(weightsOf(model)))
      expect(numbers.every(Number.isFinite)).toBe(true);
  });

  it('stops at a log that is no finite number, and leaves other errors alone', async () => {
    const list = [played('loss', [1, Infinity]), callbacks.terminateOnNaN()];
    expect((await ran(list)).epoch).toEqual([0, 1]);
    const boom = new Error('boom');
    const throwing: Callback = {
      onEpochEnd: () => {
        throw boom;
      },
    };
    await expect(ran([throwing, callbacks.terminateOnNaN()])).rejects.toBe(boom);
  });
});

describe('orthogonalityMonitor', () => {
  it('measures the matrices that the layers compute with', async () => {
    const sequences = { returnSequences: true } as const;
    const model = sequential({
      inputShape: [steps, features],
      layers: [
        layers.bidirectional(layers.scornn({ units: 4, ...sequences })),
        layers.scurnn({ units: 3, ...sequences }),
        layers.residual([layers.exprnn({ units: 6, mode: 'dynamic', ...sequences })]),
        layers.enrnn({ longUnits: 4, shortUnits: 2 }),
        layers.dense({ units: 2 }),
      ],
      dtype: 'float64',
    }).compile({ optimizer: 'adam', loss: 'sparseCategoricalCrossentropy' });
    const data = { x: { shape: train.x.shape, data: Float64Array.from(train.x.data) }, y: train.y };
    using used = model;
    const list = [callbacks.orthogonalityMonitor({ every: 2 })];
    const { records } = await used.fit(data, { ...fit, validationData: data, callbacks: list });
    expect(records.map((record) => 'orthogonality' in record)).toEqual([false, true, false, true]);
    const values = records.flatMap(({ orthogonality }) => orthogonality ?? []);
    for (const value of values) {
      // Each entry is a sum of n = 6 rounded products of numbers up to 1, n steps from the solve before it.
      expect(value).toBeLessThan(1e-13);
      expect(value).toBeGreaterThan(0);
    }
  });

  it('sees a matrix that is not, and says nothing of other layers', async () => {
    const broken = sequential({
      inputShape: [steps, features],
      layers: [layers.exprnn({ units: 2 }), layers.dense({ units: 2 })],
    }).compile({
      optimizer: { kind: 'sgd', learningRate: 1e-9 },
      loss: 'sparseCategoricalCrossentropy',
    });
    broken.setWeights({
      'exprnn.base': [
        [1.0002, 0],
        [0, 1],
      ],
      'exprnn.P': [
        [0, 0],
        [0, 0],
      ],
    });
    const monitor = callbacks.orthogonalityMonitor();
    const { history } = await ran([monitor], { epochs: 1 }, broken);
    // 1.0002^2 - 1, in float32.
    expect(history['orthogonality']?.[0]).toBeCloseTo(4.0004e-4, 6);
    expect((await ran([monitor], { epochs: 1 })).history).not.toHaveProperty('orthogonality');
  });
});

describe('files of logs', () => {
  it('csvLogger and jsonlLogger hold what the history holds', async () => {
    const [csv, jsonl] = [join(folder, 'deep', 'log.csv'), join(folder, 'log.jsonl')];
    const list = [
      played('a "quoted", name', [1, 2, 3, 4]),
      callbacks.csvLogger({ path: csv }),
      callbacks.jsonlLogger({ path: jsonl }),
    ];
    const { records } = await ran(list);
    const lines = readFileSync(csv, 'utf8').trimEnd().split('\n');
    expect(lines[0]).toBe('epoch,loss,accuracy,valLoss,valAccuracy,"a ""quoted"", name"');
    const rows = lines.slice(1).map((line) => line.split(',').map(Number));
    expect(rows).toEqual(
      records.map(({ epoch = 0, ...logs }) => [epoch + 1, ...Object.values(logs)]),
    );
    const objects = readFileSync(jsonl, 'utf8').trimEnd().split('\n');
    expect(objects.map((line): unknown => JSON.parse(line))).toEqual(
      records.map((record) => ({ ...record, epoch: (record['epoch'] ?? 0) + 1 })),
    );
    // Another run starts the file anew.
    await ran(list, { epochs: 1 });
    expect(readFileSync(csv, 'utf8').trimEnd().split('\n')).toHaveLength(2);
  });

  it('a file that cannot be written ends the run with ERR_IO', async () => {
    const path = join(folder, 'log.jsonl', 'below-a-file.csv');
    await expect(ran([callbacks.csvLogger({ path })])).rejects.toMatchObject({ code: 'ERR_IO' });
  });

  it('go on behind a resume as if nothing had happened', async () => {
    const whole = join(folder, 'whole');
    const parts = join(folder, 'parts');
    const dir = join(folder, 'checkpoints');
    const logging = (place: string): Callback[] => [
      callbacks.csvLogger({ path: join(place, 'log.csv') }),
      callbacks.jsonlLogger({ path: join(place, 'log.jsonl') }),
      callbacks.tensorBoard({ dir: join(place, 'board'), everyUpdates: 2 }),
    ];
    const dying: Callback = {
      onEpochEnd(epoch) {
        // All files hold an epoch more than the checkpoint knows.
        if (epoch === 2) throw new Error('killed');
      },
    };
    await ran([...logging(whole), {}]);
    await expect(ran([...logging(parts), dying], { checkpoint: { dir } })).rejects.toThrow(
      'killed',
    );
    await ran([...logging(parts), {}], { checkpoint: { dir }, resume: true });
    for (const name of ['log.csv', 'log.jsonl']) {
      expect(readFileSync(join(parts, name), 'utf8')).toBe(readFileSync(join(whole, name), 'utf8'));
    }
    for (const part of ['train', 'validation']) {
      expect(withoutTimes(parts, part)).toEqual(withoutTimes(whole, part));
    }
  });

  const withoutTimes = (place: string, part: string): unknown =>
    eventsIn(join(place, 'board', part)).map(({ time: _, ...event }) => event);
});

describe('tensorBoard', () => {
  it('crc32c is CRC-32C', () => {
    // The check value of the published catalogue of checksums.
    expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283);
    expect(crc32c(new Uint8Array())).toBe(0);
  });

  it('writes events that a reader of the format finds sound', async () => {
    const dir = join(folder, 'board');
    const { records } = await ran([callbacks.tensorBoard({ dir, everyUpdates: 1 })]);
    const [trained, validated] = ['train', 'validation'].map((part) => eventsIn(join(dir, part)));
    expect(trained?.[0]?.version).toBe('brain.Event:2');
    expect(validated?.[0]?.version).toBe('brain.Event:2');
    const now = Date.now() / 1000;
    for (const { time } of [...(trained ?? []), ...(validated ?? [])]) {
      expect(time).toBeGreaterThan(now - 600);
      expect(time).toBeLessThan(now + 1);
    }
    const of = (events: Event[] | undefined, tag: string) =>
      (events ?? []).flatMap(({ step, values }) => (tag in values ? [[step, values[tag]]] : []));
    const rounded = (key: string) =>
      records.map((record) => [(record['epoch'] ?? 0) + 1, Math.fround(record[key] ?? NaN)]);
    expect(of(trained, 'epoch/loss')).toEqual(rounded('loss'));
    expect(of(validated, 'epoch/loss')).toEqual(rounded('valLoss'));
    expect(of(validated, 'epoch/accuracy')).toEqual(rounded('valAccuracy'));
    expect(of(trained, 'epoch/learningRate')).toEqual(
      [1, 2, 3, 4].map((epoch) => [epoch, Math.fround(0.02)]),
    );
    expect(of(trained, 'batch/loss').map(([step]) => step)).toEqual(
      Array.from({ length: 12 }, (_, update) => update + 1),
    );
  });
});

const python = process.env['BENCH_PYTHON'] ?? 'python3';
const hasTensorBoard = spawnSync(python, ['-c', 'import tensorboard']).status === 0;
const reason = hasTensorBoard
  ? ''
  : `: NOT RUN, ${python} has no package tensorboard (BENCH_PYTHON)`;

(hasTensorBoard ? it : it.skip)(`TensorBoard itself reads the events${reason}`, async () => {
  const dir = join(folder, 'board-of-python');
  const { records } = await ran([callbacks.tensorBoard({ dir })]);
  const program = `
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
found = EventAccumulator(sys.argv[1])
found.Reload()
print(json.dumps({tag: [[e.step, e.value] for e in found.Scalars(tag)] for tag in found.Tags()['scalars']}))`;
  const read = (part: string): unknown => {
    const args = ['-c', program, join(dir, part)];
    const { stdout, stderr } = spawnSync(python, args, { encoding: 'utf8' });
    if (stdout === '') throw new Error(stderr);
    return JSON.parse(stdout);
  };
  const rounded = (key: string) =>
    records.map((record) => [(record['epoch'] ?? 0) + 1, Math.fround(record[key] ?? NaN)]);
  expect(read('train')).toMatchObject({
    'epoch/loss': rounded('loss'),
    'epoch/accuracy': rounded('accuracy'),
  });
  expect(read('validation')).toMatchObject({ 'epoch/loss': rounded('valLoss') });
});
