/**
 * The one error class of the library.
 */

import type { History } from './training/fit';

/** Every code that a {@link LookbackError} can carry. */
export type ErrorCode =
  | 'ERR_OPTION'
  | 'ERR_SHAPE'
  | 'ERR_STATE'
  | 'ERR_DEVICE'
  | 'ERR_MEMORY'
  | 'ERR_NUMERIC'
  | 'ERR_FORMAT'
  | 'ERR_INTERNAL'
  | 'ERR_ADDON_MISSING'
  | 'ERR_ABORTED'
  | 'ERR_IO'
  | 'ERR_DATA';

/** What may accompany a message; all optional. */
export interface ErrorExtras {
  /** The error or the abort reason that led to this one. */
  cause?: unknown;
  /** Values for programs: `path`, `expected`, `actual`, ... as the thrower saw fit. */
  details?: Readonly<Record<string, unknown>>;
}

/**
 * Thrown, or rejected with, for every failure of the library. Switch on `code`; the message says what was wrong, the
 * value seen, what was expected and what to do.
 *
 * | code | raised for |
 * |---|---|
 * | `ERR_OPTION` | an unknown, missing, misspelt or contradictory option |
 * | `ERR_SHAPE` | a wrong rank, size or dtype |
 * | `ERR_STATE` | disposed, busy, not compiled |
 * | `ERR_DEVICE` | a device that is not there |
 * | `ERR_MEMORY` | an allocation that failed or cannot be |
 * | `ERR_NUMERIC` | a loss or a parameter that is not finite |
 * | `ERR_FORMAT` | a malformed file |
 * | `ERR_DATA` | values that cannot be learned from: NaN, labels out of range, missing data files |
 * | `ERR_IO` | reading or writing failed; `cause` is the system's error |
 * | `ERR_ABORTED` | cancelled; `cause` is the signal's reason |
 * | `ERR_ADDON_MISSING` | the native addon is not built |
 * | `ERR_INTERNAL` | a bug of ours: please report it |
 */
export class LookbackError extends Error {
  override readonly name = 'LookbackError';
  readonly code: ErrorCode;
  readonly details: Readonly<Record<string, unknown>>;
  /** Of an error that ends a run of `fit`: the epochs that were done before it. */
  history?: History;

  constructor(code: ErrorCode, message: string, extras: ErrorExtras = {}) {
    super(message, 'cause' in extras ? { cause: extras.cause } : undefined);
    this.code = code;
    this.details = extras.details ?? {};
  }
}
