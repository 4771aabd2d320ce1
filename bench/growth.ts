/**
 * How an LSTM's times grow with the number of steps, rows and units.
 */
import { lstm } from './cases';
import type { Shape } from './cases';
import type { Cache } from './machine';
import { measure } from './measure';
import type { Choices } from './measure';

export const AXES = ['steps', 'batch', 'units'] as const;
export type Axis = (typeof AXES)[number];

/** Everything but the axis stays as it is here. */
export const BASE: Shape = { batch: 64, steps: 128, inputSize: 9, units: 64 };

const VALUES: Readonly<Record<Axis, readonly number[]>> = {
  steps: [32, 64, 128, 256, 512, 1024, 2048],
  batch: [1, 4, 16, 64, 256, 1024],
  units: [16, 32, 64, 128, 256, 512, 1024],
};
const SAMPLES = 7;

export interface GrowthPoint {
  axis: Axis;
  value: number;
  forwardMs: number;
  stepMs: number;
  gflops: number;
}

/** `quick`: few and small ones. */
export async function measureGrowth(choices: Choices, quick: boolean): Promise<GrowthPoint[]> {
  const points: GrowthPoint[] = [];
  for (const axis of AXES) {
    for (const value of quick ? VALUES[axis].slice(0, 3) : VALUES[axis]) {
      choices.note(`growth: ${axis} ${value}`);
      const bench = lstm('growth', { ...BASE, [axis]: value });
      const { result } = await measure(bench, { ...choices, peer: 'none', samples: SAMPLES });
      const { forwardMs, stepMs, gflops } = result;
      points.push({ axis, value, forwardMs, stepMs, gflops });
    }
  }
  return points;
}

/** The p of time = constant · value^p, by least squares over the upper half of the points; NaN of fewer than two. */
export function exponent(points: readonly { value: number; ms: number }[]): number {
  const sorted = [...points].sort((a, b) => a.value - b.value);
  const upper = sorted.slice(Math.min(sorted.length >> 1, Math.max(0, sorted.length - 2)));
  const logs = upper.map(({ value, ms }) => [Math.log(value), Math.log(ms)] as const);
  const mean = (at: 0 | 1): number => logs.reduce((sum, log) => sum + log[at], 0) / logs.length;
  const [meanX, meanY] = [mean(0), mean(1)];
  const products = logs.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0);
  return products / logs.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0);
}

/** The units from which on an LSTM's recurrent weights, `[4 units, units]` in 32 bits, are larger than a cache. */
export function unitsThatFill({ bytes }: Cache): number {
  return Math.sqrt(bytes / 16);
}
