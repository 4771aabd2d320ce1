import { z } from 'zod';
import { LookbackError } from '../errors';
import { ofKind, show } from '../options';
import { resolveKind } from './specs';

/** Where a run stands: `epoch` counts from 0 and is fractional within an epoch. */
export interface Progress {
  epoch: number;
  epochs: number;
}

export interface StepDecayOptions {
  /** Epochs between two drops. At least 1. */
  every: number;
  /** Factor of each drop. Default 0.5. */
  factor?: number;
}

export interface CosineOptions {
  /** Factor at the end. Default 0. */
  final?: number;
  /** Epochs of linear rise from a hundredth before the cosine. Default 0. */
  warmup?: number;
}

export interface OneCycleOptions {
  /** Share of the run that rises. Default 0.3. */
  rise?: number;
  /** Factor at the start. Default 0.04. */
  start?: number;
  /** Factor at the end. Default 0.0001. */
  final?: number;
}

/** The options of each kind. @internal */
export const scheduleSchemas = {
  constant: z.strictObject({}),
  stepDecay: z.strictObject({
    every: z.number().min(1),
    factor: z.number().gt(0).max(1).default(0.5),
  }),
  cosine: z.strictObject({
    final: z.number().min(0).max(1).default(0),
    warmup: z.number().min(0).default(0),
  }),
  oneCycle: z.strictObject({
    rise: z.number().gt(0).lt(1).default(0.3),
    start: z.number().min(0).max(1).default(0.04),
    final: z.number().min(0).max(1).default(0.0001),
  }),
};

/** A schedule with all its numbers. */
export type ScheduleSpec =
  | { kind: 'constant' }
  | ({ kind: 'stepDecay' } & Required<StepDecayOptions>)
  | ({ kind: 'cosine' } & Required<CosineOptions>)
  | ({ kind: 'oneCycle' } & Required<OneCycleOptions>);
/** What `fit` takes: a description, a name, or a function that gives the factor on the optimizer's learning rate. */
export type ScheduleLike =
  ScheduleSpec | Exclude<ScheduleSpec['kind'], 'stepDecay'> | ((progress: Progress) => number);

/** @throws {LookbackError} ERR_OPTION */
export function resolveSchedule(value: unknown, where = 'schedule'): ScheduleSpec {
  return resolveKind<ScheduleSpec>(scheduleSchemas, value, where);
}

/** Constructors of learning-rate schedules: each is a factor on the optimizer's learning rate, set before every update. */
export const schedules = {
  constant: (): ScheduleSpec => resolveSchedule('constant'),
  /** `factor` to the power of `floor(epoch / every)`. */
  stepDecay: (options: StepDecayOptions): ScheduleSpec =>
    resolveSchedule(ofKind('stepDecay', options, 'schedule stepDecay')),
  /** Half a cosine from 1 to `final` over the run, after a linear warm-up. */
  cosine: (options: CosineOptions = {}): ScheduleSpec =>
    resolveSchedule(ofKind('cosine', options, 'schedule cosine')),
  /** Half a cosine up from `start` to 1, then half a cosine down to `final`. */
  oneCycle: (options: OneCycleOptions = {}): ScheduleSpec =>
    resolveSchedule(ofKind('oneCycle', options, 'schedule oneCycle')),
} as const;

/** The factor on the learning rate. @throws {LookbackError} ERR_OPTION where a function gives none */
export function factorAt(schedule: ScheduleLike, progress: Progress): number {
  if (typeof schedule === 'function') {
    const factor = schedule(progress);
    if (Number.isFinite(factor) && factor >= 0) return factor;
    const message = `schedule gave ${show(factor)} at epoch ${progress.epoch}; expected a factor of at least 0`;
    throw new LookbackError('ERR_OPTION', message);
  }
  const spec = typeof schedule === 'string' ? resolveSchedule(schedule) : schedule;
  const { epoch, epochs } = progress;
  switch (spec.kind) {
    case 'constant':
      return 1;
    case 'stepDecay':
      return spec.factor ** Math.floor(epoch / spec.every);
    case 'cosine':
      if (epoch < spec.warmup) return 0.01 + (0.99 * epoch) / spec.warmup;
      return halfCosine(
        1,
        spec.final,
        (epoch - spec.warmup) / Math.max(epochs - spec.warmup, 1e-9),
      );
    case 'oneCycle': {
      const top = spec.rise * epochs;
      return epoch < top
        ? halfCosine(spec.start, 1, epoch / top)
        : halfCosine(1, spec.final, (epoch - top) / Math.max(epochs - top, 1e-9));
    }
  }
}

/** From `from` at 0 to `to` at 1, flat at both ends. */
function halfCosine(from: number, to: number, at: number): number {
  return to + ((from - to) * (1 + Math.cos(Math.PI * Math.min(at, 1)))) / 2;
}

let warned = false;

/**
 * Says once that a schedule stands still for the first epoch over a source whose length is not known, since a place
 * within that epoch is not either.
 */
export function warnOfStandingSchedule(schedule: ScheduleLike): void {
  if (warned || typeof schedule === 'function' || !changesWithinEpoch(schedule)) return;
  warned = true;
  const message =
    'fit: the schedule stays where it begins for the whole first epoch, since the length of the source is not known; give stepsPerEpoch';
  process.emitWarning(message, { type: 'LookbackWarning' });
}

/** Whether the factor changes within an epoch, so that it has to be asked before every update. */
export function changesWithinEpoch(schedule: ScheduleLike): boolean {
  if (typeof schedule === 'object' && schedule.kind === 'stepDecay')
    return !Number.isInteger(schedule.every);
  return (typeof schedule === 'object' ? schedule.kind : schedule) !== 'constant';
}
