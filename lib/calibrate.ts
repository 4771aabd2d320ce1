/**
 * Running statistics as the paper of the batch-normalised LSTM defines them: averages over the training set with
 * frozen weights.
 */
import type { Cell, TensorsByName } from './cell';
import { LookbackError } from './errors';
import type { PlacedCell } from './layers';
import { cellsWithin } from './layers';
import type { Model } from './model';
import type { NamedTensors } from './model-options';
import { isNamed, show } from './options';
import type { FloatArray, Tensor, TensorLike } from './tensor';
import { asTensor } from './tensor';

/** Averages of statistics by name, each line of features by itself: not every batch has every step. */
class Averages {
  readonly #sums = new Map<string, Float64Array[]>();
  readonly #counts = new Map<string, number[]>();

  /** Adds the first `lines` lines of `features` numbers, times `factor`. */
  add(name: string, data: ArrayLike<number>, features: number, lines: number, factor = 1): void {
    const sums = this.#sums.get(name) ?? [];
    const counts = this.#counts.get(name) ?? [];
    for (let line = 0; line < lines; line += 1) {
      const sum = (sums[line] ??= new Float64Array(features));
      counts[line] = (counts[line] ?? 0) + 1;
      sum.forEach((value, at) => {
        sum[at] = value + factor * (data[line * features + at] ?? NaN);
      });
    }
    this.#sums.set(name, sums);
    this.#counts.set(name, counts);
  }

  get names(): string[] {
    return [...this.#sums.keys()];
  }

  /** Written to `out`; lines that no batch has are those of the last one. */
  write(name: string, out: FloatArray, features: number): void {
    const sums = this.#sums.get(name) ?? [];
    const counts = this.#counts.get(name) ?? [];
    for (let at = 0; at < out.length; at += 1) {
      const line = Math.min(Math.floor(at / features), sums.length - 1);
      out[at] = (sums[line]?.[at % features] ?? NaN) / (counts[line] ?? NaN);
    }
  }
}

/**
 * Runs the cell over batches of training data and averages the statistics of each step. The result is what evaluation
 * takes: `cell.forward({ x, ...statistics }, weights)`. A step counts where two rows of a batch have it, since one has
 * no variance; steps beyond the last that counts repeat it.
 *
 * @param cell a cell of `cells.bnlstm`
 * @param batches inputs as `forward` takes them, two rows or more each
 * @throws {LookbackError} ERR_OPTION for another kind of cell, ERR_DATA without any step that counts
 */
export async function calibrateCell(
  cell: Cell,
  weights: TensorsByName,
  batches: Iterable<TensorsByName> | AsyncIterable<TensorsByName>,
): Promise<Record<string, Tensor<FloatArray>>> {
  const kind: unknown = isNamed(cell) ? cell.kind : undefined;
  if (kind !== 'bnlstm') {
    const seen = typeof kind === 'string' ? `a ${kind}` : show(cell);
    const message = `calibrate: the cell is ${seen}; expected one of cells.bnlstm, which has statistics`;
    throw new LookbackError('ERR_OPTION', message);
  }
  requireIterable(batches);
  const averages = new Averages();
  const results = new Map<string, Tensor<FloatArray>>();
  for await (const inputs of batches) {
    const { outputs, handle } = await cell.forward(inputs, weights, { training: true });
    handle.dispose();
    const steps = countedSteps(inputs['x'] ?? [], lengthsOf(inputs['lengths']));
    if (steps === 0) continue;
    for (const [name, { shape, data }] of Object.entries(outputs)) {
      const [lines = 0, features = 0] = shape;
      if (name.startsWith('running_')) results.set(name, { shape, data: data as FloatArray });
      if (/^(mean|var)_/.test(name))
        averages.add(`running_${name}`, data, features, Math.min(lines, steps));
    }
  }
  requireBatches(averages.names.length);
  for (const [name, { shape, data }] of results) averages.write(name, data, shape[1] ?? 0);
  return Object.fromEntries(results);
}

/**
 * Inputs `[B, T, C]` of two rows or more, alone or with the valid steps of each row, `[B]` as Int32Array; a step counts
 * where two rows of the batch have it, since one has no variance.
 */
export type CalibrationBatch =
  TensorLike | { readonly x: TensorLike; readonly lengths?: TensorLike };

/**
 * Gives a model's `bnlstm` layers, also those inside of others, the averages of the batch statistics over the training set, with frozen weights, in
 * place of the running ones: the statistics that the paper's evaluation uses. Running ones lag behind the weights, and
 * with few updates and many steps they can mislead evaluation altogether. Sequences must not be longer than `tMax`.
 *
 * @param batches from the training set, in an order as in training: rows of one kind alone have statistics of their own
 * @throws {LookbackError} ERR_OPTION without such a layer, or where its momentum is 0; ERR_SHAPE for longer sequences;
 * ERR_DATA without any step that counts. The statistics are then as before.
 *
 * @example
 * ```ts
 * const cell = layers.bnlstm({ units: 4 });
 * const model = sequential({ inputShape: [6, 2], layers: [cell, layers.dense({ units: 2 })] });
 * model.compile({ optimizer: 'adam', loss: 'sparseCategoricalCrossentropy' });
 * await model.fit(train, { verbose: 0 });
 * await calibrate(model, [train.x]);
 * console.log(await model.evaluate(held));
 * ```
 */
export async function calibrate(
  model: Model,
  batches: Iterable<CalibrationBatch> | AsyncIterable<CalibrationBatch>,
): Promise<void> {
  const cells = cellsWithStatistics(model);
  const before = model.state();
  requireIterable(batches);
  const averages = new Averages();
  try {
    for await (const batch of batches) await addBatch(model, cells, batch, averages);
    requireBatches(averages.names.length);
  } finally {
    model.restore(before.tensors, before.counters);
  }
  const statistics = pick(model.getWeights(), averages.names);
  for (const [name, { shape, data }] of Object.entries(statistics))
    averages.write(name, data, shape[1] ?? 0);
  model.setWeights(statistics);
}

/** Whether `calibrate` can be called with sequences of `steps`. @throws {LookbackError} as it, before any work */
export function requireCalibratable(model: Model, steps: number): void {
  requireRowsFor(cellsWithStatistics(model), steps);
}

/** @throws {LookbackError} ERR_OPTION where there is none whose statistics can change */
function cellsWithStatistics(model: Model): PlacedCell[] {
  if (!isNamed(model) || typeof model.config !== 'function') {
    const message = `calibrate: model is ${show(model)}; expected a model, as sequential and loadModel give`;
    throw new LookbackError('ERR_OPTION', message);
  }
  const cells = cellsWithin(model.config().layers).filter(({ kind }) => kind === 'bnlstm');
  if (cells.length === 0) {
    throw new LookbackError('ERR_OPTION', 'calibrate: the model has no bnlstm layer');
  }
  const frozen = cells.find(({ layer }) => layer['momentum'] === 0);
  if (frozen) {
    const message = `calibrate: layer ${frozen.path} has momentum 0, so its statistics cannot change`;
    throw new LookbackError('ERR_OPTION', message);
  }
  return cells;
}

/** @throws {LookbackError} ERR_SHAPE where a step would have no statistics of its own */
function requireRowsFor(cells: readonly PlacedCell[], steps: number): void {
  const shorter = cells.find(({ layer }) => steps > Number(layer['tMax']));
  if (!shorter) return;
  const message = `calibrate: x has ${steps} steps but layer ${shorter.path} has statistics for ${String(shorter.layer['tMax'])}; give shorter sequences`;
  throw new LookbackError('ERR_SHAPE', message);
}

/** With running statistics of zero, what a batch leaves of them is its own times the momentum. */
async function addBatch(
  model: Model,
  cells: readonly PlacedCell[],
  batch: CalibrationBatch,
  averages: Averages,
): Promise<void> {
  const { x, lengths } = withLengths(batch);
  const steps = countedSteps(x, lengths);
  requireRowsFor(cells, stepsOf(x));
  if (steps === 0) return;
  const isStatistic = (name: string, { path }: PlacedCell): boolean =>
    name.startsWith(`${path}.buf.`);
  const all = model.getWeights();
  const names = Object.keys(all).filter((name) => cells.some((each) => isStatistic(name, each)));
  const empty = pick(all, names);
  for (const { data } of Object.values(empty)) data.fill(0);
  model.setWeights(empty);
  await model.forward(x, { training: true, ...(lengths ? { lengths } : {}) });
  const after = pick(model.getWeights(), names);
  for (const cell of cells) {
    for (const [name, { shape, data }] of Object.entries(after)) {
      if (!isStatistic(name, cell)) continue;
      const [lines = 0, features = 0] = shape;
      averages.add(
        name,
        data,
        features,
        Math.min(lines, steps),
        1 / Number(cell.layer['momentum']),
      );
    }
  }
}

function withLengths(batch: CalibrationBatch): { x: TensorLike; lengths: Int32Array | null } {
  return 'x' in batch
    ? { x: batch.x, lengths: lengthsOf(batch.lengths) }
    : { x: batch, lengths: null };
}

function lengthsOf(lengths: TensorLike | undefined): Int32Array | null {
  if (lengths === undefined) return null;
  const wish = { name: 'calibrate: lengths', dtype: 'int32', shape: [null] } as const;
  return asTensor(lengths, wish).data as Int32Array;
}

/**
 * Steps that two rows have or more: of one alone the variance is 0, which says nothing of other rows. A batch of one row
 * is refused by the layer.
 */
function countedSteps(x: TensorLike, lengths: Int32Array | null): number {
  return lengths?.slice().sort().at(-2) ?? stepsOf(x);
}

function stepsOf(x: TensorLike): number {
  if (Array.isArray(x)) return Array.isArray(x[0]) ? x[0].length : 0;
  return 'shape' in x ? (x.shape[1] ?? 0) : 0;
}

function pick(tensors: NamedTensors, names: readonly string[]): NamedTensors {
  return Object.fromEntries(Object.entries(tensors).filter(([name]) => names.includes(name)));
}

/** Numbers can be gone through too, but are no batches. */
function requireIterable(batches: unknown): void {
  const iterable =
    typeof batches === 'object' &&
    batches !== null &&
    !ArrayBuffer.isView(batches) &&
    (Symbol.iterator in batches || Symbol.asyncIterator in batches);
  if (iterable) return;
  const message = `calibrate: batches is ${show(batches)}; expected a list of batches, or what gives one after another, such as [train.x]`;
  throw new LookbackError('ERR_OPTION', message);
}

function requireBatches(found: number): void {
  if (found > 0) return;
  const message = 'calibrate: no batch has a step of two rows; expected at least one';
  throw new LookbackError('ERR_DATA', message);
}
