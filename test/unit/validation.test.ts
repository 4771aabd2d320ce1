/**
 * Validation: after which epochs, on how much, from batches that come one after another, and what callbacks make of
 * epochs without one.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BatchSource, Callback, FitOptions, History, TrainingData } from '../../lib';
import { callbacks, loadModel, LookbackError } from '../../lib';
import type { TinyData } from './support/tiny';
import { tinyData, tinyModel, weightsOf } from './support/tiny';

const train = tinyData(44);
const held = tinyData(20, 7);
const fit = { batchSize: 16, verbose: 0, validationData: held } as const;
const folder = mkdtempSync(join(tmpdir(), 'lookback-validation-'));
afterAll(() => rmSync(folder, { recursive: true }));

async function ran(options: FitOptions): Promise<History> {
  using model = tinyModel();
  return await model.fit(train, { ...fit, ...options });
}

async function failure(options: FitOptions): Promise<LookbackError> {
  const error: unknown = await ran(options).then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(LookbackError);
  return error as LookbackError;
}

/** Puts values in place of the validation loss, where there is one. */
function played(values: readonly number[]): Callback {
  let next = 0;
  return {
    onEpochEnd(_epoch, logs) {
      if ('valLoss' in logs) logs['valLoss'] = values[next++] ?? NaN;
    },
  };
}

/** Rows `from` to `to`. */
function rowsOf({ x, y }: TinyData, from: number, to: number): TrainingData {
  const [rows = 0, ...rest] = x.shape;
  const size = x.data.length / rows;
  const data = x.data.subarray(from * size, to * size);
  return { x: { shape: [to - from, ...rest], data }, y: y.subarray(from, to) };
}

/** The data in batches of `size`, and how many were asked for. */
function batched(data: TinyData, size: number): BatchSource & { given: number; prefetch: number } {
  return {
    given: 0,
    prefetch: 0,
    async *[Symbol.asyncIterator]() {
      for (let from = 0; from < data.y.length; from += size) {
        this.given += 1;
        yield await Promise.resolve(rowsOf(data, from, Math.min(from + size, data.y.length)));
      }
    },
  };
}

describe('validationFreq', () => {
  it('validates the epochs that it divides, and changes nothing else', async () => {
    const always = await ran({ epochs: 5 });
    const sometimes = await ran({ epochs: 5, validationFreq: 2 });
    expect(sometimes.records).toEqual(
      always.records.map(({ epoch = 0, loss = 0, accuracy = 0, ...val }) =>
        epoch % 2 === 1 ? { epoch, loss, accuracy, ...val } : { epoch, loss, accuracy },
      ),
    );
    expect(sometimes.history['valLoss']).toHaveLength(2);
  });

  it('counts from the first epoch of all, not of the call', async () => {
    const { records } = await ran({ epochs: 6, initialEpoch: 2, validationFreq: 3 });
    expect(records.map((record) => 'valLoss' in record)).toEqual([true, false, false, true]);
  });

  it('tells callbacks what an epoch lacks', async () => {
    const seen: (readonly string[])[] = [];
    const note: Callback = { onEpochEnd: (_e, _l, { skippedLogs }) => void seen.push(skippedLogs) };
    await ran({ epochs: 2, validationFreq: 2, callbacks: [note] });
    await ran({ epochs: 1, callbacks: [note] });
    expect(seen).toEqual([['valLoss', 'valAccuracy'], [], []]);
  });

  it('makes earlyStopping count epochs with validation alone', async () => {
    const stop = callbacks.earlyStopping({ patience: 1 });
    const { epoch } = await ran({
      epochs: 20,
      validationFreq: 3,
      callbacks: [played([5, 4, 6, 7, 1]), stop],
    });
    expect(epoch).toHaveLength(12);
  });

  it('lets earlyStopping go back to the best weights from an epoch without it', async () => {
    const stop = callbacks.earlyStopping({ patience: 9, restoreBestWeights: true });
    using model = tinyModel();
    const options = { ...fit, epochs: 5, validationFreq: 2, callbacks: [played([1, 2]), stop] };
    await model.fit(train, options);
    using best = tinyModel();
    await best.fit(train, { ...fit, epochs: 2 });
    expect(weightsOf(model)).toEqual(weightsOf(best));
  });

  it('leaves patience and cooldown of reduceLROnPlateau alone in between', async () => {
    const plateau = callbacks.reduceLROnPlateau({ patience: 0, factor: 0.5, cooldown: 1 });
    const factors: number[] = [];
    const note: Callback = {
      onEpochEnd: (_e, _l, context) => void factors.push(context.rateFactor),
    };
    await ran({
      epochs: 8,
      validationFreq: 2,
      callbacks: [played([1, 2, 2, 2]), plateau, note],
    });
    // Validated are the epochs 2, 4, 6, 8: best, lowered, cooling, lowered.
    expect(factors).toEqual([1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25]);
  });

  it('makes modelCheckpoint save the best of the epochs with validation', async () => {
    const path = join(folder, 'best-{epoch}.safetensors');
    const save = callbacks.modelCheckpoint({ path, saveBestOnly: true });
    await ran({ epochs: 7, validationFreq: 2, callbacks: [played([3, 4, 2]), save] });
    const there = [1, 2, 3, 4, 5, 6, 7].filter((epoch) =>
      existsSync(path.replace('{epoch}', String(epoch))),
    );
    expect(there).toEqual([2, 6]);
    using model = await loadModel(path.replace('{epoch}', '6'));
    expect(model.compiled).not.toBeNull();
  });

  it.each([
    ['a misspelt log', { monitor: 'valLos' }, { validationFreq: 4 }],
    ['validation that never takes place', {}, { validationData: undefined as never }],
  ])('does not hide %s', async (_name, watch, options) => {
    const error = await failure({
      epochs: 2,
      callbacks: [callbacks.earlyStopping(watch)],
      ...options,
    });
    expect(error.code).toBe('ERR_OPTION');
    expect(error.message).toMatch(
      /^monitor is "valLos.*", which this run does not log; expected one of loss, accuracy/,
    );
    if ('validationFreq' in options)
      expect(error.message).toContain('accuracy, valLoss, valAccuracy');
  });

  it('leaves columns of CSV empty, and keys of JSON lines out', async () => {
    const csv = join(folder, 'log.csv');
    const jsonl = join(folder, 'log.jsonl');
    const { records } = await ran({
      epochs: 3,
      validationFreq: 2,
      callbacks: [callbacks.csvLogger({ path: csv }), callbacks.jsonlLogger({ path: jsonl })],
    });
    const line = ({ epoch = 0, ...logs }: Record<string, number>): string =>
      [
        epoch + 1,
        ...['loss', 'accuracy', 'valLoss', 'valAccuracy'].map((key) => logs[key] ?? ''),
      ].join();
    expect(readFileSync(csv, 'utf8')).toBe(
      ['epoch,loss,accuracy,valLoss,valAccuracy', ...records.map(line), ''].join('\n'),
    );
    const lines = readFileSync(jsonl, 'utf8').trimEnd().split('\n');
    expect(lines.map((text) => Object.keys(JSON.parse(text) as object).length)).toEqual([3, 5, 3]);
  });

  it('goes on alike in a resumed run, and only with the same one', async () => {
    const options = (dir: string, epochs: number): FitOptions => ({
      epochs,
      validationFreq: 2,
      checkpoint: { dir: join(folder, dir) },
      resume: true,
      callbacks: [callbacks.earlyStopping({ patience: 1, minDelta: 10 })],
    });
    const whole = await ran(options('whole', 12));
    // The first validation is the best; the next two are none by more than minDelta.
    expect(whole.epoch).toHaveLength(6);
    await ran(options('parts', 3));
    expect((await ran(options('parts', 12))).records).toEqual(whole.records);
    const error = await failure({ ...options('parts', 12), validationFreq: 3 });
    expect(error).toMatchObject({ code: 'ERR_OPTION', details: { key: 'validationFreq' } });
  });
});

describe('validationSteps', () => {
  it.each([
    ['batches in memory', held],
    ['batches of a source', batched(held, 4)],
  ])('takes the first %s', async (_name, validationData) => {
    const { records } = await ran({ batchSize: 4, validationData, validationSteps: 3 });
    const first = await ran({ batchSize: 4, validationData: rowsOf(held, 0, 12) });
    expect(records).toEqual(first.records);
    expect(records).not.toEqual((await ran({ batchSize: 4 })).records);
  });

  it('takes the first rows of what validationSplit holds out', async () => {
    const split = { validationData: undefined as never, validationSplit: 0.5, batchSize: 11 };
    const { records } = await ran({ ...split, validationSteps: 1 });
    expect(records[0]?.['valLoss']).not.toBe((await ran(split)).records[0]?.['valLoss']);
    expect((await ran({ ...split, validationSteps: 2 })).records).toEqual(
      (await ran(split)).records,
    );
  });

  it.each([0, 2])('asks a source for no more, with prefetch %i', async (prefetch) => {
    const source = Object.assign(batched(held, 4), { prefetch });
    await ran({ validationData: source, validationSteps: 2, epochs: 3, validationFreq: 3 });
    expect(source.given).toBe(2);
  });

  it.each([{ validationFreq: 2 }, { validationSteps: 3 }])(
    'and validationFreq want validation data: %j',
    async (options) => {
      const error = await failure({ ...options, validationData: undefined as never });
      const [[name, value] = []] = Object.entries(options);
      expect(error.code).toBe('ERR_OPTION');
      expect(error.message).toBe(
        `fit: ${name} is ${value}, but there is nothing to validate on; give validationData or validationSplit, or leave it out`,
      );
    },
  );
});

describe('validation on a source', () => {
  it('takes an iterator once, and refuses it where it is needed again', async () => {
    const once = () => batched(held, 5)[Symbol.asyncIterator]() as never;
    const { records } = await ran({ epochs: 3, validationFreq: 3, validationData: once() });
    expect(records[2]).toHaveProperty('valLoss');
    const error = await failure({ epochs: 4, validationFreq: 2, validationData: once() });
    expect(error.code).toBe('ERR_OPTION');
    expect(error.message).toContain(
      'fit: validation after several epochs needs a source that can begin anew',
    );
  });

  it('loses no epoch of training where it fails', async () => {
    const checkpoint = { dir: join(folder, 'failing') };
    const failing: BatchSource = {
      [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(new Error('line 7 is torn')) }),
    };
    using model = tinyModel();
    let updates = 0;
    const counting: Callback = { onBatchEnd: () => void (updates += 1) };
    const run = { ...fit, epochs: 2, checkpoint, callbacks: [counting] };
    await expect(model.fit(train, { ...run, validationData: failing })).rejects.toThrow('torn');
    expect(updates).toBe(3);
    using resumed = tinyModel();
    await resumed.fit(train, { ...run, resume: true, validationData: batched(held, 5) });
    expect(updates).toBe(6);
    using whole = tinyModel();
    await whole.fit(train, { ...fit, epochs: 2 });
    expect(weightsOf(resumed)).toEqual(weightsOf(whole));
  });

  it.each(['training', 'validation'])('%s ends at once where its source stalls', async (part) => {
    const controller = new AbortController();
    const stalled: BatchSource = {
      async *[Symbol.asyncIterator]() {
        yield rowsOf(train, 0, 11);
        controller.abort();
        await new Promise(() => undefined);
      },
    };
    using model = tinyModel();
    const { signal } = controller;
    const run =
      part === 'training'
        ? model.fit(stalled, { verbose: 0, signal })
        : model.fit(train, { ...fit, validationData: stalled, signal });
    await expect(run).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    await model.fit(train, fit);
  });

  it('names the logs that an epoch lacks at its end alone', async () => {
    const seen: string[] = [];
    const note =
      (where: string) =>
      (_number: number, ...rest: unknown[]): void => {
        const { skippedLogs } = rest.at(-1) as { skippedLogs: readonly string[] };
        seen.push(`${where}: ${skippedLogs.join(' ')}`);
      };
    const callback: Callback = {
      onEpochBegin: note('begin'),
      onBatchEnd: note('batch'),
      onEpochEnd: note('end'),
    };
    await ran({ epochs: 2, batchSize: 44, validationFreq: 2, callbacks: [callback] });
    const quiet = ['begin: ', 'batch: '];
    expect(seen).toEqual([...quiet, 'end: valLoss valAccuracy', ...quiet, 'end: ']);
  });

  it('says what validation in memory says, also in training on a source', async () => {
    const { records } = await ran({ epochs: 2, batchSize: 5 });
    const source = await ran({ epochs: 2, batchSize: 5, validationData: batched(held, 5) });
    expect(source.records).toEqual(records);
    using model = tinyModel();
    const both = await model.fit(batched(train, 11), { ...fit, validationData: batched(held, 5) });
    expect(Object.keys(both.records[0] ?? {})).toContain('valLoss');
  });

  it('names the batch that does not fit', async () => {
    const wrong: BatchSource = {
      async *[Symbol.asyncIterator]() {
        yield await Promise.resolve(held);
        yield { x: held.x, y: Int32Array.of(1) };
      },
    };
    const error = await failure({ validationData: wrong });
    expect(error.message).toContain('fit: batch 1 of validationData.y');
  });

  it('refuses what it cannot do', async () => {
    const once = batched(held, 5)[Symbol.asyncIterator]();
    const used = { [Symbol.asyncIterator]: () => once } as BatchSource;
    const gone = await failure({ validationData: used, epochs: 2 });
    expect(gone).toMatchObject({ code: 'ERR_DATA' });
    expect(gone.message).toContain('begins anew for every validation');
    const stateful = { stateful: true, batchSize: 11, validationData: batched(held, 5) };
    expect(await failure(stateful)).toMatchObject({
      code: 'ERR_OPTION',
      message:
        'fit: stateful does not go with validationData that come as batches; leave it out, or give validation data in memory',
    });
    using model = tinyModel();
    model.compile({
      loss: 'sparseCategoricalCrossentropy',
      optimizer: 'adam',
      metrics: ['macroF1'],
    });
    await expect(
      model.fit(train, { ...fit, validationData: batched(held, 5) }),
    ).rejects.toMatchObject({ code: 'ERR_OPTION' });
  });
});
