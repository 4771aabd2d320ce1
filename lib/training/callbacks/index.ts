/**
 * The callbacks that come with the library: by constructor, or in a configuration by kind.
 */
import { z } from 'zod';
import { resolveKind } from '../specs';
import type { Callback } from './contract';
import type { FileOptions, TensorBoardOptions } from './logging';
import { csvLogger, fileSchema, jsonlLogger, tensorBoard, tensorBoardSchema } from './logging';
import type { OrthogonalityMonitorOptions } from './orthogonality';
import { orthogonalityMonitor, orthogonalityMonitorSchema } from './orthogonality';
import type { ReduceLROnPlateauOptions } from './plateau';
import { reduceLROnPlateau, reduceLROnPlateauSchema } from './plateau';
import type { ModelCheckpointOptions } from './saving';
import { modelCheckpoint, modelCheckpointSchema } from './saving';
import type { EarlyStoppingOptions, TimeLimitOptions } from './stopping';
import {
  earlyStopping,
  earlyStoppingSchema,
  terminateOnNaN,
  timeLimit,
  timeLimitSchema,
} from './stopping';

export type { Callback, CallbackContext, CallbackState } from './contract';
export type {
  EarlyStoppingOptions,
  FileOptions,
  ModelCheckpointOptions,
  OrthogonalityMonitorOptions,
  ReduceLROnPlateauOptions,
  TensorBoardOptions,
  TimeLimitOptions,
};

/**
 * Callbacks that come with the library. Those that remember something keep it in checkpoints, so that a resumed run goes
 * on alike.
 *
 * @example
 * ```ts
 * await model.fit(train, {
 *   epochs: 3,
 *   validationData: held,
 *   callbacks: [
 *     callbacks.earlyStopping({ monitor: 'valLoss', patience: 2, restoreBestWeights: true }),
 *     { onEpochEnd: (epoch, logs) => console.log(epoch, logs.valLoss) },
 *   ],
 * });
 * ```
 */
export const callbacks = {
  earlyStopping,
  modelCheckpoint,
  reduceLROnPlateau,
  csvLogger,
  jsonlLogger,
  tensorBoard,
  timeLimit,
  terminateOnNaN,
  orthogonalityMonitor,
} as const;

/** The options of each kind, as a configuration gives them. */
export const callbackSchemas = {
  earlyStopping: earlyStoppingSchema,
  modelCheckpoint: modelCheckpointSchema,
  reduceLROnPlateau: reduceLROnPlateauSchema,
  csvLogger: fileSchema,
  jsonlLogger: fileSchema,
  tensorBoard: tensorBoardSchema,
  timeLimit: timeLimitSchema,
  terminateOnNaN: z.strictObject({}),
  orthogonalityMonitor: orthogonalityMonitorSchema,
} satisfies Record<keyof typeof callbacks, z.ZodType>;

/** A callback as a configuration names it: its kind and options. */
export type CallbackSpec = { kind: keyof typeof callbacks; [option: string]: unknown };

/** @throws {LookbackError} ERR_OPTION */
export function resolveCallback(value: unknown, where: string): CallbackSpec {
  return resolveKind<CallbackSpec>(callbackSchemas, value, where);
}

/** The callback of a checked description. */
export function makeCallback({ kind, ...options }: CallbackSpec): Callback {
  const make = callbacks[kind] as (given: object) => Callback;
  return make(options);
}
