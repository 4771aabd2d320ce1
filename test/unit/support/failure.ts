import { LookbackError } from '../../../lib';

/** Code and message of the LookbackError that `work` fails with. */
export async function codeOf(work: () => unknown): Promise<[string, string]> {
  try {
    await work();
  } catch (error) {
    if (error instanceof LookbackError) return [error.code, error.message];
    throw error;
  }
  throw new Error('expected a LookbackError');
}
