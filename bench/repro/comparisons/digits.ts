/**
 * Spoken digits, an open stand-in for TIMIT: whole recordings are classified.
 */
import type { Comparison, Contestant } from '../comparison';
import { rates } from '../comparison';
import { slowA, tf1Rmsprop } from '../optimizers';
import { threeToTwo } from '../widths';

export const BANDS = 40;
export const STEPS = 100;
const EPOCHS = 20;

const classifier = (layer: object) => [layer, { kind: 'dense', units: 10, activation: 'softmax' }];
const orthogonal: Pick<Contestant, 'optimizer' | 'groups'> = {
  optimizer: { ...tf1Rmsprop(1e-3), clipNorm: 1 },
  groups: slowA,
};

/** The cells, each in a network that is made around it. */
export const contestants = (
  network: (layer: object) => readonly unknown[],
): readonly Contestant[] => [
  {
    name: 'enrnn',
    label: 'ENRNN',
    layers: (units) => network({ kind: 'enrnn', ...threeToTwo(units) }),
    multiple: 5,
    ...orthogonal,
  },
  {
    name: 'scornn',
    label: 'scoRNN',
    layers: (units) => network({ kind: 'scornn', units }),
    ...orthogonal,
  },
  {
    name: 'lstm',
    label: 'LSTM',
    layers: (units) => network({ kind: 'lstm', units }),
    optimizer: { kind: 'adam', clipNorm: 1 },
  },
];

export const digits: Comparison = {
  title: 'Spoken digits',
  text: [
    '3000 recordings of ten digits by six speakers (Free Spoken Digit Dataset), 2700 to train from, 300 others of the same speakers to test with.',
    `Frames of ${BANDS} mel bands every 10 ms, at most ${STEPS}, standardized; one recurrent layer and a dense softmax layer, batch 64, ${EPOCHS} epochs, so 860 updates for`,
    'every cell, cosine schedule after an epoch of warm-up, clipNorm 1. LSTM learns with Adam; scoRNN and ENRNN with the authors’ RMSprop, A at a tenth of the',
    'rate. The rate of each cell is the best of 0.001, 0.003 and 0.01 by accuracy on a held-out speaker (two folds) after 10 epochs. This stands in for',
    'TIMIT, which is licensed; the task differs (a class for a recording, not the next frame), so published numbers have no column here. The next frame is foretold in the comparison below.',
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
  contestants: contestants(classifier),
  rival: 'lstm',
  seeds: 5,
  metric: 'accuracy',
  quick: { epochs: 1 },
};
