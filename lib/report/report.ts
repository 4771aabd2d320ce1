/**
 * The report of a run: one HTML file that needs nothing else, neither scripts nor a network.
 */
import type { LayerAttention } from '../attention';
import type { Logs } from '../training/metrics';
import type { CurvePoint } from './charts';
import { attentionByAge, attentionOverTime, confusionChart } from './charts';
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
  /** What layers with attention look at, in some test sequences; empty where there are none. */
  attention: readonly LayerAttention[];
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
  for (const layer of report.attention) sections.push(await attentionSection(layer));
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

/** The columns and rows of a picture that still can be told apart. */
const MOST_STEPS = 128;
const MOST_AGES = 64;

/** Of the first sequence: the mean over heads at its steps, or at every n-th one of them. */
export function firstSequence({
  heads,
  window,
  weights,
}: LayerAttention): { step: number; age: number; weight: number }[] {
  const [, steps = 0] = weights.shape;
  const apart = Math.ceil(steps / MOST_STEPS);
  const points: { step: number; age: number; weight: number }[] = [];
  for (let t = apart - 1; t < steps; t += apart) {
    for (let age = 0; age < Math.min(window, MOST_AGES); age += 1) {
      let sum = 0;
      for (let head = 0; head < heads; head += 1)
        sum += weights.data[(t * heads + head) * window + age] ?? 0;
      points.push({ step: t + 1, age: age + 1, weight: sum / heads });
    }
  }
  return points;
}

async function attentionSection(attention: LayerAttention): Promise<string> {
  const { layer, heads, window, weights, meanByAge } = attention;
  const [rows = 0] = weights.shape;
  const lines = Array.from({ length: heads }, (_, head) => [
    ...meanByAge.data.subarray(head * window, (head + 1) * window),
  ]);
  const byAge = await attentionByAge('mean weight by age', lines);
  const overTime = await attentionOverTime(
    'weights over time, first sequence',
    firstSequence(attention),
  );
  return [
    `<h2>Attention of ${escapeHtml(layer)}</h2>`,
    `<p>Of ${rows} test sequences the mean weight of a past state by its age, for each head, at steps that see a full window; of the first of them the weights at its steps, as the mean of the heads.</p>`,
    `<div class="charts"><figure>${byAge}</figure><figure>${overTime}</figure></div>`,
  ].join('\n');
}

function share(part: number, whole: number): string {
  return whole === 0 ? '–' : (part / whole).toFixed(4);
}
