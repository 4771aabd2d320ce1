/**
 * Memory that runs out while JavaScript waits: the test addon refuses request n of its native side, for every n of one
 * training step, one save and one load, on whatever thread it is made. The refusal arrives as a typed error, the model
 * goes on to the bits of one that never failed, and the file on the disk is the old one or the new one.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { layers, loadModel, LookbackError, sequential } from '../../lib';
import type { Model } from '../../lib';
import { loadAddon } from '../../lib/native';

/** What the test build adds to the addon (test/support/refusing_addon.cc). */
interface RefusingAddon {
  refuseRequests(first: number, count: number): number;
}
const addon = loadAddon() as unknown as RefusingAddon;

const folder = mkdtempSync(join(tmpdir(), 'lookback-refused-'));
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

function tinyModel(cell: 'lstm' | 'larnn'): Model {
  const recurrent =
    cell === 'lstm' ? layers.lstm({ units: 4 }) : layers.larnn({ units: 4, heads: 2, window: 3 });
  const model = sequential({
    inputShape: [3, 2],
    layers: [recurrent, layers.dense({ units: 2 })],
    seed: 4,
    threads: 2,
  });
  model.compile({ optimizer: 'adam', loss: 'sparseCategoricalCrossentropy' });
  return model;
}

const x = Float32Array.from({ length: 4 * 3 * 2 }, (_, i) => Math.sin(i));
const y = Int32Array.of(0, 1, 1, 0);
const step = (model: Model) => model.trainOnBatch({ data: x, shape: [4, 3, 2] }, y);
const weightsOf = (model: Model) => JSON.stringify(model.getWeights());

/** Runs `work` with request `first` refused, and all behind it where `all`. */
async function refused(
  first: number,
  all: boolean,
  work: () => Promise<unknown>,
): Promise<{ error: unknown; requests: number }> {
  let error: unknown = null;
  addon.refuseRequests(first, all ? Number.MAX_SAFE_INTEGER : 1);
  try {
    await work();
  } catch (thrown) {
    error = thrown;
  }
  return { error, requests: addon.refuseRequests(0, 0) };
}

describe.each([
  ['one request', false],
  ['every request from one on', true],
])('%s refused', (_, all) => {
  it.each(['lstm', 'larnn'] as const)(
    'in a training step of %s is ERR_MEMORY, and the step can be done again',
    async (cell) => {
      using reference = tinyModel(cell);
      const start = weightsOf(reference);
      await step(reference);
      const wanted = weightsOf(reference);
      let failures = 0;
      for (let n = 1; ; n += 1) {
        using model = tinyModel(cell);
        const { error, requests } = await refused(n, all, () => step(model));
        if (error !== null) {
          failures += 1;
          expect(error).toBeInstanceOf(LookbackError);
          expect(error).toMatchObject({ code: 'ERR_MEMORY' });
          expect(weightsOf(model)).toBe(start);
          await step(model);
        }
        expect(weightsOf(model)).toBe(wanted);
        if (requests < n) break;
      }
      expect(failures).toBeGreaterThan(50);
    },
  );

  it('in a save leaves the old file or the new one, and the model as it was', async () => {
    using model = tinyModel('lstm');
    const path = join(folder, `model-${String(all)}.safetensors`);
    await model.save(path);
    const old = readFileSync(path);
    await step(model);
    const weights = weightsOf(model);
    const other = join(folder, 'other.safetensors');
    await model.save(other);
    const fresh = readFileSync(other);
    let failures = 0;
    for (let n = 1; ; n += 1) {
      const { error, requests } = await refused(n, all, () => model.save(path));
      if (error === null) {
        expect(readFileSync(path).equals(fresh)).toBe(true);
      } else {
        failures += 1;
        expect(error).toMatchObject({ code: 'ERR_MEMORY' });
        expect(readFileSync(path).equals(old)).toBe(true);
      }
      expect(weightsOf(model)).toBe(weights);
      expect(readdirSync(folder).filter((name) => name.endsWith('.tmp'))).toEqual([]);
      if (requests < n) break;
    }
    expect(failures).toBeGreaterThan(3);
  });

  it('in making and loading a model is ERR_MEMORY', async () => {
    const path = join(folder, 'loaded.safetensors');
    using saved = tinyModel('lstm');
    await saved.save(path);
    for (let n = 1; ; n += 1) {
      const { error, requests } = await refused(n, all, async () => {
        (await loadModel(path)).dispose();
      });
      if (error !== null) expect(error).toMatchObject({ code: 'ERR_MEMORY' });
      if (requests < n) break;
    }
    using model = await loadModel(path);
    await step(model);
  });
});
