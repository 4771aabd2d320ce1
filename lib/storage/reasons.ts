/**
 * Why something could not be read or written, and what to do.
 */
import { types } from 'node:util';

/** The system's own words for an error of the file system, whichever realm made it. */
export function reasonOf(cause: unknown): string {
  return types.isNativeError(cause) ? cause.message : String(cause);
}

const elsewhere = 'choose a place that may be written to';
const space = 'free some space, or choose another place';
const remedies: Readonly<Record<string, string>> = {
  ENOSPC: space,
  EDQUOT: space,
  EROFS: elsewhere,
  EACCES: elsewhere,
  EPERM: elsewhere,
  ENOENT: 'make its folder first, or choose another place',
  ENAMETOOLONG: 'choose a shorter name',
};

/** The reason why something could not be written, and what to do where that is known. */
export function whyNot(cause: unknown): string {
  const remedy = remedies[String((cause as NodeJS.ErrnoException | null)?.code)];
  return remedy === undefined ? reasonOf(cause) : `${reasonOf(cause)}; ${remedy}`;
}
