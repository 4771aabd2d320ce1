/**
 * The one list of cells on this side of the bridge. A new cell is a file beside this one and an entry here.
 */
import type { NativeSpec } from '../native';
import type { CellDefinition } from './definition';
import { numberOf } from './definition';
import { bnlstm } from './bnlstm';
import { gru } from './gru';
import { enrnn } from './enrnn';
import { exprnn } from './exprnn';
import { larnn } from './larnn';
import { lstm } from './lstm';
import { rnn } from './rnn';
import { rra } from './rra';
import { scornn } from './scornn';
import { scurnn } from './scurnn';

export const definitions = {
  lstm,
  larnn,
  rnn,
  gru,
  bnlstm,
  rra,
  scornn,
  enrnn,
  exprnn,
  scurnn,
} as const;

export type CellKind = keyof typeof definitions;

/** What `cells.<kind>` takes. */
export type OptionsOf<Kind extends CellKind> = Parameters<(typeof definitions)[Kind]['resolve']>[0];

export function isCellKind(kind: string): kind is CellKind {
  return Object.hasOwn(definitions, kind);
}

/** Features of a cell's output. */
export function outputSizeOf(kind: CellKind, spec: NativeSpec): number {
  const definition: CellDefinition<never> = definitions[kind];
  return definition.outputSize?.(spec) ?? numberOf(spec, 'units');
}
