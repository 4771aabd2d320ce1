/**
 * The runs of a comparison, one `lookback train` after the other. A run that was interrupted goes on where it was; one that is done
 * is not repeated.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import type { Choices, Wanted } from './arguments';
import { configOf } from './comparison';
import { RESULTS, ROOT } from './results';
import { chosenSetting, DIVERGED, searchConfig, searchRuns } from './search';

/** Of `lookback train` where the loss is no number. */
const EXIT_NUMERIC = 1;

/** Whether the runs are heard. */
type Stdio = 'inherit' | 'ignore';

/** A run that did not come to its end. */
export class FailedRun extends Error {
  readonly exitCode: number;

  constructor(status: number | null) {
    super(`the run ended with exit code ${status}; the same command goes on with it`);
    this.exitCode = status ?? 1;
  }
}

/** Where the runs of a comparison are made, and where what they leave is kept. */
function foldersOf(name: string, quick: boolean, root: string): Folders {
  const work = join(root, quick ? 'quick' : '.', name);
  return { work, results: quick ? join(work, 'results') : join(RESULTS, name) };
}

interface Folders {
  work: string;
  results: string;
}

interface How {
  /** Where the files of the data sets are, in place of `downloads`. */
  downloads: string | null;
  stdio: Stdio;
}

/** Trains in the folder `out`, or goes on with it there; says whether it came to the end or to no number. @throws {FailedRun} */
function train(
  config: Record<string, unknown>,
  out: string,
  { downloads, stdio }: How,
): 'done' | 'diverged' {
  mkdirSync(out, { recursive: true });
  const input = join(out, 'input.json');
  writeFileSync(input, jsonText(config));
  const cli = join(ROOT, 'dist', 'cli', 'main.js');
  const args = [cli, 'train', input, '--set', `out=${out}`, '--resume'];
  const { dir } = config['data'] as { dir?: string };
  if (dir !== undefined && downloads !== null)
    args.push('--set', `data.dir=${join(downloads, relative('downloads', dir))}`);
  const { status, stderr } = spawnSync(process.execPath, args, {
    stdio: ['ignore', stdio, 'pipe'],
    encoding: 'utf8',
  });
  const diverged = status !== 0 && stderr.includes('ERR_NUMERIC');
  const failed = status !== 0 && !diverged;
  if (failed || stdio === 'inherit') process.stderr.write(stderr);
  if (failed) throw new FailedRun(status);
  return diverged ? 'diverged' : 'done';
}

function jsonText(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

/** One run of the result; its configuration and log are kept when it is done. */
function runOne(config: Record<string, unknown>, file: string, folders: Folders, how: How): void {
  const out = join(folders.work, file);
  const result = train(config, out, how);
  if (result === 'diverged') throw new FailedRun(EXIT_NUMERIC);
  keep(config, file, folders, logOf(out));
}

/** One run of the search: it may diverge, and nobody must know of the test part, so what is said of it goes unread. */
function searchOne(config: Record<string, unknown>, file: string, folders: Folders, given: How) {
  const how: How = { ...given, stdio: 'ignore' };
  const out = join(folders.work, file);
  const mark = join(out, 'diverged.jsonl');
  if (!existsSync(mark)) {
    if (train(config, out, how) === 'done') {
      keep(config, file, folders, logOf(out).replace(/^\{"test":.*\n/m, ''));
      return;
    }
    writeFileSync(mark, `${logOf(out)}${JSON.stringify(DIVERGED)}\n`);
  }
  keep(config, file, folders, readFileSync(mark, 'utf8'));
}

/** Empty where the first epoch has not ended. */
function logOf(out: string): string {
  const path = join(out, 'log.jsonl');
  return existsSync(path) ? readFileSync(path, 'utf8') : '';
}

function keep(config: Record<string, unknown>, file: string, folders: Folders, log: string) {
  mkdirSync(folders.results, { recursive: true });
  writeFileSync(join(folders.results, `${file}.json`), jsonText(config));
  writeFileSync(join(folders.results, `${file}.jsonl`), log);
}

/**
 * Searches where the comparison does, then trains every contestant with every seed.
 *
 * @param root where the runs are made; what `quick` ones leave stays below it
 * @throws {FailedRun}
 */
export function runComparison(
  { name, comparison, contestants }: Wanted,
  { quick, threads, seeds, downloads }: Choices,
  root = join(ROOT, 'runs', 'repro'),
  stdio: Stdio = 'inherit',
): void {
  const how = { downloads, stdio };
  const folders = foldersOf(name, quick, root);
  const searching = {
    work: join(folders.work, 'search'),
    results: join(folders.results, 'search'),
  };
  for (const run of searchRuns(comparison, contestants, quick)) {
    console.log(`--- ${name}: search, ${run.family}, ${run.setting}, fold ${run.fold}`);
    searchOne(searchConfig(comparison, run, { threads, quick }), run.file, searching, how);
  }
  const [first, last] = seeds ?? [1, comparison.seeds];
  for (let seed = first; seed <= last; ++seed) {
    for (const contestant of contestants) {
      const setting = chosenSetting(comparison, contestant, searching.results, quick);
      const config = configOf(comparison, contestant, seed, { threads, quick, setting });
      console.log(`--- ${name}: ${contestant.label}, seed ${seed}`);
      runOne(config, `${contestant.name}-s${seed}`, folders, how);
    }
  }
}
