/**
 * `calibrate` in the configuration of a run: what it changes, and what it leaves as it is.
 */
import type { SpawnSyncReturns } from 'node:child_process';
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { calibrate, datasets, loadModel } from 'lookback';
import { checkConfig } from '../../lib/cli/config';

const root = join(__dirname, '..', '..');
const main = join(root, 'dist', 'cli', 'main.js');
const folder = mkdtempSync(join(tmpdir(), 'lookback-calibrate-'));
afterAll(() => rmSync(folder, { recursive: true }));

const data = { steps: 8, train: 200, test: 50, seed: 2 };
const config = {
  seed: 4,
  epochs: 2,
  batchSize: 20,
  data: { name: 'adding', ...data },
  model: {
    layers: [
      { kind: 'bnlstm', units: 6, initialNoise: 0.1 },
      { kind: 'dense', units: 1 },
    ],
  },
  optimizer: { kind: 'adam', learningRate: 0.01 },
};
const configPath = join(folder, 'tiny.json');
writeFileSync(configPath, JSON.stringify(config));

const setsOf = (sets: readonly string[]): string[] => sets.flatMap((set) => ['--set', set]);

function train(out: string, sets: readonly string[], ...args: string[]): SpawnSyncReturns<string> {
  const all = [main, 'train', configPath, ...setsOf([`out=${out}`, ...sets]), ...args];
  return spawnSync(process.execPath, all, { cwd: folder, encoding: 'utf8' });
}

const modelOf = (out: string): string => join(folder, out, 'model.safetensors');

/** The log without its times. */
function logOf(out: string): { epochs: object[]; test: { loss: number } } {
  const text = readFileSync(join(folder, out, 'log.jsonl'), 'utf8').trimEnd();
  const lines = text.split('\n').map((line) => JSON.parse(line) as Record<string, unknown>);
  const { test } = lines.pop() as { test: { loss: number } };
  return { epochs: lines.map((line) => ({ ...line, seconds: 0 })), test };
}

beforeAll(() => {
  expect(train('plain', []).status).toBe(0);
  expect(train('whole', ['calibrate=true']).status).toBe(0);
});

it('gives the trained model other statistics, and with them another test result', async () => {
  expect(logOf('whole').epochs).toEqual(logOf('plain').epochs);
  expect(logOf('whole').test.loss).not.toBe(logOf('plain').test.loss);
  using plain = await loadModel(modelOf('plain'));
  using whole = await loadModel(modelOf('whole'));
  const before = plain.getWeights();
  for (const [name, tensor] of Object.entries(whole.getWeights())) {
    if (name.includes('.buf.')) expect(tensor).not.toEqual(before[name]);
    else expect(tensor).toEqual(before[name]);
  }
});

it('gives what the library gives for the training part', async () => {
  // One batch of all rows, in which their order makes no difference but of rounding.
  const sets = ['batchSize=200', 'model.layers[0].initialNoise=0', 'dtype=float64'];
  expect(train('plainBatch', sets).status).toBe(0);
  expect(train('wholeBatch', [...sets, 'calibrate=true']).status).toBe(0);
  using plain = await loadModel(modelOf('plainBatch'));
  using whole = await loadModel(modelOf('wholeBatch'));
  const { x } = datasets.adding(data).train;
  await calibrate(plain, [{ shape: x.shape, data: Float64Array.from(x.data) }]);
  const wanted = plain.getWeights();
  for (const [name, { data: values }] of Object.entries(whole.getWeights())) {
    // A mean of 200 numbers near 1, in another order; the later steps go through all before them.
    values.forEach((value, at) => expect(value).toBeCloseTo(wanted[name]?.data[at] ?? NaN, 10));
  }
});

it('takes the first batches where a number is given, and all where there are no more', () => {
  const few = train('few', ['calibrate=2']);
  expect(few.stdout).toContain('calibrated on 2 batches');
  expect(logOf('few').test.loss).not.toBe(logOf('whole').test.loss);
  expect(train('many', ['calibrate=99'], '--json').stdout).toContain(
    '{"event":"calibrated","batches":10}',
  );
  expect(readFileSync(modelOf('many'))).toEqual(readFileSync(modelOf('whole')));
});

it('a run that is prolonged goes on from what the last epoch left, and is calibrated anew', () => {
  expect(train('parts', ['calibrate=true', 'epochs=1']).status).toBe(0);
  expect(train('parts', ['calibrate=true'], '--resume').status).toBe(0);
  expect(logOf('parts')).toEqual(logOf('whole'));
  expect(readFileSync(modelOf('parts'))).toEqual(readFileSync(modelOf('whole')));
  const { status, stderr } = train('parts', ['calibrate=false', 'epochs=3'], '--resume');
  expect(stderr).toContain('was begun with calibrate true and is now to go on with false');
  expect(status).toBe(2);
});

it('keeps to its checkpoint on SIGTERM while it calibrates', async () => {
  // One epoch of a hundred updates; then a hundred batches of calibration, which take longer than a signal.
  const slow = [
    'epochs=1',
    'data.steps=100',
    'data.train=20000',
    'batchSize=200',
    'calibrate=true',
  ];
  const args = ['train', configPath, ...setsOf(['out=late', ...slow]), '--json'];
  const child = spawn(process.execPath, [main, ...args], { cwd: folder });
  let printed = '';
  child.stdout.on('data', (chunk: Buffer) => {
    printed += chunk.toString();
    if (chunk.includes('"event":"epoch"')) child.kill('SIGTERM');
  });
  expect(await new Promise((resolve) => child.on('close', resolve))).toBe(75);
  expect(printed).not.toContain('"event":"calibrated"');
  expect(existsSync(modelOf('late'))).toBe(false);
  expect(train('late', slow, '--resume').status).toBe(0);
  expect(train('early', slow).status).toBe(0);
  expect(readFileSync(modelOf('late'))).toEqual(readFileSync(modelOf('early')));
  expect(logOf('late')).toEqual(logOf('early'));
}, 60_000);

it.each<[string[], number, string]>([
  [
    ['model.layers[0]={"kind":"lstm","units":6}'],
    2,
    'ERR_OPTION calibrate: the model has no bnlstm',
  ],
  [['model.layers[0].momentum=0'], 2, 'ERR_OPTION calibrate: layer bnlstm has momentum 0'],
  [['model.layers[0].tMax=4'], 3, 'ERR_SHAPE calibrate: x has 8 steps but layer bnlstm has'],
  [['stateful=true', 'batchSize=50'], 2, 'ERR_OPTION calibrate goes over rows that each begin'],
  [['calibrate="all"'], 2, 'calibrate is "all"; expected a boolean, or a number'],
  [['calibrate=0'], 2, 'calibrate is 0; expected at least 1'],
])('%j is refused before the training', (sets, code, message) => {
  const { status, stdout, stderr } = train('wrong', ['calibrate=true', ...sets]);
  expect(stripVTControlCharacters(stderr)).toContain(message);
  expect(stdout).not.toContain('epoch');
  expect(status).toBe(code);
});

it('is off where the configuration does not ask for it', () => {
  expect(checkConfig(config, 'tiny.json').calibrate).toBe(false);
  expect(train('asked', ['calibrate=false']).stdout).not.toContain('calibrated');
  expect(readFileSync(modelOf('asked'))).toEqual(readFileSync(modelOf('plain')));
});
