/**
 * What stands in a checkpoint: nothing that cannot be read again, all numbers as they were, and a checksum of all of it.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import type { Callback, CallbackState, FitOptions, History, Logs, Model } from '../../lib';
import { readCheckpoint } from '../../lib/storage/checkpoint';
import { readSafetensors, writeSafetensors } from '../../lib/storage/safetensors';
import { tinyData, tinyModel } from './support/tiny';

const folder = mkdtempSync(join(tmpdir(), 'lookback-checkpoint-content-'));
afterAll(() => rmSync(folder, { recursive: true }));
let next = 0;
const folderOf = (): string => join(folder, `run${(next += 1)}`);

const train = tinyData(44);
const fit = { batchSize: 8, epochs: 3, verbose: 0 } as const satisfies FitOptions;
const lastOf = (dir: string): string => join(dir, 'last.safetensors');

interface Ended {
  state: ReturnType<Model['state']>;
  records: History['records'];
}

async function ended(options: FitOptions): Promise<Ended> {
  using model = tinyModel();
  const { records } = await model.fit(train, { ...fit, ...options });
  return { state: model.state(), records };
}

describe('what a checkpoint cannot hold is refused before the one before is replaced', () => {
  const circle: { self?: unknown } = {};
  circle.self = { list: [circle] };
  const logging = (key: string, value: unknown): Callback => ({
    onEpochEnd(epoch, logs) {
      if (epoch === 1) (logs as Record<string, unknown>)[key] = value;
    },
  });
  const keeping = (state: unknown): Callback => {
    let bad = false;
    return {
      onEpochEnd: (epoch) => void (bad = epoch === 1),
      getState: () => (bad ? (state as CallbackState) : { values: { sound: true } }),
    };
  };
  const values = (value: unknown): Callback => keeping({ values: { kept: [value] } });
  const tensor = (value: unknown): Callback => keeping({ tensors: { best: value } });

  it.each<[string, Callback, string, string]>([
    ['a log that is a text', logging('when', 'now'), 'ERR_OPTION', 'the log "when" is "now"'],
    ['a log that is a BigInt', logging('count', 3n), 'ERR_OPTION', 'the log "count" is 3n'],
    ['a log that is not there', logging('gone', undefined), 'ERR_OPTION', '"gone" is undefined'],
    ['logs in an array', logging('all', [1n]), 'ERR_OPTION', '"all" is an array of 1'],
    [
      'a rate that is no number',
      { onEpochEnd: (epoch, _l, context) => void (epoch === 1 && (context.rateFactor = NaN)) },
      'ERR_OPTION',
      'rateFactor is NaN',
    ],
    ['a BigInt', values(1n), 'ERR_OPTION', 'callbacks[0].getState: values.kept[0] is 1n'],
    ['a function', values(() => 1), 'ERR_OPTION', 'values.kept[0] is a function'],
    ['a symbol', values(Symbol('s')), 'ERR_OPTION', 'values.kept[0] is Symbol(s)'],
    ['nothing in an array', values(undefined), 'ERR_OPTION', 'values.kept[0] is undefined'],
    ['a date', values(new Date(0)), 'ERR_OPTION', 'values.kept[0] is an instance of Date'],
    ['a map', values(new Map([[1, 2]])), 'ERR_OPTION', 'is an instance of Map'],
    ['a typed array', values(Float32Array.of(1)), 'ERR_OPTION', 'is an instance of Float32Array'],
    ['a circle', values(circle), 'ERR_OPTION', 'values.kept[0].self.list[0] is an object that it'],
    ['a state that is no object', keeping(7), 'ERR_OPTION', 'callbacks[0].getState gave 7'],
    [
      'a plain array for a tensor',
      tensor({ shape: [3], data: [1, 2, 3] }),
      'ERR_SHAPE',
      'callbacks[0].getState: tensors.best is a tensor with [1,2,3] as data',
    ],
    ['a tensor without a shape', tensor(Float32Array.of(1)), 'ERR_SHAPE', 'a Float32Array'],
    [
      'a tensor of another size',
      tensor({ shape: [3], data: Float32Array.of(1) }),
      'ERR_SHAPE',
      'tensors.best has shape [3] but 1 entries',
    ],
    [
      'a tensor of half an entry',
      tensor({ shape: [0.5], data: Float32Array.of(1) }),
      'ERR_SHAPE',
      'tensors.best has shape [0.5]',
    ],
  ])('%s', async (_name, callback, code, message) => {
    const checkpoint = { dir: folderOf() };
    await expect(ended({ checkpoint, callbacks: [callback] })).rejects.toMatchObject({
      code,
      message: expect.stringContaining(message) as string,
    });
    expect((await readCheckpoint(lastOf(checkpoint.dir))).cursor.epoch).toBe(1);
    expect(await ended({ checkpoint, resume: true, callbacks: [{}] })).toEqual(await ended({}));
  });
});

describe('numbers come back as they were', () => {
  class Killed extends Error {}
  /** Fails behind an update, as if the process had died there. */
  const killer = (after: number): Callback => ({
    onBatchEnd(_batch, _logs, { updates }) {
      if (updates === after) throw new Killed();
    },
  });

  it('in what callbacks remember, those that JSON lacks too', async () => {
    const values = {
      ...{ most: Infinity, least: -Infinity, none: NaN, below: -0, plain: 0.1, gone: undefined },
      ...{ list: [NaN, null, true, 'text', { deep: [-0] }], bare: Object.create(null) as object },
    };
    const data = Float64Array.of(NaN, -0, 1);
    const tensors = { kept: { shape: [3, 1], data } };
    const seen: CallbackState[] = [];
    const keeping: Callback = {
      getState: () => ({ values, tensors }),
      setState: (state) => void seen.push(state),
    };
    const run = { checkpoint: { dir: folderOf() }, resume: true, callbacks: [keeping] };
    await ended({ ...run, epochs: 1 });
    await ended(run);
    expect(seen).toEqual([{ values, tensors }]);
  });

  it('in the history', async () => {
    const played = [NaN, Infinity, -Infinity];
    const playing: Callback = {
      onEpochEnd: (epoch, logs) => void (logs['played'] = played[epoch] ?? 0),
    };
    const run = { checkpoint: { dir: folderOf() }, resume: true, callbacks: [playing] };
    await ended(run);
    expect((await ended(run)).records.map((record) => record['played'])).toEqual(played);
  });

  it('for a best value that nothing has been compared with yet', async () => {
    // The callback of docs/checkpoints.md.
    class BestLoss {
      best = Infinity;
      onEpochEnd(_epoch: number, logs: Logs): void {
        this.best = Math.min(this.best, logs['loss'] ?? NaN);
      }
      getState(): CallbackState {
        return { values: { best: this.best } };
      }
      setState(state: CallbackState): void {
        this.best = (state.values as { best: number }).best;
      }
    }
    const run = { checkpoint: { dir: folderOf(), everyUpdates: 1 }, resume: true };
    const dying = ended({ ...run, callbacks: [new BestLoss(), killer(3)] });
    await expect(dying).rejects.toThrow(Killed);
    const last = await readCheckpoint(lastOf(run.checkpoint.dir));
    expect(last.callbacks).toEqual([{ best: Infinity }, null]);
    const best = new BestLoss();
    const { records } = await ended({ ...run, callbacks: [best, { onBatchEnd: () => undefined }] });
    expect(best.best).toBe(Math.min(...records.map(({ loss }) => loss ?? NaN)));
    expect(best.best).toBeGreaterThan(0);
  });
});

describe('the checksum', () => {
  const dir = folderOf();
  const run = { checkpoint: { dir }, resume: true };
  let whole: Ended;
  beforeAll(async () => void (whole = await ended(run)));

  /** The same bytes but for a text of the same length. */
  function changed(from: string, to: string): Buffer {
    const sound = readFileSync(lastOf(dir));
    const at = sound.indexOf(from);
    expect(at).toBeGreaterThan(0);
    expect(to).toHaveLength(from.length);
    return Buffer.concat([
      sound.subarray(0, at),
      Buffer.from(to),
      sound.subarray(at + from.length),
    ]);
  }

  it.each([
    [
      'the point of the run',
      String.raw`\"cursor\":{\"epoch\":3`,
      String.raw`\"cursor\":{\"epoch\":2`,
    ],
    ['the updates', String.raw`\"updates\":18`, String.raw`\"updates\":19`],
    ['the name of a tensor', '"param:lstm.W_x"', '"param:lstm.W_y"'],
    ['the role of a tensor', '"param:lstm.b_x"', '"state:lstm.b_x"'],
    ['the shape of a tensor', '"shape":[32,2]', '"shape":[2,32]'],
    ['the version', '"lookback-checkpoint":"2"', '"lookback-checkpoint":"3"'],
    ['that there is one', '"checksum"', '"checksun"'],
  ])('covers %s', async (_name, from, to) => {
    const path = join(folder, 'changed.safetensors');
    writeFileSync(path, changed(from, to));
    await expect(readCheckpoint(path)).rejects.toMatchObject({ code: 'ERR_FORMAT' });
  });

  it('finds a state that would have been gone on from', async () => {
    const warned = jest.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
    const from = String.raw`\"cursor\":{\"epoch\":3`;
    writeFileSync(lastOf(dir), changed(from, from.replace('3', '7')));
    try {
      expect(await ended(run)).toEqual(whole);
      expect(String(warned.mock.calls[0]?.[0])).toMatch(
        /last\.safetensors is damaged.*checksum.*; going on from the checkpoint before it/,
      );
    } finally {
      warned.mockRestore();
    }
  });
});

describe('a checkpoint of the version before', () => {
  /** As it was written then: null for numbers that are not finite, and a checksum of the numbers alone. */
  async function asBefore(path: string, change: Record<string, unknown>): Promise<void> {
    const { metadata, tensors } = await readSafetensors(path);
    const state = { ...(JSON.parse(metadata['state'] ?? '') as object), ...change };
    const sum = [...tensors]
      .sort((a, b) => (a.name < b.name ? -1 : 1))
      .reduce((before, { data }) => crc32(new Uint8Array(data.buffer), before), 0);
    await writeSafetensors(path, tensors, {
      'lookback-checkpoint': '1',
      state: JSON.stringify(state),
      crc32: sum.toString(16).padStart(8, '0'),
    });
  }

  it('is gone on from, and is finished where it says stopped', async () => {
    const run = { checkpoint: { dir: folderOf() }, resume: true };
    await ended({ ...run, epochs: 1 });
    await asBefore(lastOf(run.checkpoint.dir), {});
    expect(await ended(run)).toEqual(await ended({}));
    const records = [{ epoch: 0, loss: null }];
    await asBefore(lastOf(run.checkpoint.dir), { stopped: true, records });
    const over = await ended({ ...run, epochs: 9 });
    expect(over.records).toEqual([{ epoch: 0, loss: NaN }]);
    expect(over.state.counters.updates).toBe(18);
  });

  it('is refused where its numbers are damaged', async () => {
    const path = lastOf(folderOf());
    await ended({ checkpoint: { dir: join(path, '..') }, epochs: 1 });
    await asBefore(path, {});
    await readCheckpoint(path);
    const bytes = readFileSync(path);
    bytes[bytes.length - 5]! ^= 4;
    writeFileSync(path, bytes);
    await expect(readCheckpoint(path)).rejects.toMatchObject({ code: 'ERR_FORMAT' });
  });
});
