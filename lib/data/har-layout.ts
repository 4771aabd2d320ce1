/**
 * What the UCI HAR signals look like, whichever way they are stored.
 */
import type { Dataset, SubjectSplit } from './dataset';

/** Samples of a window: 2.56 s at 50 Hz. */
export const HAR_STEPS = 128;

/**
 * The nine signals in the usual order. Acceleration in g (standard gravity), `body` without and `total` with gravity;
 * angular velocity in rad/s.
 */
export const HAR_SIGNALS: readonly string[] = [
  'body_acc_x',
  'body_acc_y',
  'body_acc_z',
  'body_gyro_x',
  'body_gyro_y',
  'body_gyro_z',
  'total_acc_x',
  'total_acc_y',
  'total_acc_z',
];

/** The six activities; label `i` is the publisher's `i + 1`. The last name is spelt as the publisher does. */
export const HAR_CLASSES: readonly string[] = [
  'WALKING',
  'WALKING_UPSTAIRS',
  'WALKING_DOWNSTAIRS',
  'SITTING',
  'STANDING',
  'LAYING',
];

/** Windows with label and subject. */
export type HarSplit = SubjectSplit<Int32Array>;

/** Human activity recognition from a phone at the waist: 30 subjects, six activities. */
export interface HarDataset extends Dataset<HarSplit> {
  classNames: string[];
  featureNames: string[];
}

/** An empty split of `n` windows, to be filled. */
export function emptyHarSplit(n: number): HarSplit {
  const features = HAR_SIGNALS.length;
  return {
    x: { shape: [n, HAR_STEPS, features], data: new Float32Array(n * HAR_STEPS * features) },
    y: { shape: [n], data: new Int32Array(n) },
    subjects: new Int32Array(n),
    steps: HAR_STEPS,
    features,
  };
}
