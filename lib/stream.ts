/**
 * A model that takes its input step by step: what it remembers lives in a stream of its own.
 */
import { z } from 'zod';
import { LookbackError } from './errors';
import type { EngineTensor, NativeEngine } from './native';
import { isNamed, show } from './options';
import type { OutputForm, Prediction, Preprocessing, RawRows } from './preprocessing/preprocessing';
import type { TableRow } from './preprocessing/table';
import type { DType, FloatArray, Tensor, TensorLike } from './tensor';
import { asTensor, dtypeOf, zeros } from './tensor';

/** Options of {@link Model.createStream}. */
export interface StreamOptions {
  /** Sequences that go on side by side. Default 1. */
  batch?: number;
}

export const streamSchema = z.strictObject({ batch: z.int().min(1).max(1_048_576).default(1) });

/** What a stream remembers after a step, by name: a copy that can be kept, changed and given back. */
export type StreamSnapshot = Readonly<Record<string, Tensor<FloatArray>>>;

/** What a stream needs of its model. */
export interface StreamHost {
  /** @throws {LookbackError} ERR_STATE where the model is disposed */
  engine(call: string): NativeEngine;
  dtype: DType;
  inputShape: readonly [steps: number | null, features: number];
  /** Whether a step is whole numbers. */
  integers: boolean;
  preprocessing: Preprocessing | null;
  /** What its outputs are. */
  form: OutputForm;
}

/** Frees streams that nobody disposed, once they are collected. What it holds keeps neither model nor stream alive. */
const collected = new FinalizationRegistry(removeStream);

interface NativeStream {
  engine: WeakRef<NativeEngine>;
  handle: number;
}

function removeStream({ engine, handle }: NativeStream): void {
  try {
    engine.deref()?.removeStream(handle);
  } catch {
    // The model is disposed, and its streams with it.
  }
}

/**
 * Sequences under way. Every call is synchronous: a step of a small model takes microseconds. Outputs equal those of
 * `predict` on the whole sequence to the bit.
 *
 * @example
 * ```ts
 * const stream = model.createStream();
 * for (const x of [[[0.1, 1]], [[0.2, 0]]]) console.log(stream.step(x).data);
 * ```
 */
export class Stream {
  readonly batch: number;
  readonly #host: StreamHost;
  readonly #input: FloatArray;
  #native: NativeStream | null;

  /** @internal */
  constructor(host: StreamHost, batch: number) {
    this.batch = batch;
    this.#host = host;
    this.#input = numbers(host.dtype, batch * host.inputShape[1], 'createStream: a step');
    const engine = host.engine('createStream');
    const handle = engine.createStream(batch);
    this.#native = { engine: new WeakRef(engine), handle };
    collected.register(this, this.#native, this);
  }

  /**
   * The next step of every sequence: `x` is `[batch, features]` (an Int32Array `[batch]` under an embedding). Gives
   * `[batch, outputs]`; for a model that ends in one row, what it would give if the sequence ended here. With
   * preprocessing, `x` is raw (a row of a table, a token, unscaled numbers; one for each sequence), targets are unscaled
   * and labels are named.
   *
   * @param out where the outputs go, an array of the model's number type with an entry for each; default: a new one
   * @throws {LookbackError} ERR_SHAPE, ERR_DATA for numbers that are not finite, ERR_STATE while the model runs a job
   */
  step(x: RawRows | TableRow | string, out?: FloatArray): Prediction {
    const { handle, engine } = this.#alive('step');
    const { dtype, preprocessing, form } = this.#host;
    const { outputs } = form;
    const size = this.batch * outputs;
    if (out !== undefined && (dtypeOf(out) !== dtype || out.length !== size)) {
      const seen = dtypeOf(out) === null ? show(out) : `${show(out)} of ${out.length} entries`;
      const message = `stream.step: out is ${seen}; expected ${size} of ${dtype}`;
      throw new LookbackError('ERR_SHAPE', message);
    }
    const data = out ?? numbers(dtype, size, 'stream.step: its output');
    const inputs = this.#host.inputShape[1];
    const from = preprocessing?.stepReference(x, this.batch, inputs, 'stream.step: x');
    engine.stepStream(handle, this.#read(x), data);
    const result = { shape: [this.batch, outputs], data };
    return preprocessing?.output(result, form, from) ?? result;
  }

  /** Copies of all states; empty before the first step. */
  snapshot(): StreamSnapshot {
    const { handle, engine } = this.#alive('snapshot');
    return Object.fromEntries(
      engine.streamState(handle).map(({ name, shape, data }) => [name, { shape, data }]),
    );
  }

  /**
   * Goes on from a snapshot of this or another stream of the model with the same batch.
   *
   * @throws {LookbackError} ERR_FORMAT; nothing is changed then
   */
  restore(snapshot: StreamSnapshot): void {
    const { handle, engine } = this.#alive('restore');
    engine.setStreamState(handle, tensorsOf(snapshot));
  }

  /** Another stream that goes on from here. */
  fork(): Stream {
    const copy = new Stream(this.#host, this.batch);
    copy.restore(this.snapshot());
    return copy;
  }

  /** Back to before the first step. */
  reset(): void {
    this.restore({});
  }

  /**
   * Frees the native memory: at once or, while the model runs a job, when that has ended. Idempotent; every later call
   * throws ERR_STATE. Disposing the model does it too.
   */
  dispose(): void {
    if (this.#native === null) return;
    collected.unregister(this);
    removeStream(this.#native);
    this.#native = null;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #alive(call: string): { handle: number; engine: NativeEngine } {
    const engine = this.#host.engine(`stream.${call}`);
    if (this.#native !== null) return { handle: this.#native.handle, engine };
    throw new LookbackError('ERR_STATE', `stream.${call}: the stream is disposed; create another`);
  }

  #read(raw: RawRows | TableRow | string): FloatArray {
    const { dtype, inputShape, integers, preprocessing } = this.#host;
    const inputs = inputShape[1];
    const size = this.batch * inputs;
    const name = 'stream.step: x';
    if (preprocessing?.step(raw, this.batch, this.#input, name) === true) return this.#input;
    const x = raw as TensorLike;
    if (dtypeOf(x) === dtype && (x as FloatArray).length === size) return x as FloatArray;
    const shaped = isNamed(x) && 'shape' in x;
    if (integers && dtypeOf(shaped ? x.data : x) === 'int32') {
      const deep = shaped && x.shape.length === 2;
      const shape = deep ? [this.batch, inputs] : [this.batch];
      this.#input.set(asTensor(x, { name, dtype: 'int32', shape }).data);
      return this.#input;
    }
    const flat = this.batch === 1 && Array.isArray(x) && typeof x[0] === 'number';
    const given = asTensor(flat ? [x] : x, { name, dtype, shape: [this.batch, inputs] });
    return given.data as FloatArray;
  }
}

/** @throws {LookbackError} ERR_MEMORY */
function numbers(dtype: DType, size: number, what: string): FloatArray {
  try {
    return zeros(dtype, size);
  } catch (cause) {
    const message = `${what} is ${size} numbers of ${dtype}, more than there is memory for; give a smaller batch`;
    throw new LookbackError('ERR_MEMORY', message, { cause, details: { size } });
  }
}

/** @throws {LookbackError} ERR_FORMAT for what is no snapshot at all; names and shapes are checked where the states are */
function tensorsOf(snapshot: unknown): EngineTensor[] {
  return Object.entries(entryOf(snapshot, 'the snapshot')).map(([name, tensor]) => {
    const { shape, data } = entryOf(tensor, name) as StreamSnapshot[string];
    if (dtypeOf(data) === null) {
      const message = `stream.restore: the data of ${name} is ${show(data)}; expected a typed array, which JSON does not keep`;
      throw new LookbackError('ERR_FORMAT', message);
    }
    return { role: 'buffer', name, shape, data };
  });
}

function entryOf(value: unknown, name: string): object {
  if (isNamed(value)) return value;
  const message = `stream.restore: ${name} is ${show(value)}; expected what stream.snapshot() gave`;
  throw new LookbackError('ERR_FORMAT', message);
}
