/**
 * IMDB: whether a review is favourable.
 */
import type { Comparison, Contestant } from '../comparison';

const STEPS = 400;
const WORDS = 10_000;
const HEADS = 4;

const contestant = (
  name: string,
  label: string,
  options: object,
  multiple?: number,
): Contestant => ({
  name,
  label,
  layers: (units) => [
    { kind: 'embedding', inputDim: WORDS, units: 32 },
    { kind: name, units, returnSequences: true, ...options },
    { kind: 'pool', over: 'mean' },
    { kind: 'dropout', rate: 0.5 },
    { kind: 'dense', units: 2, activation: 'softmax' },
  ],
  ...(multiple ? { multiple } : {}),
  optimizer: { kind: 'adam', learningRate: 1e-3, clipNorm: 1 },
});

export const imdb: Comparison = {
  title: 'IMDB reviews',
  text: [
    `25 000 reviews to train from, 25 000 others to test with, the first ${STEPS} words of each, a vocabulary of 10 000; word vectors of 32, one recurrent layer, the mean of its`,
    'outputs, dropout 0.5, a dense softmax layer; Adam at 0.001 with clipNorm 1, batch 32, two epochs, so 1564 updates. These settings were fixed beforehand for all',
    'three; nothing is searched for. The tables of the paper on RRA are not available, so no number of it stands here.',
  ].join('\n'),
  inputShape: [STEPS, 1],
  config: {
    epochs: 2,
    batchSize: 32,
    data: { name: 'imdb', dir: 'downloads/imdb', steps: STEPS, vocabulary: WORDS },
    metrics: ['accuracy'],
    checkpoint: { everyUpdates: 100 },
  },
  rows: 25_000,
  parameters: 328_000,
  contestants: [
    contestant('rra', 'RRA, K = 5', { K: 5 }),
    contestant(
      'larnn',
      'LARNN, 4 heads, window 16',
      { heads: HEADS, window: 16, normalization: 'none' },
      HEADS,
    ),
    contestant('lstm', 'LSTM', {}),
  ],
  rival: 'lstm',
  seeds: 3,
  metric: 'accuracy',
  quick: { epochs: 1 },
};
