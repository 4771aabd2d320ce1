/**
 * The logs that docs/results keeps, as the page reads them.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Comparison, Contestant } from './comparison';

export const ROOT = process.cwd();
export const RESULTS = join(ROOT, 'docs', 'results');

export interface Epoch {
  epoch: number;
  loss: number;
  seconds: number;
  accuracy?: number;
}

/** One finished run. */
export interface Run {
  contestant: Contestant;
  seed: number;
  epochs: Epoch[];
  test: { loss: number; accuracy?: number };
}

type Line = Partial<Epoch> & { test?: Run['test'] };

function linesOf(path: string): Line[] {
  const text = readFileSync(path, 'utf8').trimEnd();
  return text.split('\n').map((line) => JSON.parse(line) as Line);
}

function readRun(folder: string, contestant: Contestant, seed: number): Run {
  const lines = linesOf(join(folder, `${contestant.name}-s${seed}.jsonl`));
  const test = lines.find((line) => line.test !== undefined)?.test;
  if (test === undefined)
    throw new Error(`${contestant.name}-s${seed}.jsonl has no test line: not a finished run`);
  const epochs = lines.filter((line): line is Epoch => line.epoch !== undefined);
  return { contestant, seed, epochs, test };
}

/** Every finished run of a comparison, by contestant and seed. */
export function runsOf(name: string, comparison: Comparison): Run[] {
  const folder = join(RESULTS, name);
  if (!existsSync(folder)) return [];
  const files = readdirSync(folder);
  return comparison.contestants.flatMap((contestant) =>
    files
      .map((file) => new RegExp(`^${contestant.name}-s(\\d+)\\.jsonl$`).exec(file)?.[1])
      .filter((seed) => seed !== undefined)
      .map((seed) => readRun(folder, contestant, Number(seed)))
      .sort((a, b) => a.seed - b.seed),
  );
}

/** What the logs in a folder say that their epochs took together. */
export function secondsOf(folder: string): number {
  if (!existsSync(folder)) return 0;
  return readdirSync(folder)
    .filter((file) => file.endsWith('.jsonl'))
    .flatMap((file) => linesOf(join(folder, file)))
    .reduce((sum, { seconds = 0 }) => sum + seconds, 0);
}
