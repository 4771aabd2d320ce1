/**
 * What the command line of `npm run repro` may say.
 */
import { parseArgs } from 'node:util';
import type { Comparison, Contestant } from './comparison';
import { COMPARISONS } from './comparisons';

/** The command cannot be understood; the message says what is known. */
export class UsageError extends Error {}

export interface Choices {
  /** The first and the last one; null for all of a comparison. */
  seeds: readonly [first: number, last: number] | null;
  threads: number;
  quick: boolean;
  /** Where the files of the data sets are, in place of `downloads`. */
  downloads: string | null;
}

/** A comparison that is to be made. */
export interface Wanted {
  name: string;
  comparison: Comparison;
  contestants: readonly Contestant[];
}

export interface Command {
  help: boolean;
  wanted: readonly Wanted[];
  choices: Choices;
}

export const HELP = `npm run repro -- NAME... [--cells A,B] [--seeds N] [--threads N] [--downloads DIR] [--quick]
npm run repro -- --report

Repeats the comparisons of docs/results/papers.md: each cell is one \`lookback train\`. A run that was interrupted goes on
where it was, one that is done is not repeated. Configurations, logs, pictures and the page go to docs/results.

NAME         ${Object.keys(COMPARISONS).join(', ')}
--cells A,B  only these contestants
--seeds N    seeds 1 to N instead of the comparison's own number; M-N: seeds M to N
--threads N  threads of a run; by default what the CPU quota allows
--downloads  where the files of data sets are that do not come with the package; default downloads
--quick      a smoke run of a few minutes at small sizes, into runs/repro/quick; docs/results is left alone
--report     only writes the page anew from the logs that are there

examples:
  npm run repro -- har --seeds 1 --quick
  npm run repro -- adding --cells rra,lstm --threads 1`;

/** @throws {UsageError} */
export function parseCommand(args: readonly string[]): Command {
  const { values, positionals } = parsed(args);
  const known = Object.keys(COMPARISONS).join(', ');
  if (positionals.length === 0 && !values.report && !values.help)
    throw new UsageError(`expected the name of a comparison: ${known}`);
  const cells = values.cells?.split(',');
  const wanted = positionals.map((name) => {
    const comparison = Object.hasOwn(COMPARISONS, name) ? COMPARISONS[name] : undefined;
    if (comparison === undefined) throw new UsageError(`no comparison ${name}; expected ${known}`);
    const names = comparison.contestants.map((contestant) => contestant.name);
    const unknown = cells?.find((cell) => !names.includes(cell));
    if (unknown !== undefined)
      throw new UsageError(`${name} has no contestant ${unknown}; expected ${names.join(', ')}`);
    const contestants = comparison.contestants.filter((one) => cells?.includes(one.name) ?? true);
    return { name, comparison, contestants };
  });
  const choices = {
    seeds: seedsOf(values.seeds),
    threads: wholeNumber('threads', values.threads) ?? 0,
    quick: values.quick,
    downloads: values.downloads ?? null,
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
        downloads: { type: 'string' },
        quick: { type: 'boolean', default: false },
        report: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
  } catch (cause) {
    throw new UsageError((cause as Error).message, { cause });
  }
}

function seedsOf(text: string | undefined): Choices['seeds'] {
  if (text === undefined) return null;
  const [first = 1, last = 0] = /^[0-9]+-[0-9]+$/.test(text)
    ? text.split('-').map(Number)
    : [1, Number(text)];
  if (!Number.isInteger(last) || first < 1 || last < first)
    throw new UsageError(`--seeds ${text}; expected a whole number from 1, or a range such as 2-5`);
  return [first, last];
}

function wholeNumber(name: string, text: string | undefined): number | null {
  if (text === undefined) return null;
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1)
    throw new UsageError(`--${name} ${text}; expected a whole number from 1`);
  return value;
}
