import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { create } from 'tar';
import { checkConfig } from '../../lib/cli/config';
import { datasets } from '../../lib/data';
import { LogMel, Spectrum } from '../../lib/data/parsers/spectrum';
import { readTar } from '../../lib/data/parsers/tar';
import { readWav } from '../../lib/data/parsers/wav';
import { layers } from '../../lib/layers';
import { sequential } from '../../lib/model';
import { damaged, damagedAtHead, failureOf, requireTyped } from './support/damage';
import { countsOf, describeReal, sumOf } from './support/real-data';
import type { Folder } from './support/uci-tree';
import { temporaryFolder } from './support/uci-tree';

/** A WAVE file as it is documented, with a chunk that nobody needs before the samples. */
function wav(samples: readonly number[], { rate = 8000, channels = 1, bits = 16 } = {}): Buffer {
  const data = Buffer.alloc(2 * samples.length);
  samples.forEach((sample, at) => data.writeInt16LE(sample, 2 * at));
  const format = Buffer.alloc(16);
  format.writeUInt16LE(1, 0);
  format.writeUInt16LE(channels, 2);
  format.writeUInt32LE(rate, 4);
  format.writeUInt16LE(bits, 14);
  const chunk = (name: string, body: Buffer): Buffer => {
    const head = Buffer.from(`${name}\0\0\0\0`, 'latin1');
    head.writeUInt32LE(body.length, 4);
    return Buffer.concat([head, body, Buffer.alloc(body.length % 2)]);
  };
  const body = Buffer.concat([
    Buffer.from('WAVE'),
    chunk('LIST', Buffer.from('odd')),
    chunk('fmt ', format),
    chunk('data', data),
  ]);
  return chunk('RIFF', body);
}

const tone = (hertz: number, length: number): number[] =>
  Array.from({ length }, (_, at) =>
    Math.round(20_000 * Math.sin((2 * Math.PI * hertz * at) / 8000)),
  );

const files = {
  '3_zoe_0.wav': wav(tone(500, 360)),
  '3_zoe_10.wav': wav(tone(500, 200)),
  '3_zoe_5.wav': wav(tone(1000, 520)),
  '0_adam_7.wav': wav(tone(2000, 280)),
};

function tree(replace: Record<string, Uint8Array> = {}): Folder {
  const folder = temporaryFolder();
  for (const [name, bytes] of Object.entries({ ...files, ...replace })) {
    folder.write(join('recordings', name), bytes);
  }
  return folder;
}

describe('datasets.spokenDigits', () => {
  it('reads frames, padded behind their end, by digit, speaker and index', () => {
    using folder = tree();
    const { train, test, speakers } = datasets.spokenDigits({ dir: folder.path, bands: 8 });
    expect([train.x.shape, test.x.shape]).toEqual([
      [3, 5, 8],
      [1, 5, 8],
    ]);
    expect([train.y.data, train.lengths, train.subjects, test.lengths]).toEqual([
      Int32Array.of(0, 3, 3),
      Int32Array.of(2, 5, 1),
      Int32Array.of(0, 1, 1),
      Int32Array.of(3),
    ]);
    expect(speakers).toEqual(['adam', 'zoe']);
    expect(train.x.data.slice(2 * 8, 5 * 8)).toEqual(new Float32Array(24));
  });

  it('cuts longer recordings', () => {
    using folder = tree();
    const { train } = datasets.spokenDigits({ dir: folder.path, steps: 2 });
    expect([train.x.shape, train.lengths]).toEqual([[3, 2, 40], Int32Array.of(2, 2, 1)]);
  });

  it('answers every frame by the next where that is asked for', () => {
    using folder = tree({ '3_zoe_10.wav': wav(tone(500, 280)) });
    const given = { dir: folder.path, bands: 8 };
    const frames = datasets.spokenDigits(given).train;
    const { train, test, targetNames, ...others } = datasets.spokenDigits({
      ...given,
      target: 'nextFrame',
    });
    expect([train.x.shape, train.y.shape, test.y.shape]).toEqual([
      [3, 4, 8],
      [3, 4, 8],
      [1, 4, 8],
    ]);
    expect([train.lengths, test.lengths]).toEqual([Int32Array.of(1, 4, 1), Int32Array.of(2)]);
    expect(train.subjects).toEqual(frames.subjects);
    train.lengths.forEach((length, row) => {
      const [x, y] = [train.x, train.y].map(({ data }) => data.slice(row * 32, (row + 1) * 32));
      const seen = frames.x.data.slice(row * 40, row * 40 + (length + 1) * 8);
      const padding = new Float32Array(32 - length * 8);
      expect(x).toEqual(Float32Array.of(...seen.slice(0, length * 8), ...padding));
      expect(y).toEqual(Float32Array.of(...seen.slice(8), ...padding));
    });
    expect(targetNames).toEqual(others.featureNames);
    expect(others).not.toHaveProperty('classNames');
    // So many steps, whose last one is answered by a frame that is no step.
    const cut = datasets.spokenDigits({ ...given, steps: 3, target: 'nextFrame' }).train;
    expect([cut.x.shape, cut.lengths]).toEqual([[3, 3, 8], Int32Array.of(1, 3, 1)]);
    expect(cut.y.data.slice(24, 48)).toEqual(train.y.data.slice(32, 56));
  });

  it('has no loss for frames behind the end', async () => {
    using folder = tree({ '3_zoe_10.wav': wav(tone(500, 280)) });
    const { train } = datasets.spokenDigits({
      ...{ dir: folder.path, bands: 8 },
      target: 'nextFrame',
    });
    using model = sequential({
      inputShape: [4, 8],
      layers: [layers.lstm({ units: 3, returnSequences: true }), layers.dense({ units: 8 })],
    });
    model.compile({ optimizer: 'adam', loss: 'meanSquaredError' });
    const outputs = await model.predict(train.x, { lengths: train.lengths });
    const errors = [...train.lengths].flatMap((length, row) =>
      Array.from({ length: 8 * length }, (_, at) => {
        const own = row * 32 + at;
        return ((outputs.data[own] ?? NaN) - (train.y.data[own] ?? NaN)) ** 2;
      }),
    );
    const mean = errors.reduce((sum, error) => sum + error, 0) / errors.length;
    // A sum of 48 positive numbers in float32.
    const { loss = NaN } = await model.evaluate(train);
    expect(Math.abs(loss / mean - 1)).toBeLessThan(48 * 2 ** -23);
  });

  it('reads the archive as it reads the folder', () => {
    using folder = tree();
    const plain = datasets.spokenDigits({ dir: folder.path });
    const file = join(folder.path, 'fsdd_recordings.tar.gz');
    create({ sync: true, gzip: true, cwd: folder.path, file }, ['recordings']);
    expect(datasets.spokenDigits({ dir: file })).toEqual(plain);
    expect(datasets.spokenDigits({ dir: folder.path })).toEqual(plain);
  });

  it.each<[string, Uint8Array, RegExp]>([
    ['no WAVE', Buffer.from('RIFX'), /offset 0: the file does not begin with RIFF/],
    ['two channels', wav([1, 2], { channels: 2 }), /format 1, 2 channels of 16 bits at 8000 Hz/],
    ['8 bits', wav([1, 2], { bits: 8 }), /1 channels of 8 bits/],
    ['another rate', wav(tone(9, 400), { rate: 16_000 }), /has 400 samples at 16000 Hz/],
    ['too short a sound', wav(tone(9, 199)), /has 199 samples at 8000 Hz; expected at least 200/],
    ['samples cut off', wav(tone(9, 400)).subarray(0, 500), /a chunk of 800 bytes reaches beyond/],
    ['no samples', wav([]).subarray(0, 44), /offset \d+: /],
  ])('refuses %s', (_, bytes, message) => {
    using folder = tree({ '9_zoe_0.wav': bytes });
    const failure = failureOf(() => datasets.spokenDigits({ dir: folder.path }));
    expect(failure.code).toBe('ERR_DATA');
    expect(failure.message).toMatch(message);
    expect(failure.message).toContain('9_zoe_0.wav');
  });

  it('refuses a recording without a second frame only where one is foretold', () => {
    using folder = tree();
    const dir = folder.path;
    const failure = failureOf(() => datasets.spokenDigits({ dir, target: 'nextFrame' }));
    expect(failure.message).toMatch(/3_zoe_10\.wav has 200 samples at .* expected at least 280/);
    expect(failure.code).toBe('ERR_DATA');
    expect(() => datasets.spokenDigits({ dir, target: 'digit' })).not.toThrow();
  });

  it('refuses a folder without recordings', () => {
    using folder = temporaryFolder();
    expect(failureOf(() => datasets.spokenDigits({ dir: folder.path })).message).toMatch(
      /no recordings for the train part/,
    );
  });

  it('gives typed errors for damaged files', () => {
    const sound = wav(tone(9, 20));
    fc.assert(
      fc.property(damaged(sound), (bytes) => requireTyped(() => readWav('x.wav', bytes))),
      {
        numRuns: 500,
      },
    );
  });
});

it.each<[object, string]>([
  [{}, 'sparseCategoricalCrossentropy'],
  [{ target: 'digit' }, 'sparseCategoricalCrossentropy'],
  [{ target: 'nextFrame' }, 'meanSquaredError'],
])('a configuration with %j has the loss %s', (options, loss) => {
  const data = { name: 'spokenDigits', dir: 'downloads', ...options };
  const config = checkConfig({ data, model: { layers: [{ kind: 'lstm', units: 2 }] } }, 'x.json');
  expect(config).toMatchObject({ data, loss: { kind: loss } });
});

it('a configuration knows what spokenDigits may ask for', () => {
  const data = { name: 'spokenDigits', dir: 'downloads', target: 'frame' };
  const config = { data, model: { layers: [{ kind: 'lstm', units: 2 }] } };
  const failure = failureOf(() => checkConfig(config, 'x.json'));
  expect(failure.message).toContain(
    'data: target is "frame"; expected one of "digit", "nextFrame"',
  );
});

describe('spectra', () => {
  it('are those of the definition', () => {
    const frames = { length: 12, hop: 5 };
    const samples = Float32Array.from({ length: 40 }, (_, at) => Math.sin(at * at));
    const spectrum = new Spectrum(frames);
    const power = new Float64Array(spectrum.bins);
    spectrum.power(samples, 2, power);
    expect(spectrum.size).toBe(16);
    for (let k = 0; k <= 8; k += 1) {
      let [re, im] = [0, 0];
      for (let at = 0; at < 12; at += 1) {
        const value = samples[10 + at]! * (0.5 - 0.5 * Math.cos((2 * Math.PI * at) / 12));
        re += value * Math.cos((2 * Math.PI * k * at) / 16);
        im -= value * Math.sin((2 * Math.PI * k * at) / 16);
      }
      expect(power[k]).toBeCloseTo(re * re + im * im, 12);
    }
  });

  it('put a tone into the band of its pitch', () => {
    const mel = new LogMel(8000, { length: 200, hop: 80 }, 40);
    for (const hertz of [300, 1000, 3000]) {
      const samples = Float32Array.from({ length: 200 }, (_, at) =>
        Math.sin((2 * Math.PI * hertz * at) / 8000),
      );
      const bands = [...mel.of(samples)];
      const width = (2595 * Math.log10(1 + 4000 / 700)) / 41;
      const expected = (2595 * Math.log10(1 + hertz / 700)) / width - 1;
      expect(Math.abs(bands.indexOf(Math.max(...bands)) - expected)).toBeLessThanOrEqual(1);
    }
    // Silence is the floor's logarithm.
    expect(mel.of(new Float32Array(200))[0]).toBe(Math.fround(Math.log(1e-10)));
  });
});

describeReal('datasets.spokenDigits', 'fsdd', (dir) => {
  it('has the published numbers', () => {
    const { train, test, speakers } = datasets.spokenDigits({ dir });
    expect([train.x.shape[0], test.x.shape[0]]).toEqual([2700, 300]);
    expect(countsOf(train.y.data, 10)).toEqual(new Array(10).fill(270));
    expect(countsOf(test.subjects, 6)).toEqual(new Array(6).fill(50));
    expect(speakers).toHaveLength(6);
    expect(Math.max(...train.lengths, ...test.lengths)).toBe(train.steps);
    // By NumPy's transform over the same definition.
    expect([sumOf(train.lengths), sumOf(test.lengths)]).toEqual([112_911, 12_326]);
    // Energies below 32 are rounded to float32 by at most 2^-20 each, 40 of them in a frame.
    const bound = (frames: number) => (frames * 40) / 2 ** 20;
    expect(Math.abs(sumOf(train.x.data) + 24_321_762.42)).toBeLessThan(bound(112_911));
    expect(Math.abs(sumOf(test.x.data) + 2_656_426.48)).toBeLessThan(bound(12_326));
    expect(readFileSync(join(dir, 'fsdd_recordings.tar.gz')).length).toBe(15_557_741);
    const foretold = datasets.spokenDigits({ dir, target: 'nextFrame' }).train;
    expect([foretold.steps, sumOf(foretold.lengths)]).toEqual([train.steps - 1, 112_911 - 2700]);
  });

  it('gives typed errors for a damaged recording', () => {
    let sound: Uint8Array = new Uint8Array();
    const wanted = (file: string) => file.endsWith('7_jackson_0.wav');
    const limits = { file: 2 ** 20, total: 2 ** 20 };
    readTar(join(dir, 'fsdd_recordings.tar.gz'), wanted, limits, (_, bytes) => (sound = bytes));
    expect(readWav('x.wav', sound).samples.length).toBeGreaterThan(1000);
    fc.assert(
      fc.property(damagedAtHead(sound, 64), (bytes) => requireTyped(() => readWav('x.wav', bytes))),
      { numRuns: 300 },
    );
  });
});
