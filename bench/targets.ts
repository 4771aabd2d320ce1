/**
 * What the CPU's kernels aim at, as ratios (a peer's time over ours) and shares; the report says how far each is.
 */
import type { Measurement } from './measure';
import type { Opponent } from './peers';

/** Null: there is none. */
export interface Target {
  case: string;
  peer: Opponent;
  forward: number | null;
  step: number | null;
}

function aim(
  peer: Opponent,
  forward: number | null,
  step: number | null,
  ...cases: readonly string[]
): Target[] {
  return cases.map((name) => ({ case: name, peer, forward, step }));
}

export const TARGETS: readonly Target[] = [
  ...aim('onednn', 1.5, 1.5, 'lstm-har-b64-h32'),
  ...aim('onednn', 1.25, 1.2, 'lstm-har-b64-h128', 'lstm-mnist-b128-h128'),
  ...aim('onednn', 1, 1, 'lstm-ptb-b128-h512'),
  ...aim('torch', 4, 6, 'lstm-har-b64-h32'),
  ...aim('torch', 3, 3, 'lstm-har-b64-h128', 'lstm-mnist-b128-h128'),
  ...aim('torch', 2.3, 2.3, 'lstm-ptb-b128-h512'),
  ...aim('torch', 2.5, 2.5, 'gru-har-b64-h32', 'gru-har-b64-h128'),
  ...aim('torch', 2.5, 2.5, 'gru-mnist-b128-h128', 'gru-ptb-b128-h512'),
  ...aim('onnxruntime', 1.3, null, 'lstm-har-b1-h128', 'lstm-har-b64-h128'),
  ...aim('torch', 8, 18, 'larnn-har-b64-h32-k16'),
  ...aim('torch', 4, 8, 'larnn-har-b64-h128-k16'),
  ...aim('torch', 6, 8, 'larnn-har-b256-h81-k38'),
  ...aim('own', 0.9, 0.9, 'rra-har-b64-h128'),
  ...aim('torch', 2, 3.5, 'scornn-mnist-b128-h170'),
  ...aim('tfjs', 15, 80, 'lstm-har-b64-h32'),
];

/** Of the measured multiply-adds on one thread, a step's. */
export const PEAK_SHARES: Readonly<Record<string, number>> = {
  'lstm-ptb-b128-h512': 0.85,
  'lstm-har-b64-h128': 0.7,
};

/** How many times faster all threads are than one, at the largest size. */
export const SCALING = { case: 'lstm-ptb-b128-h512', perTwoThreads: 1.8 } as const;

export interface Verdict {
  target: Target;
  threads: number;
  forward: number;
  step: number | null;
  /** A pass that is behind its aim. */
  missed: readonly ('forward' | 'step')[];
}

/** Every target that was measured, at every number of threads. */
export function verdicts(measurements: readonly Measurement[]): Verdict[] {
  return TARGETS.flatMap((target) => {
    const peer = target.peer === 'own' ? 'lookback' : target.peer;
    return measurements.flatMap(({ result }) => {
      if (result.case !== target.case || result.peer?.name !== peer || !result.ratio) return [];
      const { forward, step } = result.ratio;
      // As the page shows them.
      const behind = (aimed: number | null, value: number | null): boolean =>
        aimed !== null && !(Math.round(100 * (value ?? NaN)) >= Math.round(100 * aimed));
      const missed = [
        ...(behind(target.forward, forward) ? (['forward'] as const) : []),
        ...(behind(target.step, step) ? (['step'] as const) : []),
      ];
      return [{ target, threads: result.threads, forward, step, missed }];
    });
  });
}
