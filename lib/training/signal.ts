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
 * What `work` gives, null as soon as `stop` fires, or a rejection as soon as `signal` does; the work then goes on
 * unheard.
 *
 * @throws {LookbackError} ERR_ABORTED whose cause is the signal's reason
 */
export async function unlessStopped<T>(
  work: Promise<T>,
  signal: AbortSignal | undefined,
  stop: AbortSignal | undefined,
): Promise<T | null> {
  throwIfAborted(signal);
  if (stop?.aborted === true) return null;
  let onAbort = (): void => undefined;
  let onStop = (): void => undefined;
  const ended = new Promise<null>((resolve, reject) => {
    if (signal) onAbort = () => reject(abortedBy(signal));
    onStop = () => resolve(null);
    signal?.addEventListener('abort', onAbort, { once: true });
    stop?.addEventListener('abort', onStop, { once: true });
  });
  try {
    return await Promise.race([work, ended]);
  } finally {
    signal?.removeEventListener('abort', onAbort);
    stop?.removeEventListener('abort', onStop);
  }
}

function abortedBy(signal: AbortSignal): LookbackError {
  const message = 'aborted by its signal; the model keeps its last finished update';
  return new LookbackError('ERR_ABORTED', message, { cause: signal.reason });
}
