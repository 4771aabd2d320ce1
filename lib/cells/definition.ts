/**
 * What the library knows about a kind of cell without asking the native code: its options and the tensors it reads.
 */
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
}

/** A whole number out of a resolved spec, where `resolve` has put one. */
export function numberOf(spec: NativeSpec, key: string): number {
  return Number(spec[key]);
}
