/**
 * `lookback bench`: how fast recurrent layers run here, as a user of the package gets them.
 */
import { z } from 'zod';
import type { CellKind } from '../cells';
import { definitions, isCellKind } from '../cells';
import { backendInfo, resolveDevice } from '../devices';
import { LookbackError } from '../errors';
import type { LayerSpec } from '../layers';
import { resolveLayer } from '../layers';
import { sequential } from '../model';
import type { Model } from '../model';
import { closest, parseOptions, show } from '../options';
import type { Tensor } from '../tensor';
import type { Output } from './output';

/** As typed: numbers are texts. */
export interface BenchOptions {
  batch: string;
  steps: string;
  features: string;
  units: string;
  samples: string;
  threads: string;
  device: string;
  dtype: string;
}

const count = z.int().min(1).max(16384);
const schema = z.strictObject({
  batch: count,
  steps: count,
  features: count,
  units: count,
  samples: count,
  threads: z.int().min(0).max(1024),
  device: z.enum(['auto', 'cpu', 'cuda', 'emulated']),
  dtype: z.enum(['float32', 'float64']),
});
type Shape = z.output<typeof schema>;

const mainCells: readonly CellKind[] = ['lstm', 'gru', 'larnn', 'rra', 'scornn'];
const WARM_UPS = 3;

interface Times {
  forward: number[];
  step: number[];
}

/**
 * Times one layer of each cell: a forward pass that keeps what backward needs, and a step, which is forward and backward
 * with the gradients of input and weights, without an optimizer.
 *
 * @throws {LookbackError} ERR_OPTION, ERR_DEVICE
 */
export async function bench(
  kinds: readonly string[],
  options: BenchOptions,
  output: Output,
): Promise<void> {
  const shape = parseOptions(schema, numbersOf(options), 'bench');
  resolveDevice(shape.device);
  const chosen = kinds.length === 0 ? mainCells : kinds.map(kindOf);
  const width = Math.max(...chosen.map((kind) => kind.length), 'cell'.length);
  const heading = `${'cell'.padEnd(width)}  ${'forward, ms'.padStart(24)}  ${'step, ms'.padStart(24)}  sequences/s`;
  tellMachine(shape, heading, output);
  for (const kind of chosen) {
    const times = await timesOf(kind, shape);
    const [forwardMs, stepMs] = [median(times.forward), median(times.step)];
    const perSecond = (1000 * shape.batch) / stepMs;
    const columns = [withRange(times.forward), withRange(times.step)].map((text) =>
      text.padStart(24),
    );
    const { batch, steps, features, units, samples, dtype } = shape;
    output.tell(
      'bench',
      {
        ...{ cell: kind, batch, steps, features, units, dtype, samples, forwardMs, stepMs },
        ...{ forwardRangeMs: rangeOf(times.forward), stepRangeMs: rangeOf(times.step) },
        sequencesPerSecond: perSecond,
      },
      `${kind.padEnd(width)}  ${columns.join('  ')}  ${perSecond.toFixed(0).padStart(11)}`,
    );
  }
}

/** @throws {LookbackError} ERR_OPTION */
function kindOf(name: string): CellKind {
  if (isCellKind(name)) return name;
  const known = Object.keys(definitions);
  const meant = closest(name, known);
  const hint = meant === null ? `expected some of ${known.join(', ')}` : `did you mean "${meant}"?`;
  throw new LookbackError('ERR_OPTION', `bench: cell ${show(name)} is unknown; ${hint}`);
}

/** Texts that are whole numbers as numbers; the others stay, to be told as they were typed. */
function numbersOf(options: BenchOptions): Record<string, unknown> {
  const entries = Object.entries(options as unknown as Record<string, string>);
  return Object.fromEntries(
    entries.map(([key, text]) => [key, /^\d+$/.test(text) ? Number(text) : text]),
  );
}

function tellMachine(shape: Shape, heading: string, output: Output): void {
  const info = backendInfo();
  const { batch, steps, features, units, dtype, device } = shape;
  const threads = shape.threads || info.threads;
  const { version, isa, compiler } = info;
  output.tell(
    'machine',
    { version, isa, compiler, threads, device },
    `lookback ${version}, ${isa} kernels, ${compiler}, ${threads} threads; ` +
      `[${batch}, ${steps}, ${features}] to ${units} units, ${dtype}; medians of ${shape.samples} (least to largest)\n${heading}`,
  );
}

/** The layer that gives the output of every step; options that a cell cannot do without are chosen for it. */
function layerOf(kind: CellKind, units: number): LayerSpec {
  const short = Math.max(1, units >> 2);
  const sized: Partial<Record<CellKind, object>> = {
    larnn: { units, heads: [4, 3, 2, 1].find((heads) => units % heads === 0) },
    enrnn: { longUnits: Math.max(1, units - short), shortUnits: short },
  };
  const options = sized[kind] ?? { units };
  return resolveLayer({ kind, returnSequences: true, ...options }, `bench: ${kind}`);
}

async function timesOf(kind: CellKind, shape: Shape): Promise<Times> {
  const { batch, steps, features, units, threads, device, dtype, samples } = shape;
  using model = sequential({
    ...{ inputShape: [steps, features], layers: [layerOf(kind, units)] },
    ...{ threads, device, dtype },
  });
  const Floats = dtype === 'float64' ? Float64Array : Float32Array;
  const waves = (size: number) => new Floats(size).map((_, at) => Math.sin(at));
  const x = { shape: [batch, steps, features], data: waves(batch * steps * features) };
  const { shape: given } = await model.forward(x);
  const gradient = { shape: given, data: waves(given.reduce((size, extent) => size * extent, 1)) };
  const times: Times = { forward: [], step: [] };
  for (let round = -WARM_UPS; round < samples; round += 1) {
    const { forward, step } = await timeRound(model, x, gradient);
    if (round < 0) continue;
    times.forward.push(forward);
    times.step.push(step);
  }
  return times;
}

async function timeRound(
  model: Model,
  x: Tensor,
  gradient: Tensor,
): Promise<{ forward: number; step: number }> {
  const begun = performance.now();
  await model.forward(x, { training: true });
  const forward = performance.now() - begun;
  await model.backward(gradient);
  return { forward, step: performance.now() - begun };
}

function median(samples: readonly number[]): number {
  const sorted = [...samples].sort((a, b) => a - b);
  const upper = sorted[sorted.length >> 1] ?? NaN;
  return sorted.length % 2 ? upper : ((sorted[(sorted.length >> 1) - 1] ?? NaN) + upper) / 2;
}

function rangeOf(samples: readonly number[]): [number, number] {
  return [Math.min(...samples), Math.max(...samples)];
}

function withRange(samples: readonly number[]): string {
  const [least, largest] = rangeOf(samples);
  return `${median(samples).toFixed(2)} (${least.toFixed(2)} to ${largest.toFixed(2)})`;
}
