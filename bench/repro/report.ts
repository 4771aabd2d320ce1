/**
 * docs/results/papers.md and its pictures, from the configurations and logs beside it and from nothing else.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { sequential } from 'lookback';
import { curves } from '../../lib/report/charts';
import type { CurvePoint } from '../../lib/report/charts';
import { EXPERIMENTS } from './experiments';
import type { Contestant, Experiment } from './experiments';
import { searched } from './search';

export const ROOT = process.cwd();
export const RESULTS = join(ROOT, 'docs', 'results');

interface Epoch {
  epoch: number;
  loss: number;
  seconds: number;
  accuracy?: number;
}

/** One finished run. */
interface Run {
  contestant: Contestant;
  seed: number;
  epochs: Epoch[];
  test: { loss: number; accuracy?: number };
}

function readRun(folder: string, contestant: Contestant, seed: number): Run {
  const lines = readFileSync(join(folder, `${contestant.name}-s${seed}.jsonl`), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Partial<Epoch> & { test?: Run['test'] });
  const test = lines.find((line) => line.test !== undefined)?.test;
  if (test === undefined)
    throw new Error(`${contestant.name}-s${seed}.jsonl has no test line: not a finished run`);
  const epochs = lines.filter((line): line is Epoch => line.epoch !== undefined);
  return { contestant, seed, epochs, test };
}

function runsOf(name: string, experiment: Experiment): Run[] {
  const folder = join(RESULTS, name);
  if (!existsSync(folder)) return [];
  const files = readdirSync(folder);
  return experiment.contestants.flatMap((contestant) =>
    files
      .map((file) => new RegExp(`^${contestant.name}-s(\\d+)\\.jsonl$`).exec(file)?.[1])
      .filter((seed) => seed !== undefined)
      .map((seed) => readRun(folder, contestant, Number(seed)))
      .sort((a, b) => a.seed - b.seed),
  );
}

/** What is learnt. */
export function parameterCount(experiment: Experiment, contestant: Contestant): number {
  const model = sequential({
    inputShape: experiment.inputShape,
    layers: contestant.layers as never,
  });
  const sizes = Object.entries(model.getWeights())
    .filter(([key]) => !key.includes('.buf.')) // Running statistics are not learnt.
    .map(([, { data }]) => data.length);
  model.dispose();
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** Three significant digits, as a plain number where that is short. */
function show(value: number): string {
  return value !== 0 && Math.abs(value) < 1e-4 ? value.toExponential(2) : value.toPrecision(3);
}

function statistics(values: readonly number[]): { mean: number; deviation: number } {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, deviation: Math.sqrt(squares / (values.length - 1)) };
}

function meanAndDeviation(values: readonly number[]): string {
  const { mean, deviation } = statistics(values);
  return values.length === 1 ? show(mean) : `${show(mean)} ± ${show(deviation)}`;
}

/** Updates after the first epoch whose mean training loss is below the mark; the slowest seed's. */
function solvedAfter(experiment: Experiment, runs: readonly Run[]): string {
  const { solved, rows, config } = experiment;
  if (solved === undefined) return '';
  const updates = runs.map(({ epochs }) => {
    const first = epochs.find(({ loss }) => loss < solved);
    return first ? first.epoch * Math.ceil(rows / config.batchSize) : Infinity;
  });
  const slowest = Math.max(...updates);
  return Number.isFinite(slowest) ? String(slowest) : 'not within the budget';
}

function table(experiment: Experiment, runs: readonly Run[]): string[] {
  const { metric, rows, config, solved } = experiment;
  const head = ['cell', 'parameters', 'updates', 'seeds', `test ${metric}`];
  if (solved !== undefined) head.push('updates until the training loss was below the mark');
  const published = experiment.contestants.some((one) => one.published !== undefined);
  if (published) head.push('lowest and highest seed', 'published');
  const lines = [`| ${head.join(' | ')} |`, `|${'---|'.repeat(head.length)}`];
  for (const contestant of experiment.contestants) {
    const own = runs.filter((run) => run.contestant === contestant);
    if (own.length === 0) {
      const empty = ' |'.repeat(head.length - 5);
      lines.push(`| ${contestant.label} | | | 0 | not run |${empty}`);
      continue;
    }
    const values = own.map(({ test }) => test[metric] ?? NaN);
    const cells = [
      contestant.label,
      parameterCount(experiment, contestant).toLocaleString('en').replaceAll(',', ' '),
      (own[0]?.epochs.length ?? 0) * Math.ceil(rows / config.batchSize),
      own.length < experiment.seeds
        ? `${own.length} of ${experiment.seeds}, cut short`
        : own.length,
      meanAndDeviation(values),
    ];
    if (solved !== undefined) cells.push(solvedAfter(experiment, own));
    if (published) {
      cells.push(`${show(Math.min(...values))} to ${show(Math.max(...values))}`);
      cells.push(contestant.published ?? '—');
    }
    lines.push(`| ${cells.join(' | ')} |`);
  }
  return lines;
}

/** What the rival's number means for the others, in words. */
function verdicts(experiment: Experiment, runs: readonly Run[]): string[] {
  const { rival, metric, contestants } = experiment;
  if (rival === undefined) return [];
  const of = (contestant: Contestant): number[] =>
    runs.filter((run) => run.contestant === contestant).map(({ test }) => test[metric] ?? NaN);
  const base = contestants.find(({ name }) => name === rival);
  const baseValues = base ? of(base) : [];
  if (base === undefined || baseValues.length === 0) return [];
  const { mean } = statistics(baseValues);
  const lines = contestants.flatMap((contestant) => {
    const values = of(contestant);
    if (contestant === base || values.length === 0) return [];
    const gain = (metric === 'accuracy' ? 1 : -1) * (statistics(values).mean - mean);
    const result = gain < 0 ? '**loses**' : 'wins';
    return [`- ${contestant.label}: ${result} by ${Math.abs(gain).toFixed(4)}`];
  });
  return [
    `Against ${base.label} (${mean.toFixed(4)}), mean over the seeds that were run:`,
    '',
    ...lines,
    '',
  ];
}

/** The learning rates that were tried, and what the held-out people said. */
function searchTable(name: string, experiment: Experiment): string[] {
  const { search } = experiment;
  if (search === undefined) return [];
  const folder = join(RESULTS, name, 'search');
  const found = searched(experiment, folder);
  const families = [...new Set(found.map(({ family }) => family))];
  const head = `| held-out ${experiment.metric} | ${search.rates.join(' | ')} |`;
  const rows = families.map((family) => {
    const own = found.filter((one) => one.family === family);
    const best = Math.max(...own.map(({ accuracy }) => accuracy));
    const cells = search.rates.map((rate) => {
      const value = own.find((one) => one.rate === rate)?.accuracy;
      if (value === undefined) return 'not run';
      return value === best ? `**${show(value)}**` : show(value);
    });
    return `| ${family} | ${cells.join(' | ')} |`;
  });
  const title = 'The search, by learning rate:';
  return [title, '', head, `|${'---|'.repeat(search.rates.length + 1)}`, ...rows, ''];
}

/** What the runs took, by their logs. */
function duration(runs: readonly Run[]): string {
  const seconds = runs
    .flatMap(({ epochs }) => epochs)
    .reduce((sum, epoch) => sum + epoch.seconds, 0);
  return `Training took ${(seconds / 60).toFixed(0)} minutes in all.`;
}

/** One curve for a contestant: the mean over its seeds. */
function pointsOf(experiment: Experiment, runs: readonly Run[]): CurvePoint[] {
  const points = experiment.contestants.flatMap((contestant) => {
    const own = runs.filter((run) => run.contestant === contestant);
    return (own[0]?.epochs ?? []).map(({ epoch }, at) => {
      const values = own.map(({ epochs }) => epochs[at]?.[experiment.metric] ?? NaN);
      return { epoch, series: contestant.label, value: statistics(values).mean };
    });
  });
  const last = Math.max(...points.map(({ epoch }) => epoch));
  const { baseline } = experiment;
  if (baseline === undefined) return points;
  const mark = (epoch: number) => ({ epoch, series: baseline.label, value: baseline.value });
  return [...points, mark(1), mark(last)];
}

function pictureOf(name: string): string {
  return `${name}/curves.svg`;
}

function section(name: string, experiment: Experiment): string[] {
  const runs = runsOf(name, experiment);
  const lines = [`## ${experiment.title}`, '', experiment.text, ''];
  if (runs.length === 0) return [...lines, 'Not run yet.', ''];
  const picture = `![training ${experiment.metric} by epoch](${pictureOf(name)})`;
  lines.push(...table(experiment, runs), '', duration(runs), '', ...verdicts(experiment, runs));
  return [...lines, ...searchTable(name, experiment), picture, ''];
}

/** The page as it follows from the logs. */
export function pageText(): string {
  const lines = [
    '# The papers’ comparisons, repeated',
    '',
    'Every number here was computed from the logs beside this page by `npm run repro -- --report`; `npm run repro -- NAME` repeats the',
    'runs. Tested once, after the last epoch; a mean has its standard deviation over seeds.',
    '',
  ];
  for (const [name, experiment] of Object.entries(EXPERIMENTS))
    lines.push(...section(name, experiment));
  return lines.join('\n');
}

/** Writes docs/results/papers.md and its pictures. */
export async function writePage(): Promise<void> {
  for (const [name, experiment] of Object.entries(EXPERIMENTS)) {
    const runs = runsOf(name, experiment);
    if (runs.length === 0) continue;
    const title = `training ${experiment.metric} by epoch`;
    const scale = experiment.metric === 'loss' ? 'log' : 'linear';
    const svg = await curves(title, pointsOf(experiment, runs), { scale, width: 620 });
    writeFileSync(join(RESULTS, pictureOf(name)), `${svg}\n`);
  }
  writeFileSync(join(RESULTS, 'papers.md'), pageText());
}
