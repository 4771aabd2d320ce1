import { datasets } from '../../lib/data';
import type { Split } from '../../lib/data';

function marks(split: Split, row: number): { steps: number[]; sum: number } {
  const steps: number[] = [];
  let sum = 0;
  for (let step = 0; step < split.steps; ++step) {
    const at = (row * split.steps + step) * 2;
    const marker = split.x.data[at + 1]!;
    if (marker !== 0) {
      expect(marker).toBe(1);
      steps.push(step);
      sum += split.x.data[at]!;
    }
  }
  return { steps, sum };
}

describe('datasets.adding', () => {
  it.each([2, 3, 4, 5, 50, 101])('marks one number in each half, sums them: %d steps', (steps) => {
    const { train, test } = datasets.adding({ steps, train: 200, test: 50, seed: 3 });
    expect([train.x.shape, train.y.shape]).toEqual([
      [200, steps, 2],
      [200, 1],
    ]);
    expect([test.x.shape, test.y.shape]).toEqual([
      [50, steps, 2],
      [50, 1],
    ]);
    const half = Math.max(1, Math.floor((steps - 1) / 2));
    for (const split of [train, test]) {
      for (let row = 0; row < split.y.data.length; ++row) {
        const marked = marks(split, row);
        expect(marked.steps).toHaveLength(2);
        expect(marked.steps[0]).toBeLessThan(half);
        expect(marked.steps[1]).toBeGreaterThanOrEqual(half);
        expect(split.y.data[row]).toBe(Math.fround(marked.sum));
      }
    }
  });

  it('reaches every step with its marks', () => {
    const { train } = datasets.adding({ steps: 10, train: 1000, test: 1 });
    const seen = new Set(Array.from(train.y.data, (_, row) => marks(train, row).steps).flat());
    expect(seen.size).toBe(10);
  });

  it('draws uniform numbers: answering 1 has a mean squared error of 1/6', () => {
    const { train } = datasets.adding({ steps: 4, train: 50_000, test: 1, seed: 1 });
    const values = train.x.data.filter((_, at) => at % 2 === 0);
    expect(Math.min(...values.subarray(0, 1e5))).toBeGreaterThanOrEqual(0);
    expect(Math.max(...values.subarray(0, 1e5))).toBeLessThan(1);
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    // Standard errors: sqrt(1/12 / 200 000) = 6.5e-4; sqrt(7/180 / 50 000) = 8.8e-4. Five of them.
    expect(Math.abs(mean - 1 / 2)).toBeLessThan(3.3e-3);
    const error = train.y.data.reduce((sum, y) => sum + (y - 1) ** 2, 0) / train.y.data.length;
    expect(Math.abs(error - 1 / 6)).toBeLessThan(4.4e-3);
  });

  it('depends on the seed alone, and test not on the size of train', () => {
    const first = datasets.adding({ steps: 20, train: 30, test: 10, seed: 5 });
    const longer = datasets.adding({ steps: 20, train: 60, test: 10, seed: 5 });
    const other = datasets.adding({ steps: 20, train: 30, test: 10, seed: 6 });
    expect(datasets.adding({ steps: 20, train: 30, test: 10, seed: 5 })).toEqual(first);
    expect(longer.test).toEqual(first.test);
    expect(longer.train.x.data.subarray(0, 30 * 40)).toEqual(first.train.x.data);
    expect(other.train.x.data).not.toEqual(first.train.x.data);
    expect(other.test.x.data).not.toEqual(first.test.x.data);
    expect(first.test.x.data).not.toEqual(first.train.x.data.subarray(0, 10 * 40));
  });

  it.each<[string, object, RegExp]>([
    ['no steps', {}, /steps is missing/],
    ['one step', { steps: 1 }, /steps is 1; expected at least 2/],
    ['half a step', { steps: 2.5 }, /steps is 2\.5/],
    ['no sequence', { steps: 9, train: 0 }, /train is 0; expected at least 1/],
    ['a negative seed', { steps: 9, seed: -1 }, /seed is -1/],
    ['a misspelt option', { steps: 9, tset: 3 }, /unknown option tset; did you mean test\?/],
    ['more than memory holds', { steps: 1e6, train: 600, test: 1 }, /600 sequences .* at most 536/],
  ])('refuses %s', (_, options, message) => {
    expect(() => datasets.adding(options as { steps: number })).toThrow(
      expect.objectContaining({ code: 'ERR_OPTION', message: expect.stringMatching(message) }),
    );
  });
});

describe('datasets.splitBySubject', () => {
  const split: Split<Int32Array> = {
    x: { shape: [4, 2, 1], data: Float32Array.of(0, 1, 10, 11, 20, 21, 30, 31) },
    y: { shape: [4], data: Int32Array.of(0, 1, 2, 3) },
    subjects: Int32Array.of(7, 5, 7, 9),
    steps: 2,
    features: 1,
  };

  it('puts every sequence of a subject on one side, in order', () => {
    const { train, held } = datasets.splitBySubject(split, [7]);
    expect(held).toEqual({
      x: { shape: [2, 2, 1], data: Float32Array.of(0, 1, 20, 21) },
      y: { shape: [2], data: Int32Array.of(0, 2) },
      subjects: Int32Array.of(7, 7),
      steps: 2,
      features: 1,
    });
    expect(train.x.data).toEqual(Float32Array.of(10, 11, 30, 31));
    expect(train.y.data).toEqual(Int32Array.of(1, 3));
    expect(train.subjects).toEqual(Int32Array.of(5, 9));
  });

  it('splits targets of several numbers', () => {
    const targets = { shape: [4, 2], data: Float32Array.of(0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5) };
    const { held } = datasets.splitBySubject({ ...split, y: targets }, [9]);
    expect(held.y).toEqual({ shape: [1, 2], data: Float32Array.of(3, 3.5) });
  });

  it('copies: writing to a part leaves the whole as it is', () => {
    const { held } = datasets.splitBySubject(split, [5]);
    held.x.data.fill(-1);
    expect(split.x.data[2]).toBe(10);
  });

  it.each<[string, Split, number[], string, RegExp]>([
    ['an unknown subject', split, [8], 'ERR_OPTION', /subject 8 .* 5 7 9/],
    ['nobody', split, [], 'ERR_OPTION', /0 of 3 subjects/],
    ['everybody', split, [5, 7, 9], 'ERR_OPTION', /3 of 3 subjects/],
    ['a split without subjects', withoutSubjects(split), [5], 'ERR_DATA', /has no subjects/],
  ])('refuses %s', (_, whole, held, code, message) => {
    expect(() => datasets.splitBySubject(whole, held)).toThrow(
      expect.objectContaining({ code, message: expect.stringMatching(message) }),
    );
  });
});

function withoutSubjects({ x, y, steps, features }: Split): Split {
  return { x, y, steps, features };
}
