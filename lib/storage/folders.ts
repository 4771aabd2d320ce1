/**
 * Folders, and whether anything may be written to them.
 */
import { constants } from 'node:fs';
import { access, mkdir, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { LookbackError } from '../errors';
import { whyNot } from './reasons';

/**
 * Makes a folder, with those around it, where it is missing. The `recursive` of the system's module tells ENOENT where a
 * file system is read-only, and never ends within /proc.
 *
 * @throws the system's error
 */
export async function makeFolders(path: string): Promise<void> {
  const made = (at: string): Promise<unknown> =>
    mkdir(at).catch(async (error: unknown) => {
      if (!(await isFolder(at))) throw error;
    });
  try {
    await made(path);
  } catch (error) {
    const around = dirname(resolve(path));
    if (codeOf(error) !== 'ENOENT' || (await isFolder(around))) throw error;
    await makeFolders(around);
    await made(path);
  }
}

/** As {@link makeFolders}, for files that are written later on. @throws {LookbackError} ERR_IO */
export async function makeFolder(path: string): Promise<void> {
  try {
    await makeFolders(path);
  } catch (cause) {
    const message = `${path} could not be made: ${whyNot(cause)}`;
    throw new LookbackError('ERR_IO', message, { cause, details: { path } });
  }
  await requireWritable(path);
}

/**
 * For a file or folder that is to be written, there or not yet: what cannot be is told before the work whose results it
 * would hold. Nothing is touched.
 *
 * @throws {LookbackError} ERR_IO
 */
export async function requireWritable(path: string): Promise<void> {
  for (let at = resolve(path); ; at = dirname(at)) {
    try {
      await access(at, constants.W_OK);
      return;
    } catch (cause) {
      if (codeOf(cause) === 'ENOENT' && dirname(at) !== at) continue;
      const message = `${path} cannot be written: ${whyNot(cause)}`;
      throw new LookbackError('ERR_IO', message, { cause, details: { path } });
    }
  }
}

/** @throws {LookbackError} ERR_IO for a folder in the place of a file */
export async function requireNoFolder(path: string): Promise<void> {
  if (!(await isFolder(path))) return;
  const message = `${path} is a folder; expected a file or nothing in that place; choose another path`;
  throw new LookbackError('ERR_IO', message, { details: { path } });
}

async function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}

function codeOf(error: unknown): unknown {
  return (error as NodeJS.ErrnoException).code;
}
