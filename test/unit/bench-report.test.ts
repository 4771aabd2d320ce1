/**
 * The pure parts of the bench's report: floors, statistics, tables, the page and its pictures.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CASES, lstm } from '../../bench/cases';
import type { BenchCase } from '../../bench/cases';
import { exponent, unitsThatFill } from '../../bench/growth';
import { dataCaches, machineSlug } from '../../bench/machine';
import type { Measurement } from '../../bench/measure';
import type { ReportData } from '../../bench/report-page';
import {
  charts,
  digits,
  floorKey,
  floorShare,
  markdownTable,
  pageText,
} from '../../bench/report-page';
import { stepFloorMs } from '../../bench/roofline';
import { PEAK_SHARES, SCALING, TARGETS, verdicts } from '../../bench/targets';

const caseNamed = (name: string): BenchCase => CASES.find((bench) => bench.name === name)!;

describe('the floor of a step', () => {
  // The Zen 4 core that the costs of nonlinearities were measured on.
  const core = { threads: 1, fmaGflops: 117, readGBs: 25 };

  it.each([
    ['lstm-har-b64-h32', 2.9],
    ['lstm-har-b64-h128', 32.1],
    ['lstm-mnist-b128-h128', 372.0],
    ['lstm-ptb-b128-h512', 1157.8],
    ['scornn-mnist-b128-h170', 158.4],
  ])('of %s is %d ms there', (name, expected) => {
    const floor = stepFloorMs(caseNamed(name), core);
    expect(Math.abs(floor - expected) / expected).toBeLessThan(0.02);
  });

  it.each([
    ['larnn-har-b64-h32-k16', 8.9],
    ['larnn-har-b64-h128-k16', 97.4],
  ])('of %s is %d ms there, less what a window costs while it fills', (name, expected) => {
    const floor = stepFloorMs(caseNamed(name), core);
    expect(floor).toBeLessThan(expected * 1.03);
    expect(floor).toBeGreaterThan(expected * 0.97);
  });

  it('halves with twice the machine', () => {
    const bench = caseNamed('lstm-har-b64-h128');
    const both = { threads: 2, fmaGflops: 234, readGBs: 50 };
    expect(stepFloorMs(bench, both)).toBeCloseTo(stepFloorMs(bench, core) / 2, 10);
  });

  it('is that of memory where memory is slower', () => {
    const bench = caseNamed('lstm-har-b64-h32');
    const slow = { ...core, readGBs: 1 };
    // 21 floats for each unit and 3 for each feature, for each row and step.
    const bytes = 4 * (21 * 32 + 3 * 9) * 64 * 128;
    expect(stepFloorMs(bench, slow)).toBeCloseTo(bytes / 1e6, 10);
  });
});

describe('growth', () => {
  it('finds the exponent of a power', () => {
    const points = [1, 2, 4, 8, 16].map((value) => ({ value, ms: 3 * value ** 2 }));
    expect(exponent(points)).toBeCloseTo(2, 12);
    expect(exponent([...points].reverse())).toBeCloseTo(2, 12);
  });

  it('looks at the larger half, where fixed costs no longer matter', () => {
    const points = [1, 2, 4, 8, 16, 32].map((value) => ({ value, ms: value < 8 ? 8 : value }));
    expect(exponent(points)).toBeCloseTo(1, 12);
  });

  it('has none of one point', () => expect(exponent([{ value: 1, ms: 1 }])).toBeNaN());

  it('knows where recurrent weights outgrow a cache', () => {
    // [4 · 256, 256] in 32 bits is one megabyte.
    expect(unitsThatFill({ level: 2, bytes: 2 ** 20 })).toBe(256);
  });
});

describe('the machine', () => {
  it.each([
    ['AMD EPYC', 2, 'amd-epyc-2-cores'],
    ['Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz', 8, 'intel-xeon-platinum-8481c-8-cores'],
    ['AMD EPYC 7B13 64-Core Processor', 16, 'amd-epyc-7b13-16-cores'],
    ['Apple M2', 8, 'apple-m2-8-cores'],
  ])('%s with %d cores names files %s', (cpu, cores, slug) => {
    expect(machineSlug({ cpu, cores })).toBe(slug);
  });

  it('tells its caches of data as Linux does, or none', () => {
    const folder = mkdtempSync(join(tmpdir(), 'lookback-caches-'));
    try {
      const levels = [
        ['2', 'Unified', '1024K'],
        ['1', 'Data', '32K'],
        ['1', 'Instruction', '32K'],
      ];
      levels.forEach(([level = '', type = '', size = ''], index) => {
        const entry = join(folder, `index${index}`);
        mkdirSync(entry);
        for (const [file, text] of Object.entries({ level, type, size }))
          writeFileSync(join(entry, file), `${text}\n`);
      });
      expect(dataCaches(folder)).toEqual([
        { level: 1, bytes: 32768 },
        { level: 2, bytes: 1048576 },
      ]);
      expect(dataCaches(join(folder, 'absent'))).toEqual([]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe('tables', () => {
  it.each([
    [1234.5, '1235'],
    [123.45, '123'],
    [12.345, '12.3'],
    [0.012345, '0.0123'],
    [0, '0.00'],
    [NaN, '–'],
  ])('%d is written %s', (value, text) => expect(digits(value)).toBe(text));

  it('are Markdown', () => {
    expect(markdownTable(['a', 'b'], [['x|y', '1']])).toEqual([
      '| a | b |',
      '| --- | ---: |',
      '| x\\|y | 1 |',
    ]);
  });
});

function measured(name: string, threads: number, ratio: number | null): Measurement {
  const bench = caseNamed(name);
  const peer = { name: 'torch', version: '9.9', variant: 'nn.LSTM, eager' };
  return {
    result: {
      ...{ case: name, cell: bench.cell, device: 'cpu', threads, dtype: 'float32' },
      ...{ shape: bench.shape, spec: bench.spec, samples: 20, gflops: 50 },
      ...{ forwardMs: 2, stepMs: 5 },
      peer: ratio === null ? null : { ...peer, forwardMs: 2 * ratio, stepMs: 5 * ratio },
      ratio: ratio === null ? null : { forward: ratio, step: ratio },
    },
    spread: { forwardMs: [1.5, 3], stepMs: [4, 7] },
    peerSpread: ratio === null ? null : { forwardMs: [1, 2], stepMs: [3, 4] },
    difference: ratio === null ? null : 6.1e-7,
  };
}

const data: ReportData = {
  machine: {
    ...{ cpu: 'Test CPU', cores: 2, memoryGB: 8, caches: [{ level: 1, bytes: 32768 }] },
    ...{ system: 'Linux 6', node: 'v20', version: '0.1.0', commit: 'abc', isa: 'avx2' },
    ...{ compiler: 'gcc 12', load: 0.1 },
  },
  rooflines: [{ threads: 1, vectorBits: 256, fmaGflops: 100, readGBs: 25, triadGBs: 24 }],
  measurements: [
    measured('lstm-har-b64-h32', 1, null),
    measured('lstm-har-b64-h32', 1, 3),
    measured('lstm-har-b64-h128', 2, null),
  ],
  floors: { [floorKey('lstm-har-b64-h32', 1)]: 2.5 },
  growth: (['steps', 'batch', 'units'] as const).flatMap((axis) =>
    [16, 32, 64].map((value) => ({ axis, value, forwardMs: value, stepMs: value ** 2, gflops: 1 })),
  ),
  eventLoop: {
    idle: { p50: 0.05, p99: 0.1, max: 1 },
    training: { p50: 0.06, p99: 2.5, max: 4 },
    seconds: 10,
  },
  stream: {
    units: 128,
    p50: 5,
    p99: 8,
    steps: 1000,
    peer: measured('lstm-har-b64-h32', 1, 30).result.peer,
  },
  preparations: [{ case: 'enrnn-mnist-b128-h170', onceMs: 5, stepMs: 200 }],
  missing: [{ what: 'tfjs', why: 'is not here' }],
  loadAfter: 1.2,
  quick: false,
};

describe('the page', () => {
  const text = pageText(data, 'here');

  it.each([
    [
      'times with their ranges and shares of peak and floor',
      /b64-h32` \| 2\.00 \(1\.50–3\.00\) \| 5\.00 \(4\.00–7\.00\) \| 50\.0 \| 50 % \| 50 % \|/,
    ],
    ['a share of no floor as none', /b64-h128` \| .* \| 50\.0 \| – \| – \|/],
    [
      'peers with ratios and the largest difference',
      /torch 9\.9 .* \| 3\.00x \| 3\.00x \| 6\.1e-7 \|/,
    ],
    [
      'targets',
      /\| `lstm-har-b64-h32` \| torch \| 1 \| 3\.00x of 4x \| 3\.00x of 6x \| not forward and step \|/,
    ],
    ['how peers ran', /- `lstm-har-b64-h32`, one thread, torch: nn\.LSTM, eager/],
    ['exponents', /\| units \| 1\.00 \| 2\.00 \|/],
    ['the delay of the event loop', /\| training \| 0\.0600 \| 2\.50 \| 4\.00 \|/],
    ['a stream beside a peer', /median 5\.00 µs.*\n.*60000 µs, 12000\.00x ours/],
    ['the preparation of matrices', /\| 5\.00 \| 200 \| 2\.5 % \|/],
    ['what is missing', /- tfjs: is not here/],
  ])('has %s', (_, pattern) => expect(text).toMatch(pattern));

  it('says when it was made quickly', () => {
    expect(text).not.toContain('--quick');
    expect(pageText({ ...data, quick: true }, 'here')).toContain('not for quoting');
  });

  it('shows the charts that there are, and no others', () => {
    const shown = [...text.matchAll(/\]\(here\/([\w-]+\.svg)\)/g)].map(([, name]) => name);
    expect(shown.sort()).toEqual([...charts(data).keys()].sort());
    const alone = { ...data, growth: [], measurements: data.measurements.slice(0, 1) };
    expect([...charts(alone).keys()]).toEqual(['floor.svg']);
    expect(pageText(alone, 'here')).not.toMatch(/ratios\.svg|growth/);
  });

  it('draws the ends of caches between the units that were measured, and in no other chart', () => {
    const texts = (name: string): string => JSON.stringify(charts(data).get(name));
    const l1 = { value: Math.sqrt(32768 / 16), name: 'L1' };
    expect(texts('growth-units.svg')).toContain(JSON.stringify(l1));
    expect(texts('growth-batch.svg')).not.toContain('"L1"');
    expect(texts('ratios.svg')).toContain('"ratio":3');
    expect(texts('floor.svg')).toContain('"share":0.5');
  });

  it('gives the share of the floor', () => {
    expect(floorShare(data, data.measurements[0]!)).toBe(0.5);
  });
});

describe('targets', () => {
  it('are of cases that there are', () => {
    for (const name of [
      ...TARGETS.map((each) => each.case),
      ...Object.keys(PEAK_SHARES),
      SCALING.case,
    ])
      expect(CASES.map((bench) => bench.name)).toContain(name);
  });

  it('are judged pass by pass', () => {
    const of = (ratio: number): readonly string[] =>
      verdicts([measured('lstm-har-b64-h32', 1, ratio)])[0]!.missed;
    expect(of(3.9)).toEqual(['forward', 'step']);
    expect(of(5)).toEqual(['step']);
    expect(of(6)).toEqual([]);
    expect(verdicts([measured('lstm-har-b64-h32', 1, null)])).toEqual([]);
  });
});

it('an LSTM of any shape is a case', () => {
  const bench = lstm('own', { batch: 2, steps: 3, inputSize: 4, units: 5 });
  expect(bench.forwardFlops).toBe(2 * 2 * 3 * 20 * 9);
});
