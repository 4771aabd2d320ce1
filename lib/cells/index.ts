/**
 * The one list of cells on this side of the bridge. A new cell is a file beside this one and an entry here.
 */
import { larnn } from './larnn';
import { lstm } from './lstm';

export const definitions = { lstm, larnn } as const;

export type CellKind = keyof typeof definitions;

export function isCellKind(kind: string): kind is CellKind {
  return Object.hasOwn(definitions, kind);
}
