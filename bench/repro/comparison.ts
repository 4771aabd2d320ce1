/**
 * What a comparison is: cells of one size on one task, with the same number of updates and the same small search. A contestant
 * is a configuration of `lookback train`; nothing in it may be chosen on test data. One file of comparisons/ describes one.
 */
import { unitsFor } from './widths';

/** Weights with an optimizer of their own. */
export interface Group {
  match: string;
  optimizer: object;
  /** So many times slower than the rate that the search finds. */
  slower?: number;
}

/** One cell in a comparison. */
export interface Contestant {
  /** Of its files: `<name>-s<seed>.json` and `.jsonl`. */
  name: string;
  label: string;
  layers: (units: number) => readonly unknown[];
  /** Its width; where it is left out, the one that comes nearest to the comparison's `parameters`. */
  units?: number;
  /** The width is a multiple of this. Default 1. */
  multiple?: number;
  optimizer: object;
  groups?: readonly Group[];
  /** Laid over the comparison's configuration. */
  config?: { epochs?: number; schedule?: unknown; calibrate?: true };
  /** Contestants of one family share the setting that the search finds for the first of them. */
  family?: string;
  /** The published result, as its column shows it. */
  published?: string;
}

/** Settings that are tried on a part of the training data that is held out, by the last epoch. */
export interface Search {
  /** Laid over a contestant's optimizer, by the name that its files have. */
  settings: Readonly<Record<string, Setting>>;
  /** Laid over the comparison's configuration: fewer epochs, shorter sequences. */
  config: Record<string, unknown>;
  /** What is held out, laid over the configuration likewise. */
  folds: Readonly<Record<string, Record<string, unknown>>>;
}

export type Setting = { learningRate: number; clipNorm?: number };

export interface Comparison {
  title: string;
  /** What is asked, what was fixed beforehand and why, as Markdown. */
  text: string;
  /** Steps and features of a sequence. */
  inputShape: [number, number];
  /** Of every contestant: data, batch size, epochs, loss, ... A `dir` of its data lies below `downloads`. */
  config: Record<string, unknown> & { epochs: number; batchSize: number };
  /** Rows to train from, for counting updates. */
  rows: number;
  /** Learnt numbers of every contestant, as near as its width allows. */
  parameters?: number;
  contestants: readonly Contestant[];
  seeds: number;
  /** What the table and the curves show. */
  metric: 'loss' | 'accuracy';
  /** Knowing nothing costs this much. */
  baseline?: { value: number; label: string };
  /** At or beyond this value the task counts as solved. */
  solved?: number;
  search?: Search;
  /** The contestant that the others have to beat, and are compared with in words. */
  rival?: string;
  /** Laid over `config` by `--quick`. */
  quick: Record<string, unknown>;
}

/** Settings that differ in their learning rate alone. */
export function rates(...values: readonly number[]): Record<string, Setting> {
  return Object.fromEntries(values.map((learningRate) => [`r${learningRate}`, { learningRate }]));
}

/** The width and the layers of a contestant. */
export function modelOf(
  { inputShape, parameters }: Pick<Comparison, 'inputShape' | 'parameters'>,
  { name, units, multiple = 1, layers }: Contestant,
): { units: number; layers: readonly unknown[] } {
  if (units !== undefined) return { units, layers: layers(units) };
  if (parameters === undefined) throw new Error(`${name} has no width and its comparison no size`);
  const found = unitsFor(parameters, layers, inputShape, multiple);
  return { units: found, layers: layers(found) };
}

/** What `lookback train` is given. */
export function configOf(
  comparison: Comparison,
  contestant: Contestant,
  seed: number,
  choices: { threads: number; quick: boolean; setting?: Setting | undefined },
): Record<string, unknown> {
  const { quick, threads, setting } = choices;
  const groups = contestant.groups?.map(({ slower, ...group }) => {
    if (slower === undefined || setting === undefined) return group;
    const learningRate = setting.learningRate / slower;
    return { ...group, optimizer: { ...group.optimizer, learningRate } };
  });
  return {
    seed,
    ...comparison.config,
    ...contestant.config,
    ...(quick ? comparison.quick : {}),
    threads,
    model: { layers: modelOf(comparison, contestant).layers },
    optimizer: { ...contestant.optimizer, ...setting },
    ...(groups ? { groups } : {}),
  };
}
