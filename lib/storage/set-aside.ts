/**
 * What a run that starts afresh finds in its folder: another run's, of which nothing is taken and nothing thrown away.
 */
import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import { LookbackError } from '../errors';
import { disk } from './atomic';
import { whyNot } from './reasons';
import { makeFolders } from './folders';

/**
 * Moves what is there of `paths` into `folder`/before, in place of what an earlier call moved there.
 *
 * @throws {LookbackError} ERR_IO
 */
export async function setAside(folder: string, paths: readonly string[]): Promise<void> {
  const before = join(folder, 'before');
  try {
    await disk.rm(before, { recursive: true, force: true });
    await makeFolders(before);
    for (const path of paths.filter((one) => existsSync(one)))
      await disk.rename(path, join(before, basename(path)));
  } catch (cause) {
    const message = `${folder}: the files of the run before could not be moved to ${before}: ${whyNot(cause)}`;
    throw new LookbackError('ERR_IO', message, { cause, details: { path: before } });
  }
}
