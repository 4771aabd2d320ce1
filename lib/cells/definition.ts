/**
 * What the library knows about a kind of cell without asking the native code: its options and the tensors it reads.
 */
import { z } from 'zod';
import { LookbackError } from '../errors';
import type { NativeSpec } from '../native';
import type { ShapePattern } from '../tensor';

/** A tensor that a cell reads beside its weights. */
export interface CellInput {
  shape: ShapePattern;
  /** Whole numbers are given as Int32Array, everything else in the cell's number type. */
  integer?: boolean;
}

/** One kind of cell. `Options` is what a user types. */
export interface CellDefinition<Options> {
  /** The key everywhere: `cells.<kind>`, `layers.<kind>`, `{ kind }` in a configuration. */
  kind: string;
  /** Checks `options` and fills in every default. @throws {LookbackError} ERR_OPTION */
  resolve(options: Options, where?: string): NativeSpec;
  /** Every tensor that `forward` understands for sequences of `steps` steps in batches of `batch`. */
  inputs(spec: NativeSpec, batch: number, steps: number): Record<string, CellInput>;
  /**
   * Names that the engine has for tensors which cells know by others. Of several names for one, the first is that of the
   * output.
   */
  aliases?(spec: NativeSpec): Record<string, string>;
  /** The option that holds a number of steps, which a layer takes from the sequences before it. */
  needsSteps?: string;
  /** Features of the output. Default: `units`. */
  outputSize?(spec: NativeSpec): number;
  /** Optimizers of its own for some of its weights, unless `compile` gives these weights others. */
  groups?(spec: NativeSpec): readonly CellGroup[];
}

/** Weights that by default learn in their own way, as the cell's paper has it. */
export interface CellGroup {
  /** The weight's name in the cell. */
  match: string;
  /** An optimizer with its options, as `compile` takes it. */
  optimizer: NativeSpec;
}

/** Largest number of units, features, heads or window entries. */
export const largest = 16384;

/** A number of units, features, heads or window entries. */
export const size = z.int().min(1).max(largest);

/** A whole number out of a resolved spec, where `resolve` has put one. */
export function numberOf(spec: NativeSpec, key: string): number {
  return Number(spec[key]);
}

/** Options as a spec: without those that are not there. */
export function specOf(options: Record<string, string | number | boolean | undefined>): NativeSpec {
  const spec: NativeSpec = {};
  for (const [key, value] of Object.entries(options)) if (value !== undefined) spec[key] = value;
  return spec;
}

/**
 * The biases of a cell that has two: with layer norm there is one at most, since a second one would be the same.
 *
 * @throws {LookbackError} ERR_OPTION
 */
export function biasOf(
  given: string | undefined,
  normalization: string,
  where: string,
): 'double' | 'single' | 'none' {
  if (normalization === 'layer' && given === 'double') {
    throw new LookbackError(
      'ERR_OPTION',
      `${where}: bias "double" with normalization "layer" would be one bias twice; use "single" or "none"`,
    );
  }
  if (given === 'single' || given === 'none') return given;
  return normalization === 'layer' ? 'single' : 'double';
}

/** Inputs of a cell whose states are `[B, units]`: x, those states, `mask` and `lengths`. */
export function plainInputs(
  spec: NativeSpec,
  batch: number,
  steps: number,
  states: readonly string[],
): Record<string, CellInput> {
  const state = { shape: [batch, numberOf(spec, 'units')] };
  return {
    x: { shape: [batch, steps, numberOf(spec, 'inputSize')] },
    ...Object.fromEntries(states.map((name) => [name, state])),
    mask: { shape: [batch, steps] },
    lengths: { shape: [batch], integer: true },
  };
}
