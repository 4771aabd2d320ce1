/**
 * The configuration of a training run: a JSON file, checked before anything else happens.
 */
import { readFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { z } from 'zod';
import { LookbackError } from '../errors';
import type { LayerSpec } from '../layers';
import { resolveLayer } from '../layers';
import { parseOptions, show } from '../options';
import { reasonOf } from '../storage/reasons';
import { inputScalerSchema, scalerSchema } from '../preprocessing/scaler';
import type { CallbackSpec } from '../training/callbacks';
import { resolveCallback } from '../training/callbacks';
import type { GroupSpec } from '../training/groups';
import { resolveGroups } from '../training/groups';
import type { LossSpec } from '../training/losses';
import { resolveLoss } from '../training/losses';
import type { MetricSpec } from '../training/metrics';
import { resolveMetrics } from '../training/metrics';
import type { OptimizerSpec } from '../training/optimizers';
import { resolveOptimizer } from '../training/optimizers';
import { continuingSchema, validatingSchema } from '../training/fit';
import type { ScheduleSpec } from '../training/schedules';
import { resolveSchedule } from '../training/schedules';
import type { DataConfig } from './data-config';
import { dataNames, dataSchemas, defaultLoss } from './data-config';

const seed = z.int().min(0).max(Number.MAX_SAFE_INTEGER);

const validationSchema = z
  .strictObject({
    subjects: z.array(z.int()).min(1).optional(),
    split: z.number().gt(0).lt(1).optional(),
  })
  .refine(({ subjects, split }) => (subjects === undefined) !== (split === undefined), {
    message: 'names subjects or a split; expected exactly one of the two',
  });

/** The keys of a configuration; those that are described by kind are checked apart. */
export const configSchema = z.strictObject({
  $schema: z.string().optional(),
  seed: seed.default(0),
  epochs: z.int().min(1).default(10),
  batchSize: z.int().min(1).default(64),
  ...continuingSchema,
  ...validatingSchema,
  device: z.enum(['auto', 'cpu', 'cuda', 'emulated']).default('cpu'),
  threads: z.int().min(0).max(1024).default(0),
  dtype: z.enum(['float32', 'float64']).default('float32'),
  out: z.string().min(1).optional(),
  data: z.looseObject({ name: z.enum(dataNames) }),
  preprocessing: z
    .strictObject({
      input: inputScalerSchema.exactOptional(),
      target: scalerSchema.exactOptional(),
    })
    .optional(),
  model: z.strictObject({ layers: z.array(z.unknown()).min(1) }),
  optimizer: z.unknown().default('adam'),
  loss: z.unknown().optional(),
  metrics: z.array(z.unknown()).optional(),
  groups: z.array(z.unknown()).optional(),
  schedule: z.unknown().default('constant'),
  validation: validationSchema.optional(),
  calibrate: z.union([z.boolean(), z.int().min(1)]).default(false),
  callbacks: z.array(z.unknown()).default([]),
  checkpoint: z.strictObject({ everyUpdates: z.int().min(1) }).optional(),
});

type Parsed = z.output<typeof configSchema>;
type Resolved =
  'out' | 'data' | 'model' | 'optimizer' | 'groups' | 'loss' | 'metrics' | 'schedule' | 'callbacks';

/** A configuration with every option filled in. */
export type RunConfig = Omit<Parsed, '$schema' | Resolved> & {
  out: string;
  data: DataConfig;
  model: { layers: LayerSpec[] };
  optimizer: OptimizerSpec;
  /** Where any were given. */
  groups?: GroupSpec[];
  loss: LossSpec;
  metrics: MetricSpec[];
  schedule: ScheduleSpec;
  callbacks: CallbackSpec[];
};

/**
 * Reads and checks a configuration.
 *
 * @param sets `key=value` texts that override the file; keys are dotted paths
 * @throws {LookbackError} ERR_OPTION with the path of the wrong key, the value seen and what was expected
 */
export async function readConfig(path: string, sets: readonly string[]): Promise<RunConfig> {
  let json: unknown;
  try {
    json = parseJson(await readFile(path, 'utf8'));
  } catch (cause) {
    const reason = reasonOf(cause);
    const what =
      cause instanceof SyntaxError ? `is not JSON: ${reason}` : `could not be read: ${reason}`;
    throw new LookbackError('ERR_OPTION', `${path} ${what}`, { cause, details: { path } });
  }
  for (const set of sets) json = applySet(json, set);
  return checkConfig(json, path);
}

/** @throws {LookbackError} ERR_OPTION; `path` names the file in messages and gives the default of `out` */
export function checkConfig(json: unknown, path: string): RunConfig {
  const { $schema: _, out, groups, ...config } = parseOptions(configSchema, json, path);
  const data = parseOptions<DataConfig>(
    dataSchemas[config.data.name],
    config.data,
    `${path}: data`,
  );
  const loss = resolveLoss(config.loss ?? defaultLoss(data), `${path}: loss`);
  const metrics =
    config.metrics ?? (loss.kind === 'sparseCategoricalCrossentropy' ? ['accuracy'] : []);
  return {
    ...config,
    data,
    out: out ?? join('runs', runName(path)),
    model: {
      layers: config.model.layers.map((layer, index) =>
        resolveLayer(layer, `${path}: model.layers[${index}]`),
      ),
    },
    optimizer: resolveOptimizer(config.optimizer, `${path}: optimizer`),
    ...(groups ? { groups: resolveGroups(groups, `${path}: groups`) } : {}),
    loss,
    metrics: resolveMetrics(metrics, loss, `${path}: metrics`),
    schedule: resolveSchedule(config.schedule, `${path}: schedule`),
    callbacks: config.callbacks.map((spec, index) =>
      resolveCallback(spec, `${path}: callbacks[${index}]`),
    ),
  };
}

/** `examples/har/config.json` runs as `har`, `experiments/wide.json` as `wide`. */
function runName(path: string): string {
  const file = basename(path, '.json');
  return file === 'config' ? basename(dirname(resolve(path))) : file;
}

/** A copy of `json` with one value replaced; objects on the way are made, array places must exist. */
export function applySet(json: unknown, set: string): unknown {
  const at = set.indexOf('=');
  if (at < 1) {
    throw new LookbackError(
      'ERR_OPTION',
      `--set ${show(set)}; expected key=value, such as epochs=3 or model.layers[0].units=64`,
    );
  }
  const keys = set
    .slice(0, at)
    .replace(/\[(\d+)\]/g, '.$1')
    .split('.');
  if (keys.some((key) => key === '' || key === '__proto__')) {
    throw new LookbackError('ERR_OPTION', `--set ${show(set)}: the key is not a dotted path`);
  }
  return replaceAt(json, keys, parseValue(set.slice(at + 1)), set);
}

function replaceAt(json: unknown, keys: readonly string[], value: unknown, set: string): unknown {
  const [key, ...rest] = keys;
  if (key === undefined) return value;
  if (Array.isArray(json)) {
    const index = Number(key);
    if (!Number.isInteger(index) || index < 0 || index > json.length) {
      throw new LookbackError(
        'ERR_OPTION',
        `--set ${show(set)}: ${show(key)} is no place in an array of ${json.length}`,
      );
    }
    const copy = [...(json as unknown[])];
    copy[index] = replaceAt(copy[index], rest, value, set);
    return copy;
  }
  const object = typeof json === 'object' && json !== null ? json : {};
  const before = Object.hasOwn(object, key) ? (object as Record<string, unknown>)[key] : undefined;
  return { ...object, [key]: replaceAt(before, rest, value, set) };
}

/** The JSON of a file, which editors on Windows begin with a byte order mark. @throws {SyntaxError} */
export function parseJson(text: string): unknown {
  return JSON.parse(text.replace(/^\uFEFF/, '')) as unknown;
}

/** JSON where it is JSON, else the text itself, so that strings need no quotes. */
function parseValue(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}
