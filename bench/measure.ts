/**
 * Measures one case: our cell through the public API and, taking turns with it, the peer.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { cells } from 'lookback';
import type { Cell, CellOptions, Device } from 'lookback';
import type { BenchCase } from './cases';
import { Peer } from './peer';
import { PeerMissing, PEERS } from './peers';
import type { PeerName } from './peers';
import { summarize } from './statistics';
import type { Sample } from './statistics';
import { readTensors, workload, worstDifference, writeTensors } from './tensors';
import type { FloatTensors, Workload } from './tensors';

/** Samples of each side; fewer where a call of the peer takes longer than `SLOW_MS`. */
const SAMPLES = 20;
const SLOW_SAMPLES = 5;
const SLOW_MS = 1000;
const WARM_UPS = 3;
/** Long enough for the threads of the side that just ran to stop spinning. */
const PAUSE_MS = 5;

export interface Choices {
  peer: PeerName | 'none';
  threads: number;
  device: Device;
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
  /** Median of a forward pass that keeps what backward needs. */
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

/** @throws {PeerMissing}, LookbackError, Error where the results of both sides differ */
export async function measure(bench: BenchCase, choices: Choices): Promise<BenchResult> {
  const work = workload(bench);
  const ours = new Ours(bench, work, choices);
  const peer = choices.peer === 'none' ? null : startPeer(choices.peer, bench, choices.threads);
  try {
    const opened = peer ? await openPeer(peer, bench, work, ours, choices) : 0;
    const slow = opened > SLOW_MS || (await ours.step()) > SLOW_MS;
    const variants = peer?.kind.variants[bench.cell] ?? [];
    const takeOurs = (): Promise<Sample> => sampleOurs(ours);
    const turns: (() => Promise<Sample>)[] = [
      takeOurs,
      ...variants.map((variant) => () => samplePeer(peer as Peer, variant)),
    ];
    const samples = await takeTurns(turns, slow);
    const [mine = [], ...theirs] = samples;
    const { forwardMs, stepMs: step, kept } = summarizeAloud('ours', mine, choices.note);
    const stepMs = step ?? NaN;
    const peerResult = peer ? fastest(peer, variants, theirs, choices.note) : null;
    return {
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
      peer: peerResult,
      ratio: peerResult && {
        forward: peerResult.forwardMs / forwardMs,
        step: peerResult.stepMs === null ? null : peerResult.stepMs / stepMs,
      },
    };
  } finally {
    peer?.close();
  }
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

/** Gives the peer its numbers and compares its results with ours; returns its slowest step in milliseconds. */
async function openPeer(
  peer: Peer,
  bench: BenchCase,
  work: Workload,
  ours: Ours,
  { note }: Choices,
): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'lookback-bench-'));
  try {
    const given = join(folder, 'given.bin');
    const returned = join(folder, 'returned.bin');
    const tensors = writeTensors(given, { x: work.x, dy: work.dy, ...work.weights });
    const mine = await ours.results();
    let slowest = 0;
    for (const variant of peer.kind.variants[bench.cell] ?? []) {
      await peer.open(variant, bench, given, tensors);
      const theirs = readTensors(returned, await peer.results(variant, returned));
      const { tensor, difference } = worstDifference(mine, theirs);
      const found = `${bench.name}: largest difference to ${peer.kind.name} ${variant} ${difference.toExponential(1)} in ${tensor}`;
      note(found);
      if (!(difference <= bench.tolerance)) {
        throw new Error(`${found}; expected at most ${bench.tolerance}: not the same function`);
      }
      const op = peer.kind.trains ? 'step' : 'forward';
      slowest = Math.max(slowest, await peer.milliseconds(op, variant));
    }
    if (peer.detail.endsWith('BLAS reference')) {
      note(
        'the peer runs on the reference BLAS, which is some fifteen times slower than an optimized one; for a fair ' +
          'comparison: apt-get install libopenblas0-pthread',
      );
    }
    return slowest;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function sampleOurs(ours: Ours): Promise<Sample> {
  return { forwardMs: await ours.forward(), stepMs: await ours.step() };
}

async function samplePeer(peer: Peer, variant: string): Promise<Sample> {
  const forwardMs = await peer.milliseconds('forward', variant);
  return { forwardMs, stepMs: peer.kind.trains ? await peer.milliseconds('step', variant) : null };
}

/** Interleaved, so that whatever else the machine does meets all sides alike. */
async function takeTurns(
  turns: readonly (() => Promise<Sample>)[],
  slow: boolean,
): Promise<Sample[][]> {
  const samples: Sample[][] = turns.map(() => []);
  const warmUps = slow ? 1 : WARM_UPS;
  const rounds = warmUps + (slow ? SLOW_SAMPLES : SAMPLES);
  for (let round = 0; round < rounds; ++round) {
    for (const [side, turn] of turns.entries()) {
      await sleep(PAUSE_MS);
      const sample = await turn();
      if (round >= warmUps) samples[side]?.push(sample);
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
  peer: Peer,
  variants: readonly string[],
  samples: readonly Sample[][],
  note: (text: string) => void,
): PeerResult {
  const { name, trains } = peer.kind;
  const measured = variants.map((variant, index) => {
    const summary = summarizeAloud(`${name} ${variant}`, samples[index] ?? [], note);
    return { variant, ...summary, judged: summary.stepMs ?? summary.forwardMs };
  });
  const [best, ...others] = measured.sort((a, b) => a.judged - b.judged);
  if (best === undefined) throw new Error('the peer has no variants');
  const what = trains ? 'step' : 'forward';
  const slower = others.map(
    ({ variant, judged }) => `; ${variant}: ${what} ${judged.toFixed(1)} ms`,
  );
  return {
    name,
    version: peer.version,
    variant: `${best.variant}, ${peer.detail}${slower.join('')}`,
    forwardMs: best.forwardMs,
    stepMs: best.stepMs,
  };
}
