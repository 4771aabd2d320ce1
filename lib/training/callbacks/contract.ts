/**
 * What a callback is: any object with some of these methods.
 */
import type { Model } from '../../model';
import type { Tensor } from '../../tensor';
import type { Logs } from '../metrics';

/** What a callback may use. */
export interface CallbackContext {
  readonly model: Model;
  /** The epochs of the whole run. */
  readonly epochs: number;
  /** Updates since `compile`. */
  readonly updates: number;
  /** The learning rate of the latest update: the optimizer's with all factors on it. */
  readonly learningRate: number;
  /** A factor on the learning rate beside the schedule's, 1 at the start of a run. Set it and it holds from then on. */
  rateFactor: number;
  /**
   * At the end of an epoch that `validationFreq` passes over, or that ends without the batches of a validation source
   * because the run is stopped: the logs that it lacks for that, `valLoss`, ...; else empty.
   */
  readonly skippedLogs: readonly string[];
  /**
   * The run is over: it ends as by `model.stopTraining`, and its checkpoint says so, so that a resume trains no further.
   * A run that is only stopped goes on in a resume.
   */
  finish(): void;
}

/** What a callback remembers, in a form that a checkpoint can hold. */
export interface CallbackState {
  /** Null, booleans, texts, numbers of any kind, and arrays and plain objects of these. */
  values?: unknown;
  tensors?: Readonly<Record<string, Tensor<Float32Array | Float64Array>>>;
}

/**
 * Any object with some of these; `fit` waits for promises. An error thrown here ends `fit` with that error. Classes and
 * plain objects may be mixed.
 */
export interface Callback {
  onTrainBegin?(context: CallbackContext): void | Promise<void>;
  /** `epoch` counts from 0. */
  onEpochBegin?(epoch: number, context: CallbackContext): void | Promise<void>;
  /** After every update; having one makes `fit` cross to native code once per batch instead of once per chunk. */
  onBatchEnd?(batch: number, logs: Logs, context: CallbackContext): void | Promise<void>;
  /** What it adds to `logs` is seen by the callbacks behind it and stands in the history. */
  onEpochEnd?(epoch: number, logs: Logs, context: CallbackContext): void | Promise<void>;
  onTrainEnd?(context: CallbackContext): void | Promise<void>;
  /**
   * Training failed, or its beginning. With `true` a failure of training is dealt with, and `fit` ends as if it had been
   * stopped.
   */
  onError?(error: unknown, context: CallbackContext): boolean | Promise<boolean>;
  /** What a checkpoint has to hold so that a resumed run goes on alike. */
  getState?(): CallbackState | Promise<CallbackState>;
  /** The reverse, in a resumed run, after `onTrainBegin`. */
  setState?(state: CallbackState, context: CallbackContext): void | Promise<void>;
}
