/**
 * A peer that runs on Node: the other end of bench/peer.ts, with the operations that peer.py describes.
 */
import { createInterface } from 'node:readline';
import type { BenchCase } from '../cases';
import { readTensors, writeTensors } from '../tensors';
import type { FloatTensors, TensorEntry } from '../tensors';

/** One way to compute the case, ready to run. */
export interface Variant {
  version: string;
  /** What decides about its speed. */
  detail: string;
  forward(): Promise<void>;
  /** Forward and backward; absent where the library only infers. */
  step?(): Promise<void>;
  /** y and, where there is a `step`, the gradients of x and of the weights. */
  results(): Promise<FloatTensors>;
}

export type Build = (
  variant: string,
  bench: Pick<BenchCase, 'spec' | 'shape'>,
  tensors: FloatTensors,
) => Promise<Variant>;

interface Request extends Pick<BenchCase, 'spec' | 'shape'> {
  op: 'open' | 'forward' | 'step' | 'results';
  variant: string;
  path: string;
  tensors: TensorEntry[];
}

async function milliseconds(work: () => Promise<void>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

/** Answers requests until the bench closes the pipe. */
export async function serve(build: Build): Promise<void> {
  const variants = new Map<string, Variant>();

  async function answer(request: Request): Promise<object> {
    const { op, variant, path } = request;
    if (op === 'open') {
      const made = await build(variant, request, readTensors(path, request.tensors));
      variants.set(variant, made);
      return { version: made.version, detail: made.detail };
    }
    const made = variants.get(variant);
    if (made === undefined) throw new Error(`${variant} was not opened`);
    if (op === 'results') return { tensors: writeTensors(path, await made.results()) };
    if (op === 'forward') return { ms: await milliseconds(() => made.forward()) };
    return { ms: await milliseconds(made.step?.bind(made) ?? (() => Promise.resolve())) };
  }

  for await (const line of createInterface({ input: process.stdin })) {
    let reply: object;
    try {
      reply = await answer(JSON.parse(line) as Request);
    } catch (error) {
      reply = { error: error instanceof Error ? (error.stack ?? error.message) : String(error) };
    }
    process.stdout.write(`${JSON.stringify(reply)}\n`);
  }
}

/** From [rows, columns, size] to [columns, rows, size]. */
export function swapAxes(
  data: Float32Array,
  rows: number,
  columns: number,
  size = 1,
): Float32Array<ArrayBuffer> {
  const to = new Float32Array(data.length);
  for (let i = 0; i < rows; ++i) {
    for (let j = 0; j < columns; ++j) {
      const at = (i * columns + j) * size;
      to.set(data.subarray(at, at + size), (j * rows + i) * size);
    }
  }
  return to;
}

/** Blocks of rows in another order: block b of the result is block `order[b]` of `data`. */
export function reorderBlocks(
  data: Float32Array,
  order: readonly number[],
): Float32Array<ArrayBuffer> {
  const size = data.length / order.length;
  const to = new Float32Array(data.length);
  order.forEach((from, at) => to.set(data.subarray(from * size, (from + 1) * size), at * size));
  return to;
}
