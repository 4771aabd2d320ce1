/**
 * A call of `fit`: its options and data checked, and with `checkpoint` and `resume` what it keeps on the disk and how it
 * goes on from there.
 */
import { LookbackError } from '../errors';
import type { Model } from '../model';
import type { Fitted } from '../preprocessing/preprocessing';
import { removeLeftovers } from '../storage/atomic';
import { CheckpointFolder } from '../storage/checkpoint';
import { FolderLock } from '../storage/folder-lock';
import { makeFolder } from '../storage/folders';
import { parseOptions, show } from '../options';
import type { PreparedData } from './data';
import { splitTail, weighClasses } from './data';
import { requireCallbackNames } from './callbacks/names';
import type { FitHooks } from './control';
import { requireCallbacks } from './control';
import type { FitRun, History, ResolvedFit } from './fit';
import { fitSchema } from './fit';
import { makeReporter } from './progress';
import { batchSourceOf, checkSourceOptions, noRows, SourceEpochs } from './source';
import { resolveSchedule, warnOfStandingSchedule } from './schedules';
import type { ValidationData } from './validation';
import { firstSteps, prepareValidation, requireValidation } from './validation';

/** Options and data of a call, checked. */
export interface FitCall {
  options: ResolvedFit;
  train: PreparedData;
  validation: ValidationData | null;
  source?: SourceEpochs;
}

/**
 * @param prepare checks one part of the data
 * @param learn makes the preprocessing ready with all of the data but the share at its end that is held out
 * @throws {LookbackError} ERR_OPTION, ERR_SHAPE, ERR_DATA
 */
export function resolveFit(
  data: unknown,
  given: unknown,
  prepare: (part: unknown, where: string) => PreparedData,
  learn: (heldOut: number) => void,
): FitCall {
  const options = parseOptions(fitSchema, given, 'fit');
  requireCallbackNames(options.callbacks);
  const { validationData, validationSplit, schedule, classWeight } = options;
  const weighed = (part: PreparedData) => (classWeight ? weighClasses(part, classWeight) : part);
  const held = () =>
    validationData === undefined ? null : prepareValidation(validationData, options, prepare);
  if (validationData === undefined && validationSplit === 0) requireValidation(options);
  if (typeof schedule !== 'function') options.schedule = resolveSchedule(schedule, 'fit: schedule');
  const batches = batchSourceOf(data);
  if (batches) {
    checkSourceOptions(data, options);
    if (options.stepsPerEpoch === undefined) warnOfStandingSchedule(options.schedule);
    const validation = held();
    const batch = (part: unknown, where: string) => weighed(prepare(part, where));
    const source = new SourceEpochs(batches, batch, options.stepsPerEpoch);
    return { options, train: noRows, validation, source };
  }
  learn(validationData === undefined ? validationSplit : 0);
  const all = prepare(data, 'fit: data');
  if (validationData !== undefined || validationSplit === 0)
    return { options, train: weighed(all), validation: held() };
  const [train, validation] = splitTail(all, validationSplit);
  return { options, train: weighed(train), validation: firstSteps(validation, options) };
}

/** The run that a call wants of `model`. */
export function runOf(model: Model, call: FitCall, history: History, given: FitHooks): FitRun {
  const { options, train: data, validation, source } = call;
  const reporter = makeReporter(options.verbose);
  const hooks = () => checkpointHooks({ model, data, history }, options, given);
  const run = { data, validation, options, reporter, history, hooks };
  return source ? { ...run, source } : run;
}

interface Resumable {
  model: Model;
  data: PreparedData;
  history: History;
}

/**
 * The hooks of a run that keeps checkpoints, in a folder of its own until it ends; a resumed one has put model and history
 * back to where they were.
 *
 * @throws {LookbackError} ERR_OPTION for another run than the one of the checkpoint; ERR_STATE where another one is going
 * on there; ERR_IO, ERR_FORMAT
 */
async function checkpointHooks(
  what: Resumable,
  options: ResolvedFit,
  given: FitHooks,
): Promise<FitHooks> {
  const { checkpoint, resume } = options;
  if (!checkpoint) {
    if (!resume) return given;
    const message = 'fit: resume is true but there is no checkpoint; give checkpoint: { dir } too';
    throw new LookbackError('ERR_OPTION', message);
  }
  await makeFolder(checkpoint.dir);
  const lock = await FolderLock.take(checkpoint.dir);
  try {
    const hooks = await hooksIn(checkpoint, what, options, given);
    return { ...hooks, end: () => lock.release() };
  } catch (error) {
    await lock.release();
    throw error;
  }
}

async function hooksIn(
  checkpoint: NonNullable<ResolvedFit['checkpoint']>,
  { model, data, history }: Resumable,
  options: ResolvedFit,
  given: FitHooks,
): Promise<FitHooks> {
  const folder = new CheckpointFolder(checkpoint.dir);
  const config = configOf(model, data, options);
  const hooks: FitHooks = {
    ...given,
    saveEvery: checkpoint.everyUpdates,
    save: (snapshot) =>
      folder.write({ ...snapshot, config, records: history.records, ...model.state() }),
  };
  await removeLeftovers(checkpoint.dir);
  const found = options.resume ? await folder.read() : null;
  if (!found) {
    await folder.setAside();
    return hooks;
  }
  if (found.damage !== null) {
    process.emitWarning(`${found.damage}; going on from the checkpoint before it`, {
      type: 'LookbackWarning',
    });
  }
  const { checkpoint: last } = found;
  const other = differenceOf(last.config, config, new Set());
  if (other !== null) {
    const { key, path, before, after } = other;
    const message = `fit: the checkpoint in ${checkpoint.dir} is of a run with another ${key}: ${path} was ${settingText(before)} and is ${settingText(after)}; put it back, choose another dir, or leave resume out to start afresh`;
    throw new LookbackError('ERR_OPTION', message, { details: { key, path } });
  }
  requireCallbacks(last.callbacks, options.callbacks);
  model.restore(last.tensors, last.counters);
  for (const { epoch = 0, ...logs } of last.records) history.append(epoch, logs);
  return { ...hooks, start: last };
}

/** All that determines a run beside the numbers of the data. */
function configOf(model: Model, data: PreparedData, options: ResolvedFit): Record<string, unknown> {
  const { batchSize, shuffle, initialEpoch, schedule, stepsPerEpoch, accumulateSteps } = options;
  const { stateful, burnIn, classWeight, validationFreq, validationSteps } = options;
  const { preprocessing } = model;
  const config = {
    model: model.config(),
    preprocessing: preprocessing?.options,
    // Weights that were trained on numbers of one scale mean nothing to those of another.
    'scale of preprocessing': preprocessing && scalesOf(preprocessing.fitted),
    compile: model.compiled,
    data: { rows: data.rows, steps: data.steps },
    batchSize,
    shuffle: shuffle ?? !stateful,
    initialEpoch,
    accumulateSteps,
    stepsPerEpoch,
    stateful,
    burnIn,
    classWeight,
    validationFreq,
    validationSteps,
    schedule: typeof schedule === 'function' ? 'a function' : schedule,
  };
  return JSON.parse(JSON.stringify(config)) as Record<string, unknown>;
}

function scalesOf(fitted: Fitted): unknown {
  const listed = (scale: Fitted['input']) =>
    scale && { offset: Array.from(scale.offset), scale: Array.from(scale.scale) };
  return { input: listed(fitted.input), target: listed(fitted.target) };
}

type Config = Readonly<Record<string, unknown>>;

/** Where two configurations differ: the key at their top, and down to the innermost one that differs. */
export interface Difference {
  key: string;
  /** `model.layers[0].units` */
  path: string;
  before: unknown;
  after: unknown;
}

/** The first difference as JSON, or null. */
export function differenceOf(
  before: Config,
  after: Config,
  free: ReadonlySet<string>,
): Difference | null {
  for (const key of new Set([...Object.keys(before), ...Object.keys(after)])) {
    const [was, is] = [before[key], after[key]];
    if (!free.has(key) && JSON.stringify(was) !== JSON.stringify(is))
      return { key, ...innermost(key, was, is) };
  }
  return null;
}

function innermost(path: string, before: unknown, after: unknown): Omit<Difference, 'key'> {
  const here = { path, before, after };
  if (typeof before !== 'object' || before === null) return here;
  if (typeof after !== 'object' || after === null) return here;
  // Of lists of different lengths no entry is the one that differs.
  if (Array.isArray(before) && Array.isArray(after) && before.length !== after.length) return here;
  const inner = differenceOf(before as Config, after as Config, new Set());
  if (inner === null) return here;
  const step = Array.isArray(before) ? inner.path.replace(/^\d+/, '[$&]') : `.${inner.path}`;
  return { path: path + step, before: inner.before, after: inner.after };
}

/** A value of a configuration, for a message. */
export function settingText(value: unknown): string {
  return value === undefined ? 'none' : show(value);
}
