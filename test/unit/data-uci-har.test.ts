import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { datasets } from '../../lib/data';
import { readTable } from '../../lib/data/parsers/number-table';
import { LookbackError } from '../../lib/errors';
import { damaged, requireTyped } from './support/damage';
import { countsOf, describeReal, sumOf } from './support/real-data';
import { SIGNALS, signalText, TREE, valueAt, writeTree } from './support/uci-tree';

const GYRO_Z = 'train/Inertial Signals/body_gyro_z_train.txt';

function failure(call: () => unknown): LookbackError {
  try {
    call();
  } catch (error) {
    if (error instanceof LookbackError) return error;
    throw error;
  }
  throw new Error('expected a LookbackError');
}

/** The text of one signal with one of its tokens (row and step from 0) replaced. */
function withToken(row: number, step: number, token: string): string {
  const lines = signalText('train', 5).trimEnd().split('\n');
  const tokens = lines[row]!.trim().split(/\s+/);
  tokens[step] = token;
  lines[row] = tokens.join(' ');
  return `${lines.join('\n')}\n`;
}

describe('datasets.uciHar', () => {
  it.each([
    ['plain files', {}],
    ['compressed signals', { compressed: true }],
    ['the folder above', { below: 'UCI HAR Dataset' }],
  ])('reads every number into its place: %s', (_, layout) => {
    using tree = writeTree({}, layout);
    const data = datasets.uciHar({ dir: tree.path });
    for (const part of ['train', 'test'] as const) {
      const { x, y, subjects, steps, features } = data[part];
      const n = TREE[part].labels.length;
      expect([x.shape, y.shape, steps, features]).toEqual([[n, 128, 9], [n], 128, 9]);
      const expected = Float32Array.from({ length: n * 128 * 9 }, (__, at) =>
        valueAt(part, Math.floor(at / 1152), Math.floor(at / 9) % 128, at % 9),
      );
      expect(x.data).toEqual(expected);
      expect(y.data).toEqual(Int32Array.from(TREE[part].labels, (label) => label - 1));
      expect(subjects).toEqual(Int32Array.from(TREE[part].subjects));
    }
    expect(data.featureNames).toEqual(SIGNALS);
    expect(data.classNames).toHaveLength(6);
  });

  it('reads by white space: tabs, carriage returns, blank lines, no final line feed', () => {
    const text = signalText('train', 5).trimEnd().replaceAll('\n', '\r\n\r\n').replace('  ', '\t ');
    using tree = writeTree({ [GYRO_Z]: text });
    using plain = writeTree();
    expect(datasets.uciHar({ dir: tree.path })).toEqual(datasets.uciHar({ dir: plain.path }));
  });

  const gz = gzipSync(signalText('train', 5));
  it.each<[string, Record<string, string | Uint8Array | null>, RegExp]>([
    ['a missing signal', { [GYRO_Z]: null }, /missing file .*body_gyro_z_train\.txt .*expected/],
    ['missing labels', { 'test/y_test.txt': null }, /missing file .*y_test\.txt/],
    ['no labels at all', { 'test/y_test.txt': '\n' }, /y_test\.txt is empty/],
    ['label 0', { 'test/y_test.txt': '2\n0\n' }, /y_test\.txt, line 2: label 0; .* from 1 to 6/],
    ['label 7', { 'train/y_train.txt': '7\n1\n1\n' }, /y_train\.txt, line 1: label 7; .* 1 to 6/],
    ['half a label', { 'train/y_train.txt': '1\n1.5\n1\n' }, /line 2: label 1\.5/],
    ['subject 0', { 'test/subject_test.txt': '1\n0\n' }, /subject_test\.txt, line 2: subject 0/],
    ['a missing subject', { 'test/subject_test.txt': '1\n' }, /subject_test.* 1 rows .* has 2/],
    ['a row too few', { [GYRO_Z]: dropLines(1) }, /gyro_z_train\.txt has 2 rows but .*y_train.* 3/],
    ['a row too many', { [GYRO_Z]: `${signalText('train', 5)}${dropLines(2)}` }, /has 4 rows/],
    ['a short row', { [GYRO_Z]: withToken(1, 127, '') }, /line 2: the row has 127 values; .* 128/],
    ['a long row', { [GYRO_Z]: withToken(2, 0, '1 2') }, /line 3: the row has 129 values/],
    ['a cut file', { [GYRO_Z]: signalText('train', 5).slice(0, 5000) }, /line 3: the row has/],
    ['a cut number', { [GYRO_Z]: withToken(2, 127, '1.5e-') }, /line 3: value 128 is "1\.5e-"/],
    ['a word', { [GYRO_Z]: withToken(0, 3, 'abc') }, /line 1: value 4 is "abc"; expected a finite/],
    ['NaN', { [GYRO_Z]: withToken(0, 0, 'NaN') }, /line 1: value 1 is "NaN"/],
    ['a hexadecimal', { [GYRO_Z]: withToken(0, 0, '0x10') }, /line 1: value 1 is "0x10"/],
    ['an overflow', { [GYRO_Z]: withToken(1, 1, '1e999') }, /line 2: value 2 is "1e999"/],
    ['a float overflow', { [GYRO_Z]: withToken(1, 1, '1e39') }, /line 2: value 2 .*32-bit float/],
    ['binary rubbish', { [GYRO_Z]: Uint8Array.of(0, 1, 255, 10) }, /line 1: value 1 is "\\u0000/],
  ])('refuses %s, naming the file', (_, replace, message) => {
    using tree = writeTree(replace);
    const error = failure(() => datasets.uciHar({ dir: tree.path }));
    expect(error.code).toBe('ERR_DATA');
    expect(error.message).toMatch(message);
  });

  it.each<[string, Uint8Array]>([
    ['a truncated gzip file', gz.subarray(0, gz.length - 100)],
    ['a damaged gzip file', Uint8Array.from(gz, (byte, at) => (at === 400 ? byte ^ 255 : byte))],
    ['plain text called .gz', Buffer.from(signalText('train', 5))],
  ])('refuses %s', (_, content) => {
    using tree = writeTree({ [GYRO_Z]: content }, { compressed: true });
    const error = failure(() => datasets.uciHar({ dir: tree.path }));
    expect(error.code).toBe('ERR_DATA');
    expect(error.message).toMatch(/body_gyro_z_train\.txt\.gz is damaged or truncated/);
    expect(error.cause).toBeDefined();
  });

  it('gives typed errors for damaged tables', () => {
    using tree = writeTree();
    const tables = [GYRO_Z, 'train/y_train.txt', 'train/subject_train.txt'].map(
      (file) => [file, readFileSync(join(tree.path, file))] as const,
    );
    const bytes = tables.map(([, sound]) => damaged(sound));
    fc.assert(
      fc.property(fc.tuple(...bytes), (changed) => {
        tables.forEach(([file, sound], at) => {
          tree.write(file, changed[at]!);
          requireTyped(() => datasets.uciHar({ dir: tree.path }));
          tree.write(file, sound);
        });
      }),
      { numRuns: 100 },
    );
  });

  it('says what it expected where there is no tree', () => {
    const error = failure(() => datasets.uciHar({ dir: '/nowhere/at/all' }));
    expect(error.code).toBe('ERR_DATA');
    expect(error.message).toMatch(
      /no UCI HAR data in \/nowhere\/at\/all; expected .*get "Human Activity .*dataset\/240/,
    );
  });

  it('says that a file cannot be read', () => {
    using tree = writeTree({ [GYRO_Z]: null });
    tree.write(`${GYRO_Z}/folder-in-place-of-the-file`, '');
    expect(failure(() => datasets.uciHar({ dir: tree.path })).code).toBe('ERR_IO');
  });

  it.each<[string, object]>([
    ['no folder', {}],
    ['an empty folder name', { dir: '' }],
    ['a number', { dir: 3 }],
    ['a misspelt option', { dir: '.', directory: '.' }],
  ])('refuses %s', (_, options) => {
    expect(failure(() => datasets.uciHar(options as { dir: string })).code).toBe('ERR_OPTION');
  });
});

describeReal('datasets.uciHar', 'har/UCI HAR Dataset', (dir) => {
  it('has the published numbers, from which datasets.har() differs by the rounding that is stated', () => {
    const published = datasets.uciHar({ dir });
    const bundled = datasets.har();
    const { channels } = JSON.parse(
      readFileSync(join(__dirname, '../../data/har/har.json'), 'utf8'),
    ) as { channels: { maxError: number }[] };
    const worst = new Float64Array(SIGNALS.length);
    for (const [part, counts] of [
      ['train', [1226, 1073, 986, 1286, 1374, 1407]],
      ['test', [496, 471, 420, 491, 532, 537]],
    ] as const) {
      const [whole, rounded] = [published[part], bundled[part]];
      expect(countsOf(whole.y.data, 6)).toEqual(counts);
      expect(whole.x.shape).toEqual([sumOf(counts), 128, 9]);
      expect([whole.y, whole.subjects]).toEqual([rounded.y, rounded.subjects]);
      whole.x.data.forEach((value, at) => {
        const error = Math.abs(value - rounded.x.data[at]!);
        if (error > worst[at % 9]!) worst[at % 9] = error;
      });
    }
    expect(published.featureNames).toEqual(bundled.featureNames);
    // What har.json says to four digits, up to the float32 that a published number of below 8 is rounded to.
    channels.forEach(({ maxError }, at) => {
      expect(Math.abs(worst[at]! - maxError)).toBeLessThan(2 ** -22 + maxError * 1e-4);
    });
  });
});

function dropLines(count: number): string {
  return `${signalText('train', 5).trimEnd().split('\n').slice(count).join('\n')}\n`;
}

describe('readTable', () => {
  const parse = (text: string): number => {
    let parsed = NaN;
    readTable({ path: 'table', bytes: Buffer.from(text) }, 1, ([value]) => (parsed = value!));
    return parsed;
  };

  it('rounds every decimal notation as JavaScript does', () => {
    // Well below the largest double, so that no rounded notation overflows.
    const number = fc.double({ noNaN: true, min: -1e299, max: 1e299 });
    const notation = fc.tuple(number, fc.integer({ min: 0, max: 20 }), fc.integer()).map(
      // Short and full mantissas, with and without exponent, take different ways through the parser.
      ([value, digits, way]) =>
        [String(value), value.toExponential(digits), (value % 1e6).toFixed(digits)][
          Math.abs(way) % 3
        ]!,
    );
    fc.assert(
      fc.property(notation, (text) => {
        expect(parse(text)).toBe(Number(text));
      }),
      { numRuns: 2000 },
    );
  });

  it.each(['', '-', '+', '.', 'e5', '1e', '1e+', '--1', '1-', '1.2.3', '1,5', 'Infinity', '1_0'])(
    'refuses %j as a number',
    (token) => {
      if (token === '') expect(parse(token)).toBeNaN();
      else expect(failure(() => parse(token)).code).toBe('ERR_DATA');
    },
  );

  it.each(['5.', '.5', '+5', '-0', '00012', '1E+002', '-.25e-1'])('accepts %j', (token) => {
    expect(parse(token)).toBe(Number(token));
  });
});
