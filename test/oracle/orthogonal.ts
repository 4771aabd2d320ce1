/**
 * The cases of the orthogonal family: their files hold several views of one thing, which are asked for one by one.
 */
import type { Cell, Tensor, TensorLike } from 'lookback';
import { cells } from 'lookback';
import type { Computed } from './compare';
import type { How } from './compute';
import type { VectorCase } from './vectors';
import { toLibrary } from './vectors';

type Options = Record<string, unknown>;
type Tensors = Record<string, Tensor>;
type Weights = Record<string, TensorLike>;

const runnerKeys = ['cell', 'steps', 'batch', 'normActiveIn', 'normActiveOut'];

const programs: Record<string, (vectors: VectorCase, how: How) => Promise<Computed>> = {
  scornn: computeScornn,
  enrnn: computeEnrnn,
  exprnn: computeExprnn,
  scurnn: computeScurnn,
};

/** What computes a case of the family; undefined for every other cell. */
export function orthogonalProgram(
  vectors: VectorCase,
): ((vectors: VectorCase, how: How) => Promise<Computed>) | undefined {
  return programs[String(vectors.config['cell'])];
}

interface Run {
  outputs: Tensors;
  grads: Tensors;
}

/** One forward and one backward pass of the case, with more options, other weights and more inputs where wanted. */
async function run(
  vectors: VectorCase,
  how: How,
  change: { options?: Options; weights?: Weights; inputs?: Weights } = {},
): Promise<Run> {
  const entries = Object.entries(vectors.config).filter(([key]) => !runnerKeys.includes(key));
  const options = { ...Object.fromEntries(entries), ...change.options };
  const make = cells[String(vectors.config['cell']) as keyof typeof cells] as (
    options: never,
    how: How,
  ) => Cell;
  const cell = make(options as never, how);
  const { dtype } = how;
  const inputs = { ...toLibrary(vectors.inputs, dtype), ...change.inputs };
  const weights = change.weights ?? toLibrary(vectors.weights, dtype);
  const { outputs, handle } = await cell.forward(inputs, weights, { training: true });
  const { grads } = await handle.backward(toLibrary(vectors.upstream, dtype));
  return { outputs, grads };
}

/** `A_packed` is the strict upper triangle of `A`, which is the weight of the other storage. */
async function computeScornn(vectors: VectorCase, how: How): Promise<Computed> {
  if (vectors.config['operation'] === 'resign') return resign(vectors);
  const whole = await run(vectors, how);
  const { A, ...others } = toLibrary(vectors.weights, how.dtype);
  if (!A) throw new Error('a case of scornn needs A');
  const weights = { ...others, A_packed: upperTriangle(A) };
  const packed = await run(vectors, how, { options: { storage: 'packed' }, weights });
  return {
    outputs: whole.outputs,
    grads: { ...whole.grads, ...only(packed.grads, ['A_packed']) },
  };
}

/** Beside the packed form of `A`: the sticky bit before and after, and the whole W out of its blocks. */
async function computeEnrnn(vectors: VectorCase, how: How): Promise<Computed> {
  const { config } = vectors;
  const { A, ...others } = toLibrary(vectors.weights, how.dtype);
  if (!A) throw new Error('a case of enrnn needs A');
  const bit = { shape: [1], data: [config['normActiveIn'] === true ? 1 : 0] };
  const inputs = toLibrary({ 'buf.normActive': bit }, how.dtype);
  const whole = await run(vectors, how, { inputs });
  const weights = { ...others, A_packed: upperTriangle(A) };
  const packed = await run(vectors, how, { options: { storage: 'packed' }, weights, inputs });
  const active = whole.outputs['buf.normActive']?.data[0] === 1;
  if (active !== (config['normActiveOut'] === true))
    throw new Error(`the sticky bit is ${active} after the pass`);
  const { W_C } = others;
  const { W: wanted } = vectors.grads;
  if (!wanted) throw new Error('a case of enrnn has a gradient of W');
  const left = config['side'] === 'left';
  return {
    outputs: {
      ...whole.outputs,
      W: composed({ ...whole.outputs, ...(W_C ? { W_C } : {}) }, left),
    },
    grads: {
      ...whole.grads,
      ...only(packed.grads, ['A_packed']),
      ...only(whole.outputs, ['drho_dT']),
      // The entries of the block that is zero by structure (both, without W_C) belong to no parameter and are never
      // formed; the vectors' own numbers stand there, so that everything else is compared.
      W: composed(whole.grads, left, wanted.data),
    },
  };
}

/** [ W_L 0 ; W_C W_S ], or for the side left [ W_L W_C ; 0 W_S ]; elsewhere the numbers of `background`. */
function composed(blocks: Tensors, left: boolean, background?: readonly number[]): Tensor {
  const { W_L, W_S, W_C } = blocks;
  const [long = 0, short = 0] = [W_L?.shape[0], W_S?.shape[0]];
  const n = long + short;
  const data = Float64Array.from(background ?? new Float64Array(n * n));
  const put = (block: Tensor | undefined, row: number, column: number): void => {
    const width = block?.shape[1] ?? 0;
    block?.data.forEach((entry, at) => {
      data[(row + Math.floor(at / width)) * n + column + (at % width)] = entry;
    });
  };
  put(W_L, 0, 0);
  put(W_S, long, long);
  put(W_C, left ? 0 : long, left ? long : 0);
  return { shape: [n, n], data };
}

/** Both scalings of the gradient of A; and a shared initial state is a weight. */
async function computeScurnn(vectors: VectorCase, how: How): Promise<Computed> {
  const { h0, ...inputs } = vectors.inputs;
  const shared = vectors.config['sharedInitialState'] === true;
  const weights = toLibrary(
    { ...vectors.weights, ...(shared && h0 ? { 'initial.h0': h0 } : {}) },
    how.dtype,
  );
  const same = shared ? { ...vectors, inputs } : vectors;
  const { outputs, grads } = await run(same, how, { weights });
  const free = await run(same, how, { weights, options: { gradientScaling: 'free' } });
  const { A_re: A_re_free, A_im: A_im_free } = free.grads;
  const { 'initial.h0': initial, ...others } = grads;
  return {
    outputs,
    grads: {
      ...others,
      ...(initial ? { h0: initial } : {}),
      ...(A_re_free && A_im_free ? { A_re_free, A_im_free } : {}),
    },
  };
}

function computeExprnn(vectors: VectorCase, how: How): Promise<Computed> {
  const { config } = vectors;
  if (config['operation'] !== 'dynamicTrivialisation') return run(vectors, how);
  return Promise.resolve(trivialise(vectors));
}

/** Updates with plain SGD: build, record, take the gradient, move P; and one last build. */
function trivialise({ config, inputs, weights }: VectorCase): Computed {
  const { P, base } = toLibrary(weights, 'float64');
  const { G } = toLibrary(inputs, 'float64');
  if (!P || !base || !G) throw new Error('dynamic trivialisation needs P, base and G');
  const names = ['map', 'rebaseEvery', 'reprojectEvery', 'rebaseGradient'];
  const options = Object.fromEntries(Object.entries(config).filter(([key]) => names.includes(key)));
  const matrix = cells.exprnn.dynamicTrivialisation(P, base, options);
  const [updates = 0, n = 0] = G.shape;
  const records = { W: [] as number[], P: [] as number[], base: [] as number[] };
  const gradients: number[] = [];
  for (let update = 0; update < updates; update += 1) {
    records.W.push(...matrix.build().data);
    records.P.push(...matrix.P.data);
    records.base.push(...matrix.base.data);
    const now = G.data.subarray(update * n * n, (update + 1) * n * n);
    const { data } = matrix.gradient({ shape: [n, n], data: now });
    gradients.push(...data);
    data.forEach((d, at) => {
      matrix.P.data[at] = (matrix.P.data[at] ?? NaN) - Number(config['learningRate']) * d;
    });
  }
  records.W.push(...matrix.build().data);
  const record = (data: number[]): { shape: number[]; data: number[] } => ({
    shape: [data.length / (n * n), n, n],
    data,
  });
  return {
    outputs: {
      W: record(records.W),
      P: record(records.P),
      base: record(records.base),
      P_final: matrix.P,
      base_final: matrix.base,
    },
    grads: { P: record(gradients) },
  };
}

function resign({ config, weights }: VectorCase): Promise<Computed> {
  const { A, d } = toLibrary(weights, 'float64');
  if (!A || !d) throw new Error('the operation resign needs A and d');
  const result = cells.scornn.resign(A, d, { tau: Number(config['tau']) });
  const [flips, wanted] = [result.flips, config['flips']].map((list) => JSON.stringify(list));
  if (flips !== wanted) throw new Error(`flips are ${flips}; expected ${wanted}`);
  return Promise.resolve({
    outputs: { W: result.W, A_new: result.A, d_new: result.d },
    grads: {},
  });
}

function upperTriangle({ shape, data }: Tensor): Tensor {
  const [n = 0] = shape;
  const packed = data.filter((_, at) => at % n > Math.floor(at / n));
  return { shape: [packed.length], data: packed };
}

function only(tensors: Tensors, names: readonly string[]): Tensors {
  return Object.fromEntries(Object.entries(tensors).filter(([name]) => names.includes(name)));
}
