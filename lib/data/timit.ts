/**
 * TIMIT: read sentences with their phones. Licensed by the Linguistic Data Consortium (LDC93S1).
 */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { LookbackError } from '../errors';
import { parseOptions, show } from '../options';
import type { Dataset, Split } from './dataset';
import { closedDownload } from './download';
import { whereToGet } from './homes';
import { readSphere } from './parsers/sphere';
import { frameCount, Spectrum } from './parsers/spectrum';
import { readBytes, utf8Of } from './parsers/text-file';

const RATE = 16_000;
/** At half the rate: 32 ms every 16 ms, as in the papers of the orthogonal networks. */
const FRAMES = { length: 256, hop: 128 };
const BINS = FRAMES.length / 2 + 1;
/** 1 GiB of frames; the disc has 0.3. */
const MAX_NUMBERS = 2 ** 28;
/** What magnitudes below it count as, so that silence has a logarithm. */
const FLOOR = 1e-5;
/** An utterance `train/dr1/fcjf0/sx127.wav`, in any case. */
const UTTERANCE = /(?:^|\/)(train|test)\/dr[1-8]\/([a-z0-9]+)\/((?:sa|sx|si)\d+)\.wav$/;

/** The 61 phones in the order of the labels. */
const PHONES =
  'iy ih eh ey ae aa aw ay ah ao oy ow uh uw ux er ax ix axr ax-h jh ch b d g p t k dx q s sh z zh f th v dh m n ng em en eng nx l r w y hh hv el bcl dcl gcl pcl tcl kcl pau epi h#'.split(
    ' ',
  );
/** The 24 speakers of the core test. */
const CORE = new Set(
  'mdab0 mwbt0 felc0 mtas1 mwew0 fpas0 mjmp0 mlnt0 fpkt0 mlll0 mtls0 fjlm0 mbpm0 mklt0 fnlp0 mcmj0 mjdh0 fmgd0 mgrt0 mnjm0 fdhc0 mjln0 mpam0 fmld0'.split(
    ' ',
  ),
);

const optionsSchema = z.strictObject({
  dir: z.string().min(1),
  target: z.enum(['nextFrame', 'phones']).default('nextFrame'),
  test: z.enum(['core', 'complete']).default('core'),
  sa: z.boolean().default(false),
  download: closedDownload('timit').optional(),
});

export interface TimitOptions {
  /** The folder `TIMIT`, or the one that holds it; names in upper or lower case. */
  dir: string;
  /** `'nextFrame'`: `y` is the frame behind each; `'phones'`: the phone at each frame's middle. Default `'nextFrame'`. */
  target?: 'nextFrame' | 'phones';
  /** `'core'`: the 24 speakers of the core test; `'complete'`: all 168. Default `'core'`. */
  test?: 'core' | 'complete';
  /** Whether the two sentences take part that all speakers read. Default false. */
  sa?: boolean;
  /** Refused, with the reason: the licence leaves the recordings to those who have one. */
  download?: false;
}

/** Utterances with their lengths and speakers. */
export interface TimitSplit extends Split {
  lengths: Int32Array;
  subjects: Int32Array;
}

/** Utterances as frames. */
export interface TimitDataset extends Dataset<TimitSplit> {
  featureNames: string[];
  /** Name of each speaker, lower case; `subjects` are places in it. */
  speakers: string[];
}

interface Utterance {
  part: string;
  speaker: string;
  path: string;
}

/**
 * Reads utterances as frames: `x` is `[n, steps, 129]`, natural logarithms of the magnitude spectrum of 32 ms every 16 ms
 * at 8 kHz (the recordings halved by a low-pass of 63 taps), 0 behind the end, with `lengths`. `y` is the next frame,
 * `[n, steps, 129]` (a frame fewer), or the phone of 61 at the frame's middle, `[n, steps]`. Rows are in the order of
 * the paths. Without the sentences that all read, the disc has 3696 utterances to train from and 192 (core) or 1344 to test.
 *
 * @throws {@link LookbackError} `ERR_OPTION` for a wrong option; `ERR_DATA` where there are no utterances, or one is
 * damaged, with path and offset or line; `ERR_IO` when it cannot be read.
 *
 * @example
 * ```ts
 * const { train, test, speakers } = datasets.timit({ dir: 'downloads/TIMIT', target: 'phones' });
 * ```
 */
export function timit(options: TimitOptions): TimitDataset {
  const given = parseOptions(optionsSchema, options, 'datasets.timit');
  const utterances = findUtterances(given.dir).filter(
    ({ part, speaker, path }) =>
      (given.sa || !/[\\/]sa\d+\.wav$/i.test(path)) &&
      (part === 'train' || given.test === 'complete' || CORE.has(speaker)),
  );
  const speakers = [...new Set(utterances.map(({ speaker }) => speaker))].sort();
  const isPhones = given.target === 'phones';
  const read = (part: string): Reading[] =>
    utterances
      .filter((utterance) => utterance.part === part)
      .map((utterance) => readUtterance(utterance, isPhones));
  const parts = { train: read('train'), test: read('test') };
  const all = [...parts.train, ...parts.test];
  const steps =
    all.reduce((most, { frames }) => Math.max(most, frames.length / BINS), 0) - (isPhones ? 0 : 1);
  for (const [name, readings] of Object.entries(parts)) {
    if (readings.length > 0 && readings.length * steps * BINS <= MAX_NUMBERS) continue;
    const message = `${given.dir} has ${readings.length} utterances of up to ${steps} frames for the ${name} part; expected TIMIT/{TRAIN,TEST}/DR{1..8}/<SPEAKER>/<SENTENCE>.WAV, at least one and at most ${MAX_NUMBERS} numbers`;
    throw new LookbackError('ERR_DATA', message, { details: { path: given.dir } });
  }
  const names = Array.from({ length: BINS }, (_, bin) => `${(bin * RATE) / 2 / FRAMES.length} Hz`);
  return {
    train: splitOf(parts.train, speakers, steps, isPhones),
    test: splitOf(parts.test, speakers, steps, isPhones),
    ...(isPhones ? { classNames: [...PHONES] } : { targetNames: [...names] }),
    featureNames: names,
    speakers,
  };
}

interface Reading {
  speaker: string;
  /** `[frames, BINS]`. */
  frames: Float32Array;
  /** Of each frame; empty where they are not asked for. */
  phones: Int32Array;
}

function findUtterances(dir: string): Utterance[] {
  if (!existsSync(dir) || !statSync(dir).isDirectory()) {
    const problem = existsSync(dir) ? 'is not a folder' : 'does not exist';
    const message = `${dir} ${problem}; expected the folder TIMIT; ${whereToGet('timit')}`;
    throw new LookbackError('ERR_DATA', message, { details: { path: dir } });
  }
  return readdirSync(dir, { recursive: true, encoding: 'utf8' })
    .flatMap((file) => {
      const [, part, speaker] = UTTERANCE.exec(file.replaceAll('\\', '/').toLowerCase()) ?? [];
      return part && speaker ? [{ part, speaker, path: join(dir, file) }] : [];
    })
    .sort((a, b) => (a.path.toLowerCase() < b.path.toLowerCase() ? -1 : 1));
}

function readUtterance({ path, speaker }: Utterance, isPhones: boolean): Reading {
  const { rate, samples } = readSphere(path, readBytes(path));
  const halved = halve(samples);
  const count = frameCount(halved.length, FRAMES);
  if (rate !== RATE || count < 2) {
    const message = `${path} has ${samples.length} samples at ${rate} Hz; expected at least two frames (${2 * (FRAMES.length + FRAMES.hop)} samples) at ${RATE} Hz`;
    throw new LookbackError('ERR_DATA', message, { details: { path } });
  }
  const spectrum = new Spectrum(FRAMES);
  const power = new Float64Array(BINS);
  const frames = new Float32Array(count * BINS);
  for (let frame = 0; frame < count; frame += 1) {
    spectrum.power(halved, frame, power);
    power.forEach((value, bin) => {
      frames[frame * BINS + bin] = Math.log(Math.max(Math.sqrt(value), FLOOR));
    });
  }
  return { speaker, frames, phones: isPhones ? phonesOf(path, count) : new Int32Array() };
}

/** The label at the middle of each frame; behind the last unit it is that one's. */
function phonesOf(path: string, frames: number): Int32Array {
  const file = path.replace(/wav$/i, (ending) => (ending === 'wav' ? 'phn' : 'PHN'));
  const lines = utf8Of({ path: file, bytes: readBytes(file) })
    .trimEnd()
    .split('\n');
  const units = lines.map((line, at) => {
    const [start, end, name = ''] = line.trim().split(/\s+/);
    const unit = { end: Number(end), phone: PHONES.indexOf(name) };
    if (/^\d+$/.test(start ?? '') && /^\d+$/.test(end ?? '') && unit.phone >= 0) return unit;
    throw new LookbackError(
      'ERR_DATA',
      `${file}, line ${at + 1}: ${show(line)}; expected a start, an end and one of the 61 phones`,
      { details: { path: file, line: at + 1 } },
    );
  });
  let next = 0;
  return Int32Array.from({ length: frames }, (_, frame) => {
    const middle = 2 * (frame * FRAMES.hop + FRAMES.length / 2);
    while (next < units.length - 1 && (units[next]?.end ?? 0) <= middle) next += 1;
    return units[next]?.phone ?? 0;
  });
}

const TAPS = 63;
/** A sinc of a quarter of the rate under a Hann window, its sum 1. */
const LOW_PASS = ((): Float64Array => {
  const taps = Float64Array.from({ length: TAPS }, (_, tap) => {
    const at = tap - (TAPS - 1) / 2;
    const sinc = at === 0 ? 0.5 : Math.sin((Math.PI * at) / 2) / (Math.PI * at);
    return sinc * (0.5 + 0.5 * Math.cos((2 * Math.PI * at) / (TAPS + 1)));
  });
  const sum = taps.reduce((total, tap) => total + tap, 0);
  return taps.map((tap) => tap / sum);
})();

/** Every other sample of the sound below a quarter of its rate. */
export function halve(samples: Float32Array): Float32Array {
  return Float32Array.from({ length: Math.floor(samples.length / 2) }, (_, at) => {
    let sum = 0;
    for (let tap = 0; tap < TAPS; tap += 1) {
      sum += (LOW_PASS[tap] ?? 0) * (samples[2 * at + tap - (TAPS - 1) / 2] ?? 0);
    }
    return sum;
  });
}

function splitOf(
  readings: readonly Reading[],
  speakers: readonly string[],
  steps: number,
  isPhones: boolean,
): TimitSplit {
  const n = readings.length;
  const x = new Float32Array(n * steps * BINS);
  const next = new Float32Array(isPhones ? 0 : x.length);
  const phones = new Int32Array(isPhones ? n * steps : 0);
  const lengths = Int32Array.from(
    readings,
    ({ frames }) => frames.length / BINS - (isPhones ? 0 : 1),
  );
  readings.forEach(({ frames, phones: own }, row) => {
    const size = (lengths[row] ?? 0) * BINS;
    x.set(frames.subarray(0, size), row * steps * BINS);
    if (isPhones) phones.set(own, row * steps);
    else next.set(frames.subarray(BINS), row * steps * BINS);
  });
  return {
    x: { shape: [n, steps, BINS], data: x },
    y: isPhones ? { shape: [n, steps], data: phones } : { shape: [n, steps, BINS], data: next },
    lengths,
    subjects: Int32Array.from(readings, ({ speaker }) => speakers.indexOf(speaker)),
    steps,
    features: BINS,
  };
}
