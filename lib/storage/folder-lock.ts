/**
 * One writer at a time in a folder of checkpoints. The lock is the system's, so it goes with its process, however that ends.
 */
import type { FileHandle } from 'node:fs/promises';
import { open, rm, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { LookbackError } from '../errors';
import { loadAddon } from '../native';

/** Who has the lock, as its file tells those who find it taken. */
const ownerSchema = z.object({ pid: z.int(), host: z.string(), since: z.string() });

/** Of a file that was put in the place of the one just locked, so often at most. */
const ATTEMPTS = 10;

export class FolderLock {
  readonly #path: string;
  #file: FileHandle | null;

  private constructor(path: string, file: FileHandle | null) {
    this.#path = path;
    this.#file = file;
  }

  /**
   * The lock of `folder`, which is there. Where no file can be made in it, or its file system has no locks, nothing is
   * held, and nobody is kept out.
   *
   * @throws {LookbackError} ERR_STATE where another run has it, in this process or in another one
   */
  static async take(folder: string): Promise<FolderLock> {
    // Removed at the end, so by a name that nobody else gives a file.
    const path = join(folder, '.lookback.lock');
    for (let attempt = 0; attempt < ATTEMPTS; ++attempt) {
      const file = await open(path, 'a+').catch(() => null);
      if (file === null) return new FolderLock(path, null);
      const lock = new FolderLock(path, file);
      const found = loadAddon().lockFile(file.fd);
      if (found === 'held') {
        const owner = await ownerIn(file);
        await file.close();
        throw inUse(folder, owner);
      }
      if (found === 'unsupported') {
        await lock.release();
        return new FolderLock(path, null);
      }
      if (await isAt(path, file)) {
        await tell(file);
        return lock;
      }
      // Whoever had it before has removed this file, and it locks nothing now.
      await file.close();
    }
    return new FolderLock(path, null);
  }

  /** Idempotent. */
  async release(): Promise<void> {
    const file = this.#file;
    this.#file = null;
    if (file === null) return;
    // While it is still locked, so that it is never another one's file.
    await rm(this.#path, { force: true }).catch(() => undefined);
    await file.close();
  }
}

async function isAt(path: string, file: FileHandle): Promise<boolean> {
  const [own, there] = await Promise.all([file.stat(), stat(path).catch(() => null)]);
  return there !== null && own.ino === there.ino && own.dev === there.dev;
}

/** A full disk may leave it untold. */
async function tell(file: FileHandle): Promise<void> {
  const owner = { pid: process.pid, host: hostname(), since: new Date().toISOString() };
  await file
    .truncate(0)
    .then(() => file.write(JSON.stringify(owner)))
    .catch(() => undefined);
}

async function ownerIn(file: FileHandle): Promise<z.output<typeof ownerSchema> | null> {
  try {
    return ownerSchema.parse(JSON.parse(await file.readFile('utf8')));
  } catch {
    return null;
  }
}

function inUse(folder: string, owner: z.output<typeof ownerSchema> | null): LookbackError {
  const whose = owner
    ? `process ${owner.pid} on ${owner.host} has trained there since ${owner.since}`
    : 'another run trains there';
  const message = `${folder} is in use: ${whose}; wait until it has ended, end it, or choose another folder`;
  return new LookbackError('ERR_STATE', message, { details: { path: folder, ...owner } });
}
