/**
 * Trains one configuration without the people of a fold and judges it by them after the last epoch; the test people are never looked at.
 * Takes runs, one JSON object a line, and appends a record for each fold of each to a file:
 *
 *   node docs/results/harCompressed/tried/search.mjs PLAN.jsonl RECORDS.jsonl
 */
import { appendFileSync, readFileSync } from 'node:fs';
import lookback from '../../../../dist/index.js';

const { datasets, sequential } = lookback;
const FOLDS = { B: [5, 11, 17, 23, 28], C: [3, 8, 16, 22, 27] };
const [STEPS, FEATURES] = [128, 9];
const HALF = STEPS / 2;
const RADIANS = Math.PI / 180;

/** Uniform in [0, 1), by mulberry32. */
function uniformFrom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function randomFrom(seed) {
  const uniform = uniformFrom(seed);
  const normal = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  return { uniform, normal };
}

/** A turn by a normal angle of `degrees` around an axis of any direction: 9 numbers. */
function rotation(degrees, { normal }) {
  const axis = [normal(), normal(), normal()];
  const [x, y, z] = axis.map((one) => one / Math.hypot(...axis));
  const angle = normal() * degrees * RADIANS;
  const [c, s] = [Math.cos(angle), Math.sin(angle)];
  const d = 1 - c;
  return [
    [c + x * x * d, x * y * d - z * s, x * z * d + y * s],
    [y * x * d + z * s, c + y * y * d, y * z * d - x * s],
    [z * x * d - y * s, z * y * d + x * s, c + z * z * d],
  ].flat();
}

/** For each window, whether the next one begins in its middle and has its label. */
function followed({ x, y }) {
  return Array.from(y.data, (label, row) => {
    if (row + 1 >= y.data.length || y.data[row + 1] !== label) return false;
    const from = (row * STEPS + HALF) * FEATURES;
    const next = (row + 1) * STEPS * FEATURES;
    for (let at = 0; at < HALF * FEATURES; at += 1)
      if (x.data[from + at] !== x.data[next + at]) return false;
    return true;
  });
}

/** Writes a changed copy of window `row` to `out`. */
function change(
  out,
  data,
  row,
  { rotate = 0, scale = 0, shift = false, jitter = 0 },
  random,
  next,
) {
  // The two windows share a half, so the steps behind this window are those of the next one's second half.
  const begin = shift && next ? Math.floor(random.uniform() * (HALF + 1)) : 0;
  const turn = rotate > 0 ? rotation(rotate, random) : null;
  const strength = scale > 0 ? Math.exp(scale * random.normal()) : 1;
  for (let step = 0; step < STEPS; step += 1) {
    const at = begin + step;
    const from = (at < STEPS ? row * STEPS + at : (row + 1) * STEPS + at - HALF) * FEATURES;
    const to = step * FEATURES;
    for (let axis = 0; axis < 3; axis += 1) {
      const body = data[from + axis];
      out[to + axis] = strength * body;
      out[to + 3 + axis] = strength * data[from + 3 + axis];
      out[to + 6 + axis] = data[from + 6 + axis] + (strength - 1) * body;
    }
    if (turn !== null)
      for (let triple = to; triple < to + FEATURES; triple += 3) {
        const [a, b, c] = out.subarray(triple, triple + 3);
        for (let axis = 0; axis < 3; axis += 1)
          out[triple + axis] = turn[3 * axis] * a + turn[3 * axis + 1] * b + turn[3 * axis + 2] * c;
      }
    if (jitter > 0)
      for (let feature = 0; feature < FEATURES; feature += 1)
        out[to + feature] += jitter * random.normal();
  }
}

/** Small movements are brought nearer to large ones: asinh(x / unit) of body acceleration (unit in g) and turning (in rad/s). */
function compressed(data, [g, radians] = []) {
  if (g === undefined) return data;
  const units = [g, g, g, radians, radians, radians];
  return data.map((value, at) => {
    const unit = units[at % FEATURES];
    return unit === undefined ? value : Math.asinh(value / unit);
  });
}

/** Every window once an epoch, in a new order, each changed anew. */
function changedBatches(train, batchSize, seed, changes, compress) {
  const random = randomFrom(seed);
  const rows = train.y.data.length;
  const next = followed(train);
  const order = Array.from({ length: rows }, (_, row) => row);
  return {
    *[Symbol.iterator]() {
      for (let at = rows - 1; at > 0; at -= 1) {
        const other = Math.floor(random.uniform() * (at + 1));
        [order[at], order[other]] = [order[other], order[at]];
      }
      for (let begin = 0; begin < rows; begin += batchSize) {
        const chosen = order.slice(begin, begin + batchSize);
        const data = new Float32Array(chosen.length * STEPS * FEATURES);
        chosen.forEach((row, at) => {
          const out = data.subarray(at * STEPS * FEATURES, (at + 1) * STEPS * FEATURES);
          change(out, train.x.data, row, changes, random, next[row]);
        });
        const y = Int32Array.from(chosen, (row) => train.y.data[row]);
        yield {
          x: { shape: [chosen.length, STEPS, FEATURES], data: compressed(data, compress) },
          y,
        };
      }
    },
  };
}

const smallGamma = {
  kind: 'larnn',
  units: 32,
  heads: 4,
  window: 16,
  normalization: 'batch',
  init: 'published',
  bnStats: 'perStep',
  bnMaxSteps: STEPS,
};
const CELLS = {
  small: smallGamma,
  none: { kind: 'larnn', units: 32, heads: 4, window: 16 },
  lstm: { kind: 'lstm', units: 54 },
  bnlstm: { kind: 'bnlstm', units: 53 },
};

function modelOf(
  { cell, options, layers, head = [], seed = 1, scaled = true, before = [] },
  evaluation,
) {
  const recurrent = { ...CELLS[cell], ...options, returnSequences: true };
  if (evaluation !== undefined) recurrent.evaluation = evaluation;
  return sequential({
    inputShape: [STEPS, FEATURES],
    layers: layers ?? [
      ...before,
      recurrent,
      { kind: 'pool', over: 'mean' },
      ...head,
      { kind: 'dense', units: 6, activation: 'softmax' },
    ],
    ...(scaled ? { preprocessing: { input: 'standardize' } } : {}),
    seed,
    threads: 1,
  });
}

const lastOf = (history) =>
  Object.fromEntries(Object.entries(history).map(([key, values]) => [key, values.at(-1)]));

async function run(spec, fold, parts) {
  const { epochs = 12, batchSize = 64, seed = 1, changes, optimizer, schedule } = spec;
  const raw = parts.train;
  const [train, held] = [parts.train, parts.held].map((part) => ({
    ...part,
    x: { ...part.x, data: compressed(part.x.data, spec.compress) },
  }));
  const started = process.cpuUsage();
  const model = modelOf(spec);
  const compiled = {
    optimizer: { kind: 'adam', learningRate: 0.002, clipNorm: 0.5, ...optimizer },
    loss: 'sparseCategoricalCrossentropy',
    metrics: ['accuracy'],
  };
  model.compile(compiled);
  if (spec.scaled !== false) model.fitPreprocessing(train);
  const fitting = { epochs, schedule: schedule ?? { kind: 'cosine', warmup: 1 }, verbose: 0 };
  const { history } = changes
    ? await model.fit(changedBatches(raw, batchSize, seed, changes, spec.compress), {
        ...fitting,
        stepsPerEpoch: Math.ceil(train.y.data.length / batchSize),
      })
    : await model.fit(train, { ...fitting, batchSize });
  const used = process.cpuUsage(started);
  const record = {
    ...spec,
    fold,
    train: lastOf(history),
    held: await model.evaluate(held),
    confusion: await model.confusionMatrix(held),
    cpu: Math.round((used.user + used.system) / 1e6),
  };
  if (spec.byBatch) {
    const byBatch = modelOf(spec, 'batch').compile(compiled);
    byBatch.fitPreprocessing(train);
    byBatch.setWeights(model.getWeights());
    record.heldByBatch = await byBatch.evaluate(held);
    byBatch.dispose();
  }
  model.dispose();
  return record;
}

const [plan, records] = process.argv.slice(2);
const all = datasets.har().train;
for (const line of readFileSync(plan, 'utf8').split('\n')) {
  if (line.trim() === '') continue;
  const { folds = ['B', 'C'], ...spec } = JSON.parse(line);
  for (const fold of folds) {
    const record = await run(spec, fold, datasets.splitBySubject(all, FOLDS[fold]));
    appendFileSync(records, `${JSON.stringify(record)}\n`);
    console.log(
      spec.name,
      fold,
      record.train.accuracy?.toFixed(4),
      record.held.accuracy.toFixed(4),
      record.held.loss.toFixed(3),
      record.heldByBatch?.accuracy.toFixed(4),
      `${record.cpu}s`,
    );
  }
}
