/**
 * Trains configurations on part of the HAR training subjects and appends one record per run to a file.
 *
 *   node docs/results/har-normalization/search.mjs PLAN.jsonl RECORDS.jsonl
 *
 * A line of PLAN.jsonl is a run: { stage, fold, seed, larnn, epochs, batchSize, optimizer, schedule, threads } and perhaps
 * dropout, the rate before the last layer. A run that stands in RECORDS.jsonl already is left out. Nothing is trained or
 * judged on the test part of the data.
 */
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { performance } from 'node:perf_hooks';

const require = createRequire(import.meta.url);
const { backendInfo, datasets, sequential } = require('../../..');

/** Disjoint parts of the 21 training subjects: every fourth of the sorted numbers. */
const folds = {
  A: [1, 7, 15, 21, 26],
  B: [5, 11, 17, 23, 28],
  C: [3, 8, 16, 22, 27],
  D: [6, 14, 19, 25, 29],
};

const [, , planPath, recordsPath] = process.argv;
const done = new Set(
  existsSync(recordsPath) ? linesOf(recordsPath).map(({ run }) => keyOf(run)) : [],
);
const { train: all } = datasets.har();
for (const run of linesOf(planPath)) {
  if (done.has(keyOf(run))) continue;
  const record = await trainOnce(run);
  appendFileSync(recordsPath, `${JSON.stringify(record)}\n`);
  const { valAccuracy } = record.epochs.at(-1);
  console.log(valAccuracy.toFixed(4), `${record.seconds} s`, JSON.stringify(run));
}

function linesOf(path) {
  return readFileSync(path, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
}

/** @returns the run, the log of every epoch, and what the training cost */
async function trainOnce(run) {
  const { train, held } = datasets.splitBySubject(all, folds[run.fold]);
  const model = sequential({
    inputShape: [all.steps, all.features],
    layers: [
      ...(run.input ? [{ kind: 'dense', units: run.input, activation: 'elu' }] : []),
      { kind: 'larnn', ...run.larnn },
      ...(run.dropout ? [{ kind: 'dropout', rate: run.dropout }] : []),
      { kind: 'dense', units: 6, activation: 'softmax' },
    ],
    seed: run.seed,
    threads: run.threads,
  });
  model.compile({
    optimizer: run.optimizer,
    loss: 'sparseCategoricalCrossentropy',
    metrics: ['accuracy'],
  });
  const begun = performance.now();
  const cpu = process.cpuUsage();
  const epochs = [];
  let epochBegun = begun;
  const history = {
    onEpochEnd: (epoch, logs) => {
      const now = performance.now();
      epochs.push({ epoch: epoch + 1, ...logs, seconds: (now - epochBegun) / 1000 });
      epochBegun = now;
    },
  };
  const { epochs: count, batchSize, schedule } = run;
  await model.fit(train.x, train.y, {
    epochs: count,
    batchSize,
    schedule,
    validationData: [held.x, held.y],
    verbose: 0,
    callbacks: [history],
  });
  model.dispose();
  const { user, system } = process.cpuUsage(cpu);
  return {
    run,
    held: folds[run.fold],
    isa: backendInfo().isa,
    seconds: round((performance.now() - begun) / 1000),
    cpuSeconds: round((user + system) / 1e6),
    epochs: epochs.map(rounded),
  };
}

function keyOf(run) {
  return JSON.stringify(run);
}

function rounded(record) {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, round(value)]));
}

function round(value) {
  return Math.round(value * 1e5) / 1e5;
}
