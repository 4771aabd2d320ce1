/**
 * Weights of recurrent layers from and to PyTorch and Keras. The mappings are those of docs/weights.md.
 */
import { z } from 'zod';
import type { Cell } from './cell';
import { LookbackError } from './errors';
import { byNameSchema } from './model-options';
import { parseOptions, requireNamed } from './options';
import type { FloatArray, Tensor, TensorLike } from './tensor';
import { asTensor, dtypeOf, zeros } from './tensor';

/** Where foreign weights come from or go to. */
export interface ForeignWeightsOptions {
  /**
   * `'pytorch'`: `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0`, `bias_hh_l0` of `torch.nn.LSTM`, `GRU` and `RNN`.
   * `'keras'`: `kernel`, `recurrent_kernel`, `bias` of `keras.layers.LSTM`, `GRU` and `SimpleRNN`.
   */
  format: 'pytorch' | 'keras';
  /** PyTorch: which of the stacked layers. Default 0. */
  layer?: number;
  /** PyTorch: the direction that runs backwards. Default false. */
  reverse?: boolean;
  /** What the foreign names begin with, `encoder.rnn.`. Default none. */
  prefix?: string;
}

const optionsSchema = z.strictObject({
  format: z.enum(['pytorch', 'keras']),
  layer: z.int().min(0).default(0),
  reverse: z.boolean().default(false),
  prefix: z.string().default(''),
});
type Checked = z.output<typeof optionsSchema>;

/** What of a cell decides how its weights are stored. */
export type StoredCell = Pick<Cell, 'kind' | 'spec' | 'weights' | 'dtype'>;

/** The letters of the gates, in our order and in the other's. */
interface Order {
  ours: string;
  theirs: string;
}

const order = (cell: StoredCell, format: 'pytorch' | 'keras'): Order => {
  if (cell.kind === 'rnn') return { ours: 'h', theirs: 'h' };
  const ours = String(cell.spec['gateOrder']);
  if (cell.kind === 'lstm') return { ours, theirs: 'ifgo' };
  return { ours, theirs: format === 'pytorch' ? 'rzn' : 'zrn' };
};

/** Refuses cells that the other library does not have. */
function requireCounterpart(cell: StoredCell, format: string): void {
  const { kind, spec } = requireNamed(cell, 'the cell', 'a cell of cells.lstm, gru or rnn');
  const refuse = (reason: string): never => {
    throw new LookbackError('ERR_OPTION', `${kind}: no weights from or to ${format}: ${reason}`);
  };
  if (!['lstm', 'gru', 'rnn'].includes(kind)) refuse('expected an lstm, gru or rnn');
  if (spec['normalization'] !== 'none') refuse('it has no layer norm; use normalization "none"');
  if (spec['initialState'] === 'trained')
    refuse('its states start at zero; use initialState "zeros"');
  if (kind === 'lstm' && spec['forgetBiasAdd'] !== 0)
    refuse('it adds nothing to the forget gate; use forgetBiasAdd 0');
  if (format === 'pytorch' && spec['recurrentActivation'] === 'hardSigmoid')
    refuse('its gates are not hard; use recurrentActivation "sigmoid"');
  if (kind !== 'gru') return;
  if (spec['update'] !== 'keep') refuse('its update gate keeps; use update "keep"');
  if (format === 'pytorch' && spec['reset'] !== 'after')
    refuse('its reset gate acts after the product; use reset "after"');
  if (spec['reset'] === 'after' && spec['bias'] === 'single')
    refuse('it has both biases or none; use bias "double" or "none"');
}

/** The foreign tensors of a cell, by what they are. */
interface Foreign {
  kernel: { name: string; shape: number[] };
  recurrent: { name: string; shape: number[] };
  /** Of x, and of h where that has its own. */
  biases: { name: string; shape: number[] }[];
  /** Names that would belong to the same layer and say that it is another one. */
  strange: (name: string) => boolean;
}

function foreignTensors(cell: StoredCell, options: Checked): Foreign {
  const { format, layer, reverse, prefix } = options;
  const units = Number(cell.spec['units']);
  const inputs = Number(cell.spec['inputSize']);
  const rows = units * order(cell, format).ours.length;
  const biased = cell.spec['bias'] !== 'none';
  if (format === 'pytorch') {
    const end = `_l${layer}${reverse ? '_reverse' : ''}`;
    const biases = ['bias_ih', 'bias_hh'].map((name) => ({
      name: `${prefix}${name}${end}`,
      shape: [rows],
    }));
    return {
      kernel: { name: `${prefix}weight_ih${end}`, shape: [rows, inputs] },
      recurrent: { name: `${prefix}weight_hh${end}`, shape: [rows, units] },
      biases: biased ? biases : [],
      strange: (name) => name.startsWith(prefix) && name.endsWith(end),
    };
  }
  const two = cell.kind === 'gru' && cell.spec['reset'] === 'after';
  const bias = { name: `${prefix}bias`, shape: two ? [2, rows] : [rows] };
  return {
    kernel: { name: `${prefix}kernel`, shape: [inputs, rows] },
    recurrent: { name: `${prefix}recurrent_kernel`, shape: [units, rows] },
    biases: biased ? [bias] : [],
    strange: (name) => name.startsWith(prefix),
  };
}

/** Every tensor of the layer, or one error that lists all that is wrong. */
function takeAll(
  cell: StoredCell,
  foreign: Foreign,
  given: Readonly<Record<string, TensorLike>>,
): Map<string, FloatArray> {
  const wanted = [foreign.kernel, foreign.recurrent, ...foreign.biases];
  const problems: string[] = [];
  const taken = new Map<string, FloatArray>();
  for (const { name, shape } of wanted) {
    const value = Object.hasOwn(given, name) ? given[name] : undefined;
    if (value === undefined) {
      problems.push(`${name} is missing (expected [${shape.join(', ')}])`);
      continue;
    }
    try {
      const dtype = ArrayBuffer.isView(value) || 'data' in value ? dtypeOfData(value) : cell.dtype;
      taken.set(name, asTensor(value, { name, dtype, shape }).data as FloatArray);
    } catch (error) {
      problems.push(error instanceof Error ? error.message : String(error));
    }
  }
  const known = new Set(wanted.map(({ name }) => name));
  for (const name of Object.keys(given)) {
    if (!known.has(name) && foreign.strange(name))
      problems.push(`${name} has no place in this cell`);
  }
  if (problems.length > 0) {
    throw new LookbackError('ERR_FORMAT', `${cell.kind}: ${problems.join('; ')}`);
  }
  return taken;
}

function dtypeOfData(value: TensorLike): 'float32' | 'float64' {
  const data = ArrayBuffer.isView(value) ? value : 'data' in value ? value.data : value;
  return dtypeOf(data) === 'float64' ? 'float64' : 'float32';
}

/**
 * The weights of a cell from those of another library's layer, for `cell.forward` or, under the layer's name, for
 * `model.setWeights`.
 *
 * @param tensors by the other library's names; those without the `prefix`, and PyTorch's of another `layer`, are passed
 * over
 * @throws {LookbackError} ERR_OPTION for a cell that the other library does not have; ERR_FORMAT that lists every
 * tensor that is missing, of another shape, or too many
 *
 * @example
 * ```ts
 * const cell = cells.rnn({ units: 1, inputSize: 1, bias: 'none' });
 * const stateDict = { 'rnn.weight_ih_l0': [[0.5]], 'rnn.weight_hh_l0': [[0.1]] };
 * const weights = importWeights(cell, stateDict, { format: 'pytorch', prefix: 'rnn.' });
 * ```
 */
export function importWeights(
  cell: StoredCell,
  tensors: Readonly<Record<string, TensorLike>>,
  options: ForeignWeightsOptions,
): Record<string, Tensor<FloatArray>> {
  const given = parseOptions(optionsSchema, options, 'importWeights');
  const { format } = given;
  requireCounterpart(cell, format);
  parseOptions(byNameSchema, tensors, 'importWeights');
  const foreign = foreignTensors(cell, given);
  const taken = takeAll(cell, foreign, tensors);
  const { ours, theirs } = order(cell, format);
  const rows = (data: FloatArray, width: number): FloatArray =>
    reorder(converted(data, cell.dtype), theirs, ours, Number(cell.spec['units']) * width);
  const matrix = ({ name, shape }: { name: string; shape: number[] }): FloatArray => {
    const data = taken.get(name) ?? zeros(cell.dtype, 0);
    const [first = 0, second = 0] = shape;
    return format === 'pytorch' ? rows(data, second) : rows(transpose(data, first, second), first);
  };
  const found: Record<string, FloatArray> = {
    W_x: matrix(foreign.kernel),
    W_h: matrix(foreign.recurrent),
  };
  const parts = foreign.biases.flatMap(({ name, shape }) => {
    const data = taken.get(name) ?? zeros(cell.dtype, 0);
    const width = shape[shape.length - 1] ?? 0;
    return shape.length === 1 ? [data] : [data.subarray(0, width), data.subarray(width)];
  });
  const [input, hidden] = parts.map((data) => rows(data, 1));
  if (input)
    Object.assign(found, ourBiases(cell, input, hidden ?? zeros(cell.dtype, input.length)));
  return Object.fromEntries(
    cell.weights.map(({ name, shape }) => [
      name,
      { shape: [...shape], data: found[name] ?? zeros(cell.dtype, 0) },
    ]),
  );
}

function ourBiases(
  cell: StoredCell,
  input: FloatArray,
  hidden: FloatArray,
): Record<string, FloatArray> {
  if (cell.spec['bias'] === 'double') return { b_x: input, b_h: hidden };
  const sum = input.map((value, at) => value + (hidden[at] ?? NaN));
  return cell.kind === 'gru' ? { b_x: sum } : { b: sum };
}

/**
 * The weights of a cell as another library's layer stores them; `importWeights` gives them back.
 *
 * @param weights by our names, as `importWeights` gives them
 * @throws {LookbackError} ERR_OPTION for a cell that the other library does not have, ERR_SHAPE for another tensor
 */
export function exportWeights(
  cell: StoredCell,
  weights: Readonly<Record<string, TensorLike>>,
  options: ForeignWeightsOptions,
): Record<string, Tensor<FloatArray>> {
  const given = parseOptions(optionsSchema, options, 'exportWeights');
  const { format } = given;
  requireCounterpart(cell, format);
  parseOptions(byNameSchema, weights, 'exportWeights');
  const foreign = foreignTensors(cell, given);
  const units = Number(cell.spec['units']);
  const { ours, theirs } = order(cell, format);
  const own = Object.fromEntries(
    cell.weights.map(({ name, shape }) => {
      const wish = { name: `${cell.kind}: ${name}`, dtype: cell.dtype, shape };
      const { data } = asTensor(weights[name], wish);
      const width = shape[1] ?? 1;
      return [name, reorder(data as FloatArray, ours, theirs, units * width)];
    }),
  );
  const result: Record<string, Tensor<FloatArray>> = {};
  for (const [ourName, { name, shape }] of [
    ['W_x', foreign.kernel],
    ['W_h', foreign.recurrent],
  ] as const) {
    const data = own[ourName] ?? zeros(cell.dtype, 0);
    const [first = 0, second = 0] = shape;
    result[name] = { shape, data: format === 'pytorch' ? data : transpose(data, second, first) };
  }
  const input = own['b_x'] ?? own['b'];
  if (!input) return result;
  const hidden = own['b_h'] ?? zeros(cell.dtype, input.length);
  const [first, second] = foreign.biases;
  if (first && second) {
    result[first.name] = { shape: first.shape, data: input };
    result[second.name] = { shape: second.shape, data: hidden };
  } else if (first?.shape.length === 2) {
    const both = zeros(cell.dtype, 2 * input.length);
    both.set(input);
    both.set(hidden, input.length);
    result[first.name] = { shape: first.shape, data: both };
  } else if (first) {
    const sum = input.map((value, at) => value + (hidden[at] ?? NaN));
    result[first.name] = { shape: first.shape, data: sum };
  }
  return result;
}

function converted(data: FloatArray, dtype: string): FloatArray {
  return dtype === 'float64' ? Float64Array.from(data) : Float32Array.from(data);
}

/** Blocks of `size` numbers, one a gate, in another order of the gates. */
function reorder(data: FloatArray, from: string, to: string, size: number): FloatArray {
  const out = data.slice();
  [...to].forEach((gate, index) => {
    const begin = from.indexOf(gate) * size;
    out.set(data.subarray(begin, begin + size), index * size);
  });
  return out;
}

function transpose(data: FloatArray, rows: number, columns: number): FloatArray {
  return data.map((_, at) => data[(at % rows) * columns + Math.floor(at / rows)] ?? NaN);
}
