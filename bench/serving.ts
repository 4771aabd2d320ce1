/**
 * What is no layer's time: what training leaves of the event loop, a stream's step, and what is made once a step.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { layers, sequential } from 'lookback';
import type { Stream } from 'lookback';
import { lstm } from './cases';
import type { BenchCase, Shape } from './cases';
import { measure } from './measure';
import type { Choices, PeerResult } from './measure';

const RESOLUTION_MS = 1;

/** Milliseconds that a timer came late. */
export interface Delay {
  p50: number;
  p99: number;
  max: number;
}

export interface EventLoop {
  idle: Delay;
  training: Delay;
  seconds: number;
}

/** The delay of the event loop while an LSTM of 128 units trains on HAR's shape with all threads, and without. */
export async function eventLoopDelay(threads: number, seconds: number): Promise<EventLoop> {
  const rows = 512;
  using model = sequential({
    inputShape: [128, 9],
    layers: [layers.lstm({ units: 128 }), layers.dense({ units: 6 })],
    threads,
  });
  model.compile({ optimizer: 'adam', loss: 'sparseCategoricalCrossentropy' });
  const x = { shape: [rows, 128, 9], data: new Float32Array(rows * 128 * 9).map(Math.sin) };
  const y = new Int32Array(rows).map((_, at) => at % 6);
  const train = (): Promise<unknown> => model.fit(x, y, { epochs: 1, batchSize: 64, verbose: 0 });
  await train();
  const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  const watch = async (work: () => Promise<unknown>): Promise<Delay> => {
    histogram.reset();
    histogram.enable();
    const end = performance.now() + 1000 * seconds;
    while (performance.now() < end) await work();
    histogram.disable();
    // What it counts includes the timer's own period.
    const late = (nanoseconds: number): number => Math.max(0, nanoseconds / 1e6 - RESOLUTION_MS);
    const [p50, p99] = [late(histogram.percentile(50)), late(histogram.percentile(99))];
    return { p50, p99, max: late(histogram.max) };
  };
  const idle = await watch(() => sleep(100));
  return { idle, training: await watch(train), seconds };
}

export interface StreamStep {
  units: number;
  /** Microseconds from the call in JavaScript to its result. */
  p50: number;
  p99: number;
  steps: number;
  /** The forward pass of another library over one row and one step, where one is here. */
  peer: PeerResult | null;
}

/** The steps of a stream of one client; PyTorch, where it is here, has a sequence of one step instead. */
export async function streamStep(
  steps: number,
  choices: Choices,
  units = 128,
): Promise<StreamStep> {
  const inputSize = 9;
  const model = sequential({
    inputShape: [null, inputSize],
    layers: [layers.lstm({ units })],
    threads: 1,
  });
  const took = stepTimes(model.createStream(), { steps, inputSize, units }).sort();
  model.dispose();
  const quantile = (share: number): number => took[Math.floor(share * (steps - 1))] ?? NaN;
  const bench = lstm('stream', { batch: 1, steps: 1, inputSize, units });
  const { result } = await measure(bench, choices);
  return { units, p50: quantile(0.5), p99: quantile(0.99), steps, peer: result.peer };
}

/** Microseconds of each step, after a thousand to warm up. */
function stepTimes(
  stream: Stream,
  { steps, inputSize, units }: Pick<Shape, 'steps' | 'inputSize' | 'units'>,
): Float64Array {
  const data = new Float32Array(inputSize);
  const sample = { shape: [1, inputSize], data };
  const output = new Float32Array(units);
  const took = new Float64Array(steps);
  for (let at = -1000; at < steps; at += 1) {
    data[Math.abs(at) % inputSize] = Math.sin(at);
    const begun = performance.now();
    stream.step(sample, output);
    if (at >= 0) took[at] = 1000 * (performance.now() - begun);
  }
  stream.dispose();
  return took;
}

export interface Preparation {
  case: string;
  /** Of one row and one step: the matrices and everything else that does not grow with the batch. */
  onceMs: number;
  stepMs: number;
}

/** What of a step does not depend on the size of its batch: at most this is the preparation of the matrices. */
export async function preparation(bench: BenchCase, choices: Choices): Promise<Preparation> {
  const small = { ...bench, shape: { ...bench.shape, batch: 1, steps: 1 } };
  const alone = { ...choices, peer: 'none' } as const;
  const { result: once } = await measure(small, alone);
  const { result: whole } = await measure(bench, alone);
  return { case: bench.name, onceMs: once.stepMs, stepMs: whole.stepMs };
}
