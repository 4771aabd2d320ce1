/**
 * The names of a callback's methods: one that is misspelt would never be called, and nobody would hear of it.
 */
import { LookbackError } from '../../errors';
import { closest, isNamed, show } from '../../options';
import type { Callback } from './contract';

/** All that a callback may have. */
const names = [
  'onTrainBegin',
  'onEpochBegin',
  'onBatchEnd',
  'onEpochEnd',
  'onTrainEnd',
  'onError',
  'getState',
  'setState',
] as const satisfies readonly (keyof Callback)[];
const known: ReadonlySet<string> = new Set(names);
const listed = names.join(', ');

/**
 * @throws {LookbackError} ERR_OPTION for a method of `fit`'s that is none, for what looks like one and is not, and for the
 * description of a callback in the place of a callback
 */
export function requireCallbackNames(callbacks: readonly Callback[]): void {
  for (const [index, callback] of callbacks.entries()) {
    const where = `fit: callbacks[${index}]`;
    if (!isNamed(callback)) {
      const message = `${where} is ${show(callback)}; expected an object with some of ${listed}`;
      throw new LookbackError('ERR_OPTION', message);
    }
    const methods = methodsOf(callback, where);
    const has = methods.filter((name) => known.has(name));
    const strange = methods.find((name) => !known.has(name) && looksLikeOne(name, has));
    if (strange !== undefined) {
      const meant = closest(strange.replaceAll('_', ''), names);
      const hint = meant === null ? '.' : `; did you mean ${meant}?`;
      throw new LookbackError(
        'ERR_OPTION',
        `${where} has ${strange}, which nothing calls${hint} A callback may have ${listed}`,
      );
    }
    if (has.length === 0) refuseDescription(callback, where);
  }
}

/** The names of an object's methods, those of its classes too. @throws {LookbackError} ERR_OPTION */
function methodsOf(callback: Callback, where: string): string[] {
  const found = new Set<string>();
  const isRoot = (at: object): boolean => Object.getPrototypeOf(at) === null;
  for (let at: object = callback; ; at = Object.getPrototypeOf(at) as object) {
    // A plain object may have no prototype; what every other inherits from is none of its own.
    if (isRoot(at) && at !== callback) return [...found];
    for (const name of Object.getOwnPropertyNames(at)) {
      // A getter is not run: only its owner knows what that does.
      const value: unknown = Object.getOwnPropertyDescriptor(at, name)?.value;
      if (typeof value === 'function') found.add(name);
      else if (known.has(name) && value !== undefined) {
        const message = `${where}: ${name} is ${show(value)}; expected a function`;
        throw new LookbackError('ERR_OPTION', message);
      }
    }
    if (isRoot(at)) return [...found];
  }
}

/**
 * Whether a name that is none of ours was meant as one: `onEpochStart`, `on_epoch_end`; of the two that remember, the one
 * whose partner is alone. A class may have other methods of its own.
 */
function looksLikeOne(name: string, has: readonly string[]): boolean {
  if (/^on[A-Z_]/.test(name)) return true;
  const plain = name.replaceAll('_', '').toLowerCase();
  if (names.some((each) => each.toLowerCase() === plain)) return true;
  const states = ['getState', 'setState'];
  const missing = states.filter((state) => !has.includes(state));
  return missing.length === 1 && closest(name, missing) !== null;
}

/** `{ kind: 'earlyStopping' }`, as a configuration has it, would do nothing. @throws {LookbackError} ERR_OPTION */
function refuseDescription(callback: object, where: string): void {
  if (!('kind' in callback)) return;
  const message = `${where} is ${show(callback)} and has none of the methods ${listed}; a callback of the library is made, as by callbacks.earlyStopping({ patience: 5 })`;
  throw new LookbackError('ERR_OPTION', message);
}
