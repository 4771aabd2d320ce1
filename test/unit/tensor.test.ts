import { runInNewContext } from 'node:vm';
import type { LookbackError } from '../../lib/errors';
import type { TensorWish } from '../../lib/tensor';
import { asTensor, dtypeOf, requireFinite } from '../../lib/tensor';

const wish: TensorWish = { name: 'x', dtype: 'float32', shape: [null, 2, 3] };

function codeOf(work: () => unknown): [string, string] {
  try {
    work();
  } catch (error) {
    return [(error as LookbackError).code, (error as LookbackError).message];
  }
  return ['', 'nothing was thrown'];
}

describe('asTensor', () => {
  it('borrows typed arrays', () => {
    const data = new Float32Array(12);
    expect(asTensor({ shape: [2, 2, 3], data }, wish).data).toBe(data);
    expect(asTensor(data, wish)).toEqual({ shape: [2, 2, 3], data });
  });

  it('copies nested arrays', () => {
    const nested = [
      [
        [1, 2, 3],
        [4, 5, 6],
      ],
    ];
    expect(asTensor(nested, wish)).toEqual({
      shape: [1, 2, 3],
      data: Float32Array.of(1, 2, 3, 4, 5, 6),
    });
  });

  it('knows typed arrays of other realms', () => {
    const foreign: unknown = runInNewContext('new Float32Array(6)');
    expect(dtypeOf(foreign)).toBe('float32');
    expect(asTensor(foreign, wish).shape).toEqual([1, 2, 3]);
  });

  it.each<[unknown, string, RegExp]>([
    [
      new Float64Array(6),
      'ERR_SHAPE',
      /x is a Float64Array; expected a Float32Array or \{shape, data\}/,
    ],
    [{ shape: [1, 2, 3], data: new Int32Array(6) }, 'ERR_SHAPE', /x is a Int32Array/],
    [
      { shape: [1, 3, 2], data: new Float32Array(6) },
      'ERR_SHAPE',
      /x has shape \[1, 3, 2\]; expected \[\?, 2, 3\]/,
    ],
    [{ shape: [2, 3], data: new Float32Array(6) }, 'ERR_SHAPE', /x has shape \[2, 3\]/],
    [
      { shape: [2, 2, 3], data: new Float32Array(6) },
      'ERR_SHAPE',
      /has shape \[2, 2, 3\] but 6 entries; expected 12/,
    ],
    [{ shape: [1.5, 2, 3], data: new Float32Array(9) }, 'ERR_SHAPE', /expected whole numbers/],
    [{ shape: [-1, 2, 3], data: new Float32Array(0) }, 'ERR_SHAPE', /expected whole numbers/],
    [{ shape: [2 ** 40, 2, 3], data: new Float32Array(6) }, 'ERR_SHAPE', /entries/],
    [new Float32Array(7), 'ERR_SHAPE', /x has shape 7 entries/],
    [undefined, 'ERR_SHAPE', /x is undefined/],
    ['abc', 'ERR_SHAPE', /x is "abc"/],
    [
      [
        [
          [1, 2, 3],
          [4, 5],
        ],
      ],
      'ERR_SHAPE',
      /x\[0\]\[1\] has 2 entries; expected 3 .* equally long/,
    ],
    [
      [
        [
          [1, 2, 3],
          [4, 5, 'six'],
        ],
      ],
      'ERR_DATA',
      /x\[0\]\[1\]\[2\] is "six"; expected a number/,
    ],
    [
      [[[1, 2, 3], Object.assign(Array<number>(3), { 0: 4, 2: 6 })]],
      'ERR_DATA',
      /x\[0\]\[1\]\[1\] is undefined; expected a number/,
    ],
    [[[1, 2, 3]], 'ERR_SHAPE', /x has shape arrays nested 2 deep/],
    [[], 'ERR_SHAPE', /x has shape arrays nested 1 deep/],
  ])('refuses %j', (value, code, message) => {
    const [seen, text] = codeOf(() => asTensor(value, wish));
    expect(text).toMatch(message);
    expect(seen).toBe(code);
  });

  it('refuses a bare array of unclear shape', () => {
    expect(() => asTensor(new Float32Array(6), { ...wish, shape: [null, null, 3] })).toThrow(
      /give \{shape, data\}/,
    );
  });

  it('takes whole numbers only as labels', () => {
    const labels: TensorWish = { name: 'y', dtype: 'int32', shape: [2] };
    expect(asTensor([0, 3], labels).data).toEqual(Int32Array.of(0, 3));
    expect(() => asTensor([0, 0.5], labels)).toThrow(/y\[1\] is 0.5; expected a whole number/);
  });
});

describe('requireFinite', () => {
  it('names the first bad entry by its indices', () => {
    const data = new Float32Array(12);
    data[9] = NaN;
    const [code, message] = codeOf(() => requireFinite('x', { shape: [2, 2, 3], data }));
    expect(code).toBe('ERR_DATA');
    expect(message).toMatch(/x\[1, 1, 0\] is NaN/);
  });
});
