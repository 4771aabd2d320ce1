/**
 * `lookback train`: from a configuration to a run folder.
 */
import { resolve } from 'node:path';
import type { LayerAttention } from '../attention';
import { hasAttention } from '../attention';
import type { Model } from '../model';
import { sequential } from '../model';
import { backendInfo } from '../devices';
import type { Report } from '../report/report';
import type { Logs } from '../training/metrics';
import type { Checkpoint } from '../storage/checkpoint';
import type { FitHooks, FitSnapshot } from '../training/control';
import type { Cursor } from '../training/fit';
import type { Callback, CallbackSpec } from '../training/callbacks';
import { makeCallback } from '../training/callbacks';
import { logsText } from '../training/progress';
import { calibrateRun, calibrationRows, checkCalibration } from './calibration';
import type { RunConfig } from './config';
import { readConfig } from './config';
import { exitCodes } from './exit';
import type { Output } from './output';
import { durationText } from './output';
import type { RunData, RunSplit } from './run-data';
import { checkTestStreams, checkValidation, evaluationOf, loadRunData } from './run-data';
import type { EpochRecord } from './run-folder';
import { requireSameRun, RunFolder } from './run-folder';
import { confusionOf } from './confusion';
import { LookbackError } from '../errors';
import { throwIfAborted } from '../training/signal';
import { validationsFrom } from '../training/validation';

export interface TrainOptions {
  set: readonly string[];
  resume: boolean;
}

/** Runs the command; gives the exit code. @throws {LookbackError} */
export async function train(path: string, options: TrainOptions, output: Output): Promise<number> {
  const config = await readConfig(path, options.set);
  const folder = new RunFolder(config.out);
  using signals = new Signals();
  try {
    await folder.claim();
    return await trainIn(folder, config, options.resume, signals, output);
  } finally {
    await folder.release();
  }
}

async function trainIn(
  folder: RunFolder,
  config: RunConfig,
  resume: boolean,
  signals: Signals,
  output: Output,
): Promise<number> {
  const found = resume ? await folder.readCheckpoint() : null;
  const checkpoint = found && found.checkpoint;
  if (checkpoint) requireSameRun(checkpoint.config, config, folder.path);
  if (found?.damage != null) tellDamage(output, found.damage);
  const cursor = checkpoint?.cursor ?? null;
  if (checkpoint && (checkpoint.stopped || checkpoint.cursor.epoch >= config.epochs)) {
    const test = await folder.finishedWith();
    if (test) return tellEnd(output, folder, test, 'the run is finished already');
  }
  // Before there is a checkpoint nothing is lost, and a signal ends the process.
  if (checkpoint) signals.hold();
  const data = await loadRunData(config);
  checkTestStreams(config, data);
  checkValidation(config, data);
  using model = buildModel(config, data);
  checkCalibration(config, data, model);
  if (checkpoint) model.restore(checkpoint.tensors, checkpoint.counters);
  await folder.make();
  tellStart(output, config, folder, data, model, cursor);
  // Who is told how long it takes may end it at once: the run keeps a checkpoint.
  signals.hold();
  await tellEstimate(output, config, data, cursor);
  // Not before it is known that there is memory for a step.
  if (checkpoint) await folder.writeConfig(config);
  else if (await folder.begin(config)) tellMoved(output, folder);
  if (cursor && signals.signal.aborted) return tellInterrupted(output, folder, cursor);
  const run = new Run(config, folder, data, model, output, signals);
  const paused = await run.train(checkpoint);
  if (paused) return tellInterrupted(output, folder, paused);
  const test = await run.finish();
  if (test === null) return tellInterrupted(output, folder, { epoch: run.epochsDone, batch: 0 });
  return tellEnd(output, folder, test, null);
}

/** The model of a configuration, compiled; its preprocessing knows the training part, the vocabulary and the names of the classes. */
export function buildModel(
  config: RunConfig,
  data: Pick<RunData, 'steps' | 'features' | 'classNames' | 'text' | 'change' | 'train'>,
): Model {
  const { seed, device, threads, dtype } = config;
  const inputShape: [number, number] = [data.steps, data.features];
  const { layers } = config.model;
  const { classNames: labels, text, change } = data;
  const known = {
    ...(labels ? { labels } : {}),
    ...(text ? { text } : {}),
    ...(change ? { change } : {}),
  };
  const preprocessing = { ...config.preprocessing, ...known };
  const model = sequential({
    ...{ inputShape, layers, seed, device, threads, dtype },
    ...(Object.keys(preprocessing).length > 0 ? { preprocessing } : {}),
  });
  if (model.preprocessing) model.fitPreprocessing(data.train);
  const { optimizer, loss, metrics, groups } = config;
  return model.compile({ optimizer, loss, metrics, ...(groups ? { groups } : {}) });
}

/** One training run in its folder. */
class Run {
  readonly #config: RunConfig;
  readonly #folder: RunFolder;
  readonly #data: RunData;
  readonly #model: Model;
  readonly #output: Output;
  readonly #signals: Signals;
  #records: EpochRecord[] = [];
  #epochBegun = 0;

  constructor(
    config: RunConfig,
    folder: RunFolder,
    data: RunData,
    model: Model,
    output: Output,
    signals: Signals,
  ) {
    this.#config = config;
    this.#folder = folder;
    this.#data = data;
    this.#model = model;
    this.#output = output;
    this.#signals = signals;
  }

  get epochsDone(): number {
    return this.#records.length;
  }

  /** Null when all epochs are done; else the run was interrupted and there is a checkpoint at that point. */
  async train(start: Checkpoint | null): Promise<Cursor | null> {
    this.#records = [...((start?.records ?? []) as EpochRecord[])];
    await this.#folder.writeLog(this.#records, null);
    const { epochs, batchSize, stateful, burnIn, schedule, checkpoint, callbacks } = this.#config;
    const { validationFreq, validationSteps } = this.#config;
    const { train: rows, validation } = this.#data;
    const options = {
      epochs,
      batchSize,
      stateful,
      burnIn,
      schedule,
      verbose: this.#output.json ? 0 : 'auto',
      callbacks: [...callbacks.map((spec) => this.#callback(spec)), this.#recorder()],
      ...(validation ? { validationData: validation } : {}),
      validationFreq,
      ...(validationSteps ? { validationSteps } : {}),
    };
    const hooks: FitHooks = {
      pause: () => this.#signals.signal.aborted,
      save: (snapshot) => this.#save(snapshot),
      saveEvery: checkpoint?.everyUpdates,
      ...(start ? { start } : {}),
    };
    const { cursor } = await this.#model.fitFrom(rows, options, hooks);
    return cursor;
  }

  /** Files of callbacks are named from the run folder on. */
  #callback(spec: CallbackSpec): Callback {
    const placed = { ...spec };
    for (const key of ['path', 'dir']) {
      const place = placed[key];
      if (typeof place === 'string') placed[key] = resolve(this.#folder.path, place);
    }
    return makeCallback(placed);
  }

  /**
   * Calibrates the trained model where that is asked for, tests it, and writes model, report and log; null where a signal
   * came before all was there.
   */
  async finish(): Promise<Logs | null> {
    const { signal } = this.#signals;
    try {
      return await this.#finish(signal);
    } catch (error) {
      if (signal.aborted && error instanceof LookbackError && error.code === 'ERR_ABORTED')
        return null;
      throw error;
    }
  }

  async #finish(signal: AbortSignal): Promise<Logs> {
    const { train: rows, test, classNames } = this.#data;
    const batches = await calibrateRun(this.#model, this.#config, rows, signal);
    if (batches > 0)
      this.#output.tell('calibrated', { batches }, `calibrated on ${batches} batches`);
    const logs = await this.#model.evaluate(test, { ...evaluationOf(this.#config), signal });
    const report: Report = {
      title: this.#folder.path,
      records: this.#records,
      test: logs,
      confusion: classNames && (await confusionOf(this.#model, this.#config, test, classNames)),
      attention: await attentionIn(this.#model, this.#config, test),
      summary: this.#model.summary({ print: () => undefined }),
      config: this.#config,
    };
    // Loaded here because drawing is large and only this moment needs it.
    const { renderReport } = await import('../report/report.js');
    const page = await renderReport(report);
    throwIfAborted(signal);
    await this.#model.save(this.#folder.model);
    await this.#folder.writeReport(page);
    // Last, because a log that ends with the test part says that the run is finished.
    await this.#folder.writeLog(this.#records, logs);
    return logs;
  }

  /** Records every epoch, then makes it safe. */
  #recorder(): Callback {
    return {
      onEpochBegin: () => {
        this.#epochBegun = performance.now();
      },
      onEpochEnd: async (epoch, logs) => {
        const seconds = Math.round(performance.now() - this.#epochBegun) / 1000;
        const record: EpochRecord = { epoch: epoch + 1, ...logs, seconds };
        this.#records.push(record);
        this.#output.tell('epoch', record, null);
        await this.#folder.writeLog(this.#records, null);
      },
    };
  }

  async #save(snapshot: FitSnapshot): Promise<void> {
    const config = this.#config as unknown as Record<string, unknown>;
    const records = this.#records;
    await this.#folder.writeCheckpoint({ ...snapshot, records, config, ...this.#model.state() });
  }
}

/** Test sequences that the report looks at the attention in: of every one all weights are in memory. */
const ATTENTION_ROWS = 32;

async function attentionIn(
  model: Model,
  { model: { layers } }: RunConfig,
  test: RunSplit,
): Promise<LayerAttention[]> {
  if (!layers.some(hasAttention)) return [];
  const rows = Math.min(ATTENTION_ROWS, test.x.shape[0] ?? 0);
  const { lengths } = test;
  return model.attention(head(test.x, rows), lengths ? { lengths: lengths.subarray(0, rows) } : {});
}

/** SIGHUP comes when a terminal goes, and ends Node also under nohup. */
const signalNames = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * Once held, {@link signalNames} abort `signal` instead of ending the process; a second one ends it at once, but for SIGHUP,
 * which a terminal that goes may send twice.
 */
class Signals implements Disposable {
  readonly #abort = new AbortController();
  readonly signal = this.#abort.signal;
  #held = false;
  readonly #onSignal = (name: string): void => {
    if (this.signal.aborted && name !== 'SIGHUP') process.exit(130);
    this.#abort.abort();
  };

  hold(): void {
    if (this.#held) return;
    this.#held = true;
    for (const name of signalNames) process.on(name, this.#onSignal);
  }

  [Symbol.dispose](): void {
    // What is sent until the process has ended does not change its exit code.
    if (this.signal.aborted) return;
    for (const name of signalNames) process.off(name, this.#onSignal);
  }
}

function tellInterrupted(
  output: Output,
  folder: RunFolder,
  { epoch, batch }: Pick<Cursor, 'epoch' | 'batch'>,
): number {
  const text = `interrupted; a checkpoint is in ${folder.path}: continue with --resume`;
  output.tell('interrupted', { epoch, batch }, text);
  return exitCodes.interrupted;
}

function tellMoved(output: Output, folder: RunFolder): void {
  const text = `the run that was in ${folder.path} is now in ${folder.path}/before, until the next one starts afresh`;
  output.tell('moved', { message: text }, text);
}

function tellDamage(output: Output, damage: string): void {
  const text = `${damage}; going on from the checkpoint before it`;
  output.tell('damaged', { message: text }, text);
}

function tellStart(
  output: Output,
  config: RunConfig,
  folder: RunFolder,
  data: RunData,
  model: Model,
  cursor: Cursor | null,
): void {
  const counts = {
    train: data.train.x.shape[0] ?? 0,
    validation: data.validation?.x.shape[0] ?? 0,
    test: data.test.x.shape[0] ?? 0,
  };
  const { isa, threads, threadsReason } = backendInfo();
  const used = config.threads || threads;
  const fields = {
    out: folder.path,
    rows: counts,
    isa,
    threads: used,
    resumedAt: cursor && { epoch: cursor.epoch, batch: cursor.batch },
  };
  const held = counts.validation > 0 ? `, ${counts.validation} held out` : '';
  const lines = [
    `run folder ${folder.path}`,
    `data ${config.data.name}: ${counts.train} sequences to train from${held}, ${counts.test} to test with, [${data.steps}, ${data.features}] each`,
    `device ${model.device} (${isa}), ${used} threads${config.threads ? '' : ` (${threadsReason})`}`,
    model.summary({ print: () => undefined }),
  ];
  if (cursor)
    lines.push(
      `resumed at epoch ${cursor.epoch + 1}${cursor.batch ? `, batch ${cursor.batch + 1}` : ''}`,
    );
  output.tell('start', fields, lines.join('\n'));
}

/** Times a few updates of a second model like this one, and says how long the run will take. */
async function tellEstimate(
  output: Output,
  config: RunConfig,
  data: RunData,
  cursor: Cursor | null,
): Promise<void> {
  const rows = data.train.x.shape[0] ?? 0;
  const batches = Math.ceil(rows / config.batchSize);
  const left = (config.epochs - (cursor?.epoch ?? 0)) * batches - (cursor?.batch ?? 0);
  const size = Math.min(config.batchSize, rows);
  using probe = buildModel(config, data);
  const x = head(data.train.x, size);
  const y = head(data.train.y, size);
  await probe.trainOnBatch(x, y);
  let best = Infinity;
  for (let repeat = 0; repeat < 3; repeat += 1) {
    const begun = performance.now();
    await probe.trainOnBatch(x, y);
    best = Math.min(best, performance.now() - begun);
  }
  // A row costs about a third as much in inference as in training.
  const { validationSteps = Infinity } = config;
  const held = Math.min(data.validation?.x.shape[0] ?? 0, validationSteps * config.batchSize);
  const validations = validationsFrom(cursor?.epoch ?? 0, config);
  const once = (data.test.x.shape[0] ?? 0) + calibrationRows(config, rows);
  const inferred = (held * validations + once) / (3 * size);
  const seconds = ((left + inferred) * best) / 1000;
  output.tell(
    'estimate',
    { seconds: Math.round(seconds * 10) / 10, updates: left },
    `training takes about ${durationText(seconds)} (${left} updates)`,
  );
}

function head<T extends RunData['train']['x']>(tensor: T, rows: number): T {
  const [all = 1, ...rest] = tensor.shape;
  return {
    shape: [rows, ...rest],
    data: tensor.data.subarray(0, (tensor.data.length / all) * rows),
  } as T;
}

/** The last line is a fixed form that scripts look for. */
function tellEnd(output: Output, folder: RunFolder, test: Logs, note: string | null): number {
  const accuracy = test['accuracy'];
  const last =
    accuracy === undefined
      ? `test ${logsText({ loss: test['loss'] ?? NaN })}`
      : `test accuracy ${accuracy.toFixed(4)}`;
  const where = `${note === null ? '' : `${note}; `}model, log.jsonl and report.html are in ${folder.path}`;
  output.tell('end', { out: folder.path, test }, `${where}\n${last}`);
  return exitCodes.ok;
}
