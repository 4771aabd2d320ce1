/**
 * Bach's chorales in quarter notes, as lists of MIDI pitches.
 */
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { LookbackError } from '../errors';
import { parseOptions, show } from '../options';
import type { Dataset, Split } from './dataset';
import type { DownloadOptions } from './download';
import { afterDownload, downloadSchema } from './download';
import { whereToGet } from './homes';
import { readTextFile, utf8Of } from './parsers/text-file';

const FILE = 'jsb-chorales-quarter.json';
/** A piano's keys: MIDI 21 (A0) to 108 (C8). */
const LOWEST = 21;
const KEYS = 88;
const MAX_STEPS = 100_000;
/** 1 GiB; the published chorales take 4 million. */
const MAX_NUMBERS = 2 ** 28;

const optionsSchema = z.strictObject({ dir: z.string().min(1), download: downloadSchema });

export interface JsbChoralesOptions {
  /** `jsb-chorales-quarter.json`, or the folder that holds it. */
  dir: string;
  /**
   * Fetches the files that `dir` lacks from the data set's home and gives a promise; checked, resumed, and off by
   * default.
   */
  download?: boolean | DownloadOptions;
}

/** Chorales with their lengths. */
export interface ChoraleSplit extends Split<Float32Array> {
  lengths: Int32Array;
}

/** Chorales for predicting the next chord. */
export interface JsbChoralesDataset extends Dataset<ChoraleSplit> {
  validation: ChoraleSplit;
  featureNames: string[];
  targetNames: string[];
}

/**
 * Reads 229 chorales to train from, 76 to validate and 77 to test with, for predicting the next chord: `x` is
 * `[n, steps, 88]`, 1 for every key of the piano that sounds and else 0, `y` the same one step later, and `lengths` the
 * steps that have an answer (one less than the chorale has). `steps` is that of the longest chorale of all parts.
 *
 * @throws {@link LookbackError} `ERR_OPTION` for a wrong option; `ERR_DATA` when the file is missing or not such JSON,
 * with the place of what is wrong; `ERR_IO` when it cannot be read.
 * With `download`, it rejects with `ERR_IO` where there is no network, the connection breaks or a server refuses, and with
 * `ERR_DATA` for bytes that are not the published ones.
 *
 * @example
 * ```ts
 * const { train, validation } = datasets.jsbChorales({ dir: 'downloads/jsb_chorales' });
 * ```
 */
export function jsbChorales(
  options: JsbChoralesOptions & { download: true | DownloadOptions },
): Promise<JsbChoralesDataset>;
export function jsbChorales(options: JsbChoralesOptions & { download?: false }): JsbChoralesDataset;
export function jsbChorales(
  options: JsbChoralesOptions,
): JsbChoralesDataset | Promise<JsbChoralesDataset> {
  const { dir, download } = parseOptions(optionsSchema, options, 'datasets.jsbChorales');
  const named = existsSync(dir) && !statSync(dir).isDirectory();
  const wanted = named ? [] : undefined;
  return afterDownload('jsbChorales', dir, download, () => read(dir, named), wanted);
}

function read(dir: string, named: boolean): JsbChoralesDataset {
  const file = readTextFile(
    named ? dir : join(dir, FILE),
    `the chorales in quarter notes; ${whereToGet('jsbChorales')}`,
  );
  const wrong = (problem: string, cause?: unknown): LookbackError =>
    new LookbackError('ERR_DATA', `${file.path}: ${problem}; get the file again`, {
      cause,
      details: { path: file.path },
    });
  let json: unknown;
  try {
    json = JSON.parse(utf8Of(file));
  } catch (cause) {
    if (cause instanceof LookbackError) throw cause;
    throw wrong(`it is not JSON: ${(cause as Error).message}`, cause);
  }
  const parts = (['train', 'valid', 'test'] as const).map((part) => {
    const chorales: unknown =
      typeof json === 'object' && json !== null ? (json as Record<string, unknown>)[part] : null;
    if (!Array.isArray(chorales) || chorales.length === 0) {
      throw wrong(`${part} is ${show(chorales)}; expected a list of chorales`);
    }
    return chorales.map((chorale, at) => checkChorale(chorale, `${part}[${at}]`, wrong));
  });
  const all = parts.flat();
  const steps = all.reduce((most, chorale) => Math.max(most, chorale.length - 1), 0);
  if (all.length * steps * KEYS > MAX_NUMBERS) {
    throw wrong(
      `${all.length} chorales of up to ${steps} steps are more than ${MAX_NUMBERS} numbers`,
    );
  }
  const [train, validation, test] = parts.map((chorales) => rolls(chorales, steps)) as [
    ChoraleSplit,
    ChoraleSplit,
    ChoraleSplit,
  ];
  const names = Array.from({ length: KEYS }, (_, key) => `midi ${LOWEST + key}`);
  return { train, validation, test, featureNames: names, targetNames: [...names] };
}

function checkChorale(
  chorale: unknown,
  where: string,
  wrong: (problem: string) => LookbackError,
): number[][] {
  if (!Array.isArray(chorale) || chorale.length < 2 || chorale.length > MAX_STEPS) {
    throw wrong(`${where} is ${show(chorale)}; expected 2 to ${MAX_STEPS} chords`);
  }
  chorale.forEach((chord: unknown, step) => {
    const sound =
      Array.isArray(chord) &&
      chord.every((pitch) => Number.isInteger(pitch) && pitch >= LOWEST && pitch < LOWEST + KEYS);
    if (!sound) {
      throw wrong(
        `${where}[${step}] is ${show(chord)}; expected MIDI pitches from ${LOWEST} to ${LOWEST + KEYS - 1}`,
      );
    }
  });
  return chorale as number[][];
}

function rolls(chorales: readonly number[][][], steps: number): ChoraleSplit {
  const n = chorales.length;
  const x = new Float32Array(n * steps * KEYS);
  const y = new Float32Array(n * steps * KEYS);
  chorales.forEach((chorale, row) => {
    chorale.forEach((chord, step) => {
      for (const pitch of chord) {
        const at = (row * steps + step) * KEYS + pitch - LOWEST;
        if (step + 1 < chorale.length) x[at] = 1;
        if (step > 0) y[at - KEYS] = 1;
      }
    });
  });
  return {
    x: { shape: [n, steps, KEYS], data: x },
    y: { shape: [n, steps, KEYS], data: y },
    lengths: Int32Array.from(chorales, (chorale) => chorale.length - 1),
    steps,
    features: KEYS,
  };
}
