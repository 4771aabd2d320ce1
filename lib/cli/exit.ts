/**
 * How the program ends: exit codes and what an error looks like on a terminal.
 */
import pc from 'picocolors';
import type { ErrorCode } from '../errors';
import { LookbackError } from '../errors';

export const exitCodes = {
  ok: 0,
  /** A bug of ours, or numbers that are no longer finite. */
  internal: 1,
  usage: 2,
  data: 3,
  device: 4,
  /** Stopped by a signal after a checkpoint: run again with --resume. */
  interrupted: 75,
} as const;

const byCode: Record<ErrorCode, number> = {
  ERR_OPTION: exitCodes.usage,
  ERR_STATE: exitCodes.usage,
  ERR_SHAPE: exitCodes.data,
  ERR_DATA: exitCodes.data,
  ERR_FORMAT: exitCodes.data,
  ERR_IO: exitCodes.data,
  ERR_DEVICE: exitCodes.device,
  ERR_ADDON_MISSING: exitCodes.device,
  ERR_ABORTED: exitCodes.internal,
  ERR_MEMORY: exitCodes.internal,
  ERR_NUMERIC: exitCodes.internal,
  ERR_INTERNAL: exitCodes.internal,
};

/** The exit code for an error. */
export function exitCodeOf(error: unknown): number {
  return error instanceof LookbackError ? byCode[error.code] : exitCodes.internal;
}

/** Tells an error to people: our own without a stack, everything else, which is a bug, with it. */
export function reportError(error: unknown): void {
  if (error instanceof LookbackError) {
    process.stderr.write(`${pc.red(error.code)} ${error.message}\n`);
    return;
  }
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  process.stderr.write(
    `${pc.red('ERR_INTERNAL')} this is a bug of lookback; please report it\n${text}\n`,
  );
}
