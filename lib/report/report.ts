/**
 * The report of a run: one HTML file that needs nothing else, neither scripts nor a network.
 */
import type { Logs } from '../training/metrics';
import type { CurvePoint } from './charts';
import { confusionChart } from './charts';
import { escapeHtml, figures, logsLine, page, quantityOf } from './page';

export interface Confusion {
  classNames: string[];
  /** `counts[actual][predicted]`. */
  counts: number[][];
}

export interface Report {
  title: string;
  /** One per epoch: `epoch` counted from 1, `seconds`, and the logs. */
  records: readonly Logs[];
  test: Logs;
  confusion: Confusion | null;
  /** The table of layers. */
  summary: string;
  config: unknown;
}

/** The report as a complete HTML document. */
export async function renderReport(report: Report): Promise<string> {
  const sections = [
    `<h1>${escapeHtml(report.title)}</h1>`,
    `<p class="big">test ${escapeHtml(logsLine(report.test))}</p>`,
    `<h2>Learning curves</h2><div class="charts">${await learningCurves(report.records)}</div>`,
  ];
  if (report.confusion) sections.push(await confusionSection(report.confusion));
  sections.push(
    `<h2>Model</h2><pre>${escapeHtml(report.summary)}</pre>`,
    `<h2>Configuration</h2><pre>${escapeHtml(JSON.stringify(report.config, null, 2))}</pre>`,
  );
  return page(report.title, sections);
}

/** One chart per quantity, with the training and the validation line together. */
async function learningCurves(records: readonly Logs[]): Promise<string> {
  const charts = new Map<string, CurvePoint[]>();
  for (const { epoch = 0, seconds: _, ...logs } of records) {
    for (const [key, value] of Object.entries(logs)) {
      const { quantity, part } = quantityOf(key);
      const points = charts.get(quantity) ?? [];
      charts.set(quantity, points);
      points.push({ epoch, series: part, value });
    }
  }
  return figures(charts);
}

async function confusionSection({ classNames, counts }: Confusion): Promise<string> {
  const rows = classNames.map((name, index) => {
    const hits = counts[index]?.[index] ?? 0;
    const actual = (counts[index] ?? []).reduce((sum, count) => sum + count, 0);
    const predicted = counts.reduce((sum, row) => sum + (row[index] ?? 0), 0);
    return `<tr><td>${escapeHtml(name)}</td><td>${share(hits, predicted)}</td><td>${share(hits, actual)}</td><td>${actual}</td></tr>`;
  });
  return [
    '<h2>Confusion matrix (test)</h2>',
    `<figure>${await confusionChart(classNames, counts)}</figure>`,
    '<table><tr><th>class</th><th>precision</th><th>recall</th><th>sequences</th></tr>',
    ...rows,
    '</table>',
  ].join('\n');
}

function share(part: number, whole: number): string {
  return whole === 0 ? '–' : (part / whole).toFixed(4);
}
