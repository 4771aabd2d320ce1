/**
 * What the attention of a model's layers looks at.
 */
import type { Cell } from './cell';
import { cells } from './cell';
import type { NativeSpec } from './native';
import { LookbackError } from './errors';
import type { LayerSpec } from './layers';
import type { Model } from './model';
import type { NamedTensors } from './model-options';
import { recurrentSchema } from './recurrent-layer';
import type { FloatArray, Tensor, TensorLike } from './tensor';
import type { PreparedData } from './training/data';

/** The attention of one layer over given sequences, as in inference. */
export interface LayerAttention {
  /** The layer's name; of a LARNN with several recurrent layers `<name>.l0`, `<name>.l1`, .... */
  layer: string;
  kind: 'larnn' | 'rra';
  /** 1 for RRA. */
  heads: number;
  /** How many past states are seen: `window` of LARNN, `K` of RRA. */
  window: number;
  /**
   * `[B, T, heads, window]`: the weight at each step of the state before it (age 1), the one before that (age 2), ....
   * 0 for states that are not there yet and beyond a row's length.
   */
  weights: Tensor<FloatArray>;
  /**
   * `[heads, window]`: the mean of `weights` over all valid steps that see a full window; over all valid steps where
   * no sequence is that long.
   */
  meanByAge: Tensor<FloatArray>;
}

/** What the model gives of itself. */
interface Host {
  layers: readonly LayerSpec[];
  weights: NamedTensors;
  how: Pick<Model, 'dtype' | 'device'> & { threads: number };
  /** A model of the first `count` layers, with their weights. */
  first: (count: number) => Model;
}

type Kind = LayerAttention['kind'];
const kinds: readonly string[] = ['larnn', 'rra'] satisfies Kind[];

/** Whether a layer is one of those that {@link Model.attention} tells of. */
export function hasAttention(layer: LayerSpec): boolean {
  return kinds.includes(layer.kind) && layer['goBackwards'] !== true;
}

/** @throws {LookbackError} ERR_STATE for a model without such a layer */
export async function attentionOf(host: Host, data: PreparedData): Promise<LayerAttention[]> {
  const found = host.layers
    .map((layer, at) => ({ layer, at }))
    .filter(({ layer }) => hasAttention(layer));
  if (found.length === 0) {
    const seen = host.layers.map(({ kind }) => kind).join(', ');
    throw new LookbackError(
      'ERR_STATE',
      `attention: the model has no larnn or rra layer that reads forwards and stands in no other layer; its layers are ${seen}`,
    );
  }
  const given: LayerAttention[] = [];
  for (const { layer, at } of found) {
    const x = await inputOf(host, at, data);
    given.push(...(await layerAttention(host, layer, x, data)));
  }
  return given;
}

/** What the layer at that place reads. */
async function inputOf(host: Host, at: number, { x, lengths }: PreparedData): Promise<Tensor> {
  if (at === 0) return x;
  using before = host.first(at);
  // Awaited here: leaving the block disposes the model.
  return await before.forward(x, { training: false, ...(lengths ? { lengths } : {}) });
}

async function layerAttention(
  host: Host,
  layer: LayerSpec,
  x: Tensor,
  { lengths }: PreparedData,
): Promise<LayerAttention[]> {
  const [batch = 0, steps = 0, inputSize = 0] = x.shape;
  const cell = cellOf(layer, inputSize, host);
  const own = new Set(cell.weights.map(({ name }) => name));
  const layerName = String(layer['name']);
  const weights: Record<string, TensorLike> = {};
  const inputs: Record<string, TensorLike> = { x };
  for (const [name, tensor] of Object.entries(host.weights)) {
    if (!name.startsWith(`${layerName}.`)) continue;
    const short = name.slice(`${layerName}.`.length);
    (own.has(short) ? weights : inputs)[short] = tensor;
  }
  if (lengths) inputs['lengths'] = lengths;
  const { outputs, handle } = await cell.forward(inputs, weights);
  const saved = handle.saved();
  handle.dispose();
  const valid = { batch, steps, lengths };
  if (cell.kind === 'rra') {
    const all = saved['w'] ?? spread(outputs['w'] as Tensor<FloatArray>, cell.spec, valid);
    withoutMissing(all, cell.spec, valid);
    return [described(layerName, 'rra', cell.spec, all, valid)];
  }
  return Object.entries(saved)
    .filter(([name]) => name.endsWith('.attention'))
    .map(([name, tensor], _, { length }) => {
      const pass = name.slice(0, -'.attention'.length);
      const full = length === 1 ? layerName : `${layerName}.${pass}`;
      return described(full, 'larnn', cell.spec, tensor, valid);
    });
}

/** The layer's cell, which keeps its attention. */
function cellOf(layer: LayerSpec, inputSize: number, { how }: Host): Cell {
  const layerOnly = new Set(['kind', ...Object.keys(recurrentSchema.shape)]);
  const options = Object.fromEntries(Object.entries(layer).filter(([key]) => !layerOnly.has(key)));
  const make: (spec: never, options: typeof how) => Cell = cells[layer.kind as Kind];
  const kept = layer.kind === 'larnn' ? { keepAttention: true } : {};
  return make({ ...options, ...kept, inputSize } as never, how);
}

interface Valid {
  batch: number;
  steps: number;
  lengths: Int32Array | null;
}

/**
 * Weights that are learned directly are the same at every step: `[K]`, for every unit `[K, H]` of which the mean counts,
 * and with renormalised warm-up one such set for each number of states.
 */
function spread(
  w: Tensor<FloatArray>,
  spec: Readonly<NativeSpec>,
  { batch, steps }: Valid,
): Tensor<FloatArray> {
  const K = Number(spec['K']);
  const units = spec['gateShape'] === 'matrix' ? Number(spec['units']) : 1;
  const sets = w.data.length / (K * units);
  const mean = (set: number, age: number): number => {
    const from = (set * K + age) * units;
    const part = w.data.subarray(from, from + units);
    return (part as Float64Array).reduce((sum, value) => sum + value, 0) / units;
  };
  const data = new (w.data.constructor as Float64ArrayConstructor)(batch * steps * K);
  for (let t = 0; t < steps; t += 1) {
    const set = Math.min(Math.max(statesAt(spec, t), 1), sets) - 1;
    for (let age = 0; age < K; age += 1) {
      const value = mean(set, age);
      for (let b = 0; b < batch; b += 1) data[(b * steps + t) * K + age] = value;
    }
  }
  return { shape: [batch, steps, K], data };
}

/** Takes away the weights of states that an RRA cannot see yet: they count as zeros. */
function withoutMissing(
  { data }: Tensor<FloatArray>,
  spec: Readonly<NativeSpec>,
  { batch, steps }: Valid,
): void {
  const K = Number(spec['K']);
  const seen = (t: number): number => Math.min(Math.max(statesAt(spec, t), 0), K);
  for (let row = 0; row < batch * steps; row += 1)
    data.fill(0, row * K + seen(row % steps), (row + 1) * K);
}

/** How many states there are for an RRA to see at step t; below 0 before the first one comes into sight. */
function statesAt(spec: Readonly<NativeSpec>, t: number): number {
  const initial = spec['includeInitial'] === true ? 1 : 0;
  return t + 1 - Number(spec['lag']) + initial;
}

function described(
  layer: string,
  kind: Kind,
  spec: Readonly<NativeSpec>,
  weights: Tensor<FloatArray>,
  valid: Valid,
): LayerAttention {
  const heads = kind === 'larnn' ? Number(spec['heads']) : 1;
  const window = Number(spec[kind === 'larnn' ? 'window' : 'K']);
  const { batch, steps, lengths } = valid;
  const shaped = { shape: [batch, steps, heads, window], data: weights.data };
  for (let b = 0; b < batch; b += 1)
    shaped.data.fill(
      0,
      (b * steps + (lengths?.[b] ?? steps)) * heads * window,
      (b + 1) * steps * heads * window,
    );
  // The first step that can see as many states as the window holds.
  const full = kind === 'rra' ? window - statesAt(spec, 0) : window - 1;
  const size = heads * window;
  const meanByAge = { shape: [heads, window], data: meanFrom(shaped.data, size, valid, full) };
  return { layer, kind, heads, window, weights: shaped, meanByAge };
}

/** The mean of blocks of `size` over the valid steps from `full` on, or over all where there are none. */
function meanFrom(
  data: FloatArray,
  size: number,
  valid: Valid,
  full: number,
): Float64Array<ArrayBuffer> {
  const { batch, steps, lengths } = valid;
  const longest = lengths ? Math.max(...lengths) : steps;
  const first = full < longest ? full : 0;
  const sums = new Float64Array(size);
  let count = 0;
  for (let b = 0; b < batch; b += 1) {
    for (let t = first; t < (lengths?.[b] ?? steps); t += 1) {
      const from = (b * steps + t) * size;
      for (let at = 0; at < size; at += 1) sums[at] = (sums[at] ?? 0) + (data[from + at] ?? 0);
      count += 1;
    }
  }
  return count === 0 ? sums : sums.map((sum) => sum / count);
}
