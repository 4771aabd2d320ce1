/**
 * `lookback bench` as a process. How fast it is, is nobody's concern here.
 */
import type { SpawnSyncReturns } from 'node:child_process';
import { spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { definitions } from '../../lib/cells';

const main = join(__dirname, '..', '..', 'dist', 'cli', 'main.js');

/** Run from elsewhere: the package's users have no checkout. */
function bench(...args: string[]): SpawnSyncReturns<string> {
  return spawnSync(process.execPath, [main, 'bench', ...args], { cwd: tmpdir(), encoding: 'utf8' });
}

const small = ['--batch', '3', '--steps', '5', '--features', '2', '--samples', '4'];

it('measures every cell, also with units that do not divide by four', () => {
  const kinds = Object.keys(definitions);
  const { status, stdout, stderr } = bench(...kinds, ...small, '--units', '7', '--json');
  expect([status, stderr]).toEqual([0, '']);
  const [machine, ...results] = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(machine).toMatchObject({ event: 'machine', device: 'cpu' });
  expect(results.map(({ cell }) => cell)).toEqual(kinds);
  for (const result of results) {
    expect(result).toMatchObject({
      ...{ event: 'bench', batch: 3, steps: 5, features: 2, units: 7, samples: 4 },
      dtype: 'float32',
    });
    const { forwardMs, stepMs, sequencesPerSecond } = result as Record<string, number>;
    const [least = NaN, largest = NaN] = result['stepRangeMs'] as number[];
    expect(forwardMs).toBeGreaterThan(0);
    expect(stepMs).toBeGreaterThan(forwardMs!);
    expect(stepMs).toBeGreaterThanOrEqual(least);
    expect(stepMs).toBeLessThanOrEqual(largest);
    expect(sequencesPerSecond).toBeCloseTo(3000 / stepMs!, 6);
  }
});

it('prints a table of the main cells for people', () => {
  const { status, stdout } = bench(...small, '--units', '8', '--threads', '1');
  expect(status).toBe(0);
  const lines = stdout.trimEnd().split('\n');
  expect(lines[0]).toMatch(/1 threads; \[3, 5, 2\] to 8 units, float32; medians of 4/);
  expect(lines[1]).toMatch(/^cell +forward, ms +step, ms +sequences\/s$/);
  expect(lines.slice(2).map((line) => line.split(' ')[0])).toEqual([
    'lstm',
    'gru',
    'larnn',
    'rra',
    'scornn',
  ]);
  for (const line of lines.slice(2))
    expect(line).toMatch(/^\w+( +\d+\.\d\d \(\d+\.\d\d to \d+\.\d\d\)){2} +\d+$/);
});

it.each([
  [['lstn'], 2, 'cell "lstn" is unknown; did you mean "lstm"?'],
  [['--batch', 'many'], 2, 'batch is "many"'],
  [['--units', '0'], 2, 'units is 0; expected at least 1'],
  [['--dtype', 'float16'], 2, 'dtype is "float16"'],
  [['--speed'], 2, "unknown option '--speed'"],
  [['--device', 'cuda'], 4, 'device "cuda" is not available'],
])('%j ends with %d and says why', (args, code, message) => {
  const env = { ...process.env, CUDA_VISIBLE_DEVICES: '' };
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, 'bench', ...args], {
    ...{ env, encoding: 'utf8' },
  });
  expect(stderr).toContain(message);
  expect([status, stdout]).toEqual([code, '']);
});
