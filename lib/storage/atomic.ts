/**
 * Files that appear whole or not at all.
 */
import { randomBytes } from 'node:crypto';
import type { Stats } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { open, readdir, readlink, realpath, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { LookbackError } from '../errors';
import { whyNot } from './reasons';

/** What writing uses of the file system; tests put failures in its place. @internal */
export const disk = { open, rename, rm };

/** The files that this thread is writing now, by their temporary names. */
const underWay = new Set<string>();

/**
 * Replaces `path` by what `chunks` holds: written beside it, flushed to the disk, then renamed over it. A full disk or
 * a crash at any moment leaves the file that was there before. A link stays one: the file that it leads to is replaced.
 *
 * @param before where to keep the file that `path` was until now, a link included; between the two renames only this
 * one is there
 * @throws {LookbackError} ERR_IO whose cause is the system's error, or for a `path` that is a folder, a device, ...
 */
export async function writeAtomically(
  path: string,
  chunks: Iterable<Uint8Array>,
  before?: string,
): Promise<void> {
  const target = await targetOf(path, before === undefined);
  const folder = dirname(target);
  const name = `.${basename(target)}.${process.pid}-${randomBytes(4).toString('hex')}.tmp`;
  const temporary = join(folder, name);
  underWay.add(name);
  try {
    const file = await disk.open(temporary, 'wx');
    try {
      for (const chunk of chunks) await writeAll(file, chunk);
      await file.sync();
    } finally {
      await file.close();
    }
    if (before === undefined) await disk.rename(temporary, target);
    else await renameKeeping(temporary, target, before);
  } catch (cause) {
    await disk.rm(temporary, { force: true }).catch(() => undefined);
    throw notWritten(path, cause);
  } finally {
    underWay.delete(name);
  }
  await syncFolder(folder);
}

function notWritten(path: string, cause: unknown): LookbackError {
  const message = `${path} could not be written: ${whyNot(cause)}; what was there before is untouched`;
  return new LookbackError('ERR_IO', message, { cause, details: { path } });
}

/**
 * The file to replace: `path` or, where links are to be followed, what it leads to. A rename would put a plain file in
 * the place of anything else, such as /dev/full.
 *
 * @throws {LookbackError} ERR_IO
 */
async function targetOf(path: string, follow: boolean): Promise<string> {
  try {
    const found = await stat(path);
    if (found.isFile()) return follow ? await realpath(path) : path;
    const message = `${path} is ${kindOf(found)}; expected a file or nothing in that place; choose another path`;
    throw new LookbackError('ERR_IO', message, { details: { path } });
  } catch (cause) {
    if (cause instanceof LookbackError) throw cause;
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw notWritten(path, cause);
  }
  if (!follow) return path;
  // Nothing there, or a link to nothing: what is written appears where it leads.
  const next = await readlink(path).catch(() => null);
  return next === null ? path : targetOf(resolve(dirname(path), next), follow);
}

function kindOf(found: Stats): string {
  if (found.isDirectory()) return 'a folder';
  if (found.isCharacterDevice() || found.isBlockDevice()) return 'a device';
  return found.isFIFO() ? 'a pipe' : 'a socket';
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

/** So that a new name survives a crash too; not every system lets a folder be opened. */
export async function syncFolder(folder: string): Promise<void> {
  try {
    const handle = await disk.open(folder, 'r');
    await handle.sync().finally(() => handle.close());
  } catch {
    // The data itself is on the disk.
  }
}

/**
 * Removes from a folder what processes left that died while they wrote there; those still alive may yet finish.
 * A folder that cannot be read or emptied stays as it is.
 */
export async function removeLeftovers(folder: string): Promise<void> {
  const names = await readdir(folder).catch(() => []);
  for (const name of names) {
    const pid = /^\..+\.(\d+)-[0-9a-f]{8}\.tmp$/.exec(name)?.[1];
    if (pid === undefined) continue;
    const path = join(folder, name);
    const own = Number(pid) === process.pid;
    if (own ? !(await isInherited(path)) : isAlive(Number(pid))) continue;
    await rm(path, { force: true }).catch(() => undefined);
  }
}

/**
 * Whether a file with this process's number is of a process before it: in a container each has the same. What other
 * threads write now is younger than the process; `underWay` counts where a clock was set meanwhile.
 */
async function isInherited(path: string): Promise<boolean> {
  if (underWay.has(basename(path))) return false;
  const began = Date.now() - process.uptime() * 1000;
  return stat(path).then(
    ({ mtimeMs }) => mtimeMs < began,
    () => false,
  );
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
