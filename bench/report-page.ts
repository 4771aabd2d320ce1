/**
 * A report of the bench as text and pictures, from its data and from nothing else.
 */
import type { TopLevelSpec } from 'vega-lite';
import type { Axis, GrowthPoint } from './growth';
import { AXES, BASE, exponent, unitsThatFill } from './growth';
import type { Machine } from './machine';
import type { Measurement } from './measure';
import type { Roofline } from './roofline';
import type { EventLoop, Preparation, StreamStep } from './serving';
import type { Range } from './statistics';
import { PEAK_SHARES, SCALING, verdicts } from './targets';

/** A measurement that could not be made, and why. */
export interface Missing {
  what: string;
  why: string;
}

/** Everything that a report says. */
export interface ReportData {
  machine: Machine;
  rooflines: Roofline[];
  /** Alone first, then against each peer. */
  measurements: Measurement[];
  /** Milliseconds that a step cannot be faster than, by `floorKey`. */
  floors: Record<string, number>;
  growth: GrowthPoint[];
  eventLoop: EventLoop | null;
  stream: StreamStep | null;
  preparations: Preparation[];
  missing: Missing[];
  /** Load of the machine at the end. */
  loadAfter: number;
  quick: boolean;
}

export function floorKey(name: string, threads: number): string {
  return `${name} ${threads}`;
}

/** A table of Markdown; columns after the first stand right. */
export function markdownTable(header: readonly string[], rows: readonly string[][]): string[] {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  const rule = header.map((_, at) => (at === 0 ? '---' : '---:'));
  return [line(header), line(rule), ...rows.map(line)];
}

/** Three significant digits, as a plain number. */
export function digits(value: number): string {
  if (!Number.isFinite(value)) return '–';
  const magnitude = value === 0 ? 0 : Math.floor(Math.log10(Math.abs(value)));
  return value.toFixed(Math.max(0, 2 - magnitude));
}

function withRange(median: number | null, range: Range | null): string {
  if (median === null) return '–';
  return range ? `${digits(median)} (${digits(range[0])}–${digits(range[1])})` : digits(median);
}

function ratio(value: number | null | undefined): string {
  return value === null || value === undefined ? '–' : `${value.toFixed(2)}x`;
}

function percent(share: number): string {
  return Number.isFinite(share) ? `${(100 * share).toFixed(0)} %` : '–';
}

function threadCounts({ measurements }: ReportData): number[] {
  return [...new Set(measurements.map(({ result }) => result.threads))].sort((a, b) => a - b);
}

function threadsText(threads: number): string {
  return threads === 1 ? 'one thread' : `${threads} threads`;
}

/** Of the step: what share of its time it could not have done without. */
export function floorShare(data: ReportData, { result }: Measurement): number {
  const floor = data.floors[floorKey(result.case, result.threads)] ?? NaN;
  return floor / result.stepMs;
}

function ownTable(data: ReportData, threads: number): string[] {
  const peak = data.rooflines.find((roof) => roof.threads === threads)?.fmaGflops ?? NaN;
  const rows = data.measurements
    .filter(({ result }) => result.threads === threads && result.peer === null)
    .map((measured) => {
      const { result, spread } = measured;
      return [
        `\`${result.case}\``,
        withRange(result.forwardMs, spread.forwardMs),
        withRange(result.stepMs, spread.stepMs),
        result.gflops.toFixed(1),
        percent(result.gflops / peak),
        percent(floorShare(data, measured)),
      ];
    });
  if (rows.length === 0) return [];
  const header = ['case', 'forward', 'step', 'GFLOP/s', 'of the peak', 'of the floor'];
  return [`### Lookback, ${threadsText(threads)}`, '', ...markdownTable(header, rows), ''];
}

function peerTable(data: ReportData, threads: number): string[] {
  const rows = data.measurements
    .filter(({ result }) => result.threads === threads)
    .flatMap(({ result, spread, peerSpread, difference }) => {
      const { peer, ratio: ratios } = result;
      if (!peer || !ratios) return [];
      return [
        [
          `\`${result.case}\``,
          `${peer.name} ${peer.version}`,
          withRange(result.forwardMs, spread.forwardMs),
          withRange(peer.forwardMs, peerSpread && peerSpread.forwardMs),
          withRange(result.stepMs, spread.stepMs),
          withRange(peer.stepMs, peerSpread && peerSpread.stepMs),
          ratio(ratios.forward),
          ratio(ratios.step),
          difference === null ? '–' : difference.toExponential(1),
        ],
      ];
    });
  if (rows.length === 0) return [];
  const sides = ['our forward', 'their forward', 'our step', 'their step'];
  const header = ['case', 'peer', ...sides, 'ratio forward', 'ratio step', 'largest difference'];
  return [`### Against peers, ${threadsText(threads)}`, '', ...markdownTable(header, rows), ''];
}

function ofAim(value: number | null, aimed: number | null): string {
  return aimed === null ? '–' : `${ratio(value)} of ${aimed}x`;
}

function peakLines(data: ReportData): string[] {
  const stepOf = (name: string, threads: number): Measurement['result'] | undefined =>
    data.measurements.find(
      ({ result }) => result.case === name && result.threads === threads && result.peer === null,
    )?.result;
  const peak = data.rooflines.find(({ threads }) => threads === 1)?.fmaGflops ?? NaN;
  const lines = Object.entries(PEAK_SHARES).flatMap(([name, aimed]) => {
    const result = stepOf(name, 1);
    if (!result) return [];
    return [`- \`${name}\`: ${percent(result.gflops / peak)} of the peak of ${percent(aimed)}.`];
  });
  const [one, two] = [stepOf(SCALING.case, 1), stepOf(SCALING.case, 2)];
  if (one && two) {
    const times = `${ratio(one.stepMs / two.stepMs)} of ${SCALING.perTwoThreads}x`;
    lines.push(`- \`${SCALING.case}\`, two threads against one: ${times}.`);
  }
  return lines;
}

function targetSection(data: ReportData): string[] {
  const found = verdicts(data.measurements);
  if (found.length === 0) return [];
  const rows = found.map(({ target, threads, forward, step, missed }) => [
    `\`${target.case}\``,
    target.peer === 'own' ? 'our LSTM' : target.peer,
    String(threads),
    ofAim(forward, target.forward),
    ofAim(step, target.step),
    missed.length === 0 ? 'yes' : `not ${missed.join(' and ')}`,
  ]);
  const reached = found.filter(({ missed }) => missed.length === 0).length;
  return [
    '## What is aimed at',
    '',
    `${reached} of ${found.length} are reached. Why the others are not, as far as it is known: [README.md](README.md).`,
    '',
    ...markdownTable(['case', 'peer', 'threads', 'forward', 'step', 'reached'], rows),
    '',
    ...peakLines(data),
    '',
  ];
}

function variantLines({ measurements }: ReportData): string[] {
  const seen = new Map<string, string>();
  for (const { result } of measurements) {
    if (!result.peer) continue;
    const key = `\`${result.case}\`, ${threadsText(result.threads)}, ${result.peer.name}`;
    seen.set(key, result.peer.variant);
  }
  if (seen.size === 0) return [];
  const lines = [...seen].map(([key, variant]) => `- ${key}: ${variant}`);
  return ['<details><summary>How each peer ran</summary>', '', ...lines, '', '</details>', ''];
}

function machineSection({ machine, rooflines, loadAfter, quick }: ReportData): string[] {
  const { cpu, cores, memoryGB, caches, system, node, version, commit, isa, compiler } = machine;
  const sizes = caches.map(({ level, bytes }) => `L${level} ${digits(bytes / 1024)} kB`);
  const roofs = rooflines.map(({ threads, vectorBits, fmaGflops, readGBs, triadGBs }) => [
    String(threads),
    `${fmaGflops.toFixed(1)} (${vectorBits} bits)`,
    (fmaGflops / threads).toFixed(1),
    readGBs.toFixed(1),
    triadGBs.toFixed(1),
  ]);
  const header = ['threads', 'multiply-adds, GFLOP/s', 'each', 'memory read, GB/s', 'triad, GB/s'];
  return [
    `# ${cpu}, ${cores} cores`,
    '',
    ...(quick ? ['**Made with `--quick`: few samples, not for quoting.**', ''] : []),
    `Lookback ${version}, commit ${commit}, ${isa} kernels, ${compiler}; Node ${node}, ${system}, ${memoryGB} GB of memory` +
      `${sizes.length > 0 ? `, data caches ${sizes.join(', ')}` : ''}. Load of the machine before and after: ${machine.load} and ${loadAfter}.`,
    '',
    'Made by `npm run bench:report`; what is measured, and how, is in [bench/README.md](../README.md). Times are milliseconds: the median and,',
    'in brackets, the least and the largest sample. A ratio is the peer’s time over ours, in the same interleaved run.',
    '',
    '## The machine’s roof',
    '',
    ...(roofs.length > 0 ? markdownTable(header, roofs) : ['Not measured.']),
    '',
  ];
}

function timesSection(data: ReportData, folder: string): string[] {
  const counts = threadCounts(data);
  const peers = counts.flatMap((threads) => peerTable(data, threads));
  return [
    '## Layers',
    '',
    'The floor is what a step’s products take at the measured peak, with its nonlinearities at their measured cost, or the memory that it must',
    'move where that takes longer; what a cell computes beyond that (batch norm, shares computed again) counts against it.',
    '',
    ...counts.flatMap((threads) => ownTable(data, threads)),
    `![share of the floor by case](${folder}/floor.svg)`,
    '',
    ...peers,
    ...(peers.length > 0 ? [`![ratios by case and peer](${folder}/ratios.svg)`, ''] : []),
    ...variantLines(data),
  ];
}

function growthSection({ growth, machine }: ReportData, folder: string): string[] {
  if (growth.length === 0) return [];
  const { batch, steps, inputSize, units } = BASE;
  const rows = AXES.map((axis) => {
    const points = growth.filter((point) => point.axis === axis);
    const of = (key: 'forwardMs' | 'stepMs'): string =>
      exponent(points.map((point) => ({ value: point.value, ms: point[key] }))).toFixed(2);
    return [axis, of('forwardMs'), of('stepMs')];
  });
  const ends = machine.caches.map(
    (cache) => `${Math.floor(unitsThatFill(cache))} units (L${cache.level})`,
  );
  return [
    '## Growth',
    '',
    `An LSTM with ${batch} rows, ${steps} steps, ${inputSize} features and ${units} units on one thread, one of them varied. The exponent is that of the larger half`,
    `of the values: 1 is linear, 2 quadratic.${ends.length > 0 ? ` Its recurrent weights outgrow a cache beyond ${ends.join(', ')}: the lines in the picture.` : ''}`,
    '',
    ...markdownTable(['varied', 'exponent of forward', 'exponent of step'], rows),
    '',
    ...AXES.flatMap((axis) => [`![time against ${axis}](${folder}/growth-${axis}.svg)`, '']),
  ];
}

function servingSection({ eventLoop, stream, preparations }: ReportData): string[] {
  const lines: string[] = [];
  if (eventLoop) {
    const row = (name: string, { p50, p99, max }: EventLoop['idle']): string[] => [
      name,
      ...[p50, p99, max].map(digits),
    ];
    const rows = [row('idle', eventLoop.idle), row('training', eventLoop.training)];
    lines.push(
      '## The event loop while training',
      '',
      `Milliseconds that a timer comes late, over ${eventLoop.seconds} s, while \`fit\` trains an LSTM of 128 units on all threads.`,
      '',
      ...markdownTable(['', 'p50', 'p99', 'largest'], rows),
      '',
    );
  }
  if (stream) {
    const { peer } = stream;
    lines.push(
      '## A stream’s step',
      '',
      `One row, ${stream.units} LSTM units, from the call in JavaScript to its result: median ${digits(stream.p50)} µs, p99 ${digits(stream.p99)} µs, over ${stream.steps} steps.`,
      ...(peer
        ? [
            `${peer.name} ${peer.version} (${peer.variant}) on a sequence of one step: ${digits(1000 * peer.forwardMs)} µs, ${ratio((1000 * peer.forwardMs) / stream.p50)} ours.`,
          ]
        : []),
      '',
    );
  }
  if (preparations.length > 0) {
    const rows = preparations.map(({ case: name, onceMs, stepMs }) => [
      `\`${name}\``,
      digits(onceMs),
      digits(stepMs),
      `${((100 * onceMs) / stepMs).toFixed(1)} %`,
    ]);
    lines.push(
      '## Preparation of matrices',
      '',
      'The step of one row and one time step, which is hardly more than making the matrices and their gradients, against the whole step; one thread.',
      '',
      ...markdownTable(['case', 'preparation', 'step', 'share'], rows),
      '',
    );
  }
  return lines;
}

function missingSection({ missing }: ReportData): string[] {
  if (missing.length === 0) return [];
  const lines = missing.map(({ what, why }) => `- ${what}: ${why}`);
  return ['## Not measured', '', ...lines, ''];
}

/** The page; `folder` is where its pictures lie, from the page. */
export function pageText(data: ReportData, folder: string): string {
  return [
    ...machineSection(data),
    ...targetSection(data),
    ...timesSection(data, folder),
    ...growthSection(data, folder),
    ...servingSection(data),
    ...missingSection(data),
  ].join('\n');
}

/** Every chart that the page shows, by the name of its file. */
export function charts(data: ReportData): Map<string, TopLevelSpec> {
  const specs = new Map([['floor.svg', floorChart(data)]]);
  if (data.measurements.some(({ result }) => result.ratio !== null))
    specs.set('ratios.svg', ratioChart(data));
  if (data.growth.length > 0)
    for (const axis of AXES) specs.set(`growth-${axis}.svg`, growthChart(data, axis));
  return specs;
}

function floorChart(data: ReportData): TopLevelSpec {
  const values = data.measurements
    .filter(({ result }) => result.peer === null)
    .map((measured) => ({
      case: measured.result.case,
      threads: threadsText(measured.result.threads),
      share: floorShare(data, measured),
    }));
  return {
    title: 'share of the floor, step',
    width: 420,
    height: { step: 11 },
    data: { values },
    mark: 'bar',
    encoding: {
      y: { field: 'case', type: 'nominal', sort: null, title: null, axis: { labelLimit: 240 } },
      yOffset: { field: 'threads', type: 'nominal', sort: null },
      x: {
        field: 'share',
        type: 'quantitative',
        title: null,
        axis: { format: '%' },
        scale: { domainMin: 0 },
      },
      color: {
        field: 'threads',
        type: 'nominal',
        title: null,
        sort: null,
        legend: { orient: 'top' },
      },
    },
  };
}

function ratioChart({ measurements }: ReportData): TopLevelSpec {
  const values = measurements.flatMap(({ result }) => {
    const { peer, ratio: ratios, threads } = result;
    if (!peer || !ratios) return [];
    return (['forward', 'step'] as const).flatMap((pass) => {
      const value = ratios[pass];
      const where = { case: result.case, peer: peer.name, pass, threads: threadsText(threads) };
      return value === null ? [] : [{ ...where, ratio: value }];
    });
  });
  return {
    title: 'time of the peer over ours (right of the line we are faster)',
    data: { values },
    facet: { column: { field: 'threads', type: 'nominal', title: null, sort: null } },
    spec: {
      width: 300,
      height: { step: 22 },
      layer: [
        { mark: { type: 'rule', color: '#888' }, encoding: { x: { datum: 1 } } },
        {
          mark: { type: 'point', size: 70 },
          encoding: {
            y: { field: 'case', type: 'nominal', sort: null, title: null },
            x: { field: 'ratio', type: 'quantitative', title: null, scale: { type: 'log' } },
            color: { field: 'peer', type: 'nominal', title: null },
            shape: { field: 'pass', type: 'nominal', title: null },
          },
        },
      ],
    },
  };
}

function growthChart({ growth, machine }: ReportData, axis: Axis): TopLevelSpec {
  const points = growth.filter((point) => point.axis === axis);
  const values = points.flatMap(({ value, forwardMs, stepMs }) => [
    { value, pass: 'forward', ms: forwardMs },
    { value, pass: 'step', ms: stepMs },
  ]);
  const largest = Math.max(...points.map(({ value }) => value));
  const least = Math.min(...points.map(({ value }) => value));
  const ends = (axis === 'units' ? machine.caches : [])
    .map((cache) => ({ value: unitsThatFill(cache), name: `L${cache.level}` }))
    .filter(({ value }) => value > least && value < largest);
  const x = {
    field: 'value',
    type: 'quantitative',
    title: axis,
    axis: { values: points.map(({ value }) => value) },
    scale: { type: 'log', base: 2 },
  } as const;
  return {
    title: `milliseconds against ${axis}`,
    width: 380,
    height: 240,
    layer: [
      {
        data: { values: ends },
        mark: { type: 'rule', strokeDash: [4, 4], color: '#888' },
        encoding: { x },
      },
      {
        data: { values: ends },
        mark: { type: 'text', align: 'left', dx: 4, y: 8, color: '#666' },
        encoding: { x, text: { field: 'name' } },
      },
      {
        data: { values },
        mark: { type: 'line', point: true },
        encoding: {
          x,
          y: { field: 'ms', type: 'quantitative', title: null, scale: { type: 'log' } },
          color: { field: 'pass', type: 'nominal', title: null, legend: { orient: 'top' } },
        },
      },
    ],
  };
}
