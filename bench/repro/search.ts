/**
 * The learning rate of a cell, by held-out training subjects: the same small search for every cell of an experiment.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { configOf } from './experiments';
import type { Contestant, Experiment } from './experiments';

/** One cell at one rate, trained without the people of one fold and judged by them. */
export interface SearchRun {
  family: string;
  contestant: Contestant;
  rate: number;
  fold: string;
  /** Of its files. */
  file: string;
}

/** Every run of the search for the families of `contestants`; none where the experiment searches for nothing. */
export function searchRuns(
  { search }: Experiment,
  contestants: readonly Contestant[],
  quick = false,
): SearchRun[] {
  if (search === undefined) return [];
  const folds = Object.keys(search.folds).slice(0, quick ? 1 : undefined);
  const families = new Map<string, Contestant>();
  for (const one of contestants) {
    const family = one.family ?? one.name;
    if (!families.has(family)) families.set(family, one);
  }
  return [...families].flatMap(([family, contestant]) =>
    search.rates.flatMap((rate) =>
      folds.map((fold) => {
        const file = `${family}-r${rate}-${fold}`;
        return { family, contestant, rate, fold, file };
      }),
    ),
  );
}

/** What `lookback train` is given for a run of the search. */
export function searchConfig(
  experiment: Experiment,
  { contestant, rate, fold }: SearchRun,
  choices: { threads: number; quick: boolean },
): Record<string, unknown> {
  const { search, quick } = experiment;
  const config = configOf(experiment, contestant, 1, { ...choices, rate });
  const epochs = { epochs: search?.epochs, ...(choices.quick ? quick : {}) };
  return { ...config, ...epochs, validation: { subjects: search?.folds[fold] } };
}

/** Held-out accuracy after the last epoch of a log; null where the run is not done. */
export function heldOut(folder: string, { file }: SearchRun): number | null {
  const path = join(folder, `${file}.jsonl`);
  if (!existsSync(path)) return null;
  const last = readFileSync(path, 'utf8').trimEnd().split('\n').at(-1) ?? '';
  return (JSON.parse(last) as { valAccuracy?: number }).valAccuracy ?? null;
}

/** Mean over the folds for each family and rate whose runs are all in `folder`. */
export function searched(
  experiment: Experiment,
  folder: string,
  quick = false,
): { family: string; rate: number; accuracy: number }[] {
  const cells = new Map<string, { family: string; rate: number; values: (number | null)[] }>();
  for (const run of searchRuns(experiment, experiment.contestants, quick)) {
    const { family, rate } = run;
    const cell = cells.get(`${family} ${rate}`) ?? { family, rate, values: [] };
    cell.values.push(heldOut(folder, run));
    cells.set(`${family} ${rate}`, cell);
  }
  return [...cells.values()].flatMap(({ family, rate, values }) => {
    if (values.includes(null)) return [];
    const sum = values.reduce<number>((total, value) => total + (value ?? 0), 0);
    return [{ family, rate, accuracy: sum / values.length }];
  });
}

/** The best rate of a contestant's family by the logs in `folder`; the lower one of equals. */
export function chosenRate(
  experiment: Experiment,
  contestant: Contestant,
  folder: string,
  quick = false,
): number | undefined {
  if (experiment.search === undefined) return undefined;
  const family = contestant.family ?? contestant.name;
  const own = searched(experiment, folder, quick).filter((one) => one.family === family);
  if (own.length < experiment.search.rates.length)
    throw new Error(`the search for ${family} is not done in ${folder}`);
  return own.reduce((best, one) => (one.accuracy > best.accuracy ? one : best)).rate;
}
