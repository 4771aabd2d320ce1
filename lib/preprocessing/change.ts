/**
 * Targets told as changes: a forecast of what is added to the last value seen. Where a series wanders, that is easier to
 * learn than the value itself, and a model that has learnt nothing says "as now".
 */
import { LookbackError } from '../errors';
import type { FloatArray, Tensor } from '../tensor';

/** What the targets of each line are told from: `[lines, targets]`, a line being a row, or a step of one. */
export interface Reference {
  values: Float64Array;
  targets: number;
}

/**
 * The values that targets are told from.
 *
 * @param change - for each target the number of its feature
 * @param x - raw, `[n, steps, features]`
 * @param lengths - valid steps of each row; null: all
 * @param perStep - whether every step has targets, told from that step; else a row, told from its last valid one
 * @throws {LookbackError} ERR_OPTION for a feature that is not there
 */
export function referenceOf(
  change: readonly number[],
  { shape, data }: Tensor,
  lengths: ArrayLike<number> | null,
  perStep: boolean,
): Reference {
  const [n = 0, steps = 0, features = 0] = shape;
  const beyond = change.find((feature) => feature >= features);
  if (beyond !== undefined) {
    const message = `preprocessing.change: feature ${beyond} is not there; x has ${features}, counted from 0`;
    throw new LookbackError('ERR_OPTION', message);
  }
  const targets = change.length;
  const lines = perStep ? n * steps : n;
  const values = new Float64Array(lines * targets);
  for (let line = 0; line < lines; line += 1) {
    const step = perStep ? line : line * steps + Math.max(0, (lengths?.[line] ?? steps) - 1);
    change.forEach((feature, target) => {
      values[line * targets + target] = data[step * features + feature] ?? NaN;
    });
  }
  return { values, targets };
}

/**
 * Adds `sign` times the reference to lines of `outputs` numbers, in place.
 *
 * @param told - targets of a line; fewer than outputs where several belong to one
 * @param targetOf - the target that output `o` of a line belongs to; null: none
 * @throws {LookbackError} ERR_SHAPE where there are no whole sets of targets, or other lines
 */
export function addReference(
  { values, targets }: Reference,
  sign: 1 | -1,
  data: FloatArray | Float64Array,
  outputs: number,
  told: number = outputs,
  targetOf: (output: number) => number | null = (output) => output,
): void {
  const lines = data.length / outputs;
  if (lines * targets !== values.length) {
    const message = `${lines} lines of targets are told from ${values.length / targets}; expected one for each row of x, or for each step`;
    throw new LookbackError('ERR_SHAPE', message);
  }
  if (told % targets !== 0) {
    const message = `a row or step has ${told} targets, and preprocessing.change names a feature for ${targets}; expected whole sets, such as ${targets} or ${2 * targets} targets`;
    throw new LookbackError('ERR_SHAPE', message);
  }
  for (let line = 0, at = 0; line < lines; line += 1) {
    for (let output = 0; output < outputs; output += 1, at += 1) {
      const target = targetOf(output);
      if (target === null) continue;
      data[at] = (data[at] ?? NaN) + sign * (values[line * targets + (target % targets)] ?? NaN);
    }
  }
}
