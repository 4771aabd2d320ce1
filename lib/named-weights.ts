/**
 * A model's tensors by name: as a user sees them, and as a user replaces them.
 */
import { LookbackError } from './errors';
import type { NamedTensors } from './model-options';
import type { EngineTensor } from './native';
import type { DType, FloatArray, TensorLike } from './tensor';
import { asTensor, requireFinite } from './tensor';

/** Tensors by name. */
export function named(tensors: readonly EngineTensor[]): NamedTensors {
  return Object.fromEntries(tensors.map(({ name, shape, data }) => [name, { shape, data }]));
}

/**
 * `tensors` with those that `weights` names in their place.
 *
 * @throws {LookbackError} ERR_OPTION for an unknown name, ERR_SHAPE, ERR_DATA for numbers that are not finite
 */
export function replaced(
  tensors: readonly EngineTensor[],
  weights: Record<string, TensorLike>,
  dtype: DType,
): EngineTensor[] {
  const current = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  for (const [name, value] of Object.entries(weights)) {
    const known = current.get(name);
    if (!known) {
      throw new LookbackError(
        'ERR_OPTION',
        `setWeights: there is no ${name}; the names are ${[...current.keys()].join(', ')}`,
      );
    }
    const wish = { name: `setWeights: ${name}`, dtype, shape: known.shape };
    const tensor = asTensor(value, wish);
    requireFinite(wish.name, tensor);
    current.set(name, { ...known, data: tensor.data as FloatArray });
  }
  return [...current.values()];
}
