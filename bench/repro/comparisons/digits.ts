/**
 * Spoken digits, an open stand-in for TIMIT: whole recordings are classified.
 */
import type { Comparison, Contestant } from '../comparison';
import { rates } from '../comparison';
import { slowA, tf1Rmsprop } from '../optimizers';
import { threeToTwo } from '../widths';

const BANDS = 40;
const STEPS = 100;
const EPOCHS = 20;

const classifier = (layer: (units: number) => object) => (units: number) => [
  layer(units),
  { kind: 'dense', units: 10, activation: 'softmax' },
];
const orthogonal: Pick<Contestant, 'optimizer' | 'groups'> = {
  optimizer: { ...tf1Rmsprop(1e-3), clipNorm: 1 },
  groups: slowA,
};

export const digits: Comparison = {
  title: 'Spoken digits',
  text: [
    '3000 recordings of ten digits by six speakers (Free Spoken Digit Dataset), 2700 to train from, 300 others of the same speakers to test with.',
    `Frames of ${BANDS} mel bands every 10 ms, at most ${STEPS}, standardized; one recurrent layer and a dense softmax layer, batch 64, ${EPOCHS} epochs, so 860 updates for`,
    'every cell, cosine schedule after an epoch of warm-up, clipNorm 1. LSTM learns with Adam; scoRNN and ENRNN with the authors’ RMSprop, A at a tenth of the',
    'rate. The rate of each cell is the best of 0.001, 0.003 and 0.01 by accuracy on a held-out speaker (two folds) after 10 epochs. This stands in for',
    'TIMIT, which is licensed; the task differs (a class for a recording, not the next frame), so published numbers have no column here. Next-frame prediction is not run.',
  ].join('\n'),
  inputShape: [STEPS, BANDS],
  config: {
    epochs: EPOCHS,
    batchSize: 64,
    data: { name: 'spokenDigits', dir: 'downloads/fsdd', bands: BANDS, steps: STEPS },
    preprocessing: { input: 'standardize' },
    schedule: { kind: 'cosine', warmup: 1 },
    metrics: ['accuracy'],
  },
  rows: 2700,
  parameters: 20_000,
  search: {
    settings: rates(0.001, 0.003, 0.01),
    config: { epochs: 10 },
    folds: {
      first: { validation: { subjects: [1] } },
      last: { validation: { subjects: [4] } },
    },
  },
  contestants: [
    {
      name: 'enrnn',
      label: 'ENRNN',
      layers: classifier((units) => ({ kind: 'enrnn', ...threeToTwo(units) })),
      multiple: 5,
      ...orthogonal,
    },
    {
      name: 'scornn',
      label: 'scoRNN',
      layers: classifier((units) => ({ kind: 'scornn', units })),
      ...orthogonal,
    },
    {
      name: 'lstm',
      label: 'LSTM',
      layers: classifier((units) => ({ kind: 'lstm', units })),
      optimizer: { kind: 'adam', clipNorm: 1 },
    },
  ],
  rival: 'lstm',
  seeds: 5,
  metric: 'accuracy',
  quick: { epochs: 1 },
};
