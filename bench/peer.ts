/**
 * Another library in a process of its own, which answers one line of JSON for each that it is sent (bench/peers/peer.py
 * lists the operations). So the bench can take turns with it, sample by sample.
 */
import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import type { BenchCase, CellKey } from './cases';
import type { TensorEntry } from './tensors';

/** A peer that cannot be run; the message says how to get it. */
export class PeerMissing extends Error {}

/** The ways in which a peer computes a cell, each measured; the faster one counts. */
export const VARIANTS: Record<CellKey, readonly string[]> = {
  lstm: ['nn.LSTM'],
  gru: ['nn.GRU'],
  larnn: ['cached', 'reprojecting'],
};

const SYSTEM_PYTHON = '/usr/bin/python3';

/** The Python that has PyTorch: `$BENCH_PYTHON`, else the system's python3, else the one on the path. */
export function findPython(): string {
  const chosen = process.env['BENCH_PYTHON'];
  const candidates = chosen ? [chosen] : [SYSTEM_PYTHON, 'python3'];
  for (const python of candidates) {
    const found = spawnSync(python, ['-c', 'import torch, numpy'], { stdio: 'ignore' });
    if (found.status === 0) return python;
  }
  throw new PeerMissing(
    `no PyTorch in ${candidates.join(' or ')}. Install it, on Debian: ` +
      'apt-get install python3-torch libopenblas0-pthread (without the second one its products run on a slow reference ' +
      'library), or set BENCH_PYTHON to a Python that has torch and numpy',
  );
}

type Reply = Record<string, unknown> & { error?: string };

export class TorchPeer {
  readonly #process: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterator<string>;
  #stderr = '';
  #version = '';
  #blas = '';

  /** @throws {PeerMissing} where no Python has PyTorch */
  constructor(cell: CellKey, threads: number) {
    const python = findPython();
    const folder = join(dirname(require.resolve('lookback/package.json')), 'bench', 'peers');
    const program = join(folder, `torch_${cell}.py`);
    if (!existsSync(program)) throw new PeerMissing(`${program} is not there`);
    this.#process = spawn(python, [program], {
      env: {
        ...process.env,
        PYTHONDONTWRITEBYTECODE: '1',
        PEER_THREADS: String(threads),
        OMP_NUM_THREADS: String(threads),
        // PyTorch's pool calls it from all its threads; two pools that spin against each other cost up to threefold.
        OPENBLAS_NUM_THREADS: '1',
        MKL_NUM_THREADS: String(threads),
      },
    });
    this.#process.stderr.on('data', (chunk: Buffer) => (this.#stderr += chunk.toString()));
    this.#process.on('error', (error) => (this.#stderr += error.message));
    // A process that died cannot be written to; the missing answer says so.
    this.#process.stdin.on('error', () => {});
    this.#lines = createInterface({ input: this.#process.stdout })[Symbol.asyncIterator]();
  }

  get version(): string {
    return this.#version;
  }

  /** The library behind its matrix products. */
  get blas(): string {
    return this.#blas;
  }

  async open(
    variant: string,
    { spec, shape }: BenchCase,
    path: string,
    tensors: readonly TensorEntry[],
  ): Promise<void> {
    const reply = await this.#ask({ op: 'open', variant, spec, shape, path, tensors });
    this.#version = String(reply['version']);
    this.#blas = String(reply['blas']);
  }

  async milliseconds(op: 'forward' | 'step', variant: string): Promise<number> {
    return Number((await this.#ask({ op, variant }))['ms']);
  }

  /** Lets the peer write output and gradients to `path`. */
  async results(variant: string, path: string): Promise<TensorEntry[]> {
    return (await this.#ask({ op: 'results', variant, path }))['tensors'] as TensorEntry[];
  }

  close(): void {
    this.#process.stdin.end();
  }

  async #ask(request: object): Promise<Reply> {
    this.#process.stdin.write(`${JSON.stringify(request)}\n`);
    const line = await this.#lines.next();
    if (line.done) {
      throw new Error(`the peer ended without an answer:\n${this.#stderr.trim()}`);
    }
    const reply = JSON.parse(line.value) as Reply;
    if (reply.error !== undefined) throw new Error(`the peer failed: ${reply.error}`);
    return reply;
  }
}
