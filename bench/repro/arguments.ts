/**
 * What the command line of `npm run repro` may say.
 */
import { parseArgs } from 'node:util';
import { EXPERIMENTS } from './experiments';
import type { Contestant, Experiment } from './experiments';

/** The command cannot be understood; the message says what is known. */
export class UsageError extends Error {}

export interface Choices {
  seeds: number | null;
  threads: number;
  quick: boolean;
}

/** A comparison that is to be made. */
export interface Wanted {
  name: string;
  experiment: Experiment;
  contestants: readonly Contestant[];
}

export interface Command {
  help: boolean;
  wanted: readonly Wanted[];
  choices: Choices;
}

export const HELP = `npm run repro -- NAME... [--cells A,B] [--seeds N] [--threads N] [--quick]
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

/** @throws {UsageError} */
export function parseCommand(args: readonly string[]): Command {
  const { values, positionals } = parsed(args);
  const known = Object.keys(EXPERIMENTS).join(', ');
  if (positionals.length === 0 && !values.report && !values.help)
    throw new UsageError(`expected the name of a comparison: ${known}`);
  const cells = values.cells?.split(',');
  const wanted = positionals.map((name) => {
    const experiment = Object.hasOwn(EXPERIMENTS, name) ? EXPERIMENTS[name] : undefined;
    if (experiment === undefined) throw new UsageError(`no comparison ${name}; expected ${known}`);
    const names = experiment.contestants.map((contestant) => contestant.name);
    const unknown = cells?.find((cell) => !names.includes(cell));
    if (unknown !== undefined)
      throw new UsageError(`${name} has no contestant ${unknown}; expected ${names.join(', ')}`);
    const contestants = experiment.contestants.filter((one) => cells?.includes(one.name) ?? true);
    return { name, experiment, contestants };
  });
  const choices = {
    seeds: wholeNumber('seeds', values.seeds),
    threads: wholeNumber('threads', values.threads) ?? 0,
    quick: values.quick,
  };
  return { help: values.help, wanted, choices };
}

function parsed(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
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
  } catch (cause) {
    throw new UsageError((cause as Error).message, { cause });
  }
}

function wholeNumber(name: string, text: string | undefined): number | null {
  if (text === undefined) return null;
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1)
    throw new UsageError(`--${name} ${text}; expected a whole number from 1`);
  return value;
}
