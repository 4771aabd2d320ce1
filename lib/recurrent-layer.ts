/**
 * What recurrent layers take beside the options of their cells.
 */
import { z } from 'zod';
import type { Cell } from './cell';
import type { CellKind } from './cells';
import { definitions, isCellKind } from './cells';
import { LookbackError } from './errors';
import { closest, parseOptions, show } from './options';

/** What every layer takes. */
export interface LayerOptions {
  /** Prefix of the layer's parameters, unique in a model. Letters, digits, `_` and `-`. Default: the kind, numbered. */
  name?: string;
  /** False freezes the layer's parameters; gradients still pass through it. Default true. */
  trainable?: boolean;
}

/**
 * How a weight starts, by its name in Keras: uniform in ±√(6 / (in + out)), ±√(6 / in), ±√(3 / in) or ±0.05, normal with
 * deviation 0.05, with orthogonal columns, the identity, or a constant. `in` and `out` are the sizes of the whole matrix.
 */
export type InitializerName =
  | 'glorotUniform'
  | 'heUniform'
  | 'lecunUniform'
  | 'randomUniform'
  | 'randomNormal'
  | 'orthogonal'
  | 'identity'
  | 'zeros'
  | 'ones';

/** Biases are no matrices. */
export type BiasInitializerName = Extract<
  InitializerName,
  'randomUniform' | 'randomNormal' | 'zeros' | 'ones'
>;

/** What every recurrent layer takes beside its cell's options. */
export interface RecurrentLayerOptions extends LayerOptions {
  /** How `W_x` starts (scuRNN: both parts of it). Default: as the cell's `init` says. */
  kernelInitializer?: InitializerName;
  /** How `W_h` starts. Not for the orthogonal family, whose recurrent matrices are made from others. Default as above. */
  recurrentInitializer?: InitializerName;
  /** How `b`, `b_x` and `b_h` start, forget gates included. Default as above. */
  biasInitializer?: BiasInitializerName;
  /**
   * Give the output of every step `[B, T, H]`, or only that of the last valid one `[B, H]`, which is 0 for a row of
   * length 0. Default false.
   */
  returnSequences?: boolean;
  /**
   * Read each row from its last valid step to its first. Outputs stand at the steps they were read at (Keras gives them
   * in the order of reading); the last one is that of the first step. Default false.
   */
  goBackwards?: boolean;
}

/** What `layers.rnn` takes for a cell of any kind. */
export interface CellOfLayerOptions extends RecurrentLayerOptions {
  /** A cell, or its kind with its options. */
  cell: { readonly kind: CellKind; readonly [option: string]: unknown } | Cell;
}

export const name = z
  .string()
  .regex(/^[A-Za-z][\w-]*$/, 'letters, digits, _ and -, beginning with a letter')
  .optional();

export const trainable = z.boolean().default(true);

const biasInitializers = ['randomUniform', 'randomNormal', 'zeros', 'ones'] as const;
const initializers = [
  'glorotUniform',
  'heUniform',
  'lecunUniform',
  ...biasInitializers,
  'orthogonal',
  'identity',
] as const;

export const recurrentSchema = z.object({
  name,
  trainable,
  kernelInitializer: z.enum(initializers).optional(),
  recurrentInitializer: z.enum(initializers).optional(),
  biasInitializer: z.enum(biasInitializers).optional(),
  returnSequences: z.boolean().default(false),
  goBackwards: z.boolean().default(false),
});

const ofCellSchema = recurrentSchema
  .partial()
  .extend({ kind: z.literal('rnn') })
  .strict();

/** `layers.rnn({ cell })` as the layer of that cell's kind. */
export function ofCell(value: object & { cell: unknown }, where: string): { kind: unknown } {
  const { cell, ...given } = value;
  const options = parseOptions(ofCellSchema, given, where);
  const wrong = (message: string): LookbackError =>
    new LookbackError('ERR_OPTION', `${where}.cell${message}`);
  if (typeof cell !== 'object' || cell === null || !('kind' in cell))
    throw wrong(` is ${show(cell)}; expected { kind: "lstm", units: 8 }, or a cell of cells.lstm`);
  const { kind } = cell;
  if (typeof kind !== 'string' || !isCellKind(kind)) {
    const meant = typeof kind === 'string' ? closest(kind, Object.keys(definitions)) : null;
    const hint = `expected one of ${Object.keys(definitions).join(', ')}`;
    throw wrong(`.kind is ${show(kind)}; ${meant === null ? hint : `did you mean "${meant}"?`}`);
  }
  // A cell of cells.* knows its inputs, which the layer takes from what comes before it.
  const made = 'spec' in cell ? cell.spec : null;
  const spec = typeof made === 'object' && made !== null ? withoutInputs(made) : cell;
  return { ...options, ...spec, kind };
}

function withoutInputs(spec: object): object {
  return Object.fromEntries(Object.entries(spec).filter(([key]) => key !== 'inputSize'));
}

/** @throws {LookbackError} ERR_OPTION for a start of a weight that is not there */
export function checkInitializers(
  kind: string,
  options: RecurrentLayerOptions & { bias?: unknown },
  where: string,
): void {
  const refuse = (message: string): never => {
    throw new LookbackError('ERR_OPTION', `${where}: ${message}`);
  };
  const orthogonal = ['scornn', 'enrnn', 'exprnn', 'scurnn'].includes(kind);
  if (options.recurrentInitializer !== undefined && orthogonal)
    refuse(
      `recurrentInitializer is "${options.recurrentInitializer}", but the recurrent matrix of ${kind} is made from other weights; its init options say how those start`,
    );
  const { bias } = options;
  if (options.biasInitializer !== undefined && (bias === 'none' || bias === false))
    refuse(
      `biasInitializer is "${options.biasInitializer}", but there is no bias; leave one of the two out`,
    );
}
