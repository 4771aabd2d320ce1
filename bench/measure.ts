/**
 * Measures one case: our cell through the public API and, taking turns with it, the peer.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { backendInfo, cells, layers, sequential } from 'lookback';
import type { Cell, CellOptions, Device, LayerSpec, Model } from 'lookback';
import { lstm } from './cases';
import type { BenchCase } from './cases';
import { Peer } from './peer';
import { PeerMissing, PEERS } from './peers';
import type { Opponent, PeerName } from './peers';
import { summarize } from './statistics';
import type { Range, Sample, Summary } from './statistics';
import { readTensors, workload, worstDifference, writeTensors } from './tensors';
import type { FloatTensors, Workload } from './tensors';

/** Samples of each side; fewer where a call of the peer takes longer than `SLOW_MS`. */
const SAMPLES = 20;
const SLOW_SAMPLES = 5;
const SLOW_MS = 1000;
/**
 * How long a side runs before it is measured. Until its garbage is collected for the first time each of our passes has fresh memory for
 * its results, and the system's pages take longer than the pass where faults are dear.
 */
const WARM_UP_MS = 1000;
/** Long enough for the threads of the side that just ran to stop spinning. */
const PAUSE_MS = 5;

export interface Choices {
  peer: Opponent;
  threads: number;
  device: Device;
  /** Default 20. */
  samples?: number;
  /** Where remarks go that are no results. */
  note: (text: string) => void;
}

export interface PeerResult {
  name: string;
  version: string;
  variant: string;
  forwardMs: number;
  /** Null where the peer only infers. */
  stepMs: number | null;
}

/** One line of `bench --json`. */
export interface BenchResult {
  case: string;
  cell: string;
  device: string;
  threads: number;
  dtype: string;
  shape: BenchCase['shape'];
  spec: BenchCase['spec'];
  /** Median of a forward pass that keeps what backward needs; against a peer that only infers, of a model's `predict`. */
  forwardMs: number;
  /** Median of forward and backward, with gradients of input and weights, without an optimizer. */
  stepMs: number;
  samples: number;
  /** Of the step, by the operation counts in bench/cases.ts. */
  gflops: number;
  peer: PeerResult | null;
  /** Time of the peer over ours. */
  ratio: { forward: number; step: number | null } | null;
}

/** The times of one side: the least and the largest that were kept. */
export interface Spread {
  forwardMs: Range;
  stepMs: Range | null;
}

/** A result with what its line does not say. */
export interface Measurement {
  result: BenchResult;
  spread: Spread;
  peerSpread: Spread | null;
  /** The largest one between our results and the peer's; null where it computes something else. */
  difference: number | null;
}

/** The other side of a measurement, ready to run. */
interface Opened {
  name: string;
  version: string;
  detail: string;
  /** False: it only infers. */
  trains: boolean;
  variants: readonly string[];
  difference: number | null;
  /** Of its variants, in milliseconds. */
  slowest: number;
  sample(variant: string): Promise<Sample>;
  close(): void;
}

/** @throws {PeerMissing}, LookbackError, Error where the results of both sides differ */
export async function measure(bench: BenchCase, choices: Choices): Promise<Measurement> {
  const work = workload(bench);
  const ours = new Ours(bench, work, choices);
  const peer = await openOpponent(bench, work, ours, choices);
  const inference = peer?.trains === false ? new Inference(bench, work, choices) : null;
  try {
    const slow = (peer?.slowest ?? 0) > SLOW_MS || (await ours.step()) > SLOW_MS;
    const turns: (() => Promise<Sample>)[] = [
      () => sampleOurs(ours, inference ?? ours),
      ...(peer?.variants ?? []).map((variant) => () => (peer as Opened).sample(variant)),
    ];
    const most = choices.samples ?? SAMPLES;
    const samples = await takeTurns(turns, slow ? Math.min(most, SLOW_SAMPLES) : most);
    const [mine = [], ...theirs] = samples;
    const summary = summarizeAloud('ours', mine, choices.note);
    const { forwardMs, kept } = summary;
    const stepMs = summary.stepMs ?? NaN;
    const best = peer ? fastest(peer, theirs, choices.note) : null;
    const result = {
      case: bench.name,
      cell: bench.cell,
      device: choices.device,
      threads: choices.threads,
      dtype: 'float32',
      shape: bench.shape,
      spec: bench.spec,
      forwardMs,
      stepMs,
      samples: kept,
      gflops: bench.stepFlops / stepMs / 1e6,
      peer: best && best.result,
      ratio: best && {
        forward: best.result.forwardMs / forwardMs,
        step: best.result.stepMs === null ? null : best.result.stepMs / stepMs,
      },
    };
    return {
      result,
      spread: spreadOf(summary),
      peerSpread: best && best.spread,
      difference: peer ? peer.difference : null,
    };
  } finally {
    peer?.close();
    inference?.close();
  }
}

function spreadOf({ forwardRange, stepRange }: Summary): Spread {
  return { forwardMs: forwardRange, stepMs: stepRange };
}

async function openOpponent(
  bench: BenchCase,
  work: Workload,
  ours: Ours,
  choices: Choices,
): Promise<Opened | null> {
  if (choices.peer === 'none') return null;
  if (choices.peer === 'own') return openOwn(bench, choices);
  const peer = startPeer(choices.peer, bench, choices.threads);
  try {
    const { slowest, difference } = await openPeer(peer, bench, work, ours, choices);
    const { name, trains, variants } = peer.kind;
    return {
      name,
      version: peer.version,
      detail: peer.detail,
      trains,
      variants: variants[bench.cell] ?? [],
      difference,
      slowest,
      sample: (variant) => samplePeer(peer, variant),
      close: () => peer.close(),
    };
  } catch (error) {
    peer.close();
    throw error;
  }
}

/** Our own LSTM at the shape of a cell that builds on it: what the rest of that cell costs. */
async function openOwn({ shape }: BenchCase, choices: Choices): Promise<Opened> {
  const bench = lstm('own', shape);
  const own = new Ours(bench, workload(bench), choices);
  return {
    name: 'lookback',
    version: backendInfo().version,
    detail: 'at the same shape',
    trains: true,
    variants: ['lstm'],
    difference: null,
    slowest: await own.step(),
    sample: () => sampleOurs(own, own),
    close: () => {},
  };
}

function startPeer(name: PeerName, { name: title, cell }: BenchCase, threads: number): Peer {
  const kind = PEERS[name];
  if (kind.variants[cell] === undefined) {
    const known = Object.keys(kind.variants).join(', ');
    throw new PeerMissing(`${title}: ${name} has no ${cell}; it is a peer for ${known}`);
  }
  return new Peer(kind, kind.command(cell, threads));
}

/** Our cell through the public API; its times include copying inputs and weights in, outputs and gradients out. */
class Ours {
  readonly #cell: Cell;
  readonly #work: Workload;

  constructor(bench: BenchCase, work: Workload, { threads, device }: Choices) {
    const how = { dtype: 'float32', device, threads } as const;
    const make: (spec: never, how: CellOptions) => Cell = cells[bench.cell];
    this.#cell = make(bench.spec as never, how);
    this.#work = work;
  }

  async forward(): Promise<number> {
    const start = performance.now();
    const { handle } = await this.#run();
    const spent = performance.now() - start;
    handle.dispose();
    return spent;
  }

  async step(): Promise<number> {
    const start = performance.now();
    const { handle } = await this.#run();
    await handle.backward({ y: this.#work.dy });
    return performance.now() - start;
  }

  /** y and the gradients of x and of the weights. */
  async results(): Promise<FloatTensors> {
    const { outputs, handle } = await this.#run();
    const { grads } = await handle.backward({ y: this.#work.dy });
    return { ...grads, y: outputs['y'] } as FloatTensors;
  }

  #run(): ReturnType<Cell['forward']> {
    return this.#cell.forward({ x: this.#work.x }, this.#work.weights, { training: true });
  }
}

/** A model of the one layer, as a server has it: the weights stay where they are, and nothing is kept for backward. */
class Inference {
  readonly #model: Model;
  readonly #x: Workload['x'];

  constructor({ cell, spec, shape }: BenchCase, { x, weights }: Workload, choices: Choices) {
    const { inputSize, ...options } = spec;
    const make: (options: never) => LayerSpec = layers[cell];
    const layer = make({ ...options, name: 'layer', returnSequences: true } as never);
    const { threads, device } = choices;
    const inputShape: [number, number] = [shape.steps, Number(inputSize)];
    this.#model = sequential({ inputShape, layers: [layer], threads, device });
    this.#model.setWeights(
      Object.fromEntries(Object.entries(weights).map(([name, w]) => [`layer.${name}`, w])),
    );
    this.#x = x;
  }

  async forward(): Promise<number> {
    const start = performance.now();
    await this.#model.predict(this.#x, { batchSize: this.#x.shape[0] ?? 1 });
    return performance.now() - start;
  }

  close(): void {
    this.#model.dispose();
  }
}

/** Gives the peer its numbers and compares its results with ours; how long its slowest variant takes, in milliseconds. */
async function openPeer(
  peer: Peer,
  bench: BenchCase,
  work: Workload,
  ours: Ours,
  { note }: Choices,
): Promise<{ slowest: number; difference: number }> {
  const folder = mkdtempSync(join(tmpdir(), 'lookback-bench-'));
  try {
    const given = join(folder, 'given.bin');
    const returned = join(folder, 'returned.bin');
    const tensors = writeTensors(given, { x: work.x, dy: work.dy, ...work.weights });
    const mine = await ours.results();
    let [slowest, largest] = [0, 0];
    for (const variant of peer.kind.variants[bench.cell] ?? []) {
      await peer.open(variant, bench, given, tensors);
      const theirs = readTensors(returned, await peer.results(variant, returned));
      const { tensor, difference } = worstDifference(mine, theirs);
      const found = `${bench.name}: largest difference to ${peer.kind.name} ${variant} ${difference.toExponential(1)} in ${tensor}`;
      note(found);
      if (!(difference <= bench.tolerance)) {
        throw new Error(`${found}; expected at most ${bench.tolerance}: not the same function`);
      }
      largest = Math.max(largest, difference);
      const op = peer.kind.trains ? 'step' : 'forward';
      slowest = Math.max(slowest, await peer.milliseconds(op, variant));
    }
    if (peer.detail.endsWith('BLAS reference')) {
      note(
        'the peer runs on the reference BLAS, which is some fifteen times slower than an optimized one; for a fair ' +
          'comparison: apt-get install libopenblas0-pthread',
      );
    }
    return { slowest, difference: largest };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function sampleOurs(ours: Ours, forward: Pick<Ours, 'forward'>): Promise<Sample> {
  await forward.forward();
  return { forwardMs: await forward.forward(), stepMs: await ours.step() };
}

async function samplePeer(peer: Peer, variant: string): Promise<Sample> {
  await peer.milliseconds('forward', variant);
  const forwardMs = await peer.milliseconds('forward', variant);
  return { forwardMs, stepMs: peer.kind.trains ? await peer.milliseconds('step', variant) : null };
}

/** Interleaved, so that whatever else the machine does meets all sides alike; each is warmed up before, by one turn at least. */
async function takeTurns(
  turns: readonly (() => Promise<Sample>)[],
  count: number,
): Promise<Sample[][]> {
  const samples: Sample[][] = turns.map(() => []);
  const warmUp = count > SLOW_SAMPLES ? WARM_UP_MS : 0;
  for (const turn of turns) {
    const end = performance.now() + warmUp;
    do await turn();
    while (performance.now() < end);
  }
  for (let round = 0; round < count; ++round) {
    for (const [side, turn] of turns.entries()) {
      await sleep(PAUSE_MS);
      samples[side]?.push(await turn());
    }
  }
  return samples;
}

/** The medians of one side; samples that cannot be true are left out, and that is said. */
function summarizeAloud(
  side: string,
  samples: readonly Sample[],
  note: (text: string) => void,
): ReturnType<typeof summarize> {
  const summary = summarize(samples);
  const discarded = samples.length - summary.kept;
  if (discarded > 0) {
    note(`${side}: ${discarded} samples discarded, their forward took longer than their step`);
  }
  return summary;
}

function fastest(
  { name, version, detail, trains, variants }: Opened,
  samples: readonly Sample[][],
  note: (text: string) => void,
): { result: PeerResult; spread: Spread } {
  const measured = variants.map((variant, index) => {
    const summary = summarizeAloud(`${name} ${variant}`, samples[index] ?? [], note);
    return { variant, summary, judged: summary.stepMs ?? summary.forwardMs };
  });
  const [best, ...others] = measured.sort((a, b) => a.judged - b.judged);
  if (best === undefined) throw new Error('the peer has no variants');
  const what = trains ? 'step' : 'forward';
  const slower = others.map(
    ({ variant, judged }) => `; ${variant}: ${what} ${judged.toFixed(1)} ms`,
  );
  const { forwardMs, stepMs } = best.summary;
  const variant = `${best.variant}, ${detail}${slower.join('')}`;
  return { result: { name, version, variant, forwardMs, stepMs }, spread: spreadOf(best.summary) };
}
