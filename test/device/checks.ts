/**
 * What is no comparison of numbers: files, checkpoints, cancelling, and memory that runs out. Each gives what is worth
 * telling, and rejects where something is wrong.
 */
import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Device, LookbackError, Model } from 'lookback';
import { layers, loadModel, sequential } from 'lookback';
import type { DeviceCase, How } from './cases';
import { BATCH, dataOf } from './cases';
import { BOUNDS, modelOf, worstOf } from './compare';

/** Dropout and Adam, so that a run has something to remember. */
const PLAIN: DeviceCase = {
  name: 'plain',
  layers: [
    layers.larnn({ units: 8, heads: 2, window: 3, returnSequences: true }),
    layers.dropout({ rate: 0.2 }),
    layers.lstm({ units: 8 }),
    layers.dense({ units: 4 }),
  ],
  optimizer: { kind: 'adam', learningRate: 0.01 },
};

const on = (device: Device): How => ({ device, dtype: 'float32' });
const data = dataOf(PLAIN, 'float32');
const quiet = { batchSize: BATCH, verbose: 0 } as const;
const weightsOf = (model: Model) =>
  Object.entries(model.getWeights()).map(([name, { data: each }]) => [name, Array.from(each)]);
const predicted = async (model: Model) => ({
  predict: Array.from((await model.predict(data.x)).data),
});

/** Gives `work` a folder of its own. */
async function inFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'lookback-device-'));
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function files(device: Device): Promise<string> {
  using model = modelOf(PLAIN, on(device));
  await model.fit(data, { ...quiet, epochs: 2 });
  return await inFolder(async (folder) => {
    const path = join(folder, 'model.safetensors');
    await model.save(path);
    using again = await loadModel(path, { device });
    deepEqual(
      await predicted(again),
      await predicted(model),
      'loaded again, it predicts otherwise',
    );
    using cpu = await loadModel(path, { device: 'cpu' });
    const { error } = worstOf(await predicted(model), await predicted(cpu));
    ok(error <= BOUNDS.float32, `loaded on the CPU, predictions differ by ${error}`);
    const back = join(folder, 'back.safetensors');
    await cpu.save(back);
    ok((await readFile(back)).equals(await readFile(path)), 'saved by the CPU, the file differs');
    return '';
  });
}

async function checkpoints(device: Device): Promise<string> {
  using whole = modelOf(PLAIN, on(device));
  await whole.fit(data, { ...quiet, epochs: 4 });
  return await inFolder(async (folder) => {
    const checkpoint = { dir: folder, everyUpdates: 1 };
    using first = modelOf(PLAIN, on(device));
    const stop = { onBatchEnd: (batch: number) => void (first.stopTraining = batch === 1) };
    await first.fit(data, { ...quiet, epochs: 4, checkpoint, callbacks: [stop] });
    using second = modelOf(PLAIN, on(device));
    const none = { onBatchEnd: () => {} };
    const options = { ...quiet, epochs: 4, checkpoint, resume: true, callbacks: [none] };
    const history = await second.fit(data, options);
    deepEqual(history.epoch, [0, 1, 2, 3]);
    deepEqual(weightsOf(second), weightsOf(whole), 'a resumed run ends with other weights');
    return '';
  });
}

async function cancelling(device: Device): Promise<string> {
  using model = modelOf(PLAIN, on(device));
  const stop = new AbortController();
  const running = model.fit(data, { ...quiet, epochs: 1_000_000, signal: stop.signal });
  let aborted = 0;
  setTimeout(() => {
    aborted = performance.now();
    stop.abort();
  }, 100);
  await rejects(running, (error: LookbackError) => error.code === 'ERR_ABORTED');
  const took = performance.now() - aborted;
  await usable(model);
  return `after ${took.toFixed(1)} ms`;
}

/** Predicts and trains on. */
async function usable(model: Model): Promise<void> {
  const { predict } = await predicted(model);
  ok(predict.every(Number.isFinite), 'it does not predict any more');
  const { history } = await model.fit(data, quiet);
  ok(Number.isFinite(history['loss']?.[0]), 'it does not train any more');
}

/** What no GPU of today holds the activations of; the emulated one has 4 GiB. Any machine holds the input. */
const TOO_MUCH: Partial<Record<Device, { rows: number; units: number }>> = {
  cuda: { rows: 120_000, units: 2048 },
  emulated: { rows: 20_000, units: 256 },
};

async function memory(device: Device): Promise<string> {
  const { rows = 0, units = 0 } = TOO_MUCH[device] ?? {};
  const [steps, few] = [128, 2];
  using model = sequential({
    inputShape: [steps, 1],
    device,
    layers: [layers.lstm({ units }), layers.dense({ units: 2 })],
  });
  model.compile({ optimizer: 'sgd', loss: 'sparseCategoricalCrossentropy' });
  const x = (count: number) => ({
    shape: [count, steps, 1],
    data: new Float32Array(count * steps),
  });
  const y = (count: number) => new Int32Array(count);
  let message = '';
  await rejects(
    model.fit(x(rows), y(rows), { batchSize: rows, verbose: 0 }),
    (error: LookbackError) => {
      message = error.message;
      return error.code === 'ERR_MEMORY';
    },
  );
  // The same model, with what fits.
  const { history } = await model.fit(x(few), y(few), { verbose: 0 });
  ok(Number.isFinite(history['loss']?.[0]), 'it does not train any more');
  return message;
}

async function notFinite(device: Device): Promise<string> {
  using model = modelOf({ ...PLAIN, optimizer: { kind: 'sgd', learningRate: 1e38 } }, on(device));
  await rejects(
    model.fit(data, { ...quiet, epochs: 10 }),
    (error: LookbackError) => error.code === 'ERR_NUMERIC',
  );
  for (const [name, weights] of weightsOf(model))
    ok((weights as number[]).every(Number.isFinite), `${String(name)} is not finite`);
  return '';
}

async function sideBySide(device: Device): Promise<string> {
  using one = modelOf(PLAIN, on(device));
  using two = modelOf(PLAIN, on(device));
  await Promise.all([
    one.fit(data, { ...quiet, epochs: 5 }),
    two.fit(data, { ...quiet, epochs: 5 }),
  ]);
  deepEqual(weightsOf(one), weightsOf(two), 'two runs at once end with different weights');
  const running = one.fit(data, quiet);
  await rejects(one.predict(data.x), (error: LookbackError) => error.code === 'ERR_STATE');
  await running;
  equal(one.device, device);
  return '';
}

export const CHECKS: Record<string, (device: Device) => Promise<string>> = {
  'save and load': files,
  'checkpoint and resume': checkpoints,
  cancelling,
  'out of memory': memory,
  'loss that is not finite': notFinite,
  'two models at once': sideBySide,
};
