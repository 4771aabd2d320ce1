import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import type { StreamCsvOptions, TableBatch } from '../../lib';
import { datasets, layers, LookbackError, sequential } from '../../lib';
import { prefetched } from '../../lib/training/source';
import { damaged, failureOf } from './support/damage';
import { tinyData, tinyModel, weightsOf } from './support/tiny';
import { temporaryFolder } from './support/uci-tree';

const rows = Array.from(
  { length: 23 },
  (_, at) => `${at < 11 ? 'a' : 'b'},${at},${at % 3 ? 'up' : 'down'}`,
);
const csv = ['site,load,move', ...rows].join('\n');
const options: StreamCsvOptions = {
  features: ['load', 'move'],
  categories: { move: ['down', 'up'] },
  target: 'load',
  steps: 3,
  horizon: 2,
  groupBy: 'site',
  batchSize: 4,
};

async function collect(
  path: string,
  changes: Partial<StreamCsvOptions> = {},
): Promise<TableBatch[]> {
  const all: TableBatch[] = [];
  for await (const batch of datasets.streamCSV(path, { ...options, ...changes })) all.push(batch);
  return all;
}

async function failureOfAsync(work: () => Promise<unknown>): Promise<LookbackError> {
  try {
    await work();
  } catch (error) {
    if (error instanceof LookbackError) return error;
    throw error;
  }
  throw new Error('expected a LookbackError');
}

describe('datasets.streamCSV', () => {
  it.each([
    ['numbers ahead', { stride: 1 }],
    ['a stride within a window', { stride: 2 }],
    ['a stride beyond a window', { stride: 7 }],
    ['the last row itself', { horizon: 0 }],
    ['labels', { target: 'move', horizon: 0 }],
    ['labels ahead', { target: 'move', horizon: 1 }],
  ] as [string, Partial<StreamCsvOptions>][])(
    'gives the sequences that fromCSV gives: %s',
    async (_, changes) => {
      using folder = temporaryFolder();
      folder.write('t.csv', csv);
      const path = join(folder.path, 't.csv');
      const { categories: _c, batchSize: _b, prefetch: _p, ...given } = { ...options, ...changes };
      const whole = datasets.fromCSV(path, {
        ...given,
        categorical: ['move'],
        split: { test: 0 },
      }).train;
      const all = await collect(path, changes);
      expect(all.flatMap(({ x }) => [...x.data])).toEqual([...whole.x.data]);
      expect(all.flatMap(({ y }) => [...y.data])).toEqual([...whole.y.data]);
      const sizes = all.map(({ x }) => x.shape[0]!);
      expect(sizes.slice(0, -1)).toEqual(sizes.slice(0, -1).map(() => 4));
      expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(whole.x.shape[0]);
    },
  );

  it('reads gzip, and every iteration from the start', async () => {
    using folder = temporaryFolder();
    folder.write('t.csv', csv);
    folder.write('u.csv.gz', gzipSync(`\ufeff${csv}`));
    const plain = await collect(join(folder.path, 't.csv'));
    expect(await collect(join(folder.path, 'u.csv.gz'))).toEqual(plain);
    const source = datasets.streamCSV(join(folder.path, 't.csv'), options);
    const passes = [0, 1].map(async () => {
      const all = [];
      for await (const batch of source) all.push(batch);
      return all;
    });
    expect(await Promise.all(passes)).toEqual([plain, plain]);
  });

  it.each<[string, string | Uint8Array, RegExp]>([
    ['a ragged row', csv.replace('a,5,up', 'a,5'), /t\.csv, line 7: Invalid Record Length/],
    [
      'a word for a number',
      csv.replace('a,5,', 'a,x,'),
      /line 7, column "load": "x" is not a finite number/,
    ],
    ['a missing column', csv.replace('load', 'lead'), /line 1: there is no column "load"/],
    ['an empty file', '', /is empty/],
    ['no rows', 'site,load,move\n', /t\.csv has no sequence of 3 rows with a target 2 ahead/],
    [
      'too short groups',
      ['site,load,move', ...rows.slice(7, 14)].join('\n'),
      /its longest stretch has 4\. Give more rows or fewer steps/,
    ],
    [
      'Latin 1',
      Buffer.from(csv.replace('a,5', '\xe9,5'), 'latin1'),
      /is not UTF-8 text between the bytes 0 and/,
    ],
    [
      'half a character at the end',
      Buffer.concat([Buffer.from(csv), Uint8Array.of(0xc3)]),
      /is not UTF-8 text at its end, which is half a character/,
    ],
    [
      'a quote that never ends',
      `${csv}\n"${'x\n'.repeat(2 ** 20)}`,
      /t\.csv, line \d+: Max Record Size/,
    ],
  ])('refuses %s', async (_, text, message) => {
    using folder = temporaryFolder();
    folder.write('t.csv', text);
    const failure = await failureOfAsync(() => collect(join(folder.path, 't.csv')));
    expect(failure.code).toBe('ERR_DATA');
    expect(failure.message).toMatch(message);
  });

  it('refuses a blank line for the only value of a row, but for the end of the file', async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, 't.csv');
    const read = async (text: string): Promise<number[]> => {
      folder.write('t.csv', text);
      const all = [];
      const given = { features: ['load'], target: 'load', steps: 1, horizon: 1 };
      for await (const { y } of datasets.streamCSV(path, given)) all.push(...y.data);
      return all;
    };
    expect(await read('load\n1\n2\n3\n\n\n')).toEqual([2, 3]);
    const failure = await failureOfAsync(() => read('load\n1\n2\n\n3\n4\n'));
    expect(failure.code).toBe('ERR_DATA');
    expect(failure.message).toMatch(/t\.csv, line 4: the line is blank, and "load" is the only/);
  });

  it('takes columns by whatever name', async () => {
    using folder = temporaryFolder();
    folder.write('t.csv', ['constructor,toString', '1,2', '3,4'].join('\n'));
    const source = datasets.streamCSV(join(folder.path, 't.csv'), {
      features: ['constructor'],
      target: 'toString',
      steps: 1,
      horizon: 0,
    });
    const all = [];
    for await (const { x, y } of source) all.push([...x.data], [...y.data]);
    expect(all).toEqual([
      [1, 3],
      [2, 4],
    ]);
  });

  it('refuses files that are not there, cut archives, strange labels and wrong options', async () => {
    using folder = temporaryFolder();
    expect(failureOf(() => datasets.streamCSV('/nowhere.csv', options)).code).toBe('ERR_IO');
    folder.write('t.csv.gz', gzipSync(csv).subarray(0, 60));
    const cut = await failureOfAsync(() => collect(join(folder.path, 't.csv.gz')));
    expect([cut.code, cut.message]).toEqual([
      'ERR_DATA',
      expect.stringMatching(/is damaged: unexpected end of file/),
    ]);
    folder.write('t.csv', csv);
    const path = join(folder.path, 't.csv');
    const strange = await failureOfAsync(() =>
      collect(path, { target: 'move', features: ['load'], categories: { move: ['up'] } }),
    );
    expect(strange.message).toMatch(/line 2, column "move": "down" is none of its categories up/);
    expect(
      failureOf(() => datasets.streamCSV(path, { ...options, step: 3 } as StreamCsvOptions)).code,
    ).toBe('ERR_OPTION');
  });

  it('gives typed errors for damaged files', async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, 't.csv');
    await fc.assert(
      fc.asyncProperty(damaged(Buffer.from(csv)), async (bytes) => {
        folder.write('t.csv', bytes);
        try {
          await collect(path);
        } catch (error) {
          expect(error).toBeInstanceOf(LookbackError);
          expect((error as LookbackError).code).toBe('ERR_DATA');
        }
      }),
      { numRuns: 100 },
    );
  });
});

describe('prefetched', () => {
  it('makes as many items ahead as it may, and no more', async () => {
    let made = 0;
    async function* numbers(): AsyncGenerator<number> {
      for (;;) {
        await new Promise(setImmediate);
        yield made++;
      }
    }
    for await (const item of prefetched(numbers(), { ahead: 3 })) {
      for (let turn = 0; turn < 20; turn += 1) await new Promise(setImmediate);
      expect(made).toBe(item + 4);
      if (item === 10) break;
    }
  });

  it('tells a failure in its turn and closes the source', async () => {
    let closed = false;
    async function* failing(): AsyncGenerator<number> {
      try {
        yield 1;
        await Promise.resolve();
        throw new Error('broken');
      } finally {
        closed = true;
      }
    }
    const seen: number[] = [];
    const work = async (): Promise<void> => {
      for await (const item of prefetched(failing(), { ahead: 5 })) seen.push(item);
    };
    await expect(work()).rejects.toThrow('broken');
    expect([seen, closed]).toEqual([[1], true]);
  });
});

describe('fit on a source', () => {
  const data = tinyData(64);
  const half = (row: number) => ({
    x: { shape: [16, 6, 2], data: data.x.data.subarray(row * 12, (row + 16) * 12) },
    y: data.y.subarray(row, row + 16),
  });
  const source = {
    async *[Symbol.asyncIterator]() {
      for (let row = 0; row < 64; row += 16) {
        await Promise.resolve();
        yield half(row);
      }
    },
  };

  it('takes what gives its batches at once, such as a plain generator, with the same bits', async () => {
    function* batches() {
      for (let row = 0; row < 64; row += 16) yield half(row);
    }
    using later = tinyModel();
    using atOnce = tinyModel();
    using once = tinyModel();
    const fit = { epochs: 2, verbose: 0 } as const;
    await later.fit(source, fit);
    await atOnce.fit({ [Symbol.iterator]: batches, prefetch: 1 }, fit);
    expect(weightsOf(atOnce)).toEqual(weightsOf(later));
    const validated = { epochs: 1, verbose: 0, validationData: batches() } as const;
    expect((await once.fit(batches(), validated)).history).toHaveProperty('valLoss');
    await expect(once.fit(batches(), fit)).rejects.toThrow(
      /no batch in epoch 1; expected an object that begins anew for every epoch/,
    );
    await expect(once.fit(batches(), { checkpoint: { dir: 'none' } })).rejects.toThrow(
      /iterator, which can be gone through once; give .*\{ \[Symbol.iterator\]: \(\) => batches\(\) \}/,
    );
    await expect(once.fit(new Float32Array(3) as never, fit)).rejects.toThrow(
      /expected \{ x, y \}/,
    );
  });

  it('takes what answers at once where a promise is allowed, as `for await` does', async () => {
    let row = 0;
    const next = (): IteratorResult<ReturnType<typeof half>> => {
      row += 16;
      return row > 64 ? { done: true, value: undefined } : { done: false, value: half(row - 16) };
    };
    using model = tinyModel();
    using other = tinyModel();
    await model.fit({ [Symbol.asyncIterator]: () => ({ next }) } as never, { verbose: 0 });
    await other.fit(source, { verbose: 0 });
    expect(weightsOf(model)).toEqual(weightsOf(other));
  });

  it.each<[string, object, RegExp]>([
    [
      'begins with a promise',
      { [Symbol.asyncIterator]: () => Promise.resolve(source) },
      /gives a Promise; expected an iterator/,
    ],
    [
      'begins with nothing',
      { [Symbol.asyncIterator]: () => null },
      /gives null; expected an iterator/,
    ],
    [
      'gives no results',
      { [Symbol.asyncIterator]: () => ({ next: () => 1 }) },
      /next of the source gives 1; expected/,
    ],
    [
      'reads ahead by a part',
      { ...source, prefetch: 0.5 },
      /prefetch of the source is 0\.5; expected/,
    ],
    [
      'reads ahead without end',
      { ...source, prefetch: Infinity },
      /prefetch of the source is Infinity/,
    ],
    [
      'begins with a number',
      { [Symbol.iterator]: 5 },
      /data is an object with no keys; expected \{ x, y \}/,
    ],
  ])('refuses a source that %s', async (_, wrong, message) => {
    using model = tinyModel();
    const failure = await failureOfAsync(() => model.fit(wrong as never, { verbose: 0 }));
    expect(failure.message).toMatch(message);
    await expect(model.fit(source, { verbose: 0 })).resolves.toBeDefined();
  });

  it('trains as on the same batches in memory, to the bit', async () => {
    using streamed = tinyModel();
    using whole = tinyModel();
    const ends: number[] = [];
    const callbacks = [{ onBatchEnd: (batch: number) => void ends.push(batch) }];
    const one = await streamed.fit(source, {
      epochs: 3,
      batchSize: 16,
      validationData: data,
      verbose: 0,
      callbacks,
    });
    const other = await whole.fit(data, {
      epochs: 3,
      batchSize: 16,
      shuffle: false,
      validationData: data,
      verbose: 0,
      callbacks: [{ onBatchEnd: () => undefined }],
    });
    expect(weightsOf(streamed)).toEqual(weightsOf(whole));
    expect(one.history).toEqual(other.history);
    expect(ends.slice(0, 5)).toEqual([0, 1, 2, 3, 0]);
  });

  it('takes some batches an epoch, stops when told to, and frees them', async () => {
    using model = tinyModel();
    const before = model.memory().data;
    let updates = 0;
    await model.fit(source, {
      epochs: 2,
      stepsPerEpoch: 3,
      verbose: 0,
      callbacks: [{ onBatchEnd: () => void (updates += 1) }],
    });
    expect([updates, model.memory().data]).toEqual([6, before]);
    await model.fit(source, {
      epochs: 9,
      verbose: 0,
      callbacks: [{ onBatchEnd: () => void (model.stopTraining = true) }],
    });
    expect(model.history.epoch).toEqual([0]);
    const abort = AbortSignal.abort(new Error('enough'));
    expect(
      (await failureOfAsync(() => model.fit(source, { signal: abort, verbose: 0 }))).code,
    ).toBe('ERR_ABORTED');
  });

  it.each<[object, string, RegExp]>([
    [{ validationSplit: 0.5 }, 'ERR_OPTION', /validationSplit does not go with batches/],
    [{ resume: true }, 'ERR_OPTION', /resume is true but there is no checkpoint/],
    [{ accumulateSteps: 2 }, 'ERR_OPTION', /accumulateSteps does not go/],
  ])('refuses %j', async (changes, code, message) => {
    using model = tinyModel();
    const failure = await failureOfAsync(() => model.fit(source, { verbose: 0, ...changes }));
    expect([failure.code, failure.message]).toEqual([code, expect.stringMatching(message)]);
  });

  it('names the batch that does not fit, and a source that is used up', async () => {
    using model = tinyModel();
    async function* wrong() {
      await Promise.resolve();
      yield half(0);
      yield { x: half(16).x, y: Int32Array.of(1) };
    }
    const failure = await failureOfAsync(() => model.fit(wrong(), { verbose: 0 }));
    expect(failure.message).toMatch(/fit: batch 1 of epoch 0\.y/);
    const once = source[Symbol.asyncIterator]();
    const used = await failureOfAsync(() => model.fit(once, { epochs: 2, verbose: 0 }));
    expect([used.code, used.message]).toEqual([
      'ERR_DATA',
      expect.stringMatching(/no batch in epoch 1/),
    ]);
  });

  it('trains a scaled model from a file', async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, 'wave.csv');
    const wave = Array.from({ length: 400 }, (_, at) => 100 + 10 * Math.sin(at / 5));
    writeFileSync(path, ['wave', ...wave].join('\n'));
    const stream = datasets.streamCSV(path, {
      features: ['wave'],
      target: 'wave',
      steps: 10,
      batchSize: 16,
    });
    using model = sequential({
      inputShape: [10, stream.features],
      layers: [layers.lstm({ units: 8 }), layers.dense({ units: 1 })],
      preprocessing: { ...stream.preprocessing, input: 'standardize', target: 'standardize' },
      seed: 1,
    });
    model.compile({ optimizer: { kind: 'adam', learningRate: 0.02 }, loss: 'meanSquaredError' });
    expect((await failureOfAsync(() => model.fit(stream, { verbose: 0 }))).code).toBe('ERR_STATE');
    for await (const sample of stream) {
      model.fitPreprocessing(sample);
      break;
    }
    await model.fit(stream, { epochs: 10, verbose: 0 });
    const rowsSeen = wave.slice(0, 10).map((value) => ({ wave: value }));
    const { data: told } = await model.predict(rowsSeen);
    expect(Math.abs(told[0]! - wave[10]!)).toBeLessThan(2);
  });
});
