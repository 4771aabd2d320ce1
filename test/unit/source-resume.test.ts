/**
 * Runs over a source of batches that die and are resumed: the same weights and logs to the bit as one in one go.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BatchSource, Callback, FitOptions, History, Model } from '../../lib';
import { callbacks, datasets, layers, LookbackError, schedules, sequential } from '../../lib';

const folder = mkdtempSync(join(tmpdir(), 'lookback-source-resume-'));
afterAll(() => rmSync(folder, { recursive: true }));

const path = join(folder, 'wave.csv');
const wave = Array.from({ length: 93 }, (_, at) => `${Math.sin(at / 5)},${Math.cos(at / 3)}`);
writeFileSync(path, ['load,heat', ...wave].join('\n'));

/** 5 batches: of 16 sequences, the last of 15. */
const file = (): BatchSource =>
  datasets.streamCSV(path, {
    features: ['load', 'heat'],
    target: 'load',
    steps: 14,
    batchSize: 16,
  });

/** The same batches from a generator function, and how often it was begun. */
function generated(batches = 5): BatchSource & { begun: number } {
  return {
    begun: 0,
    async *[Symbol.asyncIterator]() {
      this.begun += 1;
      let given = 0;
      for await (const batch of file()) if ((given += 1) <= batches) yield batch;
    },
  };
}

function make(): Model {
  const model = sequential({
    inputShape: [14, 2],
    layers: [layers.gru({ units: 4 }), layers.dropout({ rate: 0.3 }), layers.dense({ units: 1 })],
    seed: 5,
  });
  return model.compile({ optimizer: 'adam', loss: 'meanSquaredError' });
}

class Killed extends Error {}

/** Fails after so many updates, as if the process had died there. */
function killer(after: number): Callback {
  let updates = 0;
  return {
    onBatchEnd() {
      if ((updates += 1) === after) throw new Killed();
    },
  };
}

// The schedule changes within an epoch, and by its place in it.
const fit = { epochs: 3, verbose: 0, schedule: schedules.cosine() } as const;
const idle: Callback = { onBatchEnd: () => undefined };
const watching = (): Callback =>
  callbacks.reduceLROnPlateau({ monitor: 'loss', patience: 0, minDelta: 1 });

interface Ended {
  state: ReturnType<Model['state']>;
  records: History['records'];
}

async function ended(source: BatchSource, options: FitOptions): Promise<Ended> {
  using model = make();
  const { records } = await model.fit(source, { ...fit, ...options });
  return { state: model.state(), records };
}

const whole = (options: FitOptions = {}): Promise<Ended> =>
  ended(file(), { callbacks: [watching(), idle], ...options });

async function killed(source: BatchSource, after: number, options: FitOptions): Promise<void> {
  const dying = ended(source, { ...options, callbacks: [watching(), killer(after)] });
  await expect(dying).rejects.toThrow(Killed);
}

let next = 0;
const folderOf = (): string => join(folder, `run${(next += 1)}`);
const resuming = (dir: string, everyUpdates: number): FitOptions => ({
  checkpoint: { dir, everyUpdates },
  resume: true,
  callbacks: [watching(), idle],
});

async function failure(work: Promise<unknown>): Promise<LookbackError> {
  const error: unknown = await work.then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(LookbackError);
  return error as LookbackError;
}

describe('a run over a source', () => {
  // Every moment of three epochs of five batches; the rest where an epoch begins, ends and is under way.
  it.each<[string, () => BatchSource, number, number[]]>([
    ['streamCSV', file, 2, Array.from({ length: 15 }, (_, at) => at + 1)],
    ['streamCSV', file, 1, [1, 5, 6, 8, 10, 15]],
    ['a generator function', generated, 1, [4, 5, 11]],
  ])(
    'of %s goes on to the bit from wherever it died, case %#',
    async (_name, source, everyUpdates, moments) => {
      const expected = await whole();
      for (const after of moments) {
        const options = resuming(folderOf(), everyUpdates);
        await killed(source(), after, options);
        expect([after, await ended(source(), options)]).toEqual([after, expected]);
      }
    },
  );

  it('has the schedule of its place within the epoch, from the second one on', async () => {
    const rates: number[] = [];
    const note: Callback = {
      onBatchEnd: (_b, _l, { learningRate }) => void rates.push(learningRate),
    };
    await ended(file(), { callbacks: [note] });
    const factor = (epoch: number): number =>
      (rates[0] ?? NaN) * 0.5 * (1 + Math.cos((Math.PI * epoch) / 3));
    const places = [0, 0, 0, 0, 0, 1, 1.2, 1.4, 1.6, 1.8, 2, 2.2, 2.4, 2.6, 2.8];
    rates.forEach((rate, at) => expect(rate).toBeCloseTo(factor(places[at] ?? NaN), 12));
    expect(rates).toHaveLength(places.length);
  });

  it('goes on where it died twice, and with stepsPerEpoch', async () => {
    for (const short of [{}, { stepsPerEpoch: 3 }]) {
      const options = { ...resuming(folderOf(), 1), ...short };
      await killed(file(), 4, options);
      await killed(file(), 2, options);
      expect(await ended(file(), options)).toEqual(await whole(short));
    }
  });

  it('can be prolonged, and takes nothing from the source once it is finished', async () => {
    const constant = { schedule: 'constant' } as const;
    const options = { ...resuming(folderOf(), 2), ...constant };
    await ended(file(), { ...options, epochs: 1 });
    expect(await ended(file(), options)).toEqual(await whole(constant));
    const source = generated();
    await ended(source, options);
    expect(source.begun).toBe(0);
  });

  it('begins the source anew once for each epoch that is left', async () => {
    const options = resuming(folderOf(), 1);
    await killed(file(), 7, options);
    const source = generated();
    await ended(source, options);
    expect(source.begun).toBe(2);
  });

  it('tells that a source is shorter than what was taken of it', async () => {
    const options = resuming(folderOf(), 1);
    await killed(file(), 9, options);
    expect(await failure(ended(generated(2), options))).toMatchObject({
      code: 'ERR_DATA',
      message:
        'fit: the source gave 2 batches in epoch 1, of which the run that is resumed has taken 3; expected the same batches again',
    });
  });

  it('can be cancelled while batches are passed over', async () => {
    const options = resuming(folderOf(), 1);
    await killed(file(), 5, options);
    const controller = new AbortController();
    const source: BatchSource = {
      prefetch: 0,
      async *[Symbol.asyncIterator]() {
        for await (const batch of file()) {
          controller.abort('enough');
          yield batch;
        }
      },
    };
    const cancelled = ended(source, { ...options, signal: controller.signal });
    expect(await failure(cancelled)).toMatchObject({ code: 'ERR_ABORTED', cause: 'enough' });
    expect(await ended(file(), options)).toEqual(await whole());
  });

  it.each([
    ['a generator', () => generated()[Symbol.asyncIterator]() as AsyncGenerator<never>],
    ['an iterator', () => ({ ...idleIterator, [Symbol.asyncIterator]: () => idleIterator })],
  ])('that is %s keeps no checkpoints', async (_name, source) => {
    const options = { checkpoint: { dir: folderOf() } };
    for (const more of [{}, { resume: true }]) {
      const error = await failure(ended(source(), { ...options, ...more }));
      expect(error.code).toBe('ERR_OPTION');
      expect(error.message).toMatch(
        /^fit: checkpoint needs a source that can begin anew, and this one is an iterator, which can be gone through once; give an object/,
      );
    }
  });
});

const idleIterator = { next: () => Promise.resolve({ done: true as const, value: undefined }) };
