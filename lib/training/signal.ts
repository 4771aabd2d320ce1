/**
 * Cancelling native jobs.
 */
import { LookbackError } from '../errors';
import type { NativeEngine } from '../native';

/**
 * Runs native jobs under an AbortSignal.
 *
 * @throws {LookbackError} ERR_ABORTED whose cause is the signal's reason
 */
export async function withSignal<T>(
  signal: AbortSignal | undefined,
  engine: NativeEngine,
  work: () => Promise<T>,
): Promise<T> {
  if (!signal) return work();
  throwIfAborted(signal);
  const cancel = (): void => engine.cancel();
  signal.addEventListener('abort', cancel, { once: true });
  try {
    return await work();
  } catch (error) {
    if (error instanceof LookbackError && error.code === 'ERR_ABORTED') throwIfAborted(signal);
    throw error;
  } finally {
    signal.removeEventListener('abort', cancel);
  }
}

/** @throws {LookbackError} ERR_ABORTED whose cause is the signal's reason */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw abortedBy(signal);
}

/**
 * What `work` gives, or a rejection as soon as the signal fires; the work then goes on unheard.
 *
 * @throws {LookbackError} ERR_ABORTED whose cause is the signal's reason
 */
export async function orAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return work;
  throwIfAborted(signal);
  let stop = (): void => undefined;
  const aborted = new Promise<never>((_resolve, reject) => {
    stop = () => reject(abortedBy(signal));
    signal.addEventListener('abort', stop, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

function abortedBy(signal: AbortSignal): LookbackError {
  const message = 'aborted by its signal; the model keeps its last finished update';
  return new LookbackError('ERR_ABORTED', message, { cause: signal.reason });
}
