import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cells } from '../../lib/cell';
import type { Cell } from '../../lib/cell';
import { exportWeights } from '../../lib/foreign-weights';
import { layers } from '../../lib/layers';
import { sequential } from '../../lib/model';
import type { Tensor } from '../../lib/tensor';

/** A Python that has PyTorch, or null. */
function findTorch(): string | null {
  const candidates = [process.env['BENCH_PYTHON'], '/usr/bin/python3', 'python3'];
  const works = (python: string | undefined): python is string =>
    python !== undefined && spawnSync(python, ['-c', 'import torch']).status === 0;
  return candidates.find(works) ?? null;
}

const [INPUTS, UNITS, STEPS, BATCH] = [3, 4, 6, 2];

/** The kinds that PyTorch has, with our options and its arguments. */
const networks = [
  ['lstm', 'LSTM', {}, {}],
  ['lstm', 'LSTM', { bias: 'single', gateOrder: 'gfio' }, {}],
  ['lstm', 'LSTM', { bias: 'none' }, { bias: false }],
  ['gru', 'GRU', {}, {}],
  ['gru', 'GRU', { gateOrder: 'zrn' }, {}],
  ['rnn', 'RNN', {}, {}],
  ['rnn', 'RNN', { activation: 'relu', bias: 'single' }, { nonlinearity: 'relu' }],
] as const;

const listed = ({ shape, data }: Tensor): { shape: number[]; data: number[] } => ({
  shape: [...shape],
  data: Array.from(data),
});

/** Two stacked layers of both directions: our outputs, and their weights by PyTorch's names. */
async function exported([
  kind,
  network,
  options,
  more,
]: (typeof networks)[number]): Promise<object> {
  const layer = layers[kind] as (given: object) => ReturnType<typeof layers.lstm>;
  const both = layers.bidirectional(layer({ units: UNITS, returnSequences: true, ...options }));
  const model = sequential({ inputShape: [STEPS, INPUTS], layers: [both, both], seed: 5 });
  const weights = model.getWeights();
  const state: Record<string, Tensor> = {};
  [INPUTS, 2 * UNITS].forEach((inputSize, depth) => {
    const make = cells[kind] as (given: object) => Cell;
    const cell = make({ units: UNITS, inputSize, ...options });
    for (const reverse of [false, true]) {
      const name = `bidirectional${depth === 0 ? '' : '_1'}.${reverse ? 'backward' : 'forward'}.`;
      const own = cell.weights.map(({ name: weight }): [string, Tensor] => {
        const found = weights[name + weight];
        if (!found) throw new Error(`no weight ${name}${weight}`);
        return [weight, found];
      });
      const how = { format: 'pytorch', layer: depth, reverse } as const;
      Object.assign(state, exportWeights(cell, Object.fromEntries(own), how));
    }
  });
  const x = {
    shape: [BATCH, STEPS, INPUTS],
    data: Float32Array.from({ length: BATCH * STEPS * INPUTS }, (_, i) => 2 * Math.sin(5 * i + 1)),
  };
  const y = await model.predict(x);
  model.dispose();
  return {
    name: `${kind} ${JSON.stringify(options)}`,
    network,
    arguments: {
      input_size: INPUTS,
      hidden_size: UNITS,
      num_layers: 2,
      bidirectional: true,
      ...more,
    },
    state: Object.fromEntries(Object.entries(state).map(([name, value]) => [name, listed(value)])),
    x: listed(x),
    y: listed(y),
  };
}

const python = findTorch();
if (python === null) {
  console.warn(
    'SKIPPED: exported weights in PyTorch; no python3 has it (apt-get install python3-torch)',
  );
}

(python === null ? describe.skip : describe)('exported weights', () => {
  it('load in PyTorch and give our outputs', async () => {
    const cases = await Promise.all(networks.map(exported));
    const folder = mkdtempSync(join(tmpdir(), 'lookback-torch-'));
    try {
      const file = join(folder, 'cases.json');
      writeFileSync(file, JSON.stringify({ cases }));
      const script = join(__dirname, '..', 'fixtures', 'torch', 'check.py');
      const printed = execFileSync(python ?? '', [script, file], { encoding: 'utf8' });
      const { differences } = JSON.parse(printed) as { differences: Record<string, number> };
      expect(Object.keys(differences)).toHaveLength(networks.length);
      for (const difference of Object.values(differences)) expect(difference).toBeLessThan(1e-6);
    } finally {
      rmSync(folder, { recursive: true });
    }
  }, 120_000);
});

it('a trained start has no counterpart', () => {
  const cell = cells.gru({ units: UNITS, inputSize: INPUTS, initialState: 'trained' });
  expect(() => exportWeights(cell, {}, { format: 'pytorch' })).toThrow(
    /no weights from or to pytorch: its states start at zero; use initialState "zeros"/,
  );
});
