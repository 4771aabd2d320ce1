/**
 * Runs that end before their last epoch: those that are stopped, which a resume goes on with to the bit; those that a
 * callback has finished, which are over; and those that are to end while a source is silent.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type {
  BatchSource,
  Callback,
  CallbackContext,
  FitEvent,
  FitEventsOptions,
  FitOptions,
  History,
  Model,
  TrainingData,
} from '../../lib';
import { callbacks, layers } from '../../lib';
import { readCheckpoint } from '../../lib/storage/checkpoint';
import type { TinyData } from './support/tiny';
import { tinyData, tinyModel } from './support/tiny';

const folder = mkdtempSync(join(tmpdir(), 'lookback-stopping-'));
afterAll(() => rmSync(folder, { recursive: true }));
let next = 0;
const folderOf = (): string => join(folder, `run${(next += 1)}`);

const train: TinyData = tinyData(44);
/** Three epochs of six batches, the last of four rows. */
const fit = { batchSize: 8, epochs: 3, verbose: 0 } as const satisfies FitOptions;
const all = 18;

/** The same batches, one after another. */
const source: BatchSource = {
  async *[Symbol.asyncIterator]() {
    for (let row = 0; row < 44; row += 8) yield await Promise.resolve(rowsOf(row, row + 8));
  },
};

function rowsOf(from: number, to: number): TrainingData {
  const data = train.x.data.subarray(from * 12, to * 12);
  return { x: { shape: [data.length / 12, 6, 2], data }, y: train.y.subarray(from, to) };
}

/** One batch, then nothing: no more of them, and no end. `meanwhile` happens while the next one is waited for. */
function silent(meanwhile: () => void = () => undefined): BatchSource {
  return {
    prefetch: 0,
    async *[Symbol.asyncIterator]() {
      yield rowsOf(0, 8);
      setTimeout(meanwhile, 5);
      await new Promise(() => undefined);
    },
  };
}

function make(): Model {
  return tinyModel({
    layers: [layers.gru({ units: 4 }), layers.dropout({ rate: 0.3 }), layers.dense({ units: 2 })],
  });
}

interface Ended {
  state: ReturnType<Model['state']>;
  records: History['records'];
}

async function ended(data: TinyData | BatchSource, options: FitOptions): Promise<Ended> {
  using model = make();
  const { records } = await model.fit(data, { ...fit, ...options });
  return { state: model.state(), records };
}

const idle: Callback = { onBatchEnd: () => undefined };

/** Does something behind an update, counted from 1. */
const after = (update: number, work: (context: CallbackContext) => void): Callback => ({
  onBatchEnd: (_batch, _logs, context) => (context.updates === update ? work(context) : undefined),
});

const stop = ({ model }: CallbackContext): void => void (model.stopTraining = true);

const cursorIn = async (dir: string) => {
  const { cursor, stopped } = await readCheckpoint(join(dir, 'last.safetensors'));
  return { epoch: cursor.epoch, batch: cursor.batch, stopped };
};

describe('a run that was stopped goes on in a resume, to the bit', () => {
  it.each<[string, TinyData | BatchSource]>([
    ['in memory', train],
    ['of a source', source],
  ])('behind any update, with data %s', async (_name, data) => {
    const logging = (dir: string): Callback[] => [
      callbacks.csvLogger({ path: join(dir, 'log.csv') }),
      callbacks.reduceLROnPlateau({ monitor: 'loss', patience: 0, minDelta: 1 }),
    ];
    const place = folderOf();
    const expected = await ended(data, { callbacks: [...logging(place), idle] });
    const log = readFileSync(join(place, 'log.csv'), 'utf8');
    for (const update of [1, 4, 6, 7, 12, all]) {
      const dir = folderOf();
      const options = { checkpoint: { dir }, resume: true };
      const stopping = [...logging(dir), after(update, stop)];
      const first = await ended(data, { ...options, callbacks: stopping });
      expect(first.state.counters.updates).toBe(update);
      expect(first.records).toHaveLength(Math.ceil(update / 6));
      const resumed = await ended(data, { ...options, callbacks: [...logging(dir), idle] });
      expect([update, resumed]).toEqual([update, expected]);
      expect(readFileSync(join(dir, 'log.csv'), 'utf8')).toBe(log);
    }
  });

  it('at the end of an epoch', async () => {
    const dir = folderOf();
    const options = { checkpoint: { dir }, resume: true };
    const stopping: Callback = {
      onEpochEnd: (epoch, _l, context) => (epoch === 1 ? stop(context) : undefined),
    };
    const first = await ended(train, { ...options, callbacks: [stopping] });
    expect(first.records).toHaveLength(2);
    expect(await cursorIn(dir)).toEqual({ epoch: 2, batch: 0, stopped: false });
    expect(await ended(train, { ...options, callbacks: [{}] })).toEqual(await ended(train, {}));
  });

  it.each<[string, FitEventsOptions, (event: FitEvent) => boolean]>([
    ['an epoch', {}, (event) => event.type === 'epoch' && event.epoch === 1],
    ['a batch', { batches: true }, (event) => event.type === 'batch' && event.epoch === 1],
  ])('by leaving fitEvents at %s', async (_name, more, leave) => {
    const ran = async (
      options: FitEventsOptions,
      ends: (event: FitEvent) => boolean,
    ): Promise<Ended> => {
      using model = make();
      for await (const event of model.fitEvents(train, { ...fit, ...more, ...options })) {
        if (ends(event)) break;
      }
      return { state: model.state(), records: model.history.records };
    };
    const options = { checkpoint: { dir: folderOf() }, resume: true };
    const first = await ran(options, leave);
    expect(first.state.counters.updates).toBeLessThan(all);
    const whole = await ran({}, () => false);
    expect(await ran(options, () => false)).toEqual(whole);
  });

  it('by timeLimit, once there is more time', async () => {
    const slow: Callback = { onBatchEnd: () => new Promise((resolve) => setTimeout(resolve, 5)) };
    const options = { checkpoint: { dir: folderOf() }, resume: true };
    const within = (seconds: number): Promise<Ended> =>
      ended(train, { ...options, callbacks: [callbacks.timeLimit({ seconds }), slow] });
    const { updates } = (await within(0.03)).state.counters;
    expect(updates).toBeLessThan(all);
    expect((await within(0.03)).state.counters.updates).toBe(updates);
    expect(await within(60)).toEqual(await ended(train, { callbacks: [idle] }));
  });
});

describe('a run that a callback has finished is over', () => {
  it.each<[string, Callback, number, number]>([
    [
      'at the end of an epoch',
      { onEpochEnd: (epoch, _l, context) => (epoch === 1 ? context.finish() : undefined) },
      2,
      12,
    ],
    ['within an epoch', after(8, (context) => context.finish()), 2, 8],
    [
      'at the beginning of an epoch',
      { onEpochBegin: (epoch, context) => (epoch === 1 ? context.finish() : undefined) },
      1,
      6,
    ],
  ])('%s', async (_name, finishing, epochs, updates) => {
    const options = { checkpoint: { dir: folderOf() }, resume: true };
    const first = await ended(train, { ...options, callbacks: [finishing] });
    expect([first.records.length, first.state.counters.updates]).toEqual([epochs, updates]);
    const begun: number[] = [];
    const note: Callback = { onEpochBegin: (epoch) => void begun.push(epoch) };
    const again = await ended(train, { ...options, epochs: 9, callbacks: [note] });
    expect(begun).toEqual([]);
    expect(again).toEqual(first);
  });

  it('by terminateOnNaN, whose log comes back as it was', async () => {
    const infinite: Callback = { onEpochEnd: (_epoch, logs) => void (logs['loss'] = Infinity) };
    const options = { checkpoint: { dir: folderOf() }, resume: true };
    const run = { ...options, callbacks: [infinite, callbacks.terminateOnNaN()] };
    const first = await ended(train, run);
    expect(first.records).toMatchObject([{ epoch: 0, loss: Infinity }]);
    expect(await ended(train, run)).toEqual(first);
  });

  it('but not one that it speaks of too late', async () => {
    using model = make();
    let context: CallbackContext | null = null;
    const keeping: Callback = { onTrainBegin: (given) => void (context = given) };
    await model.fit(train, { ...fit, callbacks: [keeping] });
    const late: Callback = { onEpochBegin: () => context?.finish() };
    expect((await model.fit(train, { ...fit, callbacks: [late] })).epoch).toEqual([0, 1, 2]);
  });
});

describe('stopped where an epoch begins', () => {
  it.each<[string, TinyData | BatchSource]>([
    ['data in memory', train],
    ['a source', source],
  ])('there is no such epoch, with %s', async (_name, data) => {
    const whole = await ended(data, {});
    for (const at of [0, 1]) {
      const dir = folderOf();
      const seen: number[] = [];
      const stopping: Callback = {
        onEpochBegin: (epoch, context) => (epoch === at ? stop(context) : undefined),
        onEpochEnd: (epoch) => void seen.push(epoch),
      };
      const options = { checkpoint: { dir }, resume: true };
      const { records } = await ended(data, { ...options, callbacks: [stopping] });
      expect([records, seen]).toEqual([whole.records.slice(0, at), [0].slice(0, at)]);
      expect(await cursorIn(dir)).toEqual({ epoch: at, batch: 0, stopped: false });
      expect(await ended(data, { ...options, callbacks: [{}] })).toEqual(whole);
    }
  });
});

describe('while a source is silent', () => {
  it('fitEvents can be left, and a checkpoint stands there', async () => {
    const dir = folderOf();
    using model = make();
    const options = { batches: true, epochs: 2, checkpoint: { dir } };
    for await (const event of model.fitEvents(silent(), options)) {
      expect(event.type).toBe('batch');
      break;
    }
    expect(await cursorIn(dir)).toEqual({ epoch: 0, batch: 1, stopped: false });
    await model.fit(train, fit);
  });

  it('stopTraining ends the run', async () => {
    using model = make();
    const stalled = silent(() => (model.stopTraining = true));
    expect((await model.fit(stalled, { verbose: 0, epochs: 2 })).epoch).toEqual([0]);
    await model.fit(train, fit);
  });

  it('timeLimit ends the run', async () => {
    using model = make();
    const list = [callbacks.timeLimit({ seconds: 0.1 })];
    const options = { verbose: 0, epochs: 2, callbacks: list } as const;
    expect((await model.fit(silent(), options)).epoch).toEqual([0]);
    await model.fit(train, fit);
  });

  it('stopTraining ends a validation: the epoch has none, and a resume makes up for it', async () => {
    using model = make();
    const options = { ...fit, checkpoint: { dir: folderOf() }, resume: true };
    const watching = (): Callback => callbacks.earlyStopping({ patience: 9 });
    const skipped: (readonly string[])[] = [];
    const note: Callback = {
      onEpochEnd: (_e, _l, { skippedLogs }) => void skipped.push(skippedLogs),
    };
    const validationData = silent(() => (model.stopTraining = true));
    const first = { ...options, validationData, callbacks: [watching(), note] };
    const { records } = await model.fit(train, first);
    expect(records.map((record) => Object.keys(record))).toEqual([['epoch', 'loss', 'accuracy']]);
    expect(skipped).toEqual([['valLoss', 'valAccuracy']]);
    const validated = { validationData: source, callbacks: [watching(), {}] };
    expect(await ended(train, { ...options, ...validated })).toEqual(await ended(train, validated));
  });

  it.each(['training', 'validation'])('dispose ends %s', async (part) => {
    const model = make();
    const told: unknown[] = [];
    const note: Callback = {
      onError(error) {
        told.push(error);
        return false;
      },
    };
    const stalled = silent(() => model.dispose());
    const options = { ...fit, callbacks: [note] };
    const running =
      part === 'training'
        ? model.fit(stalled, options)
        : model.fit(train, { ...options, validationData: stalled });
    await expect(running).rejects.toMatchObject({
      code: 'ERR_STATE',
      message: expect.stringContaining('disposed') as string,
    });
    expect(told).toHaveLength(1);
  });
});

it('fitEvents on a busy model fails, and leaves the run that is going on alone', async () => {
  using model = make();
  const slow: Callback = { onEpochEnd: () => new Promise((resolve) => setTimeout(resolve, 5)) };
  const running = model.fit(train, { ...fit, callbacks: [slow] });
  const second = async (): Promise<void> => {
    for await (const _ of model.fitEvents(train, fit));
  };
  await expect(second()).rejects.toMatchObject({ code: 'ERR_STATE' });
  expect((await running).epoch).toEqual([0, 1, 2]);
});
