/**
 * A file that only grows, and that a resumed run cuts back to where its checkpoint stands.
 */
import { appendFile, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { LookbackError } from '../errors';
import { disk, syncFolder } from './atomic';
import { whyNot } from './reasons';
import { makeFolders, requireNoFolder, requireWritable } from './folders';

/** Bytes. What is larger, and long enough, is cut without a look at it. */
const largestRead = 2 ** 28;

export class LogFile {
  readonly path: string;
  readonly #whole: (content: Buffer) => number;
  #length = 0;
  #ready = false;
  #synced = true;

  /**
   * Nothing is touched before the first `append`.
   *
   * @param whole the bytes at the front of a file that are whole entries; default: whole lines
   */
  constructor(path: string, whole: (content: Buffer) => number = wholeLines) {
    this.path = path;
    this.#whole = whole;
  }

  /**
   * Bytes that belong to the run, once they are on the disk: what a checkpoint names must outlive a power cut as the
   * checkpoint does.
   *
   * @throws {LookbackError} ERR_IO
   */
  async syncedLength(): Promise<number> {
    if (!this.#synced) await this.#writing(() => syncFile(this.path));
    this.#synced = true;
    return this.#length;
  }

  /** The next `append` cuts the file to `length` bytes first: by default it starts anew. */
  reset(length = 0): void {
    this.#length = length;
    this.#ready = false;
    this.#synced = true;
  }

  /** Before a run that would fail at its first entry. @throws {LookbackError} ERR_IO */
  async requireWritable(): Promise<void> {
    await requireNoFolder(this.path);
    await requireWritable(this.path);
  }

  /**
   * @param head what an empty file begins with
   * @throws {LookbackError} ERR_IO
   */
  async append(entry: Uint8Array | string, head: Uint8Array | string = ''): Promise<void> {
    await this.#writing(async () => {
      if (!this.#ready) await this.#cut();
      const bytes = Buffer.concat([this.#length === 0 ? head : '', entry].map(bytesOf));
      this.#synced = false;
      await appendFile(this.path, bytes);
      this.#length += bytes.length;
    });
  }

  async #writing(work: () => Promise<void>): Promise<void> {
    const { path } = this;
    try {
      await work();
    } catch (cause) {
      const message = `${path} could not be written: ${whyNot(cause)}`;
      throw new LookbackError('ERR_IO', message, { cause, details: { path } });
    }
  }

  async #cut(): Promise<void> {
    const { path } = this;
    await makeFolders(dirname(path));
    this.#length = await this.#kept(this.#length);
    if (this.#length === 0) {
      await writeFile(path, '');
      await syncFolder(dirname(path));
    } else await truncate(path, this.#length);
    this.#ready = true;
  }

  /**
   * Of the first `told` bytes, those in whole entries: what is left of a file that lost its end may end within one, and
   * what a run then added to it may lie across `told` when the next one resumes.
   */
  async #kept(told: number): Promise<number> {
    const size = told === 0 ? 0 : await sizeOf(this.path);
    if (size === 0 || (size >= told && size > largestRead)) return Math.min(told, size);
    return this.#whole((await readFile(this.path)).subarray(0, told));
  }
}

function bytesOf(part: Uint8Array | string): Uint8Array {
  return typeof part === 'string' ? Buffer.from(part) : part;
}

function wholeLines(content: Buffer): number {
  return content.lastIndexOf('\n') + 1;
}

async function syncFile(path: string): Promise<void> {
  const file = await disk.open(path, 'a');
  try {
    await file.datasync();
  } catch (error) {
    // A pipe or a terminal has nothing to sync.
    if ((error as NodeJS.ErrnoException).code !== 'EINVAL') throw error;
  } finally {
    await file.close();
  }
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch {
    return 0;
  }
}
