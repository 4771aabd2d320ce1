import { createHash } from 'node:crypto';
import { copyFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { datasets } from '../../lib/data';
import { LookbackError } from '../../lib/errors';
import { temporaryFolder } from './support/uci-tree';
import type { Folder } from './support/uci-tree';

const SOURCE = join(__dirname, '..', '..', 'data', 'har');
const PARTS = ['train', 'test'] as const;
const OFFICIAL = process.env['LOOKBACK_HAR_DIR'];

/** Of the official text files, by an independent program in double precision: mean and deviation of each signal. */
const STATISTICS = {
  train: [
    [-0.000636, 0.194846],
    [-0.000292, 0.122427],
    [-0.000275, 0.106879],
    [0.000506, 0.406815],
    [-0.000824, 0.381854],
    [0.000113, 0.255743],
    [0.804749, 0.414112],
    [0.028755, 0.390995],
    [0.086498, 0.357769],
  ],
  test: [
    [-0.000738, 0.18431],
    [-0.00038, 0.120603],
    [-0.000026, 0.095535],
    [-0.013185, 0.396516],
    [0.001455, 0.340445],
    [0.00285, 0.249416],
    [0.817263, 0.406513],
    [0.004349, 0.412041],
    [0.080671, 0.307925],
  ],
};

const data = datasets.har();

function histogram(labels: Int32Array): number[] {
  const counts = [0, 0, 0, 0, 0, 0];
  for (const label of labels) counts[label]! += 1;
  return counts;
}

function statistics(x: Float32Array, feature: number): { mean: number; deviation: number } {
  const n = x.length / 9;
  let sum = 0;
  let squares = 0;
  for (let at = feature; at < x.length; at += 9) {
    sum += x[at]!;
    squares += x[at]! ** 2;
  }
  return { mean: sum / n, deviation: Math.sqrt(squares / n - (sum / n) ** 2) };
}

describe('datasets.har', () => {
  it('has all windows in the official split', () => {
    expect(data.train.x.shape).toEqual([7352, 128, 9]);
    expect(data.test.x.shape).toEqual([2947, 128, 9]);
    for (const part of PARTS) {
      const { x, y, subjects } = data[part];
      expect(x.data).toHaveLength(x.shape.reduce((size, dim) => size * dim, 1));
      expect(y.shape).toEqual([x.shape[0]]);
      expect(subjects).toHaveLength(y.data.length);
    }
  });

  it('has the official labels', () => {
    expect(histogram(data.train.y.data)).toEqual([1226, 1073, 986, 1286, 1374, 1407]);
    expect(histogram(data.test.y.data)).toEqual([496, 471, 420, 491, 532, 537]);
    expect(data.classNames[5]).toBe('LAYING');
  });

  it('has 21 subjects to train and 9 others to test', () => {
    const [train, test] = PARTS.map((part) => new Set(data[part].subjects));
    expect([train!.size, test!.size]).toEqual([21, 9]);
    expect(new Set([...train!, ...test!]).size).toBe(30);
  });

  it.each(PARTS)('has the mean and the deviation of every signal: %s', (part) => {
    STATISTICS[part].forEach(([mean, deviation], feature) => {
      const seen = statistics(data[part].x.data, feature);
      // Rounding errors average out; what remains is the sixth digit of the expected numbers.
      expect(Math.abs(seen.mean - mean!)).toBeLessThan(2e-6);
      expect(Math.abs(seen.deviation - deviation!)).toBeLessThan(2e-6);
    });
  });

  it('keeps the overlap of neighbouring windows', () => {
    const { data: x } = data.train.x;
    const window = 128 * 9;
    expect(x.subarray(window / 2, window)).toEqual(x.subarray(window, window + window / 2));
  });

  it.each([
    ['train', 'e98bd64eb0651c475df1fe821301842213366ff076ae49dbded585530827fb44'],
    ['test', '85271eb7b99d66ffc833ae64abffbdde8c62dbf446dd63c408e617c46c7cee10'],
  ] as const)('has not changed a bit: %s', (part, expected) => {
    const { buffer, byteOffset, byteLength } = data[part].x.data;
    const bytes = new Uint8Array(buffer, byteOffset, byteLength);
    expect(createHash('sha256').update(bytes).digest('hex')).toBe(expected);
  });

  if (OFFICIAL === undefined) {
    console.warn(
      'LOOKBACK_HAR_DIR is not set: the HAR data are not compared with the official text',
    );
  }
  (OFFICIAL === undefined ? it.skip : it)(
    'equals the official text within the stated rounding',
    () => {
      const official = datasets.uciHar({ dir: OFFICIAL ?? '' });
      const { channels } = JSON.parse(readFileSync(join(SOURCE, 'har.json'), 'utf8')) as {
        channels: { maxError: number }[];
      };
      const worst = channels.map(() => 0);
      for (const part of PARTS) {
        expect(data[part].y).toEqual(official[part].y);
        expect(data[part].subjects).toEqual(official[part].subjects);
        const [ours, theirs] = [data[part].x.data, official[part].x.data];
        expect(ours.length).toBe(theirs.length);
        for (let at = 0; at < ours.length; ++at) {
          const gap = ours[at]! - theirs[at]!;
          const feature = at % 9;
          if (gap > worst[feature]!) worst[feature] = gap;
          else if (!(-gap <= worst[feature]!)) worst[feature] = -gap;
        }
      }
      channels.forEach(({ maxError }, feature) => {
        // The stated error is to the text; uciHar rounds the text to a float, by up to 2^-22 at these sizes.
        expect(worst[feature]).toBeLessThanOrEqual(maxError + 2 ** -22);
        expect(worst[feature]).toBeGreaterThan(0.9 * maxError);
      });
    },
  );
});

describe('datasets.har on damaged data', () => {
  function copy(replace: Record<string, Uint8Array | string> = {}): Folder {
    const folder = temporaryFolder();
    for (const file of ['har.json', 'windows.json.gz', 'signals.bin.gz']) {
      const content = replace[file];
      if (content === undefined) copyFileSync(join(SOURCE, file), join(folder.path, file));
      else folder.write(file, content);
    }
    return folder;
  }

  function failure(folder: Folder): LookbackError {
    try {
      datasets.har({ dir: folder.path });
    } catch (error) {
      if (error instanceof LookbackError) return error;
      throw error;
    }
    throw new Error('expected a LookbackError');
  }

  it('reads a folder given by name', () => {
    using folder = copy();
    expect(datasets.har({ dir: folder.path }).test.y).toEqual(data.test.y);
  });

  it('says where to get the data when they are absent, as in the npm package', () => {
    using folder = temporaryFolder();
    const error = failure(folder);
    expect(error.code).toBe('ERR_DATA');
    expect(error.message).toMatch(/not with the npm package.*Clone the repository.*uciHar/s);
  });

  const manifest = readFileSync(join(SOURCE, 'har.json'), 'utf8');
  const signals = readFileSync(join(SOURCE, 'signals.bin.gz'));
  const windows = gunzipSync(readFileSync(join(SOURCE, 'windows.json.gz'))).toString();
  it.each<[string, Record<string, Uint8Array | string>, RegExp]>([
    ['a truncated file', { 'signals.bin.gz': signals.subarray(0, 1000) }, /signals.* truncated/],
    ['missing samples', { 'signals.bin.gz': gzipSync(Buffer.alloc(8)) }, /8 bytes unpacked; exp/],
    ['broken JSON', { 'har.json': manifest.slice(0, 99) }, /har\.json is damaged/],
    [
      'another version',
      { 'har.json': manifest.replace('"version": 1', '"version": 2') },
      /version 2/,
    ],
    ['another format', { 'har.json': 'null' }, /has format undefined/],
    ['a manifest without streams', { 'har.json': manifest.replace('"streams"', '"s"') }, /damaged/],
    [
      'an unknown stream',
      { 'har.json': manifest.replace('"minus": "gr', '"minus": "g') },
      /no stream/,
    ],
    ['no windows', { 'windows.json.gz': gzipSync('{}') }, /is damaged/],
    ['uneven columns', { 'windows.json.gz': gzipSync(windows.replace('[1,', '[')) }, /is damaged/],
    [
      'a shifted window',
      { 'windows.json.gz': gzipSync(windows.replace('249', '1')) },
      /is damaged/,
    ],
    [
      'a label out of range',
      { 'windows.json.gz': gzipSync(windows.replace('[5,', '[9,')) },
      /dama/,
    ],
  ])('refuses %s', (_, replace, message) => {
    using folder = copy(replace);
    const error = failure(folder);
    expect(error.code).toBe('ERR_DATA');
    expect(error.message).toMatch(message);
  });

  it('refuses a misspelt option', () => {
    expect(() => datasets.har({ directory: '.' } as object)).toThrow(
      expect.objectContaining({ code: 'ERR_OPTION' }),
    );
  });
});
