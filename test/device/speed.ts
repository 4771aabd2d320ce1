/**
 * The two aims of docs/gpu.md: how long an epoch of the HAR data's size takes through `fit`, and how much of that the device
 * waits for JavaScript.
 */
import type { Device, LayerSpec } from 'lookback';
import { layers, sequential } from 'lookback';
import type { NativeEngine } from '../../lib/native';
import { addon } from './addon';

const [ROWS, STEPS, FEATURES, CLASSES, UNITS, BATCH] = [7352, 128, 9, 6, 64, 256];
const AIM_SECONDS = 0.3;
const EPOCHS = 6;

const stacks: Record<string, LayerSpec> = {
  larnn: layers.larnn({ units: UNITS, heads: 4, window: 16 }),
  lstm: layers.lstm({ units: UNITS }),
};

/** Where one call of the addon began and ended, in milliseconds. */
type Span = [begin: number, end: number];

/** Notes when `train` of every engine made from now on begins and ends. */
function watchTraining(): Span[] {
  const spans: Span[] = [];
  const native = addon();
  const create = native.createEngine;
  native.createEngine = (spec) => {
    const engine: NativeEngine = create.call(native, spec);
    const train = engine.train.bind(engine);
    const timed: NativeEngine['train'] = async (...words) => {
      const begin = performance.now();
      try {
        return await train(...words);
      } finally {
        spans.push([begin, performance.now()]);
      }
    };
    // The class's own cannot be assigned over.
    Object.defineProperty(engine, 'train', { value: timed });
    return engine;
  };
  return spans;
}

const median = (values: number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;

export async function measureSpeed(device: Device): Promise<void> {
  const spans = watchTraining();
  const x = {
    shape: [ROWS, STEPS, FEATURES],
    data: Float32Array.from({ length: ROWS * STEPS * FEATURES }, (_, at) => Math.sin(0.37 * at)),
  };
  const y = Int32Array.from({ length: ROWS }, (_, row) => row % CLASSES);
  for (const [name, layer] of Object.entries(stacks)) {
    using model = sequential({
      ...{ inputShape: [STEPS, FEATURES], device },
      layers: [layer, layers.dense({ units: CLASSES })],
    });
    model.compile({ optimizer: 'adam', loss: 'sparseCategoricalCrossentropy' });
    const ends: number[] = [];
    const watch = { onEpochEnd: () => void ends.push(performance.now()) };
    spans.length = 0;
    await model.fit({ x, y }, { epochs: EPOCHS, batchSize: BATCH, verbose: 0, callbacks: [watch] });
    // The first epoch makes kernels ready and asks for memory.
    const epochs = ends.slice(1).map((end, at) => [ends[at] ?? NaN, end] as const);
    const seconds = median(epochs.map(([begin, end]) => (end - begin) / 1000));
    const share = median(epochs.map(([begin, end]) => idleShare(spans, begin, end)));
    const aim = seconds < AIM_SECONDS ? 'met' : 'MISSED';
    console.log(
      `speed: an epoch of ${name} (${ROWS} windows, ${UNITS} units, batch ${BATCH}) takes ${seconds.toFixed(3)} s` +
        (name === 'larnn' ? `; the aim, under ${AIM_SECONDS} s, is ${aim}` : '') +
        `; between two calls of the addon JavaScript takes ${(share * 100).toFixed(2)} % of it`,
    );
  }
}

/** The share of that time in which no call was under way. */
function idleShare(spans: readonly Span[], begin: number, end: number): number {
  const busy = spans
    .filter(([from, to]) => from >= begin && to <= end)
    .reduce((sum, [from, to]) => sum + (to - from), 0);
  return 1 - busy / (end - begin);
}
