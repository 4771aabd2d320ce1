/**
 * The copying problem: symbols are remembered over hundreds of silent steps.
 */
import type { Comparison } from '../comparison';
import { tf1Rmsprop } from '../optimizers';

const DELAY = 500;
const STEPS = DELAY + 20;

const perStep = (layer: (units: number) => object) => (units: number) => [
  { ...layer(units), returnSequences: true },
  { kind: 'dense', units: 9 },
];

export const copying: Comparison = {
  title: 'The copying problem, T = 500',
  text: [
    'Ten symbols out of eight, 500 steps of silence, then the symbols are asked for. Knowing nothing of them costs a mean cross',
    `entropy of 10 ln 8 / ${STEPS} = ${((10 * Math.log(8)) / STEPS).toFixed(4)}; solved means below a tenth of that. 20 000 sequences to train`,
    'from, 1000 others to test with, batch 20, 4000 updates. Sizes, optimizers and rates as published for T = 1000 or 2000 (scoRNN: 190',
    'units; ENRNN: 172 + 20; scuRNN: 130; LSTM: 68), but for two: ENRNN trains A at 1e-4, as for the adding problem, and expRNN, published with',
    'batches of 128, has scoRNN’s rates here. One setting each, nothing searched for.',
  ].join('\n'),
  inputShape: [STEPS, 10],
  config: {
    epochs: 4,
    batchSize: 20,
    data: { name: 'copying', delay: DELAY, train: 20000, test: 1000, seed: 1 },
  },
  rows: 20000,
  contestants: [
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
  ],
  seeds: 1,
  metric: 'loss',
  baseline: { value: (10 * Math.log(8)) / STEPS, label: 'memoryless' },
  solved: Math.log(8) / STEPS,
  quick: { epochs: 1, data: { name: 'copying', delay: 20, train: 400, test: 100, seed: 1 } },
};
