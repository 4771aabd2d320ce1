/**
 * The libraries to compare with, and how each is found and started at its best settings.
 */
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { CellKey } from './cases';
import { compiled, CompileError } from './compile';

/** A peer that cannot be run; the message says how to get it. */
export class PeerMissing extends Error {}

export type PeerName = 'torch' | 'onednn' | 'onnxruntime' | 'tfjs';

/** What a case can be measured against; `own` is our own LSTM at the same shape, for cells that build on it. */
export type Opponent = PeerName | 'own' | 'none';

/** A process to be started. */
export interface PeerCommand {
  program: string;
  args: readonly string[];
  env: Record<string, string>;
}

export interface PeerKind {
  name: PeerName;
  /** Of each cell that it knows: the ways in which it computes it, each measured; the fastest one counts. */
  variants: Partial<Record<CellKey, readonly string[]>>;
  /** False: it only infers, and there is no step to compare. */
  trains: boolean;
  /** @throws {PeerMissing} */
  command(cell: CellKey, threads: number): PeerCommand;
}

const SYSTEM_PYTHON = '/usr/bin/python3';
const root = dirname(require.resolve('lookback/package.json'));
/** Sources of the peers, which are not compiled with the bench. */
const sources = join(root, 'bench', 'peers');

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

function buildOnednn(): string {
  try {
    return compiled('onednn', join('bench', 'peers', 'onednn.cc'), ['-O2', '-ldnnl']);
  } catch (error) {
    if (!(error instanceof CompileError)) throw error;
    throw new PeerMissing(
      `oneDNN's bench program does not build (${error.message}). On Debian: apt-get install g++ libdnnl-dev nlohmann-json3-dev`,
    );
  }
}

/** A peer on Node: its package must be installed, beside the checkout's own ones or in `$BENCH_MODULES`. */
function nodePeer(name: string, modules: readonly string[], install: string): string[] {
  const home = process.env['BENCH_MODULES'] ?? root;
  const find = createRequire(join(home, 'package.json'));
  for (const module of modules) {
    try {
      find.resolve(module);
    } catch {
      throw new PeerMissing(
        `${module} was not found from ${home}. Install it there with: ${install}`,
      );
    }
  }
  return [join(__dirname, 'peers', `${name}.js`), home];
}

const ONNXRUNTIME = 'onnxruntime-node@1.30.0';
const TFJS = '@tensorflow/tfjs@4.22.0 @tensorflow/tfjs-backend-wasm@4.22.0';

export const PEERS: Readonly<Record<PeerName, PeerKind>> = {
  torch: {
    name: 'torch',
    variants: {
      lstm: ['nn.LSTM'],
      gru: ['nn.GRU'],
      larnn: ['cached', 'reprojecting'],
      rra: ['cell'],
      scornn: ['cell'],
      enrnn: ['cell'],
    },
    trains: true,
    command: (cell, threads) => ({
      program: findPython(),
      args: [join(sources, `torch_${cell}.py`)],
      env: {
        PYTHONDONTWRITEBYTECODE: '1',
        PEER_THREADS: String(threads),
        OMP_NUM_THREADS: String(threads),
        // PyTorch's pool calls it from all its threads; two pools that spin against each other cost up to threefold.
        OPENBLAS_NUM_THREADS: '1',
        MKL_NUM_THREADS: String(threads),
      },
    }),
  },
  onednn: {
    name: 'onednn',
    variants: { lstm: ['lstm primitive'] },
    trains: true,
    command: (_cell, threads) => ({
      program: buildOnednn(),
      args: [],
      env: { OMP_NUM_THREADS: String(threads) },
    }),
  },
  onnxruntime: {
    name: 'onnxruntime',
    variants: { lstm: ['LSTM operator'], gru: ['GRU operator'] },
    trains: false,
    command: (_cell, threads) => ({
      program: process.execPath,
      args: nodePeer(
        'onnxruntime',
        ['onnxruntime-node', 'protobufjs'],
        `ONNXRUNTIME_NODE_INSTALL=skip npm install --no-save ${ONNXRUNTIME} protobufjs@8`,
      ),
      env: { PEER_THREADS: String(threads) },
    }),
  },
  tfjs: {
    name: 'tfjs',
    variants: { lstm: ['wasm', 'cpu'] },
    trains: true,
    command: (_cell, threads) => ({
      program: process.execPath,
      args: nodePeer(
        'tfjs',
        ['@tensorflow/tfjs', '@tensorflow/tfjs-backend-wasm'],
        `npm install --no-save ${TFJS}`,
      ),
      env: { PEER_THREADS: String(threads) },
    }),
  },
};

export const OPPONENTS: readonly Opponent[] = [
  ...(Object.keys(PEERS) as PeerName[]),
  'own',
  'none',
];
