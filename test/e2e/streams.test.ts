/**
 * A thousand clients of one model, 50 samples a second each, for half a minute: `bench/streams.ts`. Only with
 * LOOKBACK_LONG_TESTS=1 in the environment, on a machine whose two cores have nothing else to do.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const long = process.env['LOOKBACK_LONG_TESTS'] === '1';
const tool = join(__dirname, '..', '..', 'scripts', 'tool.cjs');

interface Result {
  steps: number;
  stepsDue: number;
  p99Ms: number;
  cpuShare: number;
  rssGrowthMb: number;
}

(long ? it : it.skip)(
  '1000 streams of an LSTM of 64 units at 50 Hz: every step in time, 99 % within 10 ms, no memory more',
  () => {
    const wanted = ['--cell', 'lstm', '--units', '64', '--streams', '1000', '--hz', '50'];
    const args = [tool, 'bench/streams.ts', ...wanted, '--seconds', '30', '--json'];
    const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    if (stdout === '') throw new Error(stderr);
    process.stdout.write(stdout);
    const result = JSON.parse(stdout) as Result;
    expect(result.stepsDue).toBe(1_500_000);
    expect(result.steps).toBe(result.stepsDue);
    expect(result.p99Ms).toBeLessThan(10);
    // One state of a stream is 512 bytes: a thousand of them left behind twice a second would be 30 MB.
    expect(result.rssGrowthMb).toBeLessThan(20);
  },
  600_000,
);
