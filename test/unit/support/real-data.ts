/**
 * The published data sets, which are not part of the repository: a folder given by LOOKBACK_DATA, else shared/data beside the checkout.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';

const folder = process.env['LOOKBACK_DATA'] ?? join(__dirname, '../../../../shared/data');

/** Tests over real files; where they are not there, they are reported as skipped with the reason. */
export function describeReal(name: string, below: string, tests: (dir: string) => void): void {
  const dir = join(folder, below);
  if (existsSync(dir)) {
    describe(`${name}, published files`, () => tests(dir));
  } else {
    describe.skip(`${name}: NOT RUN, no published files in ${dir} (set LOOKBACK_DATA)`, () => {
      it('needs them', () => undefined);
    });
  }
}

/** How often each whole number from 0 to below `classes` occurs. */
export function countsOf(values: ArrayLike<number>, classes: number): number[] {
  const counts = new Array<number>(classes).fill(0);
  for (let at = 0; at < values.length; at += 1) counts[values[at]!] = counts[values[at]!]! + 1;
  return counts;
}

/** Their sum, in float64. */
export function sumOf(values: ArrayLike<number>): number {
  let sum = 0;
  for (let at = 0; at < values.length; at += 1) sum += values[at]!;
  return sum;
}
