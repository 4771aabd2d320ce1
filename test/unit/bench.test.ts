import { CASES } from '../../bench/cases';
import { findPython, PeerMissing } from '../../bench/peer';
import { median, summarize } from '../../bench/statistics';
import { workload, worstDifference } from '../../bench/tensors';

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
    expect(summarize(samples)).toEqual({ forwardMs: 1.5, stepMs: 3.5, kept: 2 });
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
});
