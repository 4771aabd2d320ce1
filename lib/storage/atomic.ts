/**
 * Files that appear whole or not at all.
 */
import { randomBytes } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { open, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { LookbackError } from '../errors';

/** What writing uses of the file system; tests put failures in its place. @internal */
export const disk = { open, rename, rm };

/**
 * Replaces `path` by what `chunks` holds: written beside it, flushed to the disk, then renamed over it. A full disk or
 * a crash at any moment leaves the file that was there before.
 *
 * @param before where to keep the file that `path` was until now; between the two renames only this one is there
 * @throws {LookbackError} ERR_IO whose cause is the system's error
 */
export async function writeAtomically(
  path: string,
  chunks: Iterable<Uint8Array>,
  before?: string,
): Promise<void> {
  const folder = dirname(path);
  const temporary = join(
    folder,
    `.${basename(path)}.${process.pid}-${randomBytes(4).toString('hex')}.tmp`,
  );
  try {
    const file = await disk.open(temporary, 'wx');
    try {
      for (const chunk of chunks) await writeAll(file, chunk);
      await file.sync();
    } finally {
      await file.close();
    }
    if (before === undefined) await disk.rename(temporary, path);
    else await renameKeeping(temporary, path, before);
  } catch (cause) {
    await disk.rm(temporary, { force: true }).catch(() => undefined);
    const message = `${path} could not be written: ${reasonOf(cause)}; what was there before is untouched`;
    throw new LookbackError('ERR_IO', message, { cause, details: { path } });
  }
  await syncFolder(folder);
}

/** As `rename(from, path)`, but the file that was there goes to `before`; on a failure it comes back. */
async function renameKeeping(from: string, path: string, before: string): Promise<void> {
  const kept = await disk.rename(path, before).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return false;
      throw error;
    },
  );
  try {
    await disk.rename(from, path);
  } catch (error) {
    // A reader finds it under either name.
    if (kept) await disk.rename(before, path).catch(() => undefined);
    throw error;
  }
}

async function writeAll(file: FileHandle, chunk: Uint8Array): Promise<void> {
  for (let at = 0; at < chunk.length;) {
    const { bytesWritten } = await file.write(chunk, at);
    at += bytesWritten;
  }
}

/** So that the new name survives a crash too; not every system lets a folder be opened. */
async function syncFolder(folder: string): Promise<void> {
  try {
    const handle = await disk.open(folder, 'r');
    await handle.sync().finally(() => handle.close());
  } catch {
    // The data itself is on the disk.
  }
}

/** The system's own words for an error of the file system. */
export function reasonOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}

/**
 * Removes from a folder what processes left that died while they wrote there; those still alive may yet finish.
 * A folder that cannot be read or emptied stays as it is.
 */
export async function removeLeftovers(folder: string): Promise<void> {
  const names = await readdir(folder).catch(() => []);
  for (const name of names) {
    const pid = /^\..+\.(\d+)-[0-9a-f]{8}\.tmp$/.exec(name)?.[1];
    if (pid === undefined || isAlive(Number(pid))) continue;
    await rm(join(folder, name), { force: true }).catch(() => undefined);
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
