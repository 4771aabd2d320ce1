/**
 * The folder of a run: model, log, report and checkpoints, and the configuration they came from.
 */
import { existsSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { LookbackError } from '../errors';
import { removeLeftovers, writeAtomically } from '../storage/atomic';
import { reasonOf } from '../storage/reasons';
import type { Checkpoint } from '../storage/checkpoint';
import { CheckpointFolder } from '../storage/checkpoint';
import { FolderLock } from '../storage/folder-lock';
import { makeFolder, makeFolders } from '../storage/folders';
import { setAside } from '../storage/set-aside';
import type { Logs } from '../training/metrics';
import { differenceOf, settingText } from '../training/fit-call';
import type { RunConfig } from './config';

/** What the log says of one epoch, counted from 1. */
export type EpochRecord = { epoch: number; seconds: number } & Logs;

export class RunFolder {
  readonly path: string;
  readonly model: string;
  readonly log: string;
  readonly report: string;
  readonly config: string;
  readonly #checkpoints: CheckpointFolder;
  #lock: FolderLock | null = null;

  constructor(path: string) {
    this.path = path;
    this.model = join(path, 'model.safetensors');
    this.log = join(path, 'log.jsonl');
    this.report = join(path, 'report.html');
    this.config = join(path, 'config.json');
    this.#checkpoints = new CheckpointFolder(join(path, 'checkpoints'));
  }

  /**
   * Keeps other runs out until `release`, where the folder is there.
   *
   * @throws {LookbackError} ERR_STATE where another run is going on in it
   */
  async claim(): Promise<void> {
    if (this.#lock === null && existsSync(this.path)) this.#lock = await FolderLock.take(this.path);
  }

  /** Lets others in. Idempotent. */
  async release(): Promise<void> {
    await this.#lock?.release();
    this.#lock = null;
  }

  /** Makes the folder, where it is not there, and claims it. @throws {LookbackError} ERR_IO, ERR_STATE */
  async make(): Promise<void> {
    await makeFolder(this.path);
    await this.claim();
  }

  /**
   * Makes the folder ready for a run from the start. The model or the checkpoints of a run before it, and what belongs to
   * them, are moved to its folder `before`, in place of what was there; gives whether that was so.
   *
   * @throws {LookbackError} ERR_IO
   */
  async begin(config: RunConfig): Promise<boolean> {
    const { path: checkpoints } = this.#checkpoints;
    const files = [this.model, this.log, this.report, this.config, checkpoints];
    const worthKeeping = existsSync(this.model) || !this.#checkpoints.isEmpty;
    await this.make();
    if (worthKeeping) await setAside(this.path, files);
    await ioErrors(this.path, async () => {
      for (const file of files) await rm(file, { recursive: true, force: true });
      await makeFolders(checkpoints);
    });
    await removeLeftovers(this.path);
    await this.writeConfig(config);
    return worthKeeping;
  }

  /** `out` is left out: the folder may be moved. */
  async writeConfig(config: RunConfig): Promise<void> {
    const { out: _, ...rest } = config;
    await writeText(this.config, `${JSON.stringify(rest, null, 2)}\n`);
  }

  /** The newest sound checkpoint, or null where there is none. @throws {LookbackError} ERR_IO, ERR_FORMAT */
  async readCheckpoint(): Promise<{ checkpoint: Checkpoint; damage: string | null } | null> {
    for (const folder of [this.path, this.#checkpoints.path]) await removeLeftovers(folder);
    return this.#checkpoints.read();
  }

  async writeCheckpoint(checkpoint: Checkpoint): Promise<void> {
    const { path } = this.#checkpoints;
    await makeFolder(path);
    await this.#checkpoints.write(checkpoint);
  }

  /** Writes the whole log: one epoch a line, and at the end of a run what the test part gave. */
  async writeLog(records: readonly EpochRecord[], test: Logs | null): Promise<void> {
    const lines: unknown[] = [...records];
    if (test) lines.push({ test });
    await writeText(this.log, lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
  }

  /** What the test part gave, where the log ends with it and the model is there; else null. */
  async finishedWith(): Promise<Logs | null> {
    if (!existsSync(this.model) || !existsSync(this.log)) return null;
    const text = await ioErrors(this.log, () => readFile(this.log, 'utf8'));
    const last = text.trimEnd().split('\n').pop() ?? '';
    try {
      const { test } = JSON.parse(last) as { test?: Logs };
      return test ?? null;
    } catch {
      return null;
    }
  }

  async writeReport(html: string): Promise<void> {
    await writeText(this.report, html);
  }
}

async function writeText(path: string, text: string): Promise<void> {
  await writeAtomically(path, [new TextEncoder().encode(text)]);
}

async function ioErrors<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    throw new LookbackError('ERR_IO', `${path}: ${reasonOf(cause)}`, { cause, details: { path } });
  }
}

/** Keys that may change between the parts of a run: they leave what it computes alone, or only prolong it. */
const free = new Set(['out', 'device', 'threads', 'epochs', 'checkpoint']);

/** What a checkpoint that was written before these keys existed had in their place. */
const once = {
  callbacks: [],
  stateful: false,
  burnIn: 0,
  validationFreq: 1,
  calibrate: false,
};

/** @throws {LookbackError} ERR_OPTION where a run cannot be continued under `now` */
export function requireSameRun(
  before: Readonly<Record<string, unknown>>,
  now: RunConfig,
  folder: string,
): void {
  const after = JSON.parse(JSON.stringify(now)) as Record<string, unknown>;
  const other = differenceOf({ ...once, ...before }, after, free);
  if (other === null) return;
  const { key, path } = other;
  const message = `--resume: ${folder} was begun with ${path} ${settingText(other.before)} and is now to go on with ${settingText(other.after)}; put it back, choose another out, or leave --resume out to start afresh`;
  throw new LookbackError('ERR_OPTION', message, { details: { key, path } });
}
