/**
 * Callbacks that write the logs of a run to files. A resumed run cuts them back to its checkpoint and goes on; where a
 * file has lost its end, behind its last whole entry.
 */
import { hostname } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { parseOptions } from '../../options';
import { requireWritable } from '../../storage/folders';
import { LogFile } from '../../storage/log-file';
import type { Scalar } from '../../storage/tfevents';
import { scalarsRecord, versionRecord, wholeRecords } from '../../storage/tfevents';
import type { Logs } from '../metrics';
import type { Callback } from './contract';
import { storedValues } from './watch';

export interface FileOptions {
  /** The file; its folder is made where it is missing. */
  path: string;
}

export const fileSchema = z.strictObject({ path: z.string().min(1) });
const csvState = z.object({ length: z.int().min(0), keys: z.array(z.string()) });
const jsonlState = z.object({ length: z.int().min(0) });

/**
 * One line of comma-separated values per epoch under a line of names: `epoch`, counted from 1, then the logs. What an
 * epoch does not log, as those that `validationFreq` passes over, is empty.
 */
export function csvLogger(options: FileOptions): Callback {
  const file = new LogFile(parseOptions(fileSchema, options, 'csvLogger').path);
  let keys: string[] = [];
  return {
    onTrainBegin() {
      file.reset();
      keys = [];
      return file.requireWritable();
    },
    async onEpochEnd(epoch, logs, { skippedLogs }) {
      if (keys.length === 0) keys = [...Object.keys(logs), ...skippedLogs];
      const values = keys.map((key) => String(logs[key] ?? ''));
      const names = ['epoch', ...keys].map(quoted);
      await file.append(`${[epoch + 1, ...values].join(',')}\n`, `${names.join(',')}\n`);
    },
    getState: async () => ({ values: { length: await file.syncedLength(), keys } }),
    setState(state) {
      const values = storedValues(csvState, state, 'csvLogger');
      file.reset(values.length);
      keys = values.keys;
    },
  };
}

function quoted(text: string): string {
  return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** One JSON object a line per epoch: `epoch`, counted from 1, and the logs. */
export function jsonlLogger(options: FileOptions): Callback {
  const file = new LogFile(parseOptions(fileSchema, options, 'jsonlLogger').path);
  return {
    onTrainBegin() {
      file.reset();
      return file.requireWritable();
    },
    onEpochEnd: (epoch, logs) => file.append(`${JSON.stringify({ epoch: epoch + 1, ...logs })}\n`),
    getState: async () => ({ values: { length: await file.syncedLength() } }),
    setState: (state) => file.reset(storedValues(jsonlState, state, 'jsonlLogger').length),
  };
}

export interface TensorBoardOptions {
  /** The folder to show: `tensorboard --logdir DIR`. Its parts `train` and `validation` hold one file each. */
  dir: string;
  /**
   * Also the logs of single batches, every so many updates; `fit` then crosses to native code once per batch. Default:
   * epochs alone.
   */
  everyUpdates?: number;
}

export const tensorBoardSchema = z.strictObject({
  dir: z.string().min(1),
  everyUpdates: z.int().min(1).optional(),
});
const tensorBoardState = z.object({
  name: z.string(),
  train: z.int().min(0),
  validation: z.int().min(0),
});

/**
 * Event files that TensorBoard reads: `epoch/loss` and the other logs and `epoch/learningRate` over the epochs, counted
 * from 1; with `everyUpdates` also `batch/loss`, ... over the updates.
 */
export function tensorBoard(options: TensorBoardOptions): Callback {
  const { dir, everyUpdates } = parseOptions(tensorBoardSchema, options, 'tensorBoard');
  const run = new EventFiles(dir);
  return {
    onTrainBegin() {
      run.begin();
      return requireWritable(dir);
    },
    ...(everyUpdates && {
      async onBatchEnd(_batch, logs, { updates }) {
        if (updates % everyUpdates === 0) await run.add('train', updates, scalars('batch', logs));
      },
    }),
    async onEpochEnd(epoch, logs, { learningRate }) {
      const [train, validation]: [Logs, Logs] = [{ learningRate }, {}];
      for (const [key, value] of Object.entries(logs)) {
        if (/^val[A-Z]/.test(key)) validation[key.charAt(3).toLowerCase() + key.slice(4)] = value;
        else train[key] = value;
      }
      await run.add('train', epoch + 1, scalars('epoch', train));
      await run.add('validation', epoch + 1, scalars('epoch', validation));
    },
    getState: async () => ({ values: await run.state() }),
    setState: (state) => run.goOn(storedValues(tensorBoardState, state, 'tensorBoard')),
  };
}

function scalars(prefix: string, logs: Logs): Scalar[] {
  return Object.entries(logs).map(([key, value]) => ({ tag: `${prefix}/${key}`, value }));
}

/** One run's files. */
class EventFiles {
  readonly #dir: string;
  #name = '';
  #files: Record<'train' | 'validation', LogFile>;

  constructor(dir: string) {
    this.#dir = dir;
    this.#files = this.#named('');
  }

  begin(): void {
    this.#name = `events.out.tfevents.${Math.floor(Date.now() / 1000)}.${hostname()}.${process.pid}`;
    this.#files = this.#named(this.#name);
  }

  async add(part: 'train' | 'validation', step: number, values: readonly Scalar[]): Promise<void> {
    if (values.length === 0) return;
    const now = Date.now() / 1000;
    await this.#files[part].append(scalarsRecord(now, step, values), versionRecord(now));
  }

  async state(): Promise<z.output<typeof tensorBoardState>> {
    const { train, validation } = this.#files;
    return {
      name: this.#name,
      train: await train.syncedLength(),
      validation: await validation.syncedLength(),
    };
  }

  goOn({ name, train, validation }: z.output<typeof tensorBoardState>): void {
    this.#name = name;
    this.#files = this.#named(name);
    this.#files.train.reset(train);
    this.#files.validation.reset(validation);
  }

  #named(name: string): Record<'train' | 'validation', LogFile> {
    return {
      train: new LogFile(join(this.#dir, 'train', name), wholeRecords),
      validation: new LogFile(join(this.#dir, 'validation', name), wholeRecords),
    };
  }
}
