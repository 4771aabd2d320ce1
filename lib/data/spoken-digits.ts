/**
 * Free Spoken Digits: recordings of one digit each, as frames of log-mel energies.
 */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { LookbackError } from '../errors';
import { parseOptions } from '../options';
import type { Dataset, SubjectSplit } from './dataset';
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
  download: closedDownload('spokenDigits').optional(),
});

export interface SpokenDigitsOptions {
  /** The folder `recordings` or one that holds it or the archive, or the `tar.gz` itself. */
  dir: string;
  /** Mel bands of a frame. Default 40. */
  bands?: number;
  /** Frames that are kept of a recording. Default: as many as the longest has. */
  steps?: number;
  /** Refused, with the reason: no checksum of its archive is published. */
  download?: false;
}

/** Recordings with their lengths and speakers. */
export interface SpokenDigitsSplit extends SubjectSplit<Int32Array> {
  lengths: Int32Array;
}

/** Recordings of digits. */
export interface SpokenDigitsDataset extends Dataset<SpokenDigitsSplit> {
  classNames: string[];
  featureNames: string[];
  /** Name of each speaker; `subjects` are places in it. */
  speakers: string[];
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
 * 4 kHz, of frames of 25 ms every 10 ms, 0 behind the end, with `lengths`; `y` is the digit. Rows are in the order of
 * digit, speaker and index. Blocks while it reads: some seconds.
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
export function spokenDigits(options: SpokenDigitsOptions): SpokenDigitsDataset {
  const { dir, bands, steps: most } = parseOptions(optionsSchema, options, 'datasets.spokenDigits');
  const mel = new LogMel(RATE, FRAMES, bands);
  const recordings: Recording[] = [];
  eachRecording(dir, (path, name, bytes) => {
    const [, digit, speaker = '', index] = NAME.exec(name) ?? [];
    const { rate, samples } = readWav(path, bytes);
    const frames = mel.of(samples, most);
    if (rate !== RATE || frames.length === 0) {
      const message = `${path} has ${samples.length} samples at ${rate} Hz; expected at least ${FRAMES.length} at ${RATE} Hz`;
      throw new LookbackError('ERR_DATA', message, { details: { path } });
    }
    recordings.push({ digit: Number(digit), speaker, index: Number(index), frames });
  });
  const speakers = [...new Set(recordings.map(({ speaker }) => speaker))].sort();
  const rank = ({ digit, speaker }: Recording): number =>
    digit * speakers.length + speakers.indexOf(speaker);
  recordings.sort((a, b) => rank(a) - rank(b) || a.index - b.index);
  const longest = recordings.reduce((size, { frames }) => Math.max(size, frames.length / bands), 0);
  const part = (wanted: (index: number) => boolean): SpokenDigitsSplit => {
    const own = recordings.filter(({ index }) => wanted(index));
    return splitOf(own, speakers, most ?? longest, bands);
  };
  const parts = {
    train: part((index) => index >= TEST_INDEX),
    test: part((index) => index < TEST_INDEX),
  };
  for (const [name, { lengths }] of Object.entries(parts)) {
    if (lengths.length > 0) continue;
    const message = `${dir} has no recordings for the ${name} part; expected <digit>_<speaker>_<index>.wav, index 0 to 4 to test and 5 on to train`;
    throw new LookbackError('ERR_DATA', message, { details: { path: dir } });
  }
  return {
    ...parts,
    classNames: Array.from({ length: 10 }, (_, digit) => String(digit)),
    featureNames: Array.from({ length: bands }, (_, band) => `mel ${band}`),
    speakers,
  };
}

function splitOf(
  recordings: readonly Recording[],
  speakers: readonly string[],
  steps: number,
  features: number,
): SpokenDigitsSplit {
  const n = recordings.length;
  const data = new Float32Array(n * steps * features);
  recordings.forEach(({ frames }, row) => data.set(frames, row * steps * features));
  return {
    x: { shape: [n, steps, features], data },
    y: { shape: [n], data: Int32Array.from(recordings, ({ digit }) => digit) },
    lengths: Int32Array.from(recordings, ({ frames }) => frames.length / features),
    subjects: Int32Array.from(recordings, ({ speaker }) => speakers.indexOf(speaker)),
    steps,
    features,
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
