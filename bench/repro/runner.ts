/**
 * The runs of a comparison, one `lookback train` after the other. A run that was interrupted goes on where it was; one that is done
 * is not repeated.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Choices, Wanted } from './arguments';
import { configOf } from './experiments';
import { RESULTS, ROOT } from './report';
import { chosenRate, searchConfig, searchRuns } from './search';

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
function foldersOf(name: string, quick: boolean, root: string): { work: string; results: string } {
  const work = join(root, quick ? 'quick' : '.', name);
  return { work, results: quick ? join(work, 'results') : join(RESULTS, name) };
}

/** One run; its configuration and log are kept when it is done. */
function runOne(
  config: Record<string, unknown>,
  file: string,
  folders: { work: string; results: string },
  keepTest: boolean,
  stdio: Stdio,
): void {
  const out = join(folders.work, file);
  mkdirSync(out, { recursive: true });
  const input = join(out, 'input.json');
  const json = `${JSON.stringify(config, null, 2)}\n`;
  writeFileSync(input, json);
  const cli = join(ROOT, 'dist', 'cli', 'main.js');
  const args = [cli, 'train', input, '--set', `out=${out}`, '--resume'];
  const { status } = spawnSync(process.execPath, args, { stdio });
  if (status !== 0) {
    throw new FailedRun(status);
  }
  mkdirSync(folders.results, { recursive: true });
  writeFileSync(join(folders.results, `${file}.json`), json);
  const log = readFileSync(join(out, 'log.jsonl'), 'utf8');
  // A search must not know the test part: that line goes unread.
  const kept = keepTest ? log : log.replace(/^\{"test":.*\n/m, '');
  writeFileSync(join(folders.results, `${file}.jsonl`), kept);
}

/**
 * Searches where the comparison does, then trains every contestant with every seed.
 *
 * @param root where the runs are made; what `quick` ones leave stays below it
 * @throws {FailedRun}
 */
export function runComparison(
  { name, experiment, contestants }: Wanted,
  { quick, threads, seeds }: Choices,
  root = join(ROOT, 'runs', 'repro'),
  stdio: Stdio = 'inherit',
): void {
  const folders = foldersOf(name, quick, root);
  const searching = {
    work: join(folders.work, 'search'),
    results: join(folders.results, 'search'),
  };
  for (const run of searchRuns(experiment, contestants, quick)) {
    console.log(`--- ${name}: search, ${run.family}, rate ${run.rate}, fold ${run.fold}`);
    runOne(searchConfig(experiment, run, { threads, quick }), run.file, searching, false, stdio);
  }
  for (let seed = 1; seed <= (seeds ?? experiment.seeds); ++seed) {
    for (const contestant of contestants) {
      const rate = chosenRate(experiment, contestant, searching.results, quick);
      const config = configOf(experiment, contestant, seed, { threads, quick, rate });
      console.log(`--- ${name}: ${contestant.label}, seed ${seed}`);
      runOne(config, `${contestant.name}-s${seed}`, folders, true, stdio);
    }
  }
}
