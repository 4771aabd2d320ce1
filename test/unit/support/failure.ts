import { LookbackError } from '../../../lib';

/** The LookbackError that `work` fails with; any other error is thrown on. */
export async function failure(work: () => unknown): Promise<LookbackError> {
  try {
    await work();
  } catch (error) {
    if (error instanceof LookbackError) return error;
    throw error;
  }
  throw new Error('expected a LookbackError');
}

/** Code and message of the LookbackError that `work` fails with. */
export async function codeOf(work: () => unknown): Promise<[string, string]> {
  const { code, message } = await failure(work);
  return [code, message];
}
