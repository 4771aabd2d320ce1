/**
 * A file that only grows, and that a resumed run cuts back to where its checkpoint stands.
 */
import { appendFile, mkdir, stat, truncate, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { LookbackError } from '../errors';
import { reasonOf } from './atomic';

export class LogFile {
  readonly path: string;
  #length = 0;
  #ready = false;

  /** Nothing is touched before the first `append`. */
  constructor(path: string) {
    this.path = path;
  }

  /** Bytes that belong to the run. */
  get length(): number {
    return this.#length;
  }

  /** The next `append` cuts the file to `length` bytes first: by default it starts anew. */
  reset(length = 0): void {
    this.#length = length;
    this.#ready = false;
  }

  /** @throws {LookbackError} ERR_IO */
  async append(bytes: Uint8Array | string): Promise<void> {
    const { path } = this;
    try {
      if (!this.#ready) await this.#cut();
      await appendFile(path, bytes);
      this.#length += Buffer.byteLength(bytes);
    } catch (cause) {
      const message = `${path} could not be written: ${reasonOf(cause)}`;
      throw new LookbackError('ERR_IO', message, { cause, details: { path } });
    }
  }

  async #cut(): Promise<void> {
    await mkdir(dirname(this.path), { recursive: true });
    const size = this.#length === 0 ? 0 : await sizeOf(this.path);
    if (size === 0) await writeFile(this.path, '');
    // A file that lost its end goes on from what is left of it.
    else if (size > this.#length) await truncate(this.path, this.#length);
    this.#length = Math.min(this.#length, size);
    this.#ready = true;
  }
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch {
    return 0;
  }
}
