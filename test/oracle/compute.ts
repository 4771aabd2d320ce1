/**
 * Runs a case through the public API: cells through `cells`, whole classifiers through `Model`.
 */
import type { Cell, CellOptions, Device, DType, LarnnOptions, Tensor, TensorLike } from 'lookback';
import { cells, layers, sequential } from 'lookback';
import type { Computed } from './compare';
import { orthogonalProgram } from './orthogonal';
import type { VectorCase } from './vectors';
import { toLibrary } from './vectors';

/** Keys of `config` that are for the runner; all others are options of the cell. */
const runnerKeys = [
  'cell',
  'steps',
  'batch',
  'model',
  'features',
  'classes',
  'training',
  'inputSize',
];

export interface How {
  dtype: DType;
  device: Device;
}

export async function compute(vectors: VectorCase, how: How): Promise<Computed> {
  const { config } = vectors;
  if (config['model'] === 'classifier') return computeClassifier(vectors, how);
  if (config['model'] !== undefined)
    throw new Error(`unknown model ${JSON.stringify(config['model'])}`);
  const orthogonal = orthogonalProgram(vectors);
  if (orthogonal) return orthogonal(vectors, how);
  const cell = makeCell(vectors, how);
  const inputs = toLibrary(vectors.inputs, how.dtype);
  const weights = toLibrary(vectors.weights, how.dtype);
  const training = config['training'] === true;
  const { outputs, handle } = await cell.forward(inputs, weights, { training });
  const { grads } = await handle.backward(toLibrary(vectors.upstream, how.dtype));
  return { outputs, grads };
}

function cellOptions(vectors: VectorCase): Record<string, unknown> {
  const entries = Object.entries(vectors.config).filter(([key]) => !runnerKeys.includes(key));
  // Unset, statistics are kept for as many steps as training has.
  const filled = entries.map(([key, value]) =>
    key === 'tMax' && value === null ? [key, vectors.config['steps']] : [key, value],
  );
  return Object.fromEntries(filled) as Record<string, unknown>;
}

function makeCell(vectors: VectorCase, how: CellOptions): Cell {
  const options = { ...cellOptions(vectors), inputSize: vectors.config['inputSize'] };
  const kind = String(vectors.config['cell']);
  if (!Object.hasOwn(cells, kind)) throw new Error(`unknown cell ${JSON.stringify(kind)}`);
  const make: (given: never, where: CellOptions) => Cell = cells[kind as keyof typeof cells];
  return make(options as never, how);
}

/**
 * A dense layer `in` with ELU at every step, the LARNN layers, the last valid step, a dense layer `out`, and the mean
 * cross-entropy. Logits, loss, statistics and gradients are the model's. Its inner sequence and states are not
 * outputs of a model, so the cell gives them, from what the layer `in` gives.
 */
async function computeClassifier(vectors: VectorCase, how: How): Promise<Computed> {
  const { config } = vectors;
  const { x, labels, ...buffers } = toLibrary(vectors.inputs, how.dtype);
  if (!x || !labels) throw new Error('a classifier needs x and labels');
  const weights = renamed({ ...toLibrary(vectors.weights, how.dtype), ...buffers });
  const training = config['training'] === true;
  const inner = layers.dense({ name: 'in', units: Number(config['inputSize']), activation: 'elu' });
  const larnn = layers.larnn({
    ...(cellOptions(vectors) as unknown as LarnnOptions),
    name: 'larnn',
  });
  const out = layers.dense({ name: 'out', units: Number(config['classes']) });
  const inputShape: [number, number] = [Number(config['steps']), Number(config['features'])];
  using model = sequential({ inputShape, layers: [inner, larnn, out], ...how });
  const rate = { kind: 'sgd', learningRate: 1e-30 } as const;
  model.compile({ optimizer: rate, loss: 'sparseCategoricalCrossentropy' });
  model.setWeights(weights);
  const { loss = NaN } = await model.trainOnBatch(x, labels);
  model.setWeights(weights);

  const logits = await model.forward(x, { training });
  const dx = await model.backward(crossEntropyGradient(logits, labels.data));
  const after = Object.entries(model.getWeights()).filter(([name]) =>
    name.startsWith('larnn.buf.'),
  );

  using input = sequential({ inputShape, layers: [inner], ...how });
  input.setWeights(pick(weights, 'in.'));
  const z = await input.predict(x);
  const cell = makeCell(vectors, how);
  const own = Object.fromEntries(
    cell.weights.map(({ name }) => [name, weights[`larnn.${name}`] ?? []]),
  );
  const { outputs, handle } = await cell.forward({ x: z, ...buffers }, own, { training });
  handle.dispose();
  return {
    outputs: {
      ...outputs,
      ...Object.fromEntries(after.map(([name, tensor]) => [name.slice('larnn.'.length), tensor])),
      logits,
      loss: { shape: [], data: [loss] },
    },
    grads: { ...original(model.gradients()), x: dx },
  };
}

/** The vectors' names as the model has them: `l0.W_x` is `larnn.l0.W_x`. */
function renamed(tensors: Record<string, Tensor>): Record<string, TensorLike> {
  const entries = Object.entries(tensors).map(([name, tensor]) => [
    /^(in|out)\./.test(name) ? name : `larnn.${name}`,
    tensor,
  ]);
  return Object.fromEntries(entries) as Record<string, TensorLike>;
}

function original(tensors: Record<string, Tensor>): Record<string, Tensor> {
  return Object.fromEntries(
    Object.entries(tensors).map(([name, tensor]) => [name.replace(/^larnn\./, ''), tensor]),
  );
}

function pick(tensors: Record<string, TensorLike>, prefix: string): Record<string, TensorLike> {
  return Object.fromEntries(Object.entries(tensors).filter(([name]) => name.startsWith(prefix)));
}

/** The gradient of the mean over rows of -log softmax(logits)[label]. */
function crossEntropyGradient(logits: Tensor, labels: ArrayLike<number>): Tensor {
  const [rows = 1, classes = 1] = logits.shape;
  const data = logits.data.slice();
  for (let row = 0; row < rows; row += 1) {
    const line = Array.from(logits.data.subarray(row * classes, (row + 1) * classes));
    const most = Math.max(...line);
    const sum = line.reduce((total, value) => total + Math.exp(value - most), 0);
    line.forEach((value, column) => {
      const hit = column === labels[row] ? 1 : 0;
      data[row * classes + column] = (Math.exp(value - most) / sum - hit) / rows;
    });
  }
  return { shape: [...logits.shape], data };
}
