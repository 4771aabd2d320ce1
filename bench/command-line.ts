/**
 * What the bench's programs share: their arguments, their remarks, and how they end.
 */
import { backendInfo, LookbackError } from 'lookback';
import { CASES } from './cases';
import type { BenchCase } from './cases';
import { PeerMissing } from './peers';

const EXIT_FAILURE = 1;
const EXIT_USAGE = 2;

export class UsageError extends Error {}

/** Remarks go to standard error. */
export function note(text: string): void {
  process.stderr.write(`bench: ${text}\n`);
}

export function oneOf<T extends string>(name: string, value: string, known: readonly T[]): T {
  const found = known.find((candidate) => candidate === value);
  if (found === undefined) {
    throw new UsageError(`--${name} ${value} is unknown; expected ${known.join(' or ')}`);
  }
  return found;
}

/** `''`: what the machine gives us. */
export function threadsFrom(text: string): number {
  if (text === '') return backendInfo().threads;
  const threads = Number(text);
  if (!Number.isInteger(threads) || threads < 1) {
    throw new UsageError(`--threads ${text}; expected a whole number from 1`);
  }
  return threads;
}

/** Without names: all of them. */
export function casesFrom(names: readonly string[]): BenchCase[] {
  if (names.length === 0) return [...CASES];
  return names.map((name) => {
    const found = CASES.find((candidate) => candidate.name === name);
    if (found === undefined) throw new UsageError(`no case ${name}; --list prints their names`);
    return found;
  });
}

/** Errors of `parse`, which is `parseArgs` of Node, are errors of usage. */
export function parsed<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

/** Runs a program; tells what went wrong and sets the exit code. */
export function run(main: () => Promise<void>): void {
  main().catch((error: unknown) => {
    const known =
      error instanceof UsageError || error instanceof PeerMissing || error instanceof LookbackError;
    note(known ? error.message : String(error instanceof Error ? error.stack : error));
    process.exitCode = error instanceof UsageError ? EXIT_USAGE : EXIT_FAILURE;
  });
}
