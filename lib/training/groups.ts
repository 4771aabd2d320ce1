/**
 * Weights that learn in a way of their own: groups by name, as `compile` takes them and as cells suggest them.
 */
import { z } from 'zod';
import { LookbackError } from '../errors';
import type { NativeSpec } from '../native';
import { parseOptions } from '../options';
import type { OptimizerLike, OptimizerSpec } from './optimizers';
import { resolveOptimizer } from './optimizers';

/** Weights by name, and what differs for them from the model's optimizer. */
export interface GroupOptions {
  /**
   * The name of a weight in its layer (`'A'`: in every layer that has one) or in the model (`'scornn.A'`); `*` stands
   * for any characters (`'lstm.*'`). A weight belongs to the first group that matches it.
   */
  match: string;
  /** Default: the model's, with the numbers below in place of its own. */
  optimizer?: OptimizerLike;
  /** Step size before the schedule's factor. Above 0. Default: the optimizer's. */
  learningRate?: number;
  /** Share of each weight taken off per unit of learning rate, apart from the gradient. Default: the optimizer's. */
  weightDecay?: number;
  /** False: the weights stay as they are. Default true. */
  trainable?: boolean;
}

/** A group, checked; what a model file holds. */
export type GroupSpec = Omit<GroupOptions, 'optimizer'> & { optimizer?: OptimizerSpec };

/** A group as the engine takes it: the names of its parameters and their optimizer. */
export interface ParamGroup {
  params: string[];
  optimizer: NativeSpec;
  trainable: boolean;
}

/** What a cell suggests for one of its weights, with the name of the layer it is in. */
export interface SuggestedGroup {
  layer: string;
  match: string;
  optimizer: NativeSpec;
}

const schema = z.strictObject({
  match: z.string().min(1),
  optimizer: z.unknown().optional(),
  learningRate: z.number().gt(0).optional(),
  weightDecay: z.number().min(0).optional(),
  trainable: z.boolean().optional(),
});

/** @throws {LookbackError} ERR_OPTION */
export function resolveGroups(values: readonly unknown[], where = 'groups'): GroupSpec[] {
  return values.map((value, index) => {
    const at = `${where}[${index}]`;
    const { match, optimizer, ...given } = parseOptions(schema, value, at);
    const group: GroupSpec = { match };
    if (optimizer !== undefined) group.optimizer = resolveOptimizer(optimizer, `${at}.optimizer`);
    if (given.learningRate !== undefined) group.learningRate = given.learningRate;
    if (given.weightDecay !== undefined) group.weightDecay = given.weightDecay;
    if (given.trainable !== undefined) group.trainable = given.trainable;
    checkGroup(group, at);
    return group;
  });
}

function checkGroup(group: GroupSpec, where: string): void {
  const { match: _, trainable, ...changes } = group;
  const count = Object.keys(changes).length;
  if (group.optimizer?.clipNorm !== undefined) {
    const message = `${where}.optimizer has clipNorm, which limits the gradients of all groups together; give it to the model's optimizer`;
    throw new LookbackError('ERR_OPTION', message);
  }
  if (trainable === false && count > 0) {
    const message = `${where} is not trainable but has ${Object.keys(changes).join(', ')}; leave one of the two out`;
    throw new LookbackError('ERR_OPTION', message);
  }
  if (trainable !== false && count === 0) {
    const message = `${where} changes nothing; expected optimizer, learningRate, weightDecay or trainable: false`;
    throw new LookbackError('ERR_OPTION', message);
  }
}

/** An optimizer without what is not given, for the engine. */
export function nativeOptimizer(optimizer: OptimizerSpec): NativeSpec {
  const spec: NativeSpec = {};
  for (const [key, value] of Object.entries<string | number | boolean | undefined>(optimizer)) {
    if (value !== undefined) spec[key] = value;
  }
  return spec;
}

/**
 * Finds the parameters of every group.
 *
 * @param names all parameters of the model
 * @param suggested by cells, for weights that none of `groups` matches
 * @throws {LookbackError} ERR_OPTION for a group without parameters
 */
export function assignGroups(
  groups: readonly GroupSpec[],
  suggested: readonly SuggestedGroup[],
  main: OptimizerSpec,
  names: readonly string[],
): ParamGroup[] {
  const free = new Set(names);
  const take = (wanted: (name: string) => boolean): string[] => {
    const taken = [...free].filter(wanted);
    for (const name of taken) free.delete(name);
    return taken;
  };
  const assigned = groups.map((group, index): ParamGroup => {
    const pattern = patternOf(group.match);
    const params = take((name) => endings(name).some((ending) => pattern.test(ending)));
    if (params.length === 0) throw unmatched(group.match, index, names);
    return { params, optimizer: groupOptimizer(group, main), trainable: group.trainable ?? true };
  });
  for (const { layer, match, optimizer } of suggested) {
    const params = take((name) => name.startsWith(`${layer}.`) && endings(name).includes(match));
    if (params.length === 0) continue;
    const resolved = resolveOptimizer(optimizer, `${layer}: optimizer of ${match}`);
    assigned.push({ params, optimizer: nativeOptimizer(resolved), trainable: true });
  }
  return assigned;
}

function groupOptimizer(group: GroupSpec, main: OptimizerSpec): NativeSpec {
  const { clipNorm: _, ...optimizer } = nativeOptimizer(group.optimizer ?? main);
  if (group.learningRate !== undefined) optimizer['learningRate'] = group.learningRate;
  if (group.weightDecay !== undefined) optimizer['weightDecay'] = group.weightDecay;
  return optimizer;
}

/** `bi.forward.W_x`, `forward.W_x`, `W_x`. */
function endings(name: string): string[] {
  const parts = name.split('.');
  return parts.map((_, index) => parts.slice(index).join('.'));
}

function patternOf(match: string): RegExp {
  const parts = match.split('*').map((part) => part.replace(/[\\^$.|?+()[\]{}]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}$`);
}

function unmatched(match: string, index: number, names: readonly string[]): LookbackError {
  const message = `groups[${index}].match is "${match}", which no weight has that is not in an earlier group; the weights are ${names.join(', ')}`;
  return new LookbackError('ERR_OPTION', message, { details: { names: [...names] } });
}
