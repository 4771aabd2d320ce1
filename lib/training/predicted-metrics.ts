/**
 * Metrics that need every output: the engine sums nothing for them, so they are computed here from predictions.
 */
import type { Tensor } from '../tensor';
import type { PreparedData } from './data';
import type { Logs, MetricSpec } from './metrics';
import { metricKey } from './metrics';

/** Whether any of them needs predictions. */
export function needPredictions(specs: readonly MetricSpec[]): boolean {
  return specs.some(isPredicted);
}

function isPredicted({ kind }: MetricSpec): boolean {
  return kind === 'topKAccuracy' || kind === 'macroF1' || kind === 'weightedF1';
}

/** The part of prepared data that says which outputs count. */
export type Answers = Pick<PreparedData, 'rows' | 'steps' | 'y' | 'lengths' | 'weights'>;

/** What `specs` say of `outputs`, `[rows, classes]` or `[rows, steps, classes]`; NaN where no row or step counts. */
export function predictedLogs(
  specs: readonly MetricSpec[],
  outputs: Tensor,
  answers: Answers,
): Logs {
  const classes = outputs.shape.at(-1) ?? 1;
  const terms = labelledTerms(answers);
  const logs: Logs = {};
  const needsCounts = specs.some(({ kind }) => kind === 'macroF1' || kind === 'weightedF1');
  const counts = needsCounts ? confusionCounts(outputs, terms, classes) : [];
  for (const spec of specs) {
    if (!isPredicted(spec)) continue;
    logs[metricKey(spec)] =
      spec.kind === 'topKAccuracy'
        ? shareInTop(outputs, terms, classes, spec.k)
        : f1(counts, spec.kind === 'weightedF1');
  }
  return logs;
}

/** A row, or a step of one, that counts. */
interface Term {
  /** Its place among the outputs. */
  at: number;
  label: number;
}

/** Those behind a row's length or with weight 0 take no part, as in accuracy. */
function labelledTerms({ rows, steps, y, lengths, weights }: Answers): Term[] {
  const labels = y?.data ?? [];
  const perRow = labels.length / rows;
  const terms: Term[] = [];
  for (let at = 0; at < labels.length; at += 1) {
    const row = Math.floor(at / perRow);
    if (perRow === steps && y?.shape.length === 2 && at % steps >= (lengths?.[row] ?? steps))
      continue;
    const weight = weights?.data[weights.data.length === labels.length ? at : row] ?? 1;
    if (weight > 0) terms.push({ at, label: labels[at] ?? 0 });
  }
  return terms;
}

/** How many outputs come before that of the label: those larger, and those as large with a smaller number. */
function rankOf(data: Tensor['data'], start: number, classes: number, label: number): number {
  const own = data[start + label] ?? 0;
  let before = 0;
  for (let other = 0; other < classes; other += 1) {
    const value = data[start + other] ?? 0;
    if (value > own || (value === own && other < label)) before += 1;
  }
  return before;
}

function shareInTop({ data }: Tensor, terms: readonly Term[], classes: number, k: number): number {
  const hits = terms.filter(({ at, label }) => rankOf(data, at * classes, classes, label) < k);
  return terms.length === 0 ? NaN : hits.length / terms.length;
}

/** The number of the largest of `classes` numbers from `start` on, the first where several are. */
export function argmax(data: ArrayLike<number>, start: number, classes: number): number {
  let best = 0;
  for (let other = 1; other < classes; other += 1) {
    if ((data[start + other] ?? 0) > (data[start + best] ?? 0)) best = other;
  }
  return best;
}

function confusionCounts({ data }: Tensor, terms: readonly Term[], classes: number): number[][] {
  const counts = Array.from({ length: classes }, () => new Array<number>(classes).fill(0));
  for (const { at, label } of terms) {
    const row = counts[label];
    const predicted = argmax(data, at * classes, classes);
    if (row) row[predicted] = (row[predicted] ?? 0) + 1;
  }
  return counts;
}

/**
 * The mean of the classes' F1, each alike or by how often it is the label; over the classes that occur as a label or as
 * a prediction.
 */
function f1(counts: readonly (readonly number[])[], weighted: boolean): number {
  let [sum, weights] = [0, 0];
  counts.forEach((row, own) => {
    const hits = row[own] ?? 0;
    const actual = row.reduce((total, count) => total + count, 0);
    const predicted = counts.reduce((total, other) => total + (other[own] ?? 0), 0);
    if (actual + predicted === 0) return;
    const weight = weighted ? actual : 1;
    // 2 precision recall / (precision + recall)
    sum += (weight * 2 * hits) / (actual + predicted);
    weights += weight;
  });
  return weights === 0 ? NaN : sum / weights;
}

/** @internal `counts[label][prediction]` of outputs. */
export function confusionOf(outputs: Tensor, answers: Answers): number[][] {
  return confusionCounts(outputs, labelledTerms(answers), outputs.shape.at(-1) ?? 1);
}
