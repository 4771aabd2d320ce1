/**
 * Trains a LARNN with batch norm from a small γ without the people of fold B, and judges it by them with running statistics and
 * with the statistics of the batch at hand. Appends one record per case to a file:
 *
 *   node docs/results/har-normalization/gammas.mjs RECORDS.jsonl
 */
import { appendFileSync } from 'node:fs';
import lookback from '../../../dist/index.js';

const { datasets, sequential } = lookback;
const HELD_OUT = [5, 11, 17, 23, 28];
const perStep = { bnStats: 'perStep', bnMaxSteps: 128 };
const CASES = {
  g01step: { ...perStep, gamma: 0.1 },
  pubstep: { ...perStep, init: 'published' },
};

function modelOf(options, evaluation) {
  const layer = { kind: 'larnn', units: 32, heads: 4, window: 16, normalization: 'batch' };
  const model = sequential({
    inputShape: [128, 9],
    layers: [
      { ...layer, ...options, evaluation },
      { kind: 'dense', units: 6, activation: 'softmax' },
    ],
    seed: 1,
    threads: 1,
  });
  return model.compile({
    optimizer: { kind: 'adam', learningRate: 0.004, clipNorm: 0.5 },
    loss: 'sparseCategoricalCrossentropy',
    metrics: ['accuracy'],
  });
}

/** The same weights but for every γ of the cell. */
function setGamma(model, gamma) {
  const weights = model.getWeights();
  for (const [key, { data }] of Object.entries(weights))
    if (key.endsWith('.gamma')) data.fill(gamma);
  model.setWeights(weights);
}

const { train, held } = datasets.splitBySubject(datasets.har().train, HELD_OUT);
for (const [name, { gamma, ...options }] of Object.entries(CASES)) {
  const model = modelOf(options, 'running');
  if (gamma !== undefined) setGamma(model, gamma);
  const schedule = { kind: 'cosine', warmup: 1 };
  const { history } = await model.fit(train, { epochs: 10, batchSize: 64, schedule, verbose: 0 });
  const last = Object.fromEntries(
    Object.entries(history).map(([key, values]) => [key, values.at(-1)]),
  );
  const byBatch = modelOf(options, 'batch');
  byBatch.setWeights(model.getWeights());
  const record = {
    name,
    last,
    running: await model.evaluate(held),
    batch: await byBatch.evaluate(held),
    trainRunning: await model.evaluate(train),
  };
  appendFileSync(process.argv[2], `${JSON.stringify(record)}\n`);
  model.dispose();
  byBatch.dispose();
}
