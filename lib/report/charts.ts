/**
 * Charts as SVG text, drawn by Vega without a browser.
 */
import type { TopLevelSpec } from 'vega-lite';

/** A measured value; `series` names its line. */
export interface CurvePoint {
  epoch: number;
  series: string;
  value: number;
}

/** Curves over epochs. `scale`: of the values, default `'linear'`; `width` in pixels, default 380. */
export function curves(
  title: string,
  points: readonly CurvePoint[],
  { scale = 'linear', width = 380 }: { scale?: 'linear' | 'log'; width?: number } = {},
): Promise<string> {
  return draw({
    title,
    width,
    height: 220,
    data: { values: [...points] },
    mark: { type: 'line', point: true },
    encoding: {
      x: {
        field: 'epoch',
        type: 'quantitative',
        axis: { tickMinStep: 1, format: 'd' },
        scale: { nice: false },
      },
      y: {
        field: 'value',
        type: 'quantitative',
        title: null,
        scale: scale === 'log' ? { type: 'log' } : { zero: false },
      },
      color: { field: 'series', type: 'nominal', title: null, legend: { orient: 'top' } },
    },
  });
}

/** A confusion matrix: true classes down, predicted ones across; shaded by the share of the true class. */
export function confusionChart(
  classNames: readonly string[],
  counts: readonly (readonly number[])[],
): Promise<string> {
  const values = counts.flatMap((row, actual) => {
    const total = row.reduce((sum, count) => sum + count, 0);
    return row.map((count, predicted) => ({
      actual: classNames[actual],
      predicted: classNames[predicted],
      count,
      share: total === 0 ? 0 : count / total,
    }));
  });
  const order = [...classNames];
  const x = {
    field: 'predicted',
    type: 'nominal',
    sort: order,
    title: 'predicted',
    axis: { labelAngle: -35 },
  } as const;
  const y = { field: 'actual', type: 'nominal', sort: order, title: 'actual' } as const;
  return draw({
    width: { step: 64 },
    height: { step: 36 },
    data: { values },
    layer: [
      {
        mark: { type: 'rect', stroke: '#fff' },
        encoding: {
          x,
          y,
          color: {
            field: 'share',
            type: 'quantitative',
            scale: { scheme: 'blues', domain: [0, 1] },
            legend: null,
          },
        },
      },
      {
        mark: { type: 'text' },
        encoding: {
          x,
          y,
          text: { field: 'count', type: 'quantitative' },
          color: { condition: { test: 'datum.share > 0.5', value: 'white' }, value: 'black' },
        },
      },
    ],
  });
}

/** Weights by age, a line for each head. `weights[head][age - 1]`. */
export function attentionByAge(
  title: string,
  weights: readonly (readonly number[])[],
): Promise<string> {
  const values = weights.flatMap((line, head) =>
    line.map((weight, at) => ({ age: at + 1, head: `head ${head + 1}`, weight })),
  );
  return draw({
    title,
    width: 380,
    height: 220,
    data: { values },
    mark: { type: 'line', point: true },
    encoding: {
      x: {
        field: 'age',
        type: 'quantitative',
        title: 'age of the state, in steps',
        axis: { tickMinStep: 1, format: 'd' },
        scale: { nice: false },
      },
      y: { field: 'weight', type: 'quantitative', title: null },
      color: {
        field: 'head',
        type: 'nominal',
        title: null,
        sort: null,
        legend: weights.length > 1 ? { orient: 'top', columns: 8 } : null,
      },
    },
  });
}

/** Weights at some steps: steps across, ages down. */
export function attentionOverTime(
  title: string,
  values: readonly { step: number; age: number; weight: number }[],
): Promise<string> {
  const ages = new Set(values.map(({ age }) => age)).size;
  return draw({
    title,
    width: 760,
    height: Math.min(320, Math.max(110, 14 * ages)),
    data: { values: [...values] },
    mark: { type: 'rect', invalid: null },
    encoding: {
      x: { field: 'step', type: 'ordinal', axis: { labelOverlap: true, labelAngle: 0 } },
      y: { field: 'age', type: 'ordinal', axis: { labelOverlap: true } },
      color: {
        field: 'weight',
        type: 'quantitative',
        title: null,
        scale: { scheme: 'blues' },
      },
    },
  });
}

/** A chart as SVG text. Vega and Vega-Lite are ES modules, so they come by import at the time of use. */
export async function draw(spec: TopLevelSpec): Promise<string> {
  const vega = await import('vega');
  const { compile } = await import('vega-lite');
  const config = { background: 'transparent', font: 'system-ui, sans-serif' };
  const view = new vega.View(vega.parse(compile({ ...spec, config }).spec), { renderer: 'none' });
  try {
    return await view.toSVG();
  } finally {
    view.finalize();
  }
}
