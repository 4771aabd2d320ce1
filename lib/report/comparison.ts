/**
 * Several runs beside each other.
 */
import type { Logs } from '../training/metrics';
import type { CurvePoint } from './charts';
import { escapeHtml, figures, page, quantityOf } from './page';

export interface ComparedRun {
  name: string;
  /** One per epoch: `epoch` counted from 1, `seconds`, and the logs. */
  records: readonly Logs[];
  /** Null where the run is not finished. */
  test: Logs | null;
  config: Readonly<Record<string, unknown>>;
}

/** The comparison as a complete HTML document. */
export async function renderComparison(runs: readonly ComparedRun[]): Promise<string> {
  const title = `${runs.length} runs`;
  return page(title, [
    `<h1>${title}</h1>`,
    `<h2>Results</h2>${table(resultRows(runs))}`,
    `<h2>Learning curves</h2><div class="charts">${await curvesOf(runs)}</div>`,
    `<h2>What differs in their configurations</h2>${differencesTable(runs)}`,
  ]);
}

/** A header row and one row for each run. */
export function resultRows(runs: readonly ComparedRun[]): string[][] {
  const tested = [...new Set(runs.flatMap(({ test }) => Object.keys(test ?? {})))];
  const header = ['run', 'epochs', 'seconds', ...tested.map((key) => `test ${key}`)];
  const rows = runs.map(({ name, records, test }) => [
    name,
    String(records.length),
    records.reduce((sum, { seconds = 0 }) => sum + seconds, 0).toFixed(1),
    ...tested.map((key) => test?.[key]?.toFixed(4) ?? '–'),
  ]);
  return [header, ...rows];
}

/** By dotted path: what each run's configuration has there, where they are not all alike. */
export function differences(
  runs: readonly Pick<ComparedRun, 'config'>[],
): Map<string, (string | null)[]> {
  const flat = runs.map(({ config }) => flatten(config, ''));
  const keys = new Set(flat.flatMap((values) => [...values.keys()]));
  const found = new Map<string, (string | null)[]>();
  for (const key of keys) {
    const values = flat.map((each) => each.get(key) ?? null);
    if (new Set(values).size > 1) found.set(key, values);
  }
  return found;
}

function flatten(value: unknown, path: string): Map<string, string> {
  if (typeof value !== 'object' || value === null || Object.keys(value).length === 0)
    return new Map([[path, JSON.stringify(value) ?? '']]);
  return new Map(
    Object.entries(value).flatMap(([key, inner]) => {
      const place = Array.isArray(value) ? `${path}[${key}]` : path === '' ? key : `${path}.${key}`;
      return [...flatten(inner, place)];
    }),
  );
}

function differencesTable(runs: readonly ComparedRun[]): string {
  const found = differences(runs);
  if (found.size === 0) return '<p>Nothing.</p>';
  const rows = [...found].map(([key, values]) => [key, ...values.map((value) => value ?? '–')]);
  return table([['option', ...runs.map(({ name }) => name)], ...rows]);
}

function table([header = [], ...rows]: readonly string[][]): string {
  const line = (cells: readonly string[], tag: 'th' | 'td'): string =>
    `<tr>${cells.map((cell) => `<${tag}>${escapeHtml(cell)}</${tag}>`).join('')}</tr>`;
  const lines = [line(header, 'th'), ...rows.map((row) => line(row, 'td'))];
  return `<div class="wide"><table>${lines.join('\n')}</table></div>`;
}

/** One chart per quantity and part, with a line for each run. */
function curvesOf(runs: readonly ComparedRun[]): Promise<string> {
  const charts = new Map<string, CurvePoint[]>();
  for (const { name, records } of runs) {
    for (const { epoch = 0, seconds: _, ...logs } of records) {
      for (const [key, value] of Object.entries(logs)) {
        const { quantity, part } = quantityOf(key);
        const title = `${quantity} (${part})`;
        const points = charts.get(title) ?? [];
        charts.set(title, points);
        points.push({ epoch, series: name, value });
      }
    }
  }
  return figures(charts);
}
