/**
 * Checkpoints: what a resumed run has to find in them, damaged ones, and disks that fail at any moment.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import type { Callback, FitOptions, LayerSpec, Model, OptimizerSpec } from '../../lib';
import { callbacks, layers, LookbackError, optimizers, schedules, sequential } from '../../lib';
import { disk } from '../../lib/storage/atomic';
import { CheckpointFolder, readCheckpoint, writeCheckpoint } from '../../lib/storage/checkpoint';
import { damaged } from './support/damage';
import { features, steps, tinyData, tinyModel } from './support/tiny';

const folder = mkdtempSync(join(tmpdir(), 'lookback-checkpoint-'));
afterAll(() => rmSync(folder, { recursive: true }));

const train = tinyData(44);
const fit = { batchSize: 8, epochs: 3, verbose: 0 } as const satisfies FitOptions;
/** Six batches an epoch: this is the third of the second epoch. */
const stopAt = 9;

function make(stack: readonly LayerSpec[], optimizer: OptimizerSpec): Model {
  const model = sequential({
    inputShape: [steps, features],
    layers: [...stack, layers.dropout({ rate: 0.2 }), layers.dense({ units: 2 })],
    seed: 11,
  });
  return model.compile({ optimizer, loss: 'sparseCategoricalCrossentropy', metrics: ['accuracy'] });
}

class Killed extends Error {}

/** Fails after an update, as if the process had died there. */
function killer(): Callback {
  let updates = 0;
  return {
    onBatchEnd() {
      if ((updates += 1) === stopAt) throw new Killed();
    },
  };
}

/** The state after a run in one go, and after one that died and was resumed by another model. */
async function bothWays(
  build: () => Model,
  options: FitOptions,
  dir: string,
  extra: () => Callback[] = () => [],
): Promise<[unknown, unknown]> {
  const idle = (): Callback => ({ onBatchEnd: () => undefined });
  using whole = build();
  const history = await whole.fit(train, { ...options, callbacks: [...extra(), idle()] });
  const checkpoint = { dir, everyUpdates: 2 };
  using first = build();
  const dying = first.fit(train, { ...options, checkpoint, callbacks: [...extra(), killer()] });
  await expect(dying).rejects.toThrow(Killed);
  using second = build();
  const resumed = { ...options, checkpoint, resume: true, callbacks: [...extra(), idle()] };
  const after = await second.fit(train, resumed);
  return [
    { ...whole.state(), history: history.history },
    { ...second.state(), history: after.history },
  ];
}

const sgd = optimizers.sgd({ learningRate: 0.05, momentum: 0.9 });

describe('a resumed run is the run in one go, bit for bit', () => {
  const sequences = { returnSequences: true } as const;
  const stacks: Record<string, LayerSpec[]> = {
    'lstm with recurrent dropout': [layers.lstm({ units: 4, recurrentDropout: 0.2 })],
    gru: [layers.gru({ units: 4 })],
    rnn: [layers.rnn({ units: 4 })],
    bnlstm: [layers.bnlstm({ units: 4 })],
    'larnn with batch norm': [
      layers.larnn({ units: 4, heads: 2, window: 3, normalization: 'batch' }),
    ],
    rra: [layers.rra({ units: 4, K: 3 })],
    'scornn that changes signs': [layers.scornn({ units: 4, resignAbove: 1 })],
    scurnn: [layers.scurnn({ units: 3 })],
    'enrnn with its sticky bit': [
      layers.enrnn({ longUnits: 3, shortUnits: 2, normMode: 'sticky' }),
    ],
    'exprnn with moving bases': [layers.exprnn({ units: 4, mode: 'dynamic', rebaseEvery: 4 })],
    'a stack': [
      layers.bidirectional(layers.gru({ units: 3, ...sequences })),
      layers.layerNorm(),
      layers.lstm({ units: 4 }),
    ],
  };

  it.each(Object.entries(stacks))('%s', async (name, stack) => {
    const dir = join(folder, name);
    const [whole, resumed] = await bothWays(() => make(stack, sgd), fit, dir);
    expect(resumed).toEqual(whole);
  });

  it.each(['sgd', 'adam', 'adamw', 'rmsprop', 'adagrad', 'adadelta'] as const)(
    'with the optimizer %s and a schedule',
    async (kind) => {
      const build = () => make([layers.lstm({ units: 4 })], optimizers[kind]({}));
      const options = { ...fit, schedule: schedules.cosine({ warmup: 1 }) };
      const [whole, resumed] = await bothWays(build, options, join(folder, kind));
      expect(resumed).toEqual(whole);
    },
  );

  it('with callbacks that remember', async () => {
    const build = () => make([layers.lstm({ units: 4 })], sgd);
    const options = { ...fit, epochs: 6, validationData: tinyData(20, 5) };
    const best = { monitor: 'valLoss', mode: 'max', restoreBestWeights: true } as const;
    const remembering = () => [
      callbacks.reduceLROnPlateau({ mode: 'max', patience: 0, factor: 0.5, cooldown: 1 }),
      callbacks.earlyStopping({ ...best, patience: 2 }),
    ];
    const [whole, resumed] = await bothWays(build, options, join(folder, 'remember'), remembering);
    expect(resumed).toEqual(whole);
    // Stopped, and with the weights of the first epoch: what is resumed does nothing more.
    using again = build();
    const dir = join(folder, 'remember');
    const seen: number[] = [];
    const note: Callback = {
      onEpochBegin: (epoch) => void seen.push(epoch),
      onBatchEnd: () => undefined,
    };
    await again.fit(train, {
      ...options,
      checkpoint: { dir },
      resume: true,
      callbacks: [...remembering(), note],
    });
    expect(seen).toEqual([]);
    expect({ ...again.state(), history: again.history.history }).toEqual(whole);
  });
});

describe('resume', () => {
  const build = () => tinyModel();
  const dir = join(folder, 'refusals');

  it('starts afresh where there is nothing, and does nothing where all is done', async () => {
    using model = build();
    const options = { ...fit, checkpoint: { dir }, resume: true };
    expect((await model.fit(train, options)).epoch).toEqual([0, 1, 2]);
    using again = build();
    expect((await again.fit(train, options)).epoch).toEqual([0, 1, 2]);
    expect(again.state()).toEqual(model.state());
  });

  it.each<[string, () => Model, FitOptions]>([
    ['model', () => tinyModel({ seed: 4 }), {}],
    ['batchSize', build, { batchSize: 4 }],
    ['shuffle', build, { shuffle: false }],
    ['schedule', build, { schedule: 'cosine' }],
    ['stepsPerEpoch', build, { stepsPerEpoch: 3 }],
  ])('refuses another %s', async (key, other, changed) => {
    using model = other();
    const before = model.state();
    const options = { ...fit, ...changed, checkpoint: { dir }, resume: true };
    await expect(model.fit(train, options)).rejects.toMatchObject({
      code: 'ERR_OPTION',
      message: expect.stringContaining(`another ${key}: `) as string,
    });
    expect(model.state()).toEqual(before);
  });

  it('refuses other data, other callbacks, and to go on from nowhere', async () => {
    using model = build();
    const options = { ...fit, checkpoint: { dir }, resume: true };
    await expect(model.fit(tinyData(43), options)).rejects.toThrow(
      /another data: data\.rows was 44 and is 43; put it back/,
    );
    using deeper = build();
    deeper.compile({
      optimizer: { kind: 'adam', learningRate: 0.5 },
      loss: 'sparseCategoricalCrossentropy',
    });
    await expect(deeper.fit(train, options)).rejects.toThrow(
      /another compile: compile\.optimizer\.learningRate was [\d.]+ and is 0\.5;/,
    );
    const more = { ...options, callbacks: [{}] };
    await expect(model.fit(train, more)).rejects.toThrow(/made with 0 callbacks.*go on with 1/);
    await expect(model.fit(train, { ...fit, resume: true })).rejects.toThrow(/give checkpoint/);
  });

  it('a fresh run keeps nothing of the one before it', async () => {
    const own = join(folder, 'fresh');
    using model = build();
    await model.fit(train, { ...fit, checkpoint: { dir: own } });
    expect(readdirSync(own).sort()).toEqual(['last.safetensors', 'previous.safetensors']);
    await model.fit(train, { ...fit, epochs: 1, checkpoint: { dir: own } });
    expect(readdirSync(own).sort()).toEqual(['before', 'last.safetensors']);
  });
});

describe('a damaged checkpoint', () => {
  const dir = join(folder, 'damaged');
  const files = new CheckpointFolder(dir);
  const options = { ...fit, checkpoint: { dir }, resume: true };
  let sound: Buffer;
  let whole: unknown;

  beforeAll(async () => {
    using model = tinyModel();
    await model.fit(train, options);
    sound = readFileSync(files.last);
    whole = model.state();
  });

  const broken: [string, () => Buffer][] = [
    ['is empty', () => Buffer.alloc(0)],
    ['is cut off in its header', () => sound.subarray(0, 100)],
    ['is cut off by one byte', () => sound.subarray(0, -1)],
    [
      'has another bit in its numbers',
      () => {
        const other = Buffer.from(sound);
        other[other.length - 5]! ^= 4;
        return other;
      },
    ],
    ['is no safetensors file', () => Buffer.from('not what was written there')],
  ];
  it.each(broken)('that %s: the one before takes its place, and that is said', async (_, bytes) => {
    writeFileSync(files.last, bytes());
    const warned = jest.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
    using model = tinyModel();
    try {
      await model.fit(train, options);
      expect(String(warned.mock.calls[0]?.[0])).toMatch(
        /last\.safetensors.*; going on from the checkpoint before it/,
      );
    } finally {
      warned.mockRestore();
    }
    expect(model.state()).toEqual(whole);
    expect(readFileSync(files.last)).toEqual(sound);
  });

  it('is an error where there is no other', async () => {
    for (const path of [files.last, files.previous]) writeFileSync(path, sound.subarray(0, -1));
    using model = tinyModel();
    await expect(model.fit(train, options)).rejects.toMatchObject({
      code: 'ERR_FORMAT',
      message: expect.stringMatching(/last\.safetensors .*; .* start afresh without resume/),
    });
    rmSync(files.previous);
    await expect(model.fit(train, options)).rejects.toMatchObject({ code: 'ERR_FORMAT' });
  });

  it('gives typed errors, whatever is wrong with it', async () => {
    const path = join(dir, 'any.safetensors');
    writeFileSync(path, sound);
    const written = await readCheckpoint(path);
    await fc.assert(
      fc.asyncProperty(damaged(sound), async (bytes) => {
        writeFileSync(path, bytes);
        try {
          // The checksum is over all that a checkpoint says: what can change unseen is how it says that.
          expect(await readCheckpoint(path)).toEqual(written);
        } catch (error) {
          if (!(error instanceof LookbackError)) throw error;
          expect(error).toMatchObject({ code: 'ERR_FORMAT' });
        }
      }),
      { numRuns: 500 },
    );
    rmSync(path);
  });

  it('what died between two renames leaves the one before', async () => {
    rmSync(files.last);
    writeFileSync(files.previous, sound);
    expect((await files.read())?.damage).toBeNull();
  });

  it('what a dead process left half written is removed', async () => {
    const { pid } = spawnSync(process.execPath, ['-e', '']);
    const dead = join(dir, `.last.safetensors.${pid}-0a1b2c3d.tmp`);
    const alive = join(dir, `.last.safetensors.${process.pid}-0a1b2c3d.tmp`);
    for (const path of [dead, alive]) writeFileSync(path, 'half');
    using model = tinyModel();
    await model.fit(train, options);
    expect(readdirSync(dir).filter((name) => name.endsWith('.tmp'))).toEqual([
      `.last.safetensors.${process.pid}-0a1b2c3d.tmp`,
    ]);
  });
});

/** The n-th operation on the disk fails, counted from 0; gives how many there were. */
async function failing(
  n: number,
  code: string,
  work: () => Promise<unknown>,
): Promise<{ count: number; error: unknown }> {
  const original = { ...disk };
  let count = 0;
  const strike = (): void => {
    count += 1;
    if (count - 1 === n) throw Object.assign(new Error(`${code}: injected`), { code });
  };
  const watched = (file: FileHandle): FileHandle =>
    new Proxy(file, {
      get(target, key) {
        const value: unknown = Reflect.get(target, key);
        if (typeof value !== 'function') return value;
        return async (...args: unknown[]) => {
          // A file is closed even where closing fails.
          if (key === 'close') await target.close();
          strike();
          return key === 'close' ? undefined : ((await value.apply(target, args)) as unknown);
        };
      },
    });
  disk.open = async (...args) => {
    strike();
    return watched(await original.open(...args));
  };
  disk.rename = async (...args) => {
    strike();
    await original.rename(...args);
  };
  try {
    await work();
    return { count, error: null };
  } catch (error) {
    return { count, error };
  } finally {
    Object.assign(disk, original);
  }
}

describe('a disk that fails', () => {
  async function checkpointOf(epochs: number) {
    using model = tinyModel();
    const dir = join(folder, `made-${epochs}`);
    await model.fit(train, { ...fit, epochs, checkpoint: { dir } });
    return readCheckpoint(join(dir, 'last.safetensors'));
  }

  it.each(['EIO', 'ENOSPC'])(
    '%s at every operation of a save leaves a sound checkpoint',
    async (code) => {
      const [older, old, next] = [
        await checkpointOf(1),
        await checkpointOf(2),
        await checkpointOf(3),
      ];
      const dir = join(folder, `failing-${code}`);
      const files = new CheckpointFolder(dir);
      mkdirSync(dir);
      const { count } = await failing(-1, code, async () => files.write(old));
      expect(count).toBeGreaterThan(6);
      let failures = 0;
      for (let n = 0; n < count + 2; n += 1) {
        await writeCheckpoint(files.last, older);
        await files.write(old);
        const { error } = await failing(n, code, () => files.write(next));
        const found = await files.read();
        if (error === null) expect(found?.checkpoint).toEqual(next);
        else {
          failures += 1;
          expect(error).toBeInstanceOf(LookbackError);
          expect(error).toMatchObject({ code: 'ERR_IO', cause: { code } });
          expect(found).toEqual({ checkpoint: old, damage: null });
        }
        expect(readdirSync(dir).filter((name) => name.endsWith('.tmp'))).toEqual([]);
      }
      expect(failures).toBeGreaterThan(4);
    },
  );

  it('every operation of model.save', async () => {
    using model = tinyModel();
    const path = join(folder, 'saved.safetensors');
    await model.save(path);
    const old = readFileSync(path);
    const { count } = await failing(-1, 'EIO', () => model.save(path));
    await model.fit(train, fit);
    let failures = 0;
    for (let n = 0; n < count; n += 1) {
      const { error } = await failing(n, 'EIO', () => model.save(path));
      if (error === null) continue;
      failures += 1;
      expect(error).toMatchObject({ code: 'ERR_IO', cause: { code: 'EIO' } });
      expect(readFileSync(path)).toEqual(old);
    }
    expect(failures).toBeGreaterThan(3);
    await expect(model.predict(train.x)).resolves.toBeDefined();
  });

  it('a write that takes only a part is gone on with', async () => {
    const original = disk.open;
    disk.open = async (...args) => {
      const file = await original(...args);
      return new Proxy(file, {
        get(target, key) {
          const value: unknown = Reflect.get(target, key);
          if (key !== 'write')
            return typeof value === 'function' ? (value.bind(target) as unknown) : value;
          return (bytes: Uint8Array, at: number) =>
            target.write(bytes, at, Math.min(7, bytes.length - at));
        },
      });
    };
    using model = tinyModel();
    const path = join(folder, 'parts.safetensors');
    await model.save(path).finally(() => (disk.open = original));
    const whole = join(folder, 'whole.safetensors');
    await model.save(whole);
    expect(readFileSync(path)).toEqual(readFileSync(whole));
  });

  it('in the middle of a run: the run ends with a typed error, the model is usable, and it can be resumed', async () => {
    const dir = join(folder, 'mid-run');
    using whole = tinyModel();
    await whole.fit(train, fit);
    using model = tinyModel();
    const options = { ...fit, checkpoint: { dir } };
    const run = () => model.fit(train, options);
    // The second checkpoint: behind all that the first one takes.
    const { count } = await failing(-1, 'ENOSPC', () =>
      model.fit(train, { ...options, epochs: 1 }),
    );
    using other = tinyModel();
    other.setWeights({});
    const { error } = await failing(count + 2, 'ENOSPC', () => other.fit(train, options));
    expect(error).toMatchObject({ code: 'ERR_IO' });
    await expect(other.predict(train.x)).resolves.toBeDefined();
    using resumed = tinyModel();
    await resumed.fit(train, { ...options, resume: true });
    expect(resumed.state()).toEqual(whole.state());
    await expect(run()).resolves.toBeDefined();
  });
});
