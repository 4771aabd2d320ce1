/**
 * What a training step keeps, measured against the formulas of the cells' documents: the table in docs/cells.md.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { sequential } from '../../lib';
import type { LayerSpec } from '../../lib/layers';
import { layers } from '../../lib/layers';

const [BATCH, STEPS, I, H] = [64, 128, 9, 64];
/** The most that a step may take, times the formula, where the table does not say why. */
const LIMIT = 1.2;
/** The table is of AVX2 kernels; the scratch memory of others' weight gradients differs by less than this, in bytes a layer. */
const SCRATCH = 400 << 10;

interface Subject {
  layers: LayerSpec[];
  /** Numbers that the documents save for a row and a step, all layers together. */
  saved: number;
  /** Inputs of each layer, which come on top. Default: those of the only one. */
  inputs?: [first: number, ...others: number[]];
  /** Numbers that it saves for a step, whatever the rows. */
  statistics?: number;
  /** Rows. Default 64. */
  batch?: number;
}

const spec = { units: H };
const stacked = { ...spec, returnSequences: true };
const attention = { units: H, heads: 4, window: 16 };
const larnn = 11 * H + attention.heads;
/** The published configuration: three layers, each with a window of a third of the sequence. */
const published = { units: 81, heads: 27, window: 38, normalization: 'batch' } as const;
const norms = 18;

const subjects: Record<string, Subject> = {
  rnn: { layers: [layers.rnn(spec)], saved: 2 * H },
  lstm: { layers: [layers.lstm(spec)], saved: 6 * H },
  gru: { layers: [layers.gru(spec)], saved: 5 * H },
  'gru, reset before': { layers: [layers.gru({ ...spec, reset: 'before' })], saved: 4 * H },
  bnlstm: { layers: [layers.bnlstm(spec)], saved: 15 * H },
  rra: { layers: [layers.rra(spec)], saved: 7 * H },
  'rra, weights per step': {
    layers: [layers.rra({ ...spec, K: 8, attention: 'softmaxPerStep' })],
    saved: 7 * H + 8,
  },
  scornn: { layers: [layers.scornn(spec)], saved: 2 * H },
  exprnn: { layers: [layers.exprnn(spec)], saved: 2 * H },
  enrnn: { layers: [layers.enrnn({ longUnits: H / 2, shortUnits: H / 2 })], saved: 2 * H },
  scurnn: { layers: [layers.scurnn(spec)], saved: 6 * H },
  larnn: { layers: [layers.larnn(attention)], saved: larnn },
  'larnn, positions concatenated': {
    layers: [layers.larnn({ ...attention, positional: 'concat' })],
    saved: larnn,
  },
  'larnn, layer norm': {
    layers: [layers.larnn({ ...attention, normalization: 'layer' })],
    saved: larnn,
    statistics: norms * H,
  },
  'larnn, batch norm': {
    layers: [layers.larnn({ ...attention, normalization: 'batch' })],
    saved: larnn,
    statistics: norms * H,
  },
  'larnn, published size': {
    layers: [layers.larnn({ ...published, layers: 3 })],
    saved: 3 * (11 * 81 + 27),
    statistics: 3 * norms * 81,
    inputs: [I, 81, 81],
    batch: 256,
  },
  '2 lstm': {
    layers: [layers.lstm(stacked), layers.lstm(spec)],
    saved: 12 * H,
    inputs: [I, H],
  },
  '3 lstm': {
    layers: [layers.lstm(stacked), layers.lstm(stacked), layers.lstm(spec)],
    saved: 18 * H,
    inputs: [I, H, H],
  },
  '2 scornn': {
    layers: [layers.scornn(stacked), layers.scornn(spec)],
    saved: 4 * H,
    inputs: [I, H],
  },
  '3 larnn': {
    layers: [
      layers.larnn({ ...attention, returnSequences: true }),
      layers.larnn({ ...attention, returnSequences: true }),
      layers.larnn(attention),
    ],
    saved: 3 * larnn,
    inputs: [I, H, H],
  },
  'larnn of 3 layers': {
    layers: [layers.larnn({ ...attention, layers: 3 })],
    saved: 3 * larnn,
    inputs: [I, H, H],
  },
};

/** Bytes of activations that a model holds behind a step, which are the most that the step has held. */
async function measured({ layers: list, batch = BATCH }: Subject): Promise<number> {
  using model = sequential({
    inputShape: [STEPS, I],
    layers: [...list, layers.dense({ units: 2 })],
    threads: 1,
  });
  model.compile({ optimizer: 'sgd', loss: 'sparseCategoricalCrossentropy' });
  const x = { shape: [batch, STEPS, I], data: new Float32Array(batch * STEPS * I) };
  await model.trainOnBatch(x, new Int32Array(batch));
  return model.memory().activations;
}

function byFormula({ saved, statistics = 0, inputs = [I], batch = BATCH }: Subject): number {
  const read = inputs.reduce((sum, count) => sum + count);
  return 4 * STEPS * (batch * (saved + read) + statistics);
}

/** Rows of the table: name, formula, ratio, and what the formula leaves out. */
const table = new Map(
  readFileSync(join(__dirname, '..', '..', 'docs', 'cells.md'), 'utf8')
    .split('\n')
    .map((line) => line.split('|').map((cell) => cell.trim()))
    .filter((cells) => /^\d\.\d\d$/.test(cells[3] ?? ''))
    .map(([, name = '', , ratio, why = '']) => [name, { ratio: Number(ratio), why }]),
);

it('every row of the table is measured', () => {
  expect([...table.keys()]).toEqual(Object.keys(subjects));
});

it.each(Object.entries(subjects))('%s', async (name, subject) => {
  const { ratio, why } = table.get(name) ?? { ratio: NaN, why: '' };
  const formula = byFormula(subject);
  const apart = (await measured(subject)) - ratio * formula;
  // An array of H numbers for each row and step, that a layer should not have, is 2 MB.
  expect(Math.abs(apart)).toBeLessThanOrEqual(
    SCRATCH * (subject.inputs?.length ?? 1) + 0.01 * formula,
  );
  expect(ratio <= LIMIT || why !== '').toBe(true);
});
