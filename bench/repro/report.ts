/**
 * docs/results/papers.md and its pictures, from the configurations and logs beside it and from nothing else.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { curves } from '../../lib/report/charts';
import type { CurvePoint } from '../../lib/report/charts';
import type { Comparison } from './comparison';
import { modelOf } from './comparison';
import { COMPARISONS } from './comparisons';
import { RESULTS, runsOf, secondsOf } from './results';
import type { Run } from './results';
import { bestOf, searched } from './search';
import { learntNumbers } from './widths';

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

function tested({ metric }: Comparison, runs: readonly Run[]): number[] {
  return runs.map(({ test }) => test[metric] ?? NaN);
}

/** `54`, or `96 + 64` where there are two kinds. */
function widthText(layers: readonly unknown[], units: number): string {
  const [blocks] = layers
    .map((layer) => layer as { longUnits?: number; shortUnits?: number })
    .filter(({ longUnits }) => longUnits !== undefined);
  return blocks ? `${blocks.longUnits} + ${blocks.shortUnits}` : String(units);
}

function updatesOf({ rows, config }: Comparison, epochs: number): number {
  return epochs * Math.ceil(rows / config.batchSize);
}

/** Updates after the first epoch whose mean training loss is below the mark, from the quickest seed to the slowest. */
function solvedAfter(comparison: Comparison, solved: number, runs: readonly Run[]): string {
  const updates = runs
    .map(({ epochs }) => epochs.find(({ loss }) => loss < solved)?.epoch ?? Infinity)
    .map((epoch) => updatesOf(comparison, epoch));
  const reached = updates.filter(Number.isFinite);
  if (reached.length === 0) return 'not within the budget';
  const [least, most] = [Math.min(...reached), Math.max(...reached)];
  const range = least === most ? String(least) : `${least} to ${most}`;
  const failed = updates.length - reached.length;
  return failed === 0 ? range : `${range}; ${failed} of ${updates.length} not within the budget`;
}

function table(comparison: Comparison, runs: readonly Run[]): string[] {
  const { metric, solved, contestants, seeds } = comparison;
  const head = ['cell', 'units', 'parameters', 'updates', 'seeds', `test ${metric}`];
  if (seeds > 1) head.push('lowest and highest seed');
  if (solved !== undefined) head.push('updates until the training loss was below the mark');
  const published = contestants.some((one) => one.published !== undefined);
  if (published) head.push('published');
  const lines = [`| ${head.join(' | ')} |`, `|${'---|'.repeat(head.length)}`];
  for (const contestant of contestants) {
    const { units, layers } = modelOf(comparison, contestant);
    const size = learntNumbers(layers, comparison.inputShape);
    const cells = [contestant.label, widthText(layers, units)];
    cells.push(size.toLocaleString('en').replaceAll(',', ' '));
    const own = runs.filter((run) => run.contestant === contestant);
    const values = tested(comparison, own);
    if (own.length === 0) {
      cells.push('', '0, not run', '', ...(seeds > 1 ? [''] : []));
    } else {
      const count = String(own.length);
      const { length } = own[0]?.epochs ?? [];
      cells.push(String(updatesOf(comparison, length)));
      cells.push(own.length < seeds ? `${count} of ${seeds}, cut short` : count);
      cells.push(meanAndDeviation(values));
      if (seeds > 1) cells.push(`${show(Math.min(...values))} to ${show(Math.max(...values))}`);
    }
    if (solved !== undefined) cells.push(own.length ? solvedAfter(comparison, solved, own) : '');
    if (published) cells.push(contestant.published ?? '—');
    lines.push(`| ${cells.join(' | ')} |`);
  }
  return lines;
}

/** What the rival's number means for the others, in words. */
function verdicts(comparison: Comparison, runs: readonly Run[]): string[] {
  const { rival, metric, contestants, seeds } = comparison;
  const results = contestants
    .map((contestant) => {
      const values = tested(
        comparison,
        runs.filter((run) => run.contestant === contestant),
      );
      return { contestant, values, ...statistics(values) };
    })
    .filter(({ values }) => values.length > 0);
  const base = results.find(({ contestant }) => contestant.name === rival);
  if (base === undefined) return [];
  const sign = metric === 'accuracy' ? 1 : -1;
  const lines = results
    .filter((one) => one !== base)
    .map(({ contestant, mean, deviation }) => {
      const gain = sign * (mean - base.mean);
      const apart = Math.hypot(deviation, base.deviation);
      const result = gain < 0 ? '**loses**' : 'wins';
      const doubt = Math.abs(gain) < apart ? ', less than the seeds differ' : '';
      return `- ${contestant.label}: ${result} by ${show(Math.abs(gain))}${doubt}`;
    });
  const [best = base] = [...results].sort((a, b) => sign * (b.mean - a.mean));
  const cut = results.some(({ values }) => values.length < seeds);
  const warning = cut ? ' Cut short: with so few seeds, small differences may be chance.' : '';
  const name = base.contestant.label;
  return [
    `The best mean is that of ${best.contestant.label}.${warning}`,
    `Against ${name} (${show(base.mean)}), mean over the seeds that were run:`,
    '',
    ...lines,
    '',
  ];
}

/** The settings that were tried, and what the held-out part said. */
function searchTable(name: string, comparison: Comparison): string[] {
  const { search, metric } = comparison;
  if (search === undefined) return [];
  const settings = Object.entries(search.settings);
  const found = searched(comparison, join(RESULTS, name, 'search'));
  const families = [...new Set(found.map(({ family }) => family))];
  const titles = settings.map(([, { learningRate, clipNorm }]) =>
    clipNorm === undefined ? String(learningRate) : `${learningRate}, clipNorm ${clipNorm}`,
  );
  const rows = families.map((family) => {
    const own = found.filter((one) => one.family === family);
    const best = own.length === settings.length ? bestOf(own, metric)?.setting : undefined;
    const cells = settings.map(([setting]) => {
      const value = own.find((one) => one.setting === setting)?.value;
      if (value === undefined) return 'not run';
      const text = Number.isFinite(value) ? show(value) : 'diverged';
      return setting === best ? `**${text}**` : text;
    });
    return `| ${family} | ${cells.join(' | ')} |`;
  });
  const title =
    'The search, by learning rate; a best rate at the edge of the grid says that a wider one may find better:';
  const head = `| held-out ${metric} | ${titles.join(' | ')} |`;
  return [title, '', head, `|${'---|'.repeat(settings.length + 1)}`, ...rows, ''];
}

/** What the runs took, by their logs. */
function duration(name: string): string {
  const folder = join(RESULTS, name);
  const searching = secondsOf(join(folder, 'search'));
  const search = searching > 0 ? `, and the search ${timeText(searching)}` : '';
  return `By the logs, the runs took ${timeText(secondsOf(folder))}${search}.`;
}

function timeText(seconds: number): string {
  return seconds < 3600
    ? `${Math.round(seconds / 60)} minutes`
    : `${(seconds / 3600).toFixed(1)} hours`;
}

/** One curve for a contestant: the mean over its seeds. */
function pointsOf(comparison: Comparison, runs: readonly Run[]): CurvePoint[] {
  const points = comparison.contestants.flatMap((contestant) => {
    const own = runs.filter((run) => run.contestant === contestant);
    return (own[0]?.epochs ?? []).map(({ epoch }, at) => {
      const values = own.map(({ epochs }) => epochs[at]?.[comparison.metric] ?? NaN);
      return { epoch, series: contestant.label, value: statistics(values).mean };
    });
  });
  const last = Math.max(...points.map(({ epoch }) => epoch));
  const { baseline } = comparison;
  if (baseline === undefined) return points;
  const mark = (epoch: number) => ({ epoch, series: baseline.label, value: baseline.value });
  return [...points, mark(1), mark(last)];
}

function pictureOf(name: string): string {
  return `${name}/curves.svg`;
}

function section(name: string, comparison: Comparison): string[] {
  const runs = runsOf(name, comparison);
  const lines = [`## ${comparison.title}`, '', comparison.text, ''];
  if (runs.length === 0) return [...lines, 'Not run yet.', ''];
  const picture = `![training ${comparison.metric} by epoch](${pictureOf(name)})`;
  lines.push(...table(comparison, runs), '', duration(name), '', ...verdicts(comparison, runs));
  return [...lines, ...searchTable(name, comparison), picture, ''];
}

/** The page as it follows from the logs. */
export function pageText(): string {
  const lines = [
    '# The papers’ comparisons, repeated',
    '',
    'Every number here was computed from the logs beside this page by `npm run repro -- --report`; `npm run repro -- NAME` repeats the',
    'runs. Tested once, after the last epoch; a mean has its standard deviation over seeds. Parameters are the learnt numbers, entries of a matrix that follow from others',
    'counted once, as in the papers. Machines: two virtual cores of an AMD EPYC, with AVX2 for the classes of spoken digits and for RRA, scoRNN and ENRNN on MNIST in the order of its rows,',
    'with AVX-512 for the others; one thread a run, beside other work, which the times include.',
    '',
  ];
  for (const [name, comparison] of Object.entries(COMPARISONS))
    lines.push(...section(name, comparison));
  return lines.join('\n');
}

/** Writes docs/results/papers.md and its pictures. */
export async function writePage(): Promise<void> {
  for (const [name, comparison] of Object.entries(COMPARISONS)) {
    const runs = runsOf(name, comparison);
    if (runs.length === 0) continue;
    const title = `training ${comparison.metric} by epoch`;
    const scale = comparison.metric === 'loss' ? 'log' : 'linear';
    const svg = await curves(title, pointsOf(comparison, runs), { scale, width: 620 });
    writeFileSync(join(RESULTS, pictureOf(name)), `${svg}\n`);
  }
  writeFileSync(join(RESULTS, 'papers.md'), pageText());
}
