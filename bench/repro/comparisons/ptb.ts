/**
 * Penn Treebank by characters: the next one is foretold.
 */
import type { Comparison, Contestant } from '../comparison';
import { slowA, tf1Rmsprop } from '../optimizers';
import { threeToTwo } from '../widths';

const STEPS = 150;
const CHARACTERS = 50;

const contestant = (
  name: string,
  label: string,
  layer: (units: number) => object,
  others: Omit<Contestant, 'name' | 'label' | 'layers'>,
): Contestant => ({
  name,
  label,
  layers: (units) => [
    { kind: 'embedding', inputDim: CHARACTERS, units: 32 },
    { kind: name, returnSequences: true, ...layer(units) },
    { kind: 'dense', units: CHARACTERS, activation: 'softmax' },
  ],
  ...others,
});

export const ptb: Comparison = {
  title: 'Penn Treebank, characters',
  text: [
    `5.0 million characters to train from, 0.4 million others to test with, ${CHARACTERS} kinds, cut into sequences of ${STEPS} that each start anew; batch 128, one epoch, so 262 updates.`,
    'Losses are in nats; divided by ln 2 they are bits per character. Settings fixed beforehand (expRNN and LSTM: the rates of the nnRNN programs; ENRNN: RMSprop at 0.001,',
    'A at a tenth), nothing searched for. Published for 1.32 M parameters and 100 epochs with carried state, 150 steps: expRNN 1.43 bits per character (0.99 nats); ENRNN’s',
    'table is not available.',
  ].join('\n'),
  inputShape: [STEPS, 1],
  config: {
    epochs: 1,
    batchSize: 128,
    data: { name: 'ptb', dir: 'downloads/ptb', unit: 'characters', steps: STEPS },
    checkpoint: { everyUpdates: 20 },
  },
  rows: 33_450,
  parameters: 300_000,
  contestants: [
    contestant('enrnn', 'ENRNN', threeToTwo, {
      multiple: 5,
      optimizer: tf1Rmsprop(1e-3),
      groups: slowA,
    }),
    contestant('exprnn', 'expRNN', (units) => ({ units, init: 'henaff' }), {
      optimizer: { kind: 'rmsprop', learningRate: 5e-3, rho: 0.99 },
      groups: [{ match: 'P', optimizer: { kind: 'rmsprop', learningRate: 1e-4, rho: 0.99 } }],
    }),
    contestant('lstm', 'LSTM', (units) => ({ units }), {
      optimizer: { kind: 'adam', learningRate: 1e-3, clipNorm: 1 },
    }),
  ],
  rival: 'lstm',
  seeds: 2,
  metric: 'loss',
  baseline: { value: Math.log(CHARACTERS), label: 'all alike' },
  quick: { epochs: 1 },
};
