/**
 * A run whose process is killed at any moment, and goes on afterwards, ends as the run that nothing happened to.
 * 3 moments; with LOOKBACK_LONG_TESTS=1 in the environment 50.
 */
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const long = process.env['LOOKBACK_LONG_TESTS'] === '1';
const moments = long ? 50 : 3;
const main = join(__dirname, '..', '..', 'dist', 'cli', 'main.js');
const folder = mkdtempSync(join(tmpdir(), 'lookback-kill-'));
afterAll(() => rmSync(folder, { recursive: true }));

const configPath = join(folder, 'config.json');
writeFileSync(
  configPath,
  JSON.stringify({
    seed: 4,
    epochs: 4,
    batchSize: 10,
    data: { name: 'adding', steps: 12, train: 400, test: 50, seed: 2 },
    model: {
      layers: [
        { kind: 'larnn', units: 8, heads: 2, window: 4, normalization: 'batch' },
        { kind: 'dropout', rate: 0.1 },
        { kind: 'dense', units: 1 },
      ],
    },
    optimizer: { kind: 'adam', learningRate: 0.01 },
    schedule: { kind: 'cosine', warmup: 1 },
    validation: { split: 0.2 },
    // Most of the time goes into checkpoints, so most kills fall into one.
    checkpoint: { everyUpdates: 1 },
    callbacks: [
      { kind: 'reduceLROnPlateau', patience: 0, factor: 0.5 },
      { kind: 'csvLogger', path: 'log.csv' },
    ],
  }),
);

interface End {
  code: number | null;
  signal: string | null;
  /** Whether the process was there to get its signal. */
  signalled: boolean;
  /** From the beginning of training to the end of the process. */
  milliseconds: number;
  stderr: string;
}

/** Trains into `out`, going on where it was left; with `end`, ends the process that long after training began. */
function train(out: string, end?: { signal: NodeJS.Signals; after: number }): Promise<End> {
  const args = ['train', configPath, '--resume', '--json', '--set', `out=${out}`];
  const child: ChildProcess = spawn(process.execPath, [main, ...args], { cwd: folder });
  let begun = NaN;
  let signalled = false;
  let stderr = '';
  let timer: NodeJS.Timeout | undefined;
  child.stderr?.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  child.stdout?.on('data', (chunk: Buffer) => {
    if (!chunk.includes('"event":"estimate"')) return;
    begun = performance.now();
    if (end) timer = setTimeout(() => (signalled = child.kill(end.signal)), end.after);
  });
  return new Promise((resolve) => {
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      resolve({ code, signal, signalled, stderr, milliseconds: performance.now() - begun });
    });
  });
}

/** What a run leaves that must not depend on its interruptions. */
function resultOf(out: string): unknown {
  const log = readFileSync(join(folder, out, 'log.jsonl'), 'utf8');
  return {
    model: readFileSync(join(folder, out, 'model.safetensors')).toString('base64'),
    log: log.replace(/"seconds":[\d.]+/g, ''),
    csv: readFileSync(join(folder, out, 'log.csv'), 'utf8'),
  };
}

let whole: unknown;
let duration = NaN;
beforeAll(async () => {
  const end = await train('whole');
  expect(end).toMatchObject({ code: 0, stderr: '' });
  whole = resultOf('whole');
  duration = end.milliseconds;
});

it(
  `SIGKILL at ${moments} random moments`,
  async () => {
    let kills = 0;
    let runs = 0;
    while (kills < moments) {
      const out = `killed-${(runs += 1)}`;
      for (let over = false; !over;) {
        // A share of the time that the whole run took here, so that no machine is too fast or too slow for it.
        const end = { signal: 'SIGKILL' as const, after: Math.random() * duration };
        const { code, signal, stderr } = await train(out, kills < moments ? end : undefined);
        expect(stderr).toBe('');
        if (signal === 'SIGKILL') kills += 1;
        else expect(code).toBe(0);
        over = code === 0;
      }
      expect(resultOf(out)).toEqual(whole);
    }
    expect(kills).toBe(moments);
  },
  long ? 1_800_000 : 180_000,
);

it.each(['SIGINT', 'SIGTERM'] as const)('%s ends with a checkpoint and code 75', async (name) => {
  // Others may have slowed the whole run down, so that this one is over before its signal.
  for (let attempt = 0; ; attempt += 1) {
    const out = `${name}-${attempt}`;
    const after = (0.2 * duration) / 2 ** attempt;
    const { code, signal, signalled } = await train(out, { signal: name, after });
    if (!signalled && attempt < 4) continue;
    expect([code, signal]).toEqual([75, null]);
    expect(await train(out)).toMatchObject({ code: 0, stderr: '' });
    expect(resultOf(out)).toEqual(whole);
    return;
  }
});
