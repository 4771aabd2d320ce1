import { z } from 'zod';
import { LookbackError } from '../../lib/errors';
import { closest, parseOptions, show } from '../../lib/options';

const schema = z.strictObject({
  units: z.int().min(1).max(8),
  mode: z.enum(['stack', 'residual']).default('stack'),
  inner: z.strictObject({ rate: z.number().lt(1) }).optional(),
  list: z.array(z.strictObject({ value: z.int() })).optional(),
});

function messageFor(value: unknown): string {
  try {
    parseOptions(schema, value, 'thing');
  } catch (error) {
    expect(error).toBeInstanceOf(LookbackError);
    expect((error as LookbackError).code).toBe('ERR_OPTION');
    return (error as LookbackError).message;
  }
  throw new Error('nothing was thrown');
}

describe('parseOptions', () => {
  it('fills in defaults', () => {
    expect(parseOptions(schema, { units: 2 }, 'thing')).toEqual({ units: 2, mode: 'stack' });
  });

  it.each([
    [{ unts: 2 }, 'thing: unknown option unts; did you mean units?'],
    [{ units: 2, zzz: 1 }, 'thing: unknown option zzz; the options are units, mode, inner, list'],
    [{}, 'thing: units is missing; expected a number'],
    [{ units: 9 }, 'thing: units is 9; expected at most 8'],
    [{ units: 2.5 }, 'thing: units is 2.5; expected an integer'],
    [{ units: '2' }, 'thing: units is "2"; expected a number'],
    [{ units: NaN }, 'thing: units is NaN; expected a number'],
    [
      { units: 2, mode: 'residul' },
      'thing: mode is "residul"; expected one of "stack", "residual"; did you mean "residual"?',
    ],
    [{ units: 2, inner: { rate: 1 } }, 'thing: inner.rate is 1; expected less than 1'],
    [
      { units: 2, inner: { rte: 0, rate: 0 } },
      'thing: unknown option inner.rte; did you mean rate?',
    ],
    [
      { units: 2, list: [{ value: 1 }, { vaule: 1, value: 1 }] },
      'thing: unknown option list[1].vaule; did you mean value?',
    ],
    [null, 'thing: the value is null; expected an object'],
  ])('%j', (value, message) => {
    expect(messageFor(value)).toBe(message);
  });
});

describe('show', () => {
  const own: unknown[] = [];
  own.push(own);
  it.each<[unknown, string]>([
    [[1, 'a'], '[1,"a"]'],
    [[NaN, -Infinity, { at: [NaN] }], '[NaN,-Infinity,{"at":[NaN]}]'],
    [[null, undefined, new Date(0)], '[null,undefined,"1970-01-01T00:00:00.000Z"]'],
    [5n, '5n'],
    [[5n], 'an array of 1'],
    [own, 'an array of 1'],
    [new Float32Array(9), 'a Float32Array'],
    // What is nested may be a whole data set.
    [[new Float32Array(9)], 'an array of 1'],
    [[{ x: new Float32Array(9) }, 1], 'an array of 2'],
    [[Array.from({ length: 33 }, () => 0)], 'an array of 1'],
    [['x'.repeat(201)], 'an array of 1'],
  ])('%p', (value, text) => {
    expect(show(value)).toBe(text);
  });
});

describe('closest', () => {
  it.each([
    ['unit', 'units'],
    ['untis', 'units'],
    ['returnsequences', 'returnSequences'],
    ['xyz', null],
  ])('%s means %s', (word, meant) => {
    expect(closest(word, ['units', 'heads', 'returnSequences'])).toBe(meant);
  });
});
