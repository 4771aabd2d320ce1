/**
 * The copying problem: symbols are remembered over hundreds of silent steps.
 */
import type { Comparison, Contestant } from '../comparison';
import { tf1Rmsprop } from '../optimizers';

const perStep = (layer: (units: number) => object) => (units: number) => [
  { ...layer(units), returnSequences: true },
  { kind: 'dense', units: 9 },
];

const contestants: readonly Contestant[] = [
  {
    name: 'scornn',
    label: 'scoRNN',
    layers: perStep((units) => ({ kind: 'scornn', units })),
    units: 190,
    optimizer: tf1Rmsprop(1e-3),
  },
  {
    name: 'enrnn',
    label: 'ENRNN',
    layers: perStep((units) => ({ kind: 'enrnn', longUnits: units - 20, shortUnits: 20 })),
    units: 192,
    optimizer: tf1Rmsprop(1e-3),
  },
  {
    name: 'scurnn',
    label: 'scuRNN',
    layers: perStep((units) => ({ kind: 'scurnn', units })),
    units: 130,
    optimizer: { kind: 'adam', learningRate: 1e-3 },
    groups: [
      {
        match: 'A_*',
        optimizer: {
          kind: 'rmsprop',
          learningRate: 1e-4,
          rho: 0.9,
          epsilon: 1e-8,
          epsilonInside: true,
        },
      },
      {
        match: 'theta',
        optimizer: { kind: 'adagrad', learningRate: 1e-4, initialAccumulator: 0.1, epsilon: 0 },
      },
    ],
  },
  {
    name: 'exprnn',
    label: 'expRNN',
    layers: perStep((units) => ({ kind: 'exprnn', units, init: 'henaff' })),
    units: 190,
    optimizer: { kind: 'rmsprop', learningRate: 1e-3, rho: 0.99 },
    groups: [{ match: 'P', optimizer: { kind: 'rmsprop', learningRate: 1e-4, rho: 0.99 } }],
  },
  {
    name: 'lstm',
    label: 'LSTM',
    layers: perStep((units) => ({ kind: 'lstm', units })),
    units: 68,
    optimizer: tf1Rmsprop(1e-3),
  },
];

/** Ten symbols, `delay` steps of silence, ten steps of answers. */
const over = (delay: number, text: (memoryless: string) => readonly string[]): Comparison => {
  const steps = delay + 20;
  const memoryless = (10 * Math.log(8)) / steps;
  return {
    title: `The copying problem, T = ${delay}`,
    text: text(`10 ln 8 / ${steps} = ${memoryless.toFixed(4)}`).join('\n'),
    inputShape: [steps, 10],
    config: {
      epochs: 4,
      batchSize: 20,
      data: { name: 'copying', delay, train: 20000, test: 1000, seed: 1 },
    },
    rows: 20000,
    contestants,
    seeds: 1,
    metric: 'loss',
    baseline: { value: memoryless, label: 'memoryless' },
    solved: memoryless / 10,
    quick: { epochs: 1, data: { name: 'copying', delay: 20, train: 400, test: 100, seed: 1 } },
  };
};

export const copying = over(500, (memoryless) => [
  'Ten symbols out of eight, 500 steps of silence, then the symbols are asked for. Knowing nothing of them costs a mean cross',
  `entropy of ${memoryless}; solved means below a tenth of that. 20 000 sequences to train`,
  'from, 1000 others to test with, batch 20, 4000 updates. Sizes, optimizers and rates as published for T = 1000 or 2000 (scoRNN: 190',
  'units; ENRNN: 172 + 20; scuRNN: 130; LSTM: 68), but for two: ENRNN trains A at 1e-4, as for the adding problem, and expRNN, published with',
  'batches of 128, has scoRNN’s rates here. One setting each, nothing searched for.',
]);

export const copying1000 = over(1000, (memoryless) => [
  'The same problem with 1000 steps of silence: the cells, their sizes, optimizers and numbers of updates are those of the comparison',
  `above, nothing was changed or searched for. Knowing nothing costs ${memoryless}.`,
]);
