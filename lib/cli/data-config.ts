/**
 * The data sets that a configuration can name, with the options of their loaders.
 */
import { z } from 'zod';
import type { Dataset } from '../data';
import { datasets } from '../data';
import { bundledDownload, closedDownload } from '../data/download';

const dir = z.string().min(1);
const count = z.int().min(1).exactOptional();
const download = z.boolean().exactOptional();
const seed = z.int().min(0).max(0xffffffff).exactOptional();

export const dataSchemas = {
  har: z.strictObject({
    name: z.literal('har'),
    dir: dir.exactOptional(),
    download: bundledDownload().exactOptional(),
  }),
  uciHar: z.strictObject({
    name: z.literal('uciHar'),
    dir,
    download: closedDownload('uciHar').exactOptional(),
  }),
  adding: z.strictObject({
    name: z.literal('adding'),
    steps: z.int().min(2),
    train: count,
    test: count,
    seed,
  }),
  copying: z.strictObject({
    name: z.literal('copying'),
    delay: z.int().min(1),
    train: count,
    test: count,
    marker: z.enum(['before', 'on']).exactOptional(),
    seed,
  }),
  mnist: z.strictObject({
    name: z.literal('mnist'),
    dir,
    order: z.enum(['sequential', 'permuted', 'rows']).exactOptional(),
    validation: z.int().min(0).exactOptional(),
    download,
  }),
  ptb: z.strictObject({
    name: z.literal('ptb'),
    dir,
    unit: z.enum(['words', 'characters']).exactOptional(),
    steps: count,
    download: closedDownload('ptb').exactOptional(),
  }),
  imdb: z.strictObject({
    name: z.literal('imdb'),
    dir,
    steps: count,
    vocabulary: count,
    keep: z.enum(['start', 'end']).exactOptional(),
    download,
  }),
  jsbChorales: z.strictObject({ name: z.literal('jsbChorales'), dir, download }),
  ett: z.looseObject({ name: z.literal('ett'), dir }),
  timit: z.looseObject({
    name: z.literal('timit'),
    dir,
    download: closedDownload('timit').exactOptional(),
  }),
  spokenDigits: z.strictObject({
    name: z.literal('spokenDigits'),
    dir,
    bands: count,
    steps: count,
    target: z.enum(['digit', 'nextFrame']).exactOptional(),
    download: closedDownload('spokenDigits').exactOptional(),
  }),
};

/** Which data set, and where from; what a loose schema leaves open, the loader checks. */
export type DataConfig = z.output<(typeof dataSchemas)[keyof typeof dataSchemas]>;

export const dataNames = Object.keys(dataSchemas) as [DataConfig['name']];

/** The loss of a data set where the configuration names none. */
export function defaultLoss({ name, ...options }: DataConfig): string {
  if (name === 'jsbChorales') return 'binaryCrossentropy';
  const ofNumbers: readonly DataConfig['name'][] = ['adding', 'ett', 'timit'];
  const target = 'target' in options ? options.target : undefined;
  const told = target === undefined ? ofNumbers.includes(name) : target === 'nextFrame';
  return told ? 'meanSquaredError' : 'sparseCategoricalCrossentropy';
}

/** @throws {LookbackError} ERR_IO, ERR_DATA, ERR_OPTION */
export function loadDataset(data: DataConfig): Dataset | Promise<Dataset> {
  const { name, ...options } = data;
  const load = datasets[name] as (options: unknown) => Dataset | Promise<Dataset>;
  return load(options);
}
