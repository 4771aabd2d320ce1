import { z } from 'zod';
import type { Device } from './devices';
import { resolveDevice } from './devices';
import { LookbackError } from './errors';
import type { CompileOptions, ModelConfig } from './model-options';
import { Model } from './model';
import { parseOptions, requirePath } from './options';
import type { PreprocessingOptions } from './preprocessing/preprocessing';
import { Preprocessing } from './preprocessing/preprocessing';
import type { LoadedFile } from './storage/model-file';
import { readModelFile } from './storage/model-file';

/** Options of {@link loadModel}. */
export interface LoadModelOptions {
  /** Default `'cpu'`. */
  device?: Device;
  /** Threads of a job. 0: what the CPU quota allows. Default 0. */
  threads?: number;
}

const schema = z.strictObject({
  device: z.unknown().optional(),
  threads: z.int().min(0).max(1024).default(0),
});

/**
 * The model that `model.save` wrote, compiled if it was.
 *
 * @throws {LookbackError} ERR_IO when the file cannot be read, ERR_FORMAT when it is not a sound model file, also where
 * its description and its tensors disagree; ERR_MEMORY for sizes that do not fit this machine
 */
export async function loadModel(path: string, options: LoadModelOptions = {}): Promise<Model> {
  const from = requirePath(path, 'loadModel');
  const { device, threads } = parseOptions(schema, options, 'loadModel');
  const here = { device: resolveDevice(device), threads };
  const file = await readModelFile(from);
  let model: Model | null = null;
  try {
    model = new Model({ ...(file.config as ModelConfig), ...here, ...preprocessingOf(file) });
    const found = new Map(file.tensors.map((tensor) => [tensor.name, tensor]));
    const wanted = model.snapshot();
    const missing = wanted.find(({ name }) => !found.has(name));
    if (missing) throw new LookbackError('ERR_FORMAT', `tensor "${missing.name}" is missing`);
    for (const { name, role } of wanted) {
      const tensor = found.get(name);
      if (tensor) tensor.role = role;
    }
    model.restore(file.tensors);
    if (file.compiled !== null) model.compile(file.compiled as CompileOptions);
    return model;
  } catch (error) {
    model?.dispose();
    throw asFormatError(path, error);
  }
}

function preprocessingOf(file: LoadedFile): { preprocessing?: Preprocessing } {
  if (file.preprocessing === null) return {};
  const { options, fitted } = file.preprocessing;
  const preprocessing = new Preprocessing(options as PreprocessingOptions);
  preprocessing.restore(fitted);
  return { preprocessing };
}

/** A wrong option inside a file is the file's fault, not the caller's. */
function asFormatError(path: string, error: unknown): unknown {
  if (!(error instanceof LookbackError)) return error;
  if (error.code !== 'ERR_OPTION' && error.code !== 'ERR_SHAPE' && error.code !== 'ERR_FORMAT')
    return error;
  const message = `${path} is not a sound model file: ${error.message}`;
  return new LookbackError('ERR_FORMAT', message, { cause: error, details: { path } });
}
