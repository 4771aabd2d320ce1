/**
 * Runs the comparisons of docs/results/papers.md, each contestant as one `lookback train`, and writes configurations, logs,
 * pictures and the page to docs/results. A run that was interrupted goes on where it was; one that is done is not repeated.
 * `--quick` is a smoke run of a few minutes at tiny sizes, into runs/repro/quick and nowhere else.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { configOf, EXPERIMENTS } from './experiments';
import type { Contestant, Experiment } from './experiments';
import { RESULTS, ROOT, writePage } from './report';
import { chosenRate, searchConfig, searchRuns } from './search';

const EXIT_USAGE = 2;

class UsageError extends Error {}

interface Choices {
  cells: readonly string[] | null;
  seeds: number | null;
  threads: number;
  quick: boolean;
}

const HELP = `npm run repro -- NAME... [--cells A,B] [--seeds N] [--threads N] [--quick]
npm run repro -- --report

Repeats the comparisons of docs/results/papers.md: each cell is one \`lookback train\`. A run that was interrupted goes on
where it was, one that is done is not repeated. Configurations, logs, pictures and the page go to docs/results.

NAME         ${Object.keys(EXPERIMENTS).join(', ')}
--cells A,B  only these contestants
--seeds N    seeds 1 to N instead of the comparison's own number
--threads N  threads of a run; by default what the CPU quota allows
--quick      a smoke run of a few minutes at small sizes, into runs/repro/quick; docs/results is left alone
--report     only writes the page anew from the logs that are there

examples:
  npm run repro -- har --seeds 1 --quick
  npm run repro -- adding --cells rra,lstm --threads 1`;

/** Where the runs of a comparison are made, and where what they leave is kept. */
function foldersOf(name: string, quick: boolean): { work: string; results: string } {
  const work = join(ROOT, 'runs', 'repro', quick ? 'quick' : '.', name);
  return { work, results: quick ? join(work, 'results') : join(RESULTS, name) };
}

/** One run; its configuration and log are kept when it is done. */
function runOne(
  config: Record<string, unknown>,
  file: string,
  folders: { work: string; results: string },
  keepTest: boolean,
): void {
  const out = join(folders.work, file);
  mkdirSync(out, { recursive: true });
  const input = join(out, 'input.json');
  const json = `${JSON.stringify(config, null, 2)}\n`;
  writeFileSync(input, json);
  const cli = join(ROOT, 'dist', 'cli', 'main.js');
  const args = [cli, 'train', input, '--set', `out=${out}`, '--resume'];
  const { status } = spawnSync(process.execPath, args, { stdio: 'inherit' });
  if (status !== 0) {
    console.error(
      `repro: the run ended with exit code ${status}; the same command goes on with it`,
    );
    process.exit(status ?? 1);
  }
  mkdirSync(folders.results, { recursive: true });
  writeFileSync(join(folders.results, `${file}.json`), json);
  const log = readFileSync(join(out, 'log.jsonl'), 'utf8');
  // A search must not know the test part: that line goes unread.
  const kept = keepTest ? log : log.replace(/^\{"test":.*\n/m, '');
  writeFileSync(join(folders.results, `${file}.jsonl`), kept);
}

function search(name: string, contestants: readonly Contestant[], choices: Choices): void {
  const experiment = EXPERIMENTS[name] as Experiment;
  const { work, results } = foldersOf(name, choices.quick);
  const folders = { work: join(work, 'search'), results: join(results, 'search') };
  for (const run of searchRuns(experiment, contestants, choices.quick)) {
    console.log(`--- ${name}: search, ${run.family}, rate ${run.rate}, fold ${run.fold}`);
    runOne(searchConfig(experiment, run, choices), run.file, folders, false);
  }
}

function runAll(names: readonly string[], choices: Choices): void {
  for (const name of names) {
    const experiment = EXPERIMENTS[name];
    if (experiment === undefined) {
      const known = Object.keys(EXPERIMENTS).join(', ');
      throw new UsageError(`no comparison ${name}; expected ${known}`);
    }
    const wanted = choices.cells;
    const known = experiment.contestants.map((contestant) => contestant.name);
    const unknown = wanted?.find((cell) => !known.includes(cell));
    if (unknown !== undefined) {
      throw new UsageError(`${name} has no contestant ${unknown}; expected ${known.join(', ')}`);
    }
    const chosen = experiment.contestants.filter((one) => wanted?.includes(one.name) ?? true);
    search(name, chosen, choices);
    const folders = foldersOf(name, choices.quick);
    for (let seed = 1; seed <= (choices.seeds ?? experiment.seeds); ++seed) {
      for (const contestant of chosen) {
        const { quick, threads } = choices;
        const rate = chosenRate(experiment, contestant, join(folders.results, 'search'), quick);
        const config = configOf(experiment, contestant, seed, { threads, quick, rate });
        console.log(`--- ${name}: ${contestant.label}, seed ${seed}`);
        runOne(config, `${contestant.name}-s${seed}`, folders, true);
      }
    }
  }
}

function wholeNumber(name: string, text: string | undefined): number | null {
  if (text === undefined) return null;
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1)
    throw new UsageError(`--${name} ${text}; expected a whole number from 1`);
  return value;
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      cells: { type: 'string' },
      seeds: { type: 'string' },
      threads: { type: 'string' },
      quick: { type: 'boolean', default: false },
      report: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) return console.log(HELP);
  if (positionals.length === 0 && !values.report)
    throw new UsageError(
      `expected the name of a comparison: ${Object.keys(EXPERIMENTS).join(', ')}`,
    );
  runAll(positionals, {
    cells: values.cells?.split(',') ?? null,
    seeds: wholeNumber('seeds', values.seeds),
    threads: wholeNumber('threads', values.threads) ?? 0,
    quick: values.quick,
  });
  if (!values.quick) await writePage();
}

main().catch((error: unknown) => {
  const usage =
    error instanceof UsageError ||
    (error instanceof TypeError && 'code' in error && String(error.code).startsWith('ERR_PARSE'));
  if (!usage) throw error;
  console.error(`repro: ${error.message}`);
  process.exit(EXIT_USAGE);
});
