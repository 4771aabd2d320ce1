/**
 * A model as a safetensors file: parameters and running statistics by name, and in the metadata all it takes to build
 * the model again. No time, path or machine: the same training gives the same bytes.
 */
import { LookbackError } from '../errors';
import type { Compiled, ModelConfig } from '../model-options';
import type { EngineTensor } from '../native';
import { show } from '../options';
import { dtypeOf } from '../tensor';
import type { Fitted, Preprocessing } from '../preprocessing/preprocessing';
import type { StoredTensor } from './safetensors';
import { readSafetensors, writeSafetensors } from './safetensors';

/** Version of what the metadata holds; another one is refused. */
const version = '1';

export interface ModelFile {
  config: ModelConfig;
  compiled: Compiled | null;
  tensors: readonly EngineTensor[];
  preprocessing: Preprocessing | null;
  /** The caller's own texts. */
  metadata: Readonly<Record<string, string>>;
}

/** Keys of the metadata that are ours. */
const ours = ['lookback', 'model', 'compile', 'preprocessing'] as const;

/** Scales stand beside the weights under names that no layer can have: `preprocessing/input.offset`. */
const prefix = 'preprocessing/';
const sides = ['input', 'target'] as const;
const parts = ['offset', 'scale'] as const;

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
  if (file.preprocessing) metadata['preprocessing'] = JSON.stringify(file.preprocessing.options);
  const tensors = [...file.tensors, ...scalesOf(file.preprocessing)];
  await writeSafetensors(path, tensors, { ...metadata, ...file.metadata });
}

function scalesOf(preprocessing: Preprocessing | null): StoredTensor[] {
  const fitted = preprocessing?.fitted;
  return sides.flatMap((side) => {
    const scale = fitted?.[side];
    if (!scale) return [];
    return parts.map((part) => {
      const data = scale[part];
      return { name: `${prefix}${side}.${part}`, shape: [data.length], data };
    });
  });
}

/** What a model file holds, its JSON parsed but not yet checked; whoever builds the model checks it. */
export interface LoadedFile {
  config: unknown;
  compiled: unknown;
  tensors: EngineTensor[];
  /** Null where the model has none. */
  preprocessing: { options: unknown; fitted: Fitted } | null;
  metadata: Record<string, string>;
}

/** @throws {LookbackError} ERR_IO or ERR_FORMAT */
export async function readModelFile(path: string): Promise<LoadedFile> {
  const { metadata, tensors } = await readSafetensors(path);
  const { lookback: found, model, compile, preprocessing, ...rest } = metadata;
  const isScale = ({ name }: StoredTensor): boolean => name.startsWith(prefix);
  if (found !== version || model === undefined) {
    const message = `${path} is not a model of this library: metadata "lookback" is ${show(found)}; expected "${version}"`;
    throw new LookbackError('ERR_FORMAT', message, { details: { path } });
  }
  return {
    config: parseJson(path, 'model', model),
    compiled: compile === undefined ? null : parseJson(path, 'compile', compile),
    preprocessing:
      preprocessing === undefined
        ? null
        : {
            options: parseJson(path, 'preprocessing', preprocessing),
            fitted: fittedOf(path, tensors.filter(isScale)),
          },
    tensors: tensors
      .filter((tensor) => !isScale(tensor))
      .map((tensor) => {
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

/** @throws {LookbackError} ERR_FORMAT for other tensors than pairs of float64 lines */
function fittedOf(path: string, tensors: readonly StoredTensor[]): Fitted {
  const lines = new Map(tensors.map(({ name, data }) => [name.slice(prefix.length), data]));
  const fitted: Fitted = { input: null, target: null };
  for (const side of sides) {
    const [offset, scale] = parts.map((part) => lines.get(`${side}.${part}`));
    if (offset === undefined && scale === undefined) continue;
    if (dtypeOf(offset) !== 'float64' || dtypeOf(scale) !== 'float64') {
      const message = `${path}: the tensors ${prefix}${side}.* are not an offset and a scale in float64`;
      throw new LookbackError('ERR_FORMAT', message, { details: { path } });
    }
    fitted[side] = { offset: offset as Float64Array, scale: scale as Float64Array };
  }
  return fitted;
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
