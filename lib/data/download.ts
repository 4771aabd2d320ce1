/**
 * Fetching published files: checked by their SHA-256, resumed where they were interrupted, and never there half.
 */
import { createHash } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { open, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { LookbackError } from '../errors';
import { show } from '../options';
import { whyNot } from '../storage/reasons';
import { makeFolders } from '../storage/folders';
import type { ClosedHomeName, Home, HomeName, PublishedFile } from './homes';
import { homes } from './homes';

/** How far the download of one file is. */
export interface DownloadProgress {
  file: string;
  /** Bytes that are there, those of an earlier attempt included. */
  received: number;
  total: number;
}

export interface DownloadOptions {
  /** Called whenever bytes have arrived. */
  onProgress?: (progress: DownloadProgress) => void;
  /** Ends the download; what has arrived stays for the next attempt. */
  signal?: AbortSignal;
  /** A folder on a server of your own, instead of the data set's homes. The checksums stay those of the publisher. */
  mirror?: string;
}

export const downloadSchema = z
  .union([
    z.boolean(),
    z
      .strictObject({
        onProgress: z.custom<(progress: DownloadProgress) => void>(
          (value) => typeof value === 'function',
          'expected a function',
        ),
        signal: z.instanceof(AbortSignal, { error: 'expected an AbortSignal' }),
        mirror: z.url({
          protocol: /^https?$/,
          error: 'a mirror that begins with https:// or http://',
        }),
      })
      .partial(),
  ])
  .default(false);

/** `download` of a data set whose files are not fetched: anything but false is refused, with the reason and the way. */
export function closedDownload(name: ClosedHomeName): z.ZodType<false> {
  const { title, page, closed } = homes[name];
  return refusedDownload(
    `"${title}" cannot be fetched: ${closed.reason}. Get it from ${page}, ${closed.instead}, and leave download out`,
  );
}

/** `download` of the windows in data/har. */
export function bundledDownload(): z.ZodType<false> {
  return refusedDownload(
    'the windows come with the Lookback repository, in its folder data/har: there is nothing to fetch; leave download out',
  );
}

function refusedDownload(reason: string): z.ZodType<false> {
  return z
    .custom<false>((value) => value === false, {
      error: ({ input }) => `is ${show(input)}, but ${reason}`,
    })
    .meta({ const: false, description: `Refused: ${reason}.` });
}

/**
 * What `read` gives: at once where no download is asked for, else a promise of it once the files are in `dir`.
 *
 * @param files those that are wanted; none where the loader has found what it reads
 */
export function afterDownload<T>(
  name: HomeName,
  dir: string,
  download: boolean | object,
  read: () => T,
  files: readonly PublishedFile[] = homes[name].files,
): T | Promise<T> {
  if (download === false) return read();
  const options = download === true ? {} : download;
  return downloadFiles(homes[name], files, dir, options).then(read);
}

/**
 * Fetches those of `files` that `dir` does not have, plain or compressed.
 *
 * @throws {@link LookbackError} `ERR_IO` where there is no network, a server refuses, the connection breaks or the disk
 * does; `ERR_DATA` for bytes with another checksum; `ERR_ABORTED`.
 */
export async function downloadFiles(
  home: Home,
  files: readonly PublishedFile[],
  dir: string,
  options: DownloadOptions,
): Promise<void> {
  for (const file of files) {
    const plain = file.name.replace(/\.gz$/, '');
    if (existsSync(join(dir, plain)) || existsSync(join(dir, `${plain}.gz`))) continue;
    await downloadFile(home, file, dir, options);
  }
}

/** Tries one source after the other; the last failure is told, with those before it. */
async function downloadFile(
  home: Home,
  file: PublishedFile,
  dir: string,
  options: DownloadOptions,
): Promise<void> {
  const sources = options.mirror === undefined ? home.from : [options.mirror];
  const failures: LookbackError[] = [];
  for (const source of sources) {
    const url = new URL(file.name, source.endsWith('/') ? source : `${source}/`).href;
    try {
      return await new Transfer(file, url, dir, options).run();
    } catch (error) {
      if (!(error instanceof LookbackError) || error.code === 'ERR_ABORTED') throw error;
      // What this machine's disk refuses, it refuses from every source.
      if ('path' in error.details) throw error;
      failures.push(error);
    }
  }
  const [first] = failures;
  if (first === undefined) {
    const message = `"${home.title}" cannot be fetched; get it from ${home.page}`;
    throw new LookbackError('ERR_INTERNAL', message);
  }
  if (failures.length === 1) throw first;
  const message = `${file.name} could not be downloaded:\n${failures.map((one) => `- ${one.message}`).join('\n')}\nGet "${home.title}" from ${home.page} by hand and put its files into ${dir}`;
  throw new LookbackError(first.code, message, { cause: first, details: first.details });
}

/** One file from one source. */
class Transfer {
  readonly #file: PublishedFile;
  readonly #url: string;
  readonly #path: string;
  /** What has arrived; it stays when the connection breaks, and the next attempt goes on behind it. */
  readonly #part: string;
  readonly #options: DownloadOptions;
  #received = 0;

  constructor(file: PublishedFile, url: string, dir: string, options: DownloadOptions) {
    this.#file = file;
    this.#url = url;
    this.#path = join(dir, file.name);
    this.#part = `${this.#path}.part`;
    this.#options = options;
  }

  async run(): Promise<void> {
    const { bytes, sha256, name } = this.#file;
    await this.#local(() => makeFolders(dirname(this.#path)));
    this.#received = await this.#sizeOfPart();
    if (this.#received < bytes) await this.#fetch();
    const seen = await this.#local(() => this.#checksum());
    if (seen !== sha256) {
      await this.#local(() => rm(this.#part, { force: true }));
      throw new LookbackError(
        'ERR_DATA',
        `${this.#url}: its SHA-256 is ${seen}; expected ${sha256}, that of the published ${name}. Nothing was kept; try again later or get it elsewhere`,
        { details: { url: this.#url, expected: sha256, actual: seen } },
      );
    }
    await this.#local(() => rename(this.#part, this.#path));
  }

  async #fetch(): Promise<void> {
    const { signal } = this.#options;
    const from = this.#received;
    let response: Response;
    try {
      response = await fetch(this.#url, {
        // The bytes are counted and hashed as they are stored.
        headers: {
          'accept-encoding': 'identity',
          ...(from > 0 ? { range: `bytes=${from}-` } : {}),
        },
        ...(signal ? { signal } : {}),
      });
    } catch (cause) {
      throw this.#failed('could not be reached', cause, 'is there a network?');
    }
    const { status, body } = response;
    const goesOn = status === 206 && continues(response, from);
    if (body === null || (status !== 200 && !goesOn)) {
      await body?.cancel().catch(() => undefined);
      // A server that cannot go on where the part ends gives the whole file to the next attempt.
      if (status === 206 || status === 416)
        await this.#local(() => rm(this.#part, { force: true }));
      throw new LookbackError(
        'ERR_IO',
        `${this.#url}: the server answers with status ${status}; expected 200`,
        {
          details: { url: this.#url, status },
        },
      );
    }
    if (!goesOn) this.#received = 0;
    const part = await this.#local(() => open(this.#part, goesOn ? 'a' : 'w'));
    try {
      await this.#receive(body, part);
      await this.#local(() => part.sync());
    } finally {
      await part.close();
    }
  }

  async #receive(body: ReadableStream<Uint8Array>, part: FileHandle): Promise<void> {
    const { name, bytes: total } = this.#file;
    const reader = body.getReader();
    try {
      for (;;) {
        const { done, value } = await reader.read().catch((cause: unknown) => {
          throw this.#failed(this.#progress(), cause, 'the same call goes on from there');
        });
        if (done) break;
        if (this.#received + value.length > total) {
          await this.#local(() => rm(this.#part, { force: true }));
          const message = `${this.#url} has more than the ${total} bytes of the published ${name}; nothing was kept`;
          throw new LookbackError('ERR_DATA', message, { details: { url: this.#url, total } });
        }
        await this.#local(() => part.appendFile(value));
        this.#received += value.length;
        this.#options.onProgress?.({ file: name, received: this.#received, total });
      }
    } finally {
      await reader.cancel().catch(() => undefined);
    }
    if (this.#received < total)
      throw this.#failed(this.#progress(), undefined, 'the same call goes on from there');
  }

  #progress(): string {
    return `was interrupted after ${this.#received} of ${this.#file.bytes} bytes`;
  }

  #failed(what: string, cause: unknown, advice: string): LookbackError {
    const { signal } = this.#options;
    const details = { url: this.#url, received: this.#received };
    if (signal?.aborted) {
      const message = `the download of ${this.#url} was cancelled`;
      return new LookbackError('ERR_ABORTED', message, { cause: signal.reason, details });
    }
    const reason = cause === undefined ? '' : ` (${networkReason(cause)})`;
    const message = `${this.#url} ${what}${reason}; ${advice}`;
    return new LookbackError('ERR_IO', message, { cause, details });
  }

  async #sizeOfPart(): Promise<number> {
    try {
      return (await stat(this.#part)).size;
    } catch {
      return 0;
    }
  }

  async #checksum(): Promise<string> {
    const hash = createHash('sha256');
    for await (const chunk of createReadStream(this.#part)) hash.update(chunk as Buffer);
    return hash.digest('hex');
  }

  /** @throws {LookbackError} ERR_IO for what the disk refuses */
  async #local<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (cause) {
      const message = `${this.#path} could not be written: ${whyNot(cause)}`;
      throw new LookbackError('ERR_IO', message, { cause, details: { path: this.#path } });
    }
  }
}

/** Whether a partial answer begins where the part ends. */
function continues(response: Response, from: number): boolean {
  return response.headers.get('content-range')?.startsWith(`bytes ${from}-`) ?? false;
}

/** `fetch` says "fetch failed" and keeps the reason in the cause, which may have a code and no message. */
function networkReason(error: unknown): string {
  const { cause = error } = error as { cause?: unknown };
  const { message, code } = cause as NodeJS.ErrnoException;
  return [message, code].find((text) => text) ?? String(cause);
}
