/**
 * How many numbers a model learns, and how wide a cell has to be for a given number of them.
 */
import { sequential } from 'lookback';

/**
 * What is learnt: entries of a matrix that follow from others count once, as in the papers. Left out are running statistics, the signs
 * of scoRNN and ENRNN, and the base of expRNN.
 */
export function learntNumbers(
  layers: readonly unknown[],
  inputShape: readonly [number, number],
): number {
  const model = sequential({ inputShape: [...inputShape], layers: layers as never });
  const weights = Object.entries(model.getWeights());
  model.dispose();
  return weights.reduce((sum, [key, { shape }]) => sum + freeEntries(key, shape), 0);
}

function freeEntries(key: string, shape: readonly number[]): number {
  const size = shape.reduce((product, length) => product * length, 1);
  if (key.includes('.buf.')) return 0;
  const [cell = '', name = ''] = key.split('.').slice(-2);
  const [n = 0] = shape;
  const kind = cell.replace(/_\d+$/, '');
  const skew = (n * (n - 1)) / 2;
  if (kind === 'exprnn') return name === 'base' ? 0 : name === 'P' ? skew : size;
  if (kind === 'scornn' || kind === 'enrnn') return name === 'd' ? 0 : name === 'A' ? skew : size;
  // A of scuRNN is skew-Hermitian: its real part skew, its imaginary part symmetric.
  if (kind === 'scurnn') return name === 'A_re' ? skew : name === 'A_im' ? skew + n : size;
  return size;
}

const known = new Map<string, number>();

/** The multiple of `step` whose model comes nearest to `parameters`; the smaller one of equals. */
export function unitsFor(
  parameters: number,
  layers: (units: number) => readonly unknown[],
  inputShape: readonly [number, number],
  step: number,
): number {
  const question = JSON.stringify([parameters, layers(step), inputShape, step]);
  const answer = known.get(question);
  if (answer !== undefined) return answer;
  const count = (times: number): number => learntNumbers(layers(times * step), inputShape);
  let above = 1;
  while (count(above) < parameters) above *= 2;
  let below = Math.floor(above / 2);
  while (above - below > 1) {
    const middle = Math.floor((above + below) / 2);
    if (count(middle) < parameters) below = middle;
    else above = middle;
  }
  const near = below >= 1 && parameters - count(below) <= count(above) - parameters;
  const units = (near ? below : above) * step;
  known.set(question, units);
  return units;
}

/** The units of an ENRNN, a multiple of five, in its long and its short block: three to two. */
export const threeToTwo = (units: number) => ({
  longUnits: (units / 5) * 3,
  shortUnits: (units / 5) * 2,
});
