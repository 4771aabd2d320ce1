/**
 * A model as a safetensors file: parameters and running statistics by name, and in the metadata all it takes to build
 * the model again. No time, path or machine: the same training gives the same bytes.
 */
import { LookbackError } from '../errors';
import type { Compiled, ModelConfig } from '../model-options';
import type { EngineTensor } from '../native';
import { show } from '../options';
import { dtypeOf } from '../tensor';
import { readSafetensors, writeSafetensors } from './safetensors';

/** Version of what the metadata holds; another one is refused. */
const version = '1';

export interface ModelFile {
  config: ModelConfig;
  compiled: Compiled | null;
  tensors: readonly EngineTensor[];
  /** The caller's own texts. */
  metadata: Readonly<Record<string, string>>;
}

/** Keys of the metadata that are ours. */
const ours = ['lookback', 'model', 'compile'] as const;

/** @throws {LookbackError} ERR_IO, or ERR_OPTION for metadata under a key of ours */
export async function writeModelFile(path: string, file: ModelFile): Promise<void> {
  for (const key of ours) {
    if (key in file.metadata) {
      throw new LookbackError(
        'ERR_OPTION',
        `save: metadata key ${show(key)} is the library's own; choose another`,
      );
    }
  }
  const metadata: Record<string, string> = {
    lookback: version,
    model: JSON.stringify(file.config),
  };
  if (file.compiled) metadata['compile'] = JSON.stringify(file.compiled);
  await writeSafetensors(path, file.tensors, { ...metadata, ...file.metadata });
}

/** What a model file holds, its JSON parsed but not yet checked; whoever builds the model checks it. */
export interface LoadedFile {
  config: unknown;
  compiled: unknown;
  tensors: EngineTensor[];
  metadata: Record<string, string>;
}

/** @throws {LookbackError} ERR_IO or ERR_FORMAT */
export async function readModelFile(path: string): Promise<LoadedFile> {
  const { metadata, tensors } = await readSafetensors(path);
  const { lookback: found, model, compile, ...rest } = metadata;
  if (found !== version || model === undefined) {
    const message = `${path} is not a model of this library: metadata "lookback" is ${show(found)}; expected "${version}"`;
    throw new LookbackError('ERR_FORMAT', message, { details: { path } });
  }
  return {
    config: parseJson(path, 'model', model),
    compiled: compile === undefined ? null : parseJson(path, 'compile', compile),
    tensors: tensors.map((tensor) => {
      const { name, shape, data } = tensor;
      if (dtypeOf(data) === 'int32') {
        throw new LookbackError(
          'ERR_FORMAT',
          `${path}: tensor ${show(name)} holds integers; expected floats`,
        );
      }
      const role = name.split('.').includes('buf') ? 'buffer' : 'param';
      return { role, name, shape, data: data as Float32Array | Float64Array };
    }),
    metadata: rest,
  };
}

function parseJson(path: string, key: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new LookbackError('ERR_FORMAT', `${path}: metadata ${show(key)} is not JSON`, {
      cause,
      details: { path },
    });
  }
}
