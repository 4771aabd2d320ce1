/**
 * `lookback predict`.
 */
import { readFile } from 'node:fs/promises';
import { LookbackError } from '../errors';
import { loadModel } from '../load-model';
import { reasonOf } from '../storage/reasons';
import type { RawRows } from '../preprocessing/preprocessing';
import type { Tensor } from '../tensor';
import { parseJson } from './config';
import { lengthsOf } from './confusion';
import type { Output } from './output';
import { loadRunData } from './run-data';
import type { RunOptions } from './saved-run';
import { configOf, modelPath } from './saved-run';

/** Prints one line per row: its outputs and, for a classifier, the class (of each step). @throws {LookbackError} */
export async function predict(
  run: string,
  input: string | undefined,
  options: RunOptions,
  output: Output,
): Promise<void> {
  const path = modelPath(run);
  using model = await loadModel(path);
  const given: { x: RawRows; lengths?: Int32Array } =
    input === undefined
      ? await testInputs(path, options, model.dtype)
      : { x: await readInputs(input) };
  const { shape, data, labels } = await model.predict(given.x, lengthsOf(given));
  const known = model.preprocessing?.options.labels ?? [];
  const rows = shape[0] ?? 0;
  const size = data.length / Math.max(1, rows);
  const steps = shape.length > 2 ? (shape[1] ?? 0) : 1;
  for (let row = 0; row < rows; row += 1) {
    const outputs = [...data.subarray(row * size, (row + 1) * size)];
    const valid = shape.length > 2 ? (given.lengths?.[row] ?? steps) : 1;
    const names = labels?.slice(row * steps, row * steps + valid);
    const fields = { row, ...(names ? classFields(names, known, shape.length > 2) : {}), outputs };
    const numbers = outputs.map((value) => value.toPrecision(6)).join(' ');
    output.tell('predict', fields, [...(names ?? []), numbers].join(' '));
  }
}

/** The class of a row, or one for each of its valid steps. */
function classFields(names: string[], known: readonly string[], sequence: boolean): object {
  const numbers = names.map((name) => known.indexOf(name));
  return sequence
    ? { class: numbers, className: names }
    : { class: numbers[0], className: names[0] };
}

async function testInputs(
  path: string,
  options: RunOptions,
  dtype: 'float32' | 'float64',
): Promise<{ x: Tensor; lengths?: Int32Array }> {
  const config = await configOf(path, options);
  return (await loadRunData({ ...config, dtype })).test;
}

/** Rows as they are: nested numbers, or what the model's preprocessing takes. */
async function readInputs(path: string): Promise<RawRows> {
  try {
    return parseJson(await readFile(path, 'utf8')) as RawRows;
  } catch (cause) {
    const code = cause instanceof SyntaxError ? 'ERR_FORMAT' : 'ERR_IO';
    throw new LookbackError(code, `${path}: ${reasonOf(cause)}`, { cause, details: { path } });
  }
}
