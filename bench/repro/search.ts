/**
 * The setting of a cell, by held-out training data: the same small search for every cell of a comparison.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { configOf } from './comparison';
import type { Comparison, Contestant, Setting } from './comparison';

/** One cell with one setting, trained without one fold and judged by it. */
export interface SearchRun {
  family: string;
  contestant: Contestant;
  /** Its name in the comparison's `settings`. */
  setting: string;
  fold: string;
  /** Of its files. */
  file: string;
}

/** What a log says instead of epochs where the run came to no number. */
export const DIVERGED = { diverged: true };

export function familyOf({ family, name }: Contestant): string {
  return family ?? name;
}

/** Every run of the search for the families of `contestants`; none where the comparison searches for nothing. */
export function searchRuns(
  { search }: Comparison,
  contestants: readonly Contestant[],
  quick = false,
): SearchRun[] {
  if (search === undefined) return [];
  const few = quick ? 1 : undefined;
  const folds = Object.keys(search.folds).slice(0, few);
  const families = new Map<string, Contestant>();
  for (const one of contestants) {
    const family = familyOf(one);
    if (!families.has(family)) families.set(family, one);
  }
  return [...families].flatMap(([family, contestant]) =>
    Object.keys(search.settings).flatMap((setting) =>
      folds.map((fold) => {
        const file = `${family}-${setting}-${fold}`;
        return { family, contestant, setting, fold, file };
      }),
    ),
  );
}

/** What `lookback train` is given for a run of the search. */
export function searchConfig(
  comparison: Comparison,
  { contestant, setting: name, fold }: SearchRun,
  choices: { threads: number; quick: boolean },
): Record<string, unknown> {
  const { search, quick } = comparison;
  const setting = search?.settings[name];
  const config = configOf(comparison, contestant, 1, { ...choices, setting });
  return { ...config, ...search?.config, ...(choices.quick ? quick : {}), ...search?.folds[fold] };
}

/** What was held out, after the last epoch of a log: accuracy or loss; null where the run is not done. */
export function heldOut(
  folder: string,
  { file }: SearchRun,
  metric: Comparison['metric'],
): number | null {
  const path = join(folder, `${file}.jsonl`);
  if (!existsSync(path)) return null;
  const text = readFileSync(path, 'utf8').trimEnd().split('\n').at(-1) ?? '';
  const last = JSON.parse(text) as Partial<typeof DIVERGED> & Record<string, number | undefined>;
  if (last.diverged) return metric === 'accuracy' ? 0 : Infinity;
  return last[metric === 'accuracy' ? 'valAccuracy' : 'valLoss'] ?? null;
}

/** A setting of a family, and the mean over its folds. */
export interface Found {
  family: string;
  setting: string;
  value: number;
}

/** Every family and setting whose runs are all in `folder`. */
export function searched(comparison: Comparison, folder: string, quick = false): Found[] {
  const cells = new Map<string, Omit<Found, 'value'> & { values: (number | null)[] }>();
  for (const run of searchRuns(comparison, comparison.contestants, quick)) {
    const { family, setting } = run;
    const key = `${family} ${setting}`;
    const cell = cells.get(key) ?? { family, setting, values: [] };
    cell.values.push(heldOut(folder, run, comparison.metric));
    cells.set(key, cell);
  }
  return [...cells.values()].flatMap(({ family, setting, values }) => {
    if (values.includes(null)) return [];
    const sum = values.reduce<number>((total, value) => total + (value ?? 0), 0);
    return [{ family, setting, value: sum / values.length }];
  });
}

/** The better one by the comparison's metric; the first of equals. */
export function bestOf(found: readonly Found[], metric: Comparison['metric']): Found | undefined {
  const sign = metric === 'accuracy' ? 1 : -1;
  return found.reduce<Found | undefined>(
    (best, one) => (best === undefined || sign * one.value > sign * best.value ? one : best),
    undefined,
  );
}

/** The best setting of a contestant's family by the logs in `folder`. @throws Error where the search is not done */
export function chosenSetting(
  comparison: Comparison,
  contestant: Contestant,
  folder: string,
  quick = false,
): Setting | undefined {
  const { search, metric } = comparison;
  if (search === undefined) return undefined;
  const family = familyOf(contestant);
  const own = searched(comparison, folder, quick).filter((one) => one.family === family);
  const best = bestOf(own, metric);
  if (best === undefined || own.length < Object.keys(search.settings).length)
    throw new Error(`the search for ${family} is not done in ${folder}`);
  return search.settings[best.setting];
}
