/**
 * Free Spoken Digits: recordings of one digit each, as frames of log-mel energies.
 */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { LookbackError } from '../errors';
import { parseOptions } from '../options';
import type { Tensor } from '../tensor';
import type { Answers, Dataset, SubjectSplit } from './dataset';
import { closedDownload } from './download';
import { whereToGet } from './homes';
import { LogMel } from './parsers/spectrum';
import { readTar } from './parsers/tar';
import { readBytes } from './parsers/text-file';
import { readWav } from './parsers/wav';

const RATE = 8000;
/** 25 ms every 10 ms. */
const FRAMES = { length: 200, hop: 80 };
/** The publisher's rule: these recordings of every speaker and digit are the test part. */
const TEST_INDEX = 5;
const ARCHIVE = 'fsdd_recordings.tar.gz';
const NAME = /(?:^|\/)([0-9])_([a-z]+)_(\d+)\.wav$/;
/** The longest published recording has 36 kB. */
const LIMITS = { file: 2 ** 20, total: 2 ** 28 };

const optionsSchema = z.strictObject({
  dir: z.string().min(1),
  bands: z.int().min(1).max(128).default(40),
  steps: z.int().min(1).max(10_000).optional(),
  target: z.enum(['digit', 'nextFrame']).default('digit'),
  download: closedDownload('spokenDigits').optional(),
});

export interface SpokenDigitsOptions {
  /** The folder `recordings` or one that holds it or the archive, or the `tar.gz` itself. */
  dir: string;
  /** Mel bands of a frame. Default 40. */
  bands?: number;
  /** Steps that are kept of a recording. Default: as many as the longest has. */
  steps?: number;
  /** `'digit'`: `y` is the digit; `'nextFrame'`: at every step the frame behind it. Default `'digit'`. */
  target?: 'digit' | 'nextFrame';
  /** Refused, with the reason: no checksum of its archive is published. */
  download?: false;
}

/** Recordings with their lengths and speakers; `Y` is Float32Array for frames. */
export interface SpokenDigitsSplit<Y extends Answers = Int32Array> extends SubjectSplit<Y> {
  lengths: Int32Array;
}

interface Recordings<Y extends Answers> extends Dataset<SpokenDigitsSplit<Y>> {
  featureNames: string[];
  /** Name of each speaker; `subjects` are places in it. */
  speakers: string[];
}

/** Recordings of digits. */
export interface SpokenDigitsDataset extends Recordings<Int32Array> {
  classNames: string[];
}

/** The same with frames to foretell. */
export interface SpokenFramesDataset extends Recordings<Float32Array> {
  targetNames: string[];
}

interface Recording {
  digit: number;
  speaker: string;
  index: number;
  /** `[frames, bands]`. */
  frames: Float32Array;
}

/**
 * Reads 3000 recordings of ten digits by six speakers at 8 kHz: 2700 to train from and 300, the first five of every
 * speaker and digit, to test with. `x` is `[n, steps, bands]`: natural logarithms of the energy in mel bands from 0 to
 * 4 kHz, of frames of 25 ms every 10 ms, 0 behind the end, with `lengths`. `y` is the digit, `[n]`, or the next frame,
 * `[n, steps, bands]` (a recording then has a step fewer than frames). Rows are in the order of digit, speaker and
 * index. Blocks while it reads: some seconds.
 *
 * Data: Z. Jackson et al., "Free Spoken Digit Dataset", CC BY-SA 4.0.
 *
 * @throws {@link LookbackError} `ERR_OPTION` for a wrong option; `ERR_DATA` when there are no recordings or one is
 * damaged, with its path and offset; `ERR_IO` when it cannot be read.
 *
 * @example
 * ```ts
 * const { train, test, speakers } = datasets.spokenDigits({ dir: 'downloads/fsdd_recordings.tar.gz' });
 * ```
 */
export function spokenDigits(
  options: SpokenDigitsOptions & { target: 'nextFrame' },
): SpokenFramesDataset;
export function spokenDigits(
  options: SpokenDigitsOptions & { target?: 'digit' },
): SpokenDigitsDataset;
export function spokenDigits(
  options: SpokenDigitsOptions,
): SpokenDigitsDataset | SpokenFramesDataset;
export function spokenDigits(
  options: SpokenDigitsOptions,
): SpokenDigitsDataset | SpokenFramesDataset {
  const given = parseOptions(optionsSchema, options, 'datasets.spokenDigits');
  const { bands, target } = given;
  const ahead = target === 'nextFrame' ? 1 : 0;
  const read = readRecordings(given, ahead);
  const speakers = [...new Set(read.map(({ speaker }) => speaker))].sort();
  const recordings = inOrder(read, speakers);
  const longest = recordings.reduce((size, { frames }) => Math.max(size, frames.length / bands), 0);
  const shape = { steps: given.steps ?? longest - ahead, bands, ahead };
  const train = recordings.filter(({ index }) => index >= TEST_INDEX);
  const test = recordings.filter(({ index }) => index < TEST_INDEX);
  requireBoth(given.dir, { train, test });
  const names = Array.from({ length: bands }, (_, band) => `mel ${band}`);
  const parts = <Y extends Answers>(answers: (own: readonly Recording[]) => Tensor<Y>) => ({
    train: { ...splitOf(train, speakers, shape), y: answers(train) },
    test: { ...splitOf(test, speakers, shape), y: answers(test) },
    featureNames: names,
    speakers,
  });
  if (target === 'nextFrame')
    return { ...parts((own) => framesOf(own, shape, ahead)), targetNames: [...names] };
  const classNames = Array.from({ length: 10 }, (_, digit) => String(digit));
  return { ...parts(digitsOf), classNames };
}

/** @throws {LookbackError} ERR_DATA where one has not a single frame with another one `ahead` of it */
function readRecordings(
  { dir, bands, steps = Infinity }: z.output<typeof optionsSchema>,
  ahead: number,
): Recording[] {
  const mel = new LogMel(RATE, FRAMES, bands);
  const recordings: Recording[] = [];
  eachRecording(dir, (path, name, bytes) => {
    const [, digit, speaker = '', index] = NAME.exec(name) ?? [];
    const { rate, samples } = readWav(path, bytes);
    const frames = mel.of(samples, steps + ahead);
    if (rate !== RATE || frames.length <= ahead * bands) {
      const least = FRAMES.length + ahead * FRAMES.hop;
      const message = `${path} has ${samples.length} samples at ${rate} Hz; expected at least ${least} at ${RATE} Hz`;
      throw new LookbackError('ERR_DATA', message, { details: { path } });
    }
    recordings.push({ digit: Number(digit), speaker, index: Number(index), frames });
  });
  return recordings;
}

/** By digit, speaker and index. */
function inOrder(recordings: readonly Recording[], speakers: readonly string[]): Recording[] {
  const rank = ({ digit, speaker }: Recording): number =>
    digit * speakers.length + speakers.indexOf(speaker);
  return [...recordings].sort((a, b) => rank(a) - rank(b) || a.index - b.index);
}

function requireBoth(dir: string, parts: Record<string, readonly Recording[]>): void {
  for (const [name, own] of Object.entries(parts)) {
    if (own.length > 0) continue;
    const message = `${dir} has no recordings for the ${name} part; expected <digit>_<speaker>_<index>.wav, index 0 to 4 to test and 5 on to train`;
    throw new LookbackError('ERR_DATA', message, { details: { path: dir } });
  }
}

/** Of `x`, whose steps end `ahead` frames before the recording. */
interface Shape {
  steps: number;
  bands: number;
  ahead: number;
}

function splitOf(
  recordings: readonly Recording[],
  speakers: readonly string[],
  shape: Shape,
): Omit<SpokenDigitsSplit, 'y'> {
  const { steps, bands } = shape;
  return {
    x: framesOf(recordings, shape, 0),
    lengths: Int32Array.from(recordings, (recording) => lengthOf(recording, shape)),
    subjects: Int32Array.from(recordings, ({ speaker }) => speakers.indexOf(speaker)),
    steps,
    features: bands,
  };
}

function lengthOf({ frames }: Recording, { bands, ahead }: Shape): number {
  return frames.length / bands - ahead;
}

/** `[n, steps, bands]`: of every recording as many frames as it has steps, from frame `first` on, 0 behind them. */
function framesOf(
  recordings: readonly Recording[],
  shape: Shape,
  first: number,
): Tensor<Float32Array> {
  const { steps, bands } = shape;
  const data = new Float32Array(recordings.length * steps * bands);
  recordings.forEach((recording, row) => {
    const end = first + lengthOf(recording, shape);
    data.set(recording.frames.subarray(first * bands, end * bands), row * steps * bands);
  });
  return { shape: [recordings.length, steps, bands], data };
}

function digitsOf(recordings: readonly Recording[]): Tensor<Int32Array> {
  return {
    shape: [recordings.length],
    data: Int32Array.from(recordings, ({ digit }) => digit),
  };
}

function eachRecording(
  dir: string,
  onFile: (path: string, name: string, bytes: Uint8Array) => void,
): void {
  const archive = [dir, join(dir, ARCHIVE)].find(
    (path) => existsSync(path) && !statSync(path).isDirectory(),
  );
  if (archive !== undefined) {
    const wanted = (name: string): boolean => NAME.test(name);
    readTar(archive, wanted, LIMITS, (name, bytes) => onFile(`${archive}, ${name}`, name, bytes));
    return;
  }
  const folder = [join(dir, 'recordings'), dir].find((path) => existsSync(path));
  if (folder === undefined) {
    const message = `no recordings in ${dir}; expected the folder recordings or ${ARCHIVE}; ${whereToGet('spokenDigits')}`;
    throw new LookbackError('ERR_DATA', message, { details: { path: dir } });
  }
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    if (NAME.test(name)) onFile(path, name, readBytes(path));
  }
}
