import { existsSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { CASES } from '../../bench/cases';
import { findPython, PeerMissing, PEERS } from '../../bench/peers';
import { median, summarize } from '../../bench/statistics';
import { workload, worstDifference } from '../../bench/tensors';

const root = join(__dirname, '..', '..');

describe('the cases of the bench', () => {
  const names = CASES.map(({ name }) => name);

  it.each([
    'lstm-har-b64-h32',
    'lstm-har-b64-h128',
    'lstm-har-b1-h128',
    'lstm-har-b256-h128',
    'lstm-mnist-b128-h128',
    'lstm-ptb-b128-h512',
    'larnn-har-b64-h32-k16',
    'larnn-har-b256-h81-k38',
    'scornn-mnist-b128-h170',
    'rra-har-b64-h128',
    'larnn-har-b64-h128-k16',
    'gru-ptb-b128-h512',
    'enrnn-mnist-b128-h170',
  ])('contain %s', (name) => expect(names).toContain(name));

  it('have names of their own', () => expect(new Set(names).size).toBe(names.length));

  it('count the operations of the published LARNN as its document does', () => {
    const published = CASES.find(({ name }) => name === 'larnn-har-b256-h81-k38')!;
    const { batch, steps } = published.shape;
    // 0.235 million for an input with as many features as units, once the window is full.
    const perRowAndStep = published.forwardFlops / batch / steps + 10 * 81 * (81 - 9);
    expect(perRowAndStep).toBeGreaterThan(0.23e6);
    expect(perRowAndStep).toBeLessThan(0.2354e6);
  });

  it('give orthogonal cells a skew-symmetric A and signs', () => {
    const bench = CASES.find(({ name }) => name === 'scornn-mnist-b128-h170')!;
    const { A, d } = workload(bench).weights;
    const n = bench.shape.units;
    const apart = A!.data.map((value, at) => value + A!.data[(at % n) * n + Math.floor(at / n)]!);
    expect(apart.every((sum) => sum === 0)).toBe(true);
    expect(d!.data.every((sign) => Math.abs(sign) === 1)).toBe(true);
  });

  it('give both sides the same numbers at every run', () => {
    const [first] = CASES;
    expect(workload(first!)).toEqual(workload(first!));
  });
});

describe('the statistics of the bench', () => {
  it.each([
    [[3, 1, 2], 2],
    [[4, 1, 2, 3], 2.5],
    [[7], 7],
    [[], NaN],
  ])('median of %j is %d', (samples, expected) => expect(median(samples)).toBe(expected));

  it('discards samples whose forward took longer than their step', () => {
    const samples = [
      { forwardMs: 1, stepMs: 3 },
      { forwardMs: 50, stepMs: 5 },
      { forwardMs: 2, stepMs: 4 },
    ];
    expect(summarize(samples)).toEqual({
      ...{ forwardMs: 1.5, stepMs: 3.5, kept: 2 },
      ...{ forwardRange: [1, 2], stepRange: [3, 4] },
    });
  });

  it('has no step of a side that only infers', () => {
    const samples = [1, 2, 3].map((forwardMs) => ({ forwardMs, stepMs: null }));
    expect(summarize(samples)).toEqual({
      ...{ forwardMs: 2, stepMs: null, kept: 3 },
      ...{ forwardRange: [1, 3], stepRange: null },
    });
  });

  const tensor = (...numbers: number[]) => ({
    shape: [numbers.length],
    data: Float32Array.from(numbers),
  });

  it('compares y with its own size and gradients with the largest gradient', () => {
    const theirs = { y: tensor(0.5, 0), x: tensor(8, 0), b: tensor(0, 0) };
    expect(worstDifference({ ...theirs, b: tensor(0, 1) }, theirs)).toEqual({
      tensor: 'b',
      difference: 1 / 8,
    });
    expect(worstDifference({ ...theirs, y: tensor(0.5, 0.25) }, theirs)).toEqual({
      tensor: 'y',
      difference: 0.5,
    });
  });

  it('never takes a result that is no number for an equal one', () => {
    const theirs = { y: tensor(1, 2), x: tensor(1, 2) };
    expect(worstDifference({ ...theirs, x: tensor(1, NaN) }, theirs).difference).toBeNaN();
    expect(worstDifference({ ...theirs, y: tensor(NaN, 2) }, theirs).difference).toBeNaN();
  });

  it('refuses results that are missing', () => {
    expect(() => worstDifference({ y: tensor(1) }, { y: tensor(1), x: tensor(1) })).toThrow(/no x/);
  });
});

describe('a missing peer', () => {
  const before = process.env['BENCH_PYTHON'];
  afterEach(() => {
    if (before === undefined) delete process.env['BENCH_PYTHON'];
    else process.env['BENCH_PYTHON'] = before;
  });

  it('is told with how to get it', () => {
    process.env['BENCH_PYTHON'] = '/bin/false';
    expect(findPython).toThrow(PeerMissing);
    expect(findPython).toThrow(/no PyTorch in \/bin\/false.*apt-get install python3-torch/);
  });

  it.each(['onnxruntime', 'tfjs'] as const)('%s too', (name) => {
    const modules = process.env['BENCH_MODULES'];
    process.env['BENCH_MODULES'] = '/nowhere';
    try {
      const find = () => PEERS[name].command('lstm', 1);
      expect(find).toThrow(PeerMissing);
      expect(find).toThrow(/was not found from \/nowhere.*npm install --no-save/);
    } finally {
      if (modules === undefined) delete process.env['BENCH_MODULES'];
      else process.env['BENCH_MODULES'] = modules;
    }
  });

  it('oneDNN, where its program does not build', () => {
    const compiler = process.env['CXX'];
    process.env['CXX'] = '/bin/false';
    const built = join(root, 'build', 'bench', 'onednn');
    try {
      if (existsSync(built)) utimesSync(built, 0, 0);
      expect(() => PEERS.onednn.command('lstm', 1)).toThrow(PeerMissing);
      expect(() => PEERS.onednn.command('lstm', 1)).toThrow(/apt-get install g\+\+ libdnnl-dev/);
    } finally {
      if (compiler === undefined) delete process.env['CXX'];
      else process.env['CXX'] = compiler;
    }
  });
});
