import { datasets } from '../../lib/data';
import type { Split } from '../../lib/data';

/** The symbols of a row, from its one-hot vectors. */
function symbolsOf({ x, steps, features }: Split, row: number): number[] {
  return Array.from({ length: steps }, (_, step) => {
    const at = (row * steps + step) * features;
    const line = [...x.data.subarray(at, at + features)];
    expect(line.filter((value) => value === 1)).toHaveLength(1);
    expect(line.filter((value) => value === 0)).toHaveLength(features - 1);
    return line.indexOf(1);
  });
}

describe('datasets.copying', () => {
  it.each([
    ['before', 1],
    ['before', 30],
    ['on', 1],
    ['on', 30],
  ] as const)('asks for its first ten symbols at the end: marker %s, delay %d', (marker, delay) => {
    const { train, test } = datasets.copying({ delay, marker, train: 40, test: 7, seed: 3 });
    for (const [split, n] of [
      [train, 40],
      [test, 7],
    ] as const) {
      expect([split.x.shape, split.y.shape]).toEqual([
        [n, delay + 20, 10],
        [n, delay + 20],
      ]);
      for (let row = 0; row < n; ++row) {
        const symbols = symbolsOf(split, row);
        const answers = [...split.y.data.subarray(row * split.steps, (row + 1) * split.steps)];
        const message = symbols.slice(0, 10);
        expect(message.every((symbol) => symbol >= 1 && symbol <= 8)).toBe(true);
        expect(answers.slice(-10)).toEqual(message);
        expect(answers.slice(0, -10).every((answer) => answer === 0)).toBe(true);
        // The first answer is due a step after the marker, or on it.
        expect(symbols.indexOf(9)).toBe(delay + 10 - (marker === 'before' ? 1 : 0));
        expect(symbols.slice(10).filter((symbol) => symbol !== 0)).toEqual([9]);
      }
    }
  });

  it('uses all eight symbols alike', () => {
    const { train } = datasets.copying({ delay: 1, train: 4000, test: 1 });
    const counts = new Array<number>(9).fill(0);
    for (const answer of train.y.data) counts[answer] = (counts[answer] ?? 0) + 1;
    // 40 000 draws, 5000 of each expected with a standard error of 66. Five of them.
    for (const count of counts.slice(1)) expect(Math.abs(count - 5000)).toBeLessThan(330);
  });

  it('depends on the seed alone, and test not on the size of train', () => {
    const first = datasets.copying({ delay: 5, train: 30, test: 10, seed: 5 });
    const longer = datasets.copying({ delay: 5, train: 60, test: 10, seed: 5 });
    const other = datasets.copying({ delay: 5, train: 30, test: 10, seed: 6 });
    expect(datasets.copying({ delay: 5, train: 30, test: 10, seed: 5 })).toEqual(first);
    expect(longer.test).toEqual(first.test);
    expect(other.train.y.data).not.toEqual(first.train.y.data);
    expect(first.test.y.data).not.toEqual(first.train.y.data.subarray(0, 10 * 25));
  });

  it.each<[string, object, RegExp]>([
    ['no delay', {}, /delay is missing/],
    ['a delay of 0', { delay: 0 }, /delay is 0; expected at least 1/],
    ['an unknown marker', { delay: 9, marker: 'after' }, /marker is "after"/],
    ['a misspelt option', { delay: 9, tset: 3 }, /unknown option tset; did you mean test\?/],
    ['more than memory holds', { delay: 1e6, train: 200, test: 1 }, /200 sequences .* at most 107/],
  ])('refuses %s', (_, options, message) => {
    expect(() => datasets.copying(options as { delay: number })).toThrow(
      expect.objectContaining({ code: 'ERR_OPTION', message: expect.stringMatching(message) }),
    );
  });
});
