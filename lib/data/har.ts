/**
 * The HAR windows that the repository carries in data/har; that folder's README says how they are stored and made.
 */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { LookbackError } from '../errors';
import { parseOptions } from '../options';
import { bundledDownload } from './download';
import { emptyHarSplit, HAR_CLASSES, HAR_SIGNALS, HAR_STEPS } from './har-layout';
import type { HarDataset, HarSplit } from './har-layout';
import { readBytes, readGzip } from './parsers/text-file';

const FORMAT = 'lookback-har';
const VERSION = 1;

const optionsSchema = z.strictObject({
  dir: z.string().min(1).optional(),
  download: bundledDownload().optional(),
});

/** har.json: what the two compressed files hold. */
interface Manifest {
  format: string;
  version: number;
  /** Length of every stream: all recordings' covered pieces, one behind the other. */
  samples: number;
  /** Signals as stored, in order; a value is its 16-bit integer times `resolution`. */
  streams: { name: string; resolution: number }[];
  /** How the nine features follow: a stream, or the difference of two of equal resolution. */
  channels: { name: string; stream: string; minus?: string }[];
  signals: string;
  windows: string;
}

/** Columns of the window table; `activity` is the publisher's 1..6, `start` counts samples of the recording `experiment`. */
interface WindowTable {
  subject: number[];
  activity: number[];
  experiment: number[];
  start: number[];
}

interface Segment {
  experiment: number;
  start: number;
  end: number;
  /** Where its first sample lies in every stream. */
  offset: number;
}

export interface HarOptions {
  /** Folder that holds `har.json`. Default: `data/har` of the repository this file belongs to. */
  dir?: string;
  /** Refused: the windows come with the repository. */
  download?: false;
}

/**
 * The UCI HAR windows that come with the repository: all 10 299, in the official order and split (7352 to train from
 * 21 subjects, 2947 to test from 9 others), laid out as by {@link uciHar}. Signals are stored in 16 bits: acceleration is within
 * 3.6e-5 g and angular velocity within 1.01e-4 rad/s of the published text. Not part of the npm package.
 *
 * Data: D. Anguita, A. Ghio, L. Oneto, X. Parra, J. L. Reyes-Ortiz; to be cited, as is, no commercial use: see
 * `data/har/README.md`.
 *
 * @throws {@link LookbackError} `ERR_DATA` where the folder is absent (as in the npm package) or damaged; `ERR_OPTION` for a
 * wrong option; `ERR_IO` when a file cannot be read.
 *
 * @example
 * ```ts
 * const { train, test, classNames } = datasets.har();
 * ```
 */
export function har(options: HarOptions = {}): HarDataset {
  const { dir = bundledFolder() } = parseOptions(optionsSchema, options, 'datasets.har');
  const manifest = readManifest(dir);
  return insist(dir, () => {
    const channels = readChannels(dir, manifest);
    const windows = readWindows(dir, manifest);
    const segments = segmentsOf([windows.train, windows.test]);
    const last = segments.at(-1);
    const covered = last ? last.offset + last.end - last.start : 0;
    if (covered !== manifest.samples) {
      throw damaged(
        dir,
        `its windows cover ${covered} samples; expected the ${manifest.samples} of the signals`,
      );
    }
    return {
      train: sliceWindows(windows.train, segments, channels),
      test: sliceWindows(windows.test, segments, channels),
      classNames: [...HAR_CLASSES],
      featureNames: [...HAR_SIGNALS],
    };
  });
}

/** data/har beside the nearest package.json: sources, build and a linked checkout all lie below it. */
function bundledFolder(): string {
  let root = __dirname;
  while (!existsSync(join(root, 'package.json')) && dirname(root) !== root) root = dirname(root);
  return join(root, 'data', 'har');
}

function readManifest(dir: string): Manifest {
  const path = join(dir, 'har.json');
  if (!existsSync(path)) {
    throw new LookbackError(
      'ERR_DATA',
      `no HAR data in ${dir}: the signals come with the Lookback repository, not with the npm package. ` +
        'Clone the repository and give its folder, datasets.har({ dir: "lookback/data/har" }), or download "Human Activity ' +
        'Recognition Using Smartphones" (UCI Machine Learning Repository, data set 240) and call datasets.uciHar({ dir })',
    );
  }
  const manifest = parseJson(path, readBytes(path)) as Manifest;
  if (manifest?.format !== FORMAT || manifest.version !== VERSION) {
    throw new LookbackError(
      'ERR_DATA',
      `${path} has format ${JSON.stringify(manifest?.format)} version ${String(manifest?.version)}; ` +
        `expected ${JSON.stringify(FORMAT)} version ${VERSION}. Use the data of this version of the repository`,
    );
  }
  return manifest;
}

/** A manifest that lacks a part, or a table that contradicts it, is damaged data, not a bug of the caller. */
function insist<T>(dir: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    if (cause instanceof LookbackError) throw cause;
    throw damaged(dir, (cause as Error).message, cause);
  }
}

function damaged(path: string, problem: string, cause?: unknown): LookbackError {
  return new LookbackError(
    'ERR_DATA',
    `${path} is damaged: ${problem}. Restore it, for example with git checkout`,
    cause === undefined ? {} : { cause },
  );
}

function parseJson(path: string, bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch (cause) {
    throw damaged(path, (cause as Error).message, cause);
  }
}

interface Channel {
  samples: Int32Array;
  resolution: number;
}

function readChannels(dir: string, { streams, channels, samples, signals }: Manifest): Channel[] {
  const path = join(dir, signals);
  const bytes = readGzip(path);
  const expected = 2 * samples * streams.length;
  if (bytes.length !== expected) {
    throw damaged(path, `${bytes.length} bytes unpacked; expected ${expected}`);
  }
  const decoded = new Map<string, Channel>();
  streams.forEach(({ name, resolution }, index) => {
    const planes = bytes.subarray(2 * samples * index, 2 * samples * (index + 1));
    decoded.set(name, { samples: decodeStream(planes, samples), resolution });
  });
  const stream = (name: string): Channel => {
    const found = decoded.get(name);
    if (found === undefined) throw damaged(dir, `no stream ${name}`);
    return found;
  };
  return HAR_SIGNALS.map((name) => {
    const channel = channels.find((candidate) => candidate.name === name);
    if (channel === undefined) throw damaged(dir, `no channel ${name}`);
    const whole = stream(channel.stream);
    if (channel.minus === undefined) return whole;
    const part = stream(channel.minus).samples;
    return { ...whole, samples: whole.samples.map((value, at) => value - (part[at] ?? 0)) };
  });
}

/**
 * Undoes the two steps that make the signals compress well: the high bytes of all samples lie before the low bytes, and a sample is
 * its second difference, 16 bits with wrap-around, folded so that small numbers of either sign are small.
 */
function decodeStream(planes: Uint8Array, samples: number): Int32Array {
  const values = new Int32Array(samples);
  let slope = 0;
  let value = 0;
  for (let at = 0; at < samples; ++at) {
    const folded = ((planes[at] ?? 0) << 8) | (planes[samples + at] ?? 0);
    slope += (folded >>> 1) ^ -(folded & 1);
    value = ((value + slope) << 16) >> 16;
    values[at] = value;
  }
  return values;
}

function readWindows(dir: string, manifest: Manifest): { train: WindowTable; test: WindowTable } {
  const path = join(dir, manifest.windows);
  const tables = parseJson(path, readGzip(path)) as { train: WindowTable; test: WindowTable };
  for (const part of ['train', 'test'] as const) {
    const { subject, activity, experiment, start } = tables[part];
    const whole = [subject, activity, experiment, start].every(
      (column) => column.length === start.length && column.every(Number.isInteger),
    );
    if (!whole) throw damaged(path, `the columns of ${part} are not whole numbers of equal count`);
    const wrong = activity.find((label) => label < 1 || label > HAR_CLASSES.length);
    if (wrong !== undefined) {
      throw damaged(path, `${part} has activity ${wrong}; expected 1 to ${HAR_CLASSES.length}`);
    }
  }
  return tables;
}

/** The stretches of each recording that some window covers, in the order of the streams: by recording, then by time. */
function segmentsOf(tables: readonly WindowTable[]): Segment[] {
  const covered = tables.flatMap(({ experiment, start }) =>
    start.map((from, row) => ({ experiment: experiment[row] ?? NaN, start: from })),
  );
  covered.sort((a, b) => a.experiment - b.experiment || a.start - b.start);
  const segments: Segment[] = [];
  let last: Segment | undefined;
  for (const { experiment, start } of covered) {
    if (last?.experiment === experiment && start <= last.end) {
      last.end = start + HAR_STEPS;
    } else {
      const offset: number = last ? last.offset + last.end - last.start : 0;
      last = { experiment, start, end: start + HAR_STEPS, offset };
      segments.push(last);
    }
  }
  return segments;
}

function sliceWindows(
  table: WindowTable,
  segments: readonly Segment[],
  channels: readonly Channel[],
): HarSplit {
  const split = emptyHarSplit(table.start.length);
  split.y.data.set(table.activity.map((activity) => activity - 1));
  split.subjects.set(table.subject);
  const starts = table.start.map((start, row) => offsetOf(segments, table.experiment[row], start));
  channels.forEach(({ samples, resolution }, feature) => {
    let to = feature;
    for (const from of starts) {
      for (let step = 0; step < HAR_STEPS; ++step, to += split.features) {
        split.x.data[to] = (samples[from + step] ?? NaN) * resolution;
      }
    }
  });
  return split;
}

/** The last segment that starts no later holds the window, since segments were made from the windows. */
function offsetOf(
  segments: readonly Segment[],
  experiment: number | undefined,
  start: number,
): number {
  let low = 0;
  let high = segments.length;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    const segment = segments[middle] as Segment;
    const after =
      segment.experiment === experiment
        ? segment.start > start
        : segment.experiment > (experiment ?? NaN);
    if (after) high = middle;
    else low = middle;
  }
  const segment = segments[low] as Segment;
  return segment.offset + start - segment.start;
}
