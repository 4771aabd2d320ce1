/**
 * One case on two devices: what it gave on each, and how far that is apart.
 */
import { sequential } from 'lookback';
import type { DType, Model } from 'lookback';
import type { DeviceCase, How } from './cases';
import { BATCH, dataOf, FEATURES } from './cases';

/** What a case gave, by what it is. */
export type Results = Record<string, number[]>;

/**
 * How far a result on another device may be from the CPU's, as a share of the largest entry (at least 1) of what it is
 * part of. Both sum the same numbers in other orders, for three epochs of three updates; optimizers that divide by the size
 * of a gradient, and batch norms, magnify that. On the emulated device the largest are 2e-13 and 4e-5 (docs/gpu.md).
 */
export const BOUNDS: Record<DType, number> = { float64: 1e-9, float32: 1e-3 };

export function modelOf(given: DeviceCase, how: How): Model {
  const integers = given.data?.integers === true;
  const model = sequential({
    ...how,
    inputShape: [null, integers ? 1 : FEATURES],
    layers: given.layers,
    seed: 3,
  });
  return model.compile({
    optimizer: given.optimizer ?? { kind: 'sgd', learningRate: 0.1 },
    loss: given.loss ?? 'sparseCategoricalCrossentropy',
    metrics: given.loss === undefined ? ['accuracy'] : [],
  });
}

const flat = (data: ArrayLike<number>): number[] => Array.from(data);

/** Trains, evaluates, predicts and streams. */
export async function compute(given: DeviceCase, how: How): Promise<Results> {
  using model = modelOf(given, how);
  const data = dataOf(given, how.dtype);
  const batchSize = given.fit?.batchSize ?? BATCH;
  const history = await model.fit(data, {
    ...{ epochs: 3, batchSize, verbose: 0 },
    ...given.fit,
  });
  const { stateful = false, burnIn = 0 } = given.fit ?? {};
  const evaluated = await model.evaluate(data, { batchSize, stateful, burnIn });
  const { x, lengths, resets } = data;
  const predicted = await model.predict(x, {
    ...{ batchSize },
    ...(lengths && { lengths }),
    ...(resets && { resets }),
  });
  const results: Results = {
    losses: flat(history.history['loss'] ?? []),
    evaluate: [evaluated['loss'] ?? NaN],
    predict: flat(predicted.data),
    ...streamed(model, given, how),
  };
  // A factor of any eigenvector is free.
  const weights = Object.entries(model.getWeights()).filter(([name]) => !/\.eigen/.test(name));
  for (const [name, { data: numbers }] of weights) results[name] = flat(numbers);
  return results;
}

/** Three steps of two sequences; nothing for models that need the whole of them. */
function streamed(model: Model, given: DeviceCase, { dtype }: How): Results {
  const whole = given.layers.some(
    ({ kind, over, goBackwards }) =>
      kind === 'bidirectional' || goBackwards === true || over === 'mean' || over === 'max',
  );
  if (whole) return {};
  using stream = model.createStream({ batch: 2 });
  const { x } = dataOf(given, dtype) as { x: { data: Float32Array } };
  const each = given.data?.integers === true ? 1 : FEATURES;
  const outputs = [0, 1, 2].map((step) => {
    const from = x.data.slice(step * 2 * each, (step + 1) * 2 * each);
    const shape = given.data?.integers === true ? [2] : [2, each];
    return flat(stream.step({ shape, data: from }).data);
  });
  return { stream: outputs.flat() };
}

export interface Difference {
  /** Which of the results. */
  name: string;
  /** As {@link BOUNDS}; infinite where one is not a finite number. */
  error: number;
}

/** The largest difference. @throws {Error} where they are not of the same names and sizes */
export function worstOf(ours: Results, cpu: Results): Difference {
  let worst: Difference = { name: '', error: -1 };
  for (const [name, wanted] of Object.entries(cpu)) {
    const got = ours[name];
    if (got?.length !== wanted.length || wanted.length === 0)
      throw new Error(`${name} has ${got?.length ?? 0} numbers, on the CPU ${wanted.length}`);
    const scale = wanted.reduce((most, value) => Math.max(most, Math.abs(value)), 1);
    const error = wanted.reduce((most, value, at) => {
      const apart = Math.abs(value - (got[at] ?? NaN)) / scale;
      return Math.max(most, Number.isFinite(apart) ? apart : Infinity);
    }, 0);
    if (error > worst.error) worst = { name, error };
  }
  return worst;
}
