/**
 * What callbacks give a checkpoint to keep, checked before it is written: what it does not hold as it is would be missed
 * only by the run that is resumed from it.
 */
import { LookbackError } from '../../errors';
import { show } from '../../options';
import type { FloatArray, Tensor } from '../../tensor';
import { asTensor, dtypeOf } from '../../tensor';

type Entries = Readonly<Record<string, unknown>>;

/** A state in the form of a checkpoint. */
export interface CheckedState {
  values: unknown;
  tensors: ({ name: string } & Tensor<FloatArray>)[];
}

/**
 * @param state what `getState` gave; nothing where a callback has none
 * @param where whose it is, for messages
 * @throws {LookbackError} ERR_OPTION for values that JSON cannot hold, ERR_SHAPE for tensors that are none
 */
export function checkedState(state: unknown, where: string): CheckedState {
  if (state === undefined || state === null) return { values: null, tensors: [] };
  if (typeof state !== 'object') {
    const message = `${where} gave ${show(state)}; expected an object with values, tensors, or both`;
    throw new LookbackError('ERR_OPTION', message);
  }
  const { values = null, tensors } = state as { values?: unknown; tensors?: Entries | null };
  requireStorable(values, `${where}: values`, new Set());
  return {
    values,
    tensors: Object.entries(tensors ?? {}).map(([name, tensor]) => ({
      name,
      ...checkedTensor(tensor, `${where}: tensors.${name}`),
    })),
  };
}

/** @param around the objects and arrays that `value` is in */
function requireStorable(value: unknown, name: string, around: ReadonlySet<unknown>): void {
  const refuse = (seen: string): never => {
    const message = `${name} is ${seen}; a checkpoint holds null, booleans, texts, numbers, and arrays and plain objects of these: make it one of them, or leave it out`;
    throw new LookbackError('ERR_OPTION', message);
  };
  if (value === null || ['boolean', 'string', 'number'].includes(typeof value)) return;
  if (typeof value !== 'object') return refuse(show(value));
  if (around.has(value)) return refuse('an object that it is in itself');
  const within = new Set(around).add(value);
  if (Array.isArray(value)) {
    // By index: `forEach` and its like pass over the holes of an array.
    for (let at = 0; at < value.length; at += 1)
      requireStorable(value[at], `${name}[${at}]`, within);
    return;
  }
  if (!isPlain(value)) return refuse(`an instance of ${nameOfClass(value)}`);
  for (const [key, entry] of Object.entries(value as Entries)) {
    // Left out, and not there when the state comes back: the same to whoever reads it.
    if (entry !== undefined) requireStorable(entry, `${name}.${key}`, within);
  }
}

/** Whether an object has no class, in whichever realm it was made. */
function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

function nameOfClass(value: object): string {
  const made: unknown = value.constructor;
  return typeof made === 'function' ? made.name : 'a class';
}

function checkedTensor(tensor: unknown, name: string): Tensor<FloatArray> {
  const { shape, data } = (typeof tensor === 'object' && tensor !== null ? tensor : {}) as {
    shape?: unknown;
    data?: unknown;
  };
  const dtype = dtypeOf(data);
  if ((dtype !== 'float32' && dtype !== 'float64') || !Array.isArray(shape)) {
    const seen = Array.isArray(shape) ? `a tensor with ${show(data)} as data` : show(tensor);
    const message = `${name} is ${seen}; expected { shape, data } with the numbers in a Float32Array or Float64Array`;
    throw new LookbackError('ERR_SHAPE', message);
  }
  const wish = { name, dtype, shape: shape.map(() => null) };
  return asTensor(tensor, wish) as Tensor<FloatArray>;
}
