/**
 * The only file that touches the native addon: where it is looked for, and the typed contract of all it exports.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { LookbackError } from './errors';
import { findTool } from './toolchain';

export type DType = 'float32' | 'float64';
export type FloatArray = Float32Array | Float64Array;
/** A flat spec: scalars only, names as in the test vectors. */
export type NativeSpec = { [key: string]: string | number | boolean };
export interface NativeTensor {
  shape: number[];
  data: FloatArray | Int32Array;
}
export type NativeTensors = { [name: string]: NativeTensor };

export interface NativeTape {
  /** Gradients of every differentiable input given to `forward` and of every weight. Once; the tape is gone after. */
  backward(upstream: NativeTensors): Promise<NativeTensors>;
  /** What the forward pass has saved, by the names of the cell's document; at once, before `backward`. */
  saved(): NativeTensors;
  dispose(): void;
}

export interface NativeCell {
  /** Parameter names and shapes, in arena order. */
  params(): { name: string; shape: number[] }[];
  /**
   * Inputs ("x", states, "lengths" as Int32Array, masks, buffers) and weights by vector name, batch-major, in the
   * cell's dtype. Copies its inputs before it returns.
   */
  forward(
    inputs: NativeTensors,
    weights: NativeTensors,
    options: { training: boolean; threads: number },
  ): Promise<{ outputs: NativeTensors; tape: NativeTape }>;
}

/** Where a model or cell computes; `'emulated'` in test builds only. */
export type NativeDevice = 'cpu' | 'cuda' | 'emulated';

export interface EngineSpec {
  dtype: DType;
  device: NativeDevice;
  seed: number;
  /** 0: from the CPU quota. */
  threads: number;
  /** Features of the input; the number of steps comes with the data. */
  inputSize: number;
  /** In order. `kind`: a recurrent cell key, 'dense' or 'dropout'; plus `name` and the layer's options. */
  layers: NativeSpec[];
}

export interface CompileSpec {
  /**
   * 'softmaxCrossEntropy' (int labels; the last layer gives logits or has activation softmax), 'binaryCrossentropy'
   * (likewise with sigmoid and float targets), or another kind of loss with its numbers.
   */
  loss: NativeSpec;
  /** `kind` with its numbers; learningRate, l2, weightDecay, clipValue, clipNorm. */
  optimizer: NativeSpec;
  /** Parameters that learn in a way of their own. */
  groups?: { params: string[]; optimizer: NativeSpec; trainable: boolean }[];
}

/** Sums over the terms of the loss (rows, or their valid steps) that took part; TypeScript divides. */
export interface EngineSums {
  rows: number;
  steps: number;
  /** What `loss` is to be divided by. */
  weight: number;
  /** What `hits` and `absolute` are to be divided by. */
  count: number;
  loss: number;
  hits: number;
  absolute: number;
  seconds: number;
}

/**
 * What a snapshot consists of: parameters, buffers (running statistics), optimizer slots and the states that stateful
 * training goes on from, each by name.
 */
export interface EngineTensor {
  role: 'param' | 'buffer' | 'slot' | 'state';
  name: string;
  shape: number[];
  data: FloatArray;
}

/** States that a pass begins from, and whether to tell those it ends with; gradients of them the other way round. */
export interface NativeStates {
  initial: NativeTensors | null;
  wanted: boolean;
}

export interface NativeOutputs {
  outputs: NativeTensor;
  /** Where they were wanted. */
  states?: NativeTensors;
}

/** How batches that follow each other belong together. */
export interface NativeContinuing {
  /** Row b of a batch goes on where row b of the one before has ended. */
  stateful?: boolean;
  /** Steps after a start from no state that do not count in the loss. */
  burnIn?: number;
}

/** How the loop over time of one layer runs. */
export interface NativePlan {
  /** Its full name. */
  layer: string;
  driver: 'tiles' | 'rows' | 'resident' | 'stepwise';
  text: string;
}

/** What of a GPU a plan depends on. */
export interface NativeGpu {
  name: string;
  multiprocessors: number;
  sharedBytes: number;
  maxCluster: number;
  /** Of a GPU that is here. */
  cublas?: NativeCublasInfo;
}

export interface NativeEngine {
  layers(): { name: string; kind: string; outputShape: (number | null)[]; params: number }[];
  params(): { name: string; shape: number[]; size: number }[];
  /** How every recurrent layer runs, on a GPU of that size or, null, on the engine's device. Runs nothing; also while a job runs. */
  explain(call: {
    batch: number;
    steps: number;
    training: boolean;
    gpu: NativeGpu | null;
  }): NativePlan[];
  compile(spec: CompileSpec): void;
  /**
   * Keeps a data set resident. x [n, steps, features]; y Int32Array [n] or [n, steps] for labels or floats
   * [n, targets...]; lengths Int32Array [n], weights [n] or [n, steps] and resets Int32Array [n, steps] optional. Copied. Returns a handle for the
   * calls below.
   */
  addData(
    x: NativeTensor,
    y: NativeTensor | null,
    lengths: Int32Array | null,
    weights?: NativeTensor | null,
    resets?: NativeTensor | null,
  ): number;
  removeData(data: number): void;
  /**
   * One optimizer update per `accumulate` (default 1) batches of `batchSize` consecutive entries of `rows` (the last
   * may be fewer and smaller), off the event loop. `rateFactor` is on the learning rate of every group. `onProgress` is coalesced: newest wins. Rejects with ERR_NUMERIC at the first loss that is not finite,
   * parameters as after the last finite update.
   */
  train(
    call: {
      data: number;
      rows: Uint32Array;
      batchSize: number;
      rateFactor: number;
      accumulate?: number;
    } & NativeContinuing,
    onProgress: ((sums: EngineSums) => void) | null,
  ): Promise<EngineSums>;
  evaluate(call: { data: number; batchSize: number } & NativeContinuing): Promise<EngineSums>;
  /** Outputs for every row, in order, [n, ...outputShape]. */
  predict(call: {
    data: number;
    batchSize: number;
    states?: NativeStates | null;
  }): Promise<NativeOutputs>;
  /** The open loop. `forward` keeps what `backward` needs; `backward` accumulates; `step` updates and clears. */
  forward(
    x: NativeTensor,
    lengths: Int32Array | null,
    training: boolean,
    states?: NativeStates | null,
    resets?: NativeTensor | null,
  ): Promise<NativeOutputs>;
  backward(dOutput: NativeTensor, states?: NativeStates | null): Promise<NativeOutputs>;
  step(rateFactor: number): Promise<void>;
  /** The next stateful batch begins afresh. */
  resetStates(): void;
  /** A stream of that many sequences; its handle for the calls below, all of them synchronous. */
  createStream(batch: number): number;
  /** One step: x [batch, features] and y [batch, outputs] in the engine's number type, y is written. */
  stepStream(stream: number, x: FloatArray, y: FloatArray): void;
  /** States after the last step, by name; none before the first. */
  streamState(stream: number): EngineTensor[];
  setStreamState(stream: number, tensors: EngineTensor[]): void;
  /** Also while a job runs: its memory is freed when that has settled. */
  removeStream(stream: number): void;
  /** Gradients as they stand, by parameter name. */
  gradients(): EngineTensor[];
  tensors(): EngineTensor[];
  /** All or nothing: unknown names or other shapes throw ERR_FORMAT and nothing changes. */
  setTensors(tensors: EngineTensor[]): void;
  /** Counters that continue a run bit for bit: optimizer updates done and dropout draws. */
  counters(): { updates: number; draws: number };
  setCounters(counters: { updates: number; draws: number }): void;
  /** Bytes held by parameters, activations and data sets. */
  memory(): { params: number; activations: number; data: number };
  /** The name of the call that the jobs to come belong to, for the ERR_STATE of what they are in the way of. */
  setCall(call: string): void;
  /** Makes the running job reject with ERR_ABORTED within 10 ms; no effect without one. */
  cancel(): void;
  /** Idempotent; a running job is cancelled first. Every later call throws ERR_STATE. */
  dispose(): void;
}

export interface NativeBuildInfo {
  version: string;
  isa: string;
  isaReason: string;
  isaAvailable: string[];
  threads: number;
  threadsReason: string;
  compiler: string;
  build: string;
  emulated: boolean;
}

/** The CUDA part as it is found now. */
export interface NativeCudaInfo {
  /** The file that is loaded, or would be. */
  library: string;
  build: string;
  /** Why there is no device to use; null where there is one. */
  reason: string | null;
  devices: {
    name: string;
    /** Compute capability, "9.0". */
    capability: string;
    totalBytes: number;
    freeBytes: number;
    multiprocessors: number;
    /** Shared memory of one block, the most that can be asked for. */
    sharedBytes: number;
    /** Blocks of the largest thread-block cluster; 1 where there are none. */
    maxCluster: number;
    /** The newest CUDA that the driver understands, "13.0". */
    driver: string;
  }[];
}

/** cuBLAS as a model that trains on the CUDA device would open it. */
export interface NativeCublasInfo {
  /** The file; '' where none was found. */
  library: string;
  /** "13.1.2"; '' where it is not used. */
  version: string;
  /** Why it is not used; '' where it is. */
  reason: string;
}

export interface Addon {
  /** Hands over the class that native failures are constructed from: new cls(code, message). */
  setErrorClass(cls: typeof LookbackError): void;
  buildInfo(): NativeBuildInfo;
  cudaInfo(): NativeCudaInfo;
  /** Opens it on a session of its own, which takes a moment. */
  cublasInfo(): NativeCublasInfo;
  createCell(kind: string, spec: NativeSpec, dtype: DType, device: NativeDevice): NativeCell;
  createEngine(spec: EngineSpec): NativeEngine;
  /** An operation on the parameters of a cell ('scornn.resign'), in float64, at once. */
  operate(operation: string, spec: NativeSpec, tensors: NativeTensors): NativeTensors;
  /**
   * Locks an open file until it is closed or the process ends, without waiting: `'held'` where another opening of it has
   * the lock, `'unsupported'` where the file system has none.
   */
  lockFile(descriptor: number): 'taken' | 'held' | 'unsupported';
  /** The shared generator: `count` uniform numbers in [0,1) of stream `stream` under `seed`. */
  uniforms(seed: number, stream: number, count: number): Float64Array;
}

/** The folder that holds `package.json`; the compiled files live one level below it. */
export const packageRoot = join(__dirname, '..');

/** Where the addon is looked for, in this order. `LOOKBACK_BINARY` excludes every other place. */
export function addonCandidates(): string[] {
  const override = process.env['LOOKBACK_BINARY'];
  if (override) return [override];
  return [join(packageRoot, 'build', 'Release', 'lookback.node')];
}

let loaded: Addon | undefined;

/**
 * The native addon, loaded on first use.
 *
 * @throws {LookbackError} ERR_ADDON_MISSING when there is none, or the one found does not load here.
 */
export function loadAddon(): Addon {
  if (loaded) return loaded;
  const candidates = addonCandidates();
  const path = candidates.find((candidate) => existsSync(candidate));
  if (path === undefined) throw missingAddon(`it was looked for at ${candidates.join(', ')}`);
  let addon: Addon;
  try {
    addon = createRequire(__filename)(path) as Addon;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw missingAddon(`${path} does not load: ${reason}`, cause);
  }
  addon.setErrorClass(LookbackError);
  loaded = addon;
  return addon;
}

/** The error for an absent addon; its message is all that a newcomer sees, so it names what to type. */
function missingAddon(what: string, cause?: unknown): LookbackError {
  const compiler = findTool('compiler');
  const cmake = findTool('cmake');
  const message = [
    `The native part of lookback is not built: ${what}.`,
    `  compiler: ${compiler ?? 'none found (install g++ or clang++)'}`,
    `  cmake:    ${cmake ?? 'none found (node-gyp is tried instead)'}`,
    'Any one of these repairs it:',
    '  npm install-scripts approve lookback && npm rebuild lookback',
    '  npx lookback build',
    'and this tells more:',
    '  npx lookback doctor',
  ].join('\n');
  const details = { candidates: addonCandidates(), compiler, cmake };
  return new LookbackError('ERR_ADDON_MISSING', message, { cause, details });
}
