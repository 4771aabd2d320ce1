/**
 * npm run repro -- NAME... [--cells A,B] [--seeds N] [--threads N] [--quick]
 * npm run repro -- --report
 *
 * Runs the comparisons of docs/results/papers.md, each contestant as one `lookback train`, and writes configurations, logs,
 * pictures and the page to docs/results. A run that was interrupted goes on where it was; one that is done is not repeated.
 * `--quick` is a smoke run of a few minutes at tiny sizes, into runs/repro/quick and nowhere else.
 */
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { configOf, EXPERIMENTS } from './experiments';
import type { Contestant, Experiment } from './experiments';
import { RESULTS, ROOT, writePage } from './report';

const EXIT_USAGE = 2;

class UsageError extends Error {}

interface Choices {
  cells: readonly string[] | null;
  seeds: number | null;
  threads: number;
  quick: boolean;
}

/** One run; its configuration and log go to docs/results when it is done. */
function runOne(name: string, contestant: Contestant, seed: number, choices: Choices): void {
  const experiment = EXPERIMENTS[name] as Experiment;
  const file = `${contestant.name}-s${seed}`;
  const out = join(ROOT, 'runs', 'repro', choices.quick ? 'quick' : '.', name, file);
  mkdirSync(out, { recursive: true });
  const config = join(out, 'input.json');
  const json = JSON.stringify(configOf(experiment, contestant, seed, choices), null, 2);
  writeFileSync(config, `${json}\n`);
  console.log(`--- ${name}: ${contestant.label}, seed ${seed}`);
  const cli = join(ROOT, 'dist', 'cli', 'main.js');
  const args = [cli, 'train', config, '--set', `out=${out}`, '--resume'];
  const { status } = spawnSync(process.execPath, args, { stdio: 'inherit' });
  if (status !== 0) {
    console.error(
      `repro: the run ended with exit code ${status}; the same command goes on with it`,
    );
    process.exit(status ?? 1);
  }
  if (choices.quick) return;
  const results = join(RESULTS, name);
  mkdirSync(results, { recursive: true });
  copyFileSync(config, join(results, `${file}.json`));
  copyFileSync(join(out, 'log.jsonl'), join(results, `${file}.jsonl`));
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
    for (let seed = 1; seed <= (choices.seeds ?? experiment.seeds); ++seed)
      for (const contestant of chosen) runOne(name, contestant, seed, choices);
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
    },
  });
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
