/**
 * The report of a run: one HTML file that needs nothing else, neither scripts nor a network.
 */
import type { Logs } from '../training/metrics';
import type { CurvePoint } from './charts';
import { confusionChart, curves } from './charts';

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

const style = `
  :root { color-scheme: light; }
  body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
  h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
  .charts { display: flex; flex-wrap: wrap; gap: 1.5rem; } svg { max-width: 100%; height: auto; }
  table { border-collapse: collapse; } th, td { padding: .2rem .8rem; text-align: right; border-bottom: 1px solid #ddd; }
  th:first-child, td:first-child { text-align: left; }
  pre { background: #f5f5f5; padding: .8rem; overflow-x: auto; }
  .big { font-size: 1.25rem; }
`;

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
  return [
    '<!doctype html>',
    '<html lang="en"><head><meta charset="utf-8">',
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    `<title>${escapeHtml(report.title)}</title><style>${style}</style></head>`,
    `<body>${sections.join('\n')}</body></html>`,
    '',
  ].join('\n');
}

/** One chart per quantity, with the training and the validation line together. */
async function learningCurves(records: readonly Logs[]): Promise<string> {
  const charts = new Map<string, CurvePoint[]>();
  for (const { epoch = 0, seconds: _, ...logs } of records) {
    for (const [key, value] of Object.entries(logs)) {
      const held = /^val[A-Z]/.test(key);
      const quantity = held ? key.charAt(3).toLowerCase() + key.slice(4) : key;
      const points = charts.get(quantity) ?? [];
      charts.set(quantity, points);
      points.push({ epoch, series: held ? 'validation' : 'training', value });
    }
  }
  const drawn: string[] = [];
  for (const [quantity, points] of charts)
    drawn.push(`<figure>${await curves(quantity, points)}</figure>`);
  return drawn.join('');
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

function logsLine(logs: Logs): string {
  return Object.entries(logs)
    .map(([key, value]) => `${key} ${value.toFixed(4)}`)
    .join(', ');
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"]/g, (char) => `&#${char.charCodeAt(0)};`);
}
