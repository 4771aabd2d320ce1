/**
 * From what a user typed to checked options: schemas are zod's, messages are ours.
 */
import { types } from 'node:util';
import type { z } from 'zod';
import { LookbackError } from './errors';

/**
 * The value that `schema` makes of `value`.
 *
 * @param where what the value is, for the message: `larnn`, `fit`, `config.json`
 * @throws {LookbackError} ERR_OPTION that gives the path of the first wrong key, the value seen, what was expected and,
 * for a misspelt key, the key that was probably meant.
 */
export function parseOptions<T>(schema: z.ZodType<T>, value: unknown, where: string): T {
  if (isBuiltIn(value)) throw notNamed(value, where);
  const result = schema.safeParse(value, { reportInput: true });
  if (result.success) return result.data;
  // A misspelt key explains the missing one.
  const { issues } = result.error;
  const issue = issues.find(({ code }) => code === 'unrecognized_keys') ?? issues[0];
  if (!issue) throw new LookbackError('ERR_INTERNAL', `${where}: rejected without a reason`);
  const known = knownKeys(schema, issue.path);
  const details = { path: pathText(issue.path), expected: issue.message, actual: issue.input };
  throw new LookbackError('ERR_OPTION', `${where}: ${describeIssue(issue, known)}`, { details });
}

/**
 * Whether `value` is an object that holds something else than values by name. To a schema without required keys it would
 * be an object without options.
 */
function isBuiltIn(value: unknown): boolean {
  return (
    types.isPromise(value) ||
    types.isMap(value) ||
    types.isSet(value) ||
    types.isDate(value) ||
    types.isRegExp(value) ||
    types.isAnyArrayBuffer(value)
  );
}

/** Whether `value` is what has values by name. Lists have them by number. */
export function isNamed(value: unknown): value is Record<string, unknown> {
  return (
    isRecord(value) && !Array.isArray(value) && !ArrayBuffer.isView(value) && !isBuiltIn(value)
  );
}

/**
 * `value`, where it has values by name: what is spread or gone through by its keys would take anything else for empty.
 *
 * @param wanted what is expected, for the message
 * @throws {LookbackError} ERR_OPTION
 */
export function requireNamed<T>(value: T, where: string, wanted = 'an object'): T {
  if (!isNamed(value)) throw notNamed(value, where, wanted);
  return value;
}

/**
 * What describes a thing of that kind: the options that its constructor was given, and the kind.
 *
 * @throws {LookbackError} ERR_OPTION for what has no options by name, such as a bare learning rate
 */
export function ofKind<Options extends object>(
  kind: string,
  options: Options,
  where = kind,
): Options & { kind: string } {
  return { ...requireNamed(options, where), kind };
}

function notNamed(value: unknown, where: string, wanted = 'an object'): LookbackError {
  const hint = types.isPromise(value) ? '; await it first' : '';
  const message = `${where}: the value is ${show(value)}; expected ${wanted}${hint}`;
  return new LookbackError('ERR_OPTION', message, { details: { actual: value } });
}

function describeIssue(issue: z.core.$ZodIssue, known: readonly string[]): string {
  const at = pathText(issue.path);
  if (issue.code === 'unrecognized_keys') {
    const key = issue.keys[0] ?? '';
    const full = at === '' ? key : `${at}.${key}`;
    const meant = closest(key, known);
    const hint = meant === null ? `the options are ${known.join(', ')}` : `did you mean ${meant}?`;
    return `unknown option ${full}; ${hint}`;
  }
  const name = at === '' ? 'the value' : at;
  if (issue.code === 'custom' && !issue.message.startsWith('expected '))
    return at === '' ? issue.message : `${name} ${issue.message}`;
  if (issue.input === undefined) return `${name} is missing; expected ${expectation(issue)}`;
  const seen = `${name} is ${show(issue.input)}; expected ${expectation(issue)}`;
  const words = issue.code === 'invalid_value' ? issue.values.map(String) : [];
  const meant = typeof issue.input === 'string' ? closest(issue.input, words) : null;
  return meant === null ? seen : `${seen}; did you mean ${show(meant)}?`;
}

function expectation(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case 'invalid_type':
      return article(issue.expected === 'int' ? 'integer' : issue.expected);
    case 'too_small':
      return `${issue.inclusive === false ? 'more than' : 'at least'} ${sizeText(issue.origin, issue.minimum)}`;
    case 'too_big':
      return `${issue.inclusive === false ? 'less than' : 'at most'} ${sizeText(issue.origin, issue.maximum)}`;
    case 'invalid_value':
      return issue.values.length === 1
        ? show(issue.values[0])
        : `one of ${issue.values.map(show).join(', ')}`;
    case 'invalid_union': {
      const options = issue.errors
        .map((errors) => errors[0])
        .filter((inner) => inner !== undefined);
      const texts = new Set(options.map((inner) => expectation(inner)));
      return texts.size === 0 ? issue.message : [...texts].join(', or ');
    }
    default:
      return issue.message.replace(/^expected /, '');
  }
}

function sizeText(origin: string, limit: number | bigint): string {
  return origin === 'array' || origin === 'string' ? `${limit} entries` : String(limit);
}

function article(noun: string): string {
  return /^[aeiou]/.test(noun) ? `an ${noun}` : `a ${noun}`;
}

/** The keys that a strict object at `path` inside `schema` knows; empty where the schema is not an object. */
function knownKeys(schema: z.ZodType, path: readonly PropertyKey[]): string[] {
  let at: unknown = schema;
  for (const key of path) {
    at = unwrap(at);
    const shape = shapeOf(at);
    if (shape) at = shape[String(key)];
    else if (isRecord(at) && isRecord(at['def']) && 'element' in at['def'])
      at = at['def']['element'];
    else return [];
  }
  return Object.keys(shapeOf(unwrap(at)) ?? {});
}

function unwrap(schema: unknown): unknown {
  let at = schema;
  while (isRecord(at) && isRecord(at['def']) && at['def']['innerType']) at = at['def']['innerType'];
  return at;
}

/** The fields of an object schema; of a union, those of all its members together. */
function shapeOf(schema: unknown): Record<string, unknown> | null {
  if (!isRecord(schema) || !isRecord(schema['def'])) return null;
  const { shape, options } = schema['def'];
  if (isRecord(shape)) return shape;
  if (!Array.isArray(options)) return null;
  return Object.assign({}, ...options.map((option) => shapeOf(unwrap(option)))) as Record<
    string,
    unknown
  >;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function pathText(path: readonly PropertyKey[]): string {
  return path.reduce<string>((text, key) => {
    if (typeof key === 'number') return `${text}[${key}]`;
    return text === '' ? String(key) : `${text}.${String(key)}`;
  }, '');
}

/** @throws {LookbackError} ERR_OPTION for a path that is no text, or an empty one */
export function requirePath(path: unknown, where: string): string {
  if (typeof path === 'string' && path !== '') return path;
  const seen = path instanceof URL ? `the URL ${path.href}` : show(path);
  const message = `${where}: path is ${seen}; expected a string (of a URL that of fileURLToPath)`;
  throw new LookbackError('ERR_OPTION', message);
}

/** A value as it may stand in a message: short, quoted where it is text. */
export function show(value: unknown): string {
  if (typeof value === 'string')
    return value.length > 60 ? `"${value.slice(0, 57)}..."` : `"${value}"`;
  if (typeof value === 'function') return 'a function';
  if (typeof value === 'bigint') return `${value}n`;
  if (Array.isArray(value))
    return (value.length > 8 ? null : jsonOf(value)) ?? `an array of ${value.length}`;
  if (ArrayBuffer.isView(value)) return `a ${Object.prototype.toString.call(value).slice(8, -1)}`;
  if (isBuiltIn(value)) return `a ${Object.prototype.toString.call(value).slice(8, -1)}`;
  if (isRecord(value))
    return `an object with ${Object.keys(value).slice(0, 5).join(', ') || 'no keys'}`;
  return String(value);
}

/**
 * As JSON, but numbers that it does not have as they are. Null for what it has no words for, such as a BigInt or an array
 * that holds itself, and for what takes many.
 */
function jsonOf(value: unknown): string | null {
  let seen = 0;
  const text = (each: unknown): string => {
    seen += 1;
    if (seen > 32 || ArrayBuffer.isView(each)) throw new RangeError('too much for a message');
    if (Array.isArray(each)) return `[${Array.from(each, text).join(',')}]`;
    if (typeof each === 'number' || each === undefined) return String(each);
    if (!isRecord(each) || 'toJSON' in each) return JSON.stringify(each) ?? show(each);
    const entries = Object.entries(each).map(([key, own]) => `${JSON.stringify(key)}:${text(own)}`);
    return `{${entries.join(',')}}`;
  };
  try {
    const told = text(value);
    return told.length > 200 ? null : told;
  } catch {
    return null;
  }
}

/** The word of `words` that `word` was probably meant to be, or null when none is near. */
export function closest(word: string, words: readonly string[]): string | null {
  const limit = Math.max(1, Math.floor(word.length / 3));
  let best: string | null = null;
  let least = limit + 1;
  for (const candidate of words) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance < least) [best, least] = [candidate, distance];
  }
  return best;
}

/** Insertions, deletions, replacements and swaps of neighbours that lead from `a` to `b`. */
function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const same = a[i - 1] === b[j - 1];
      let cost = Math.min(
        (last[j] ?? 0) + 1,
        (row[j - 1] ?? 0) + 1,
        (last[j - 1] ?? 0) + (same ? 0 : 1),
      );
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (swapped) cost = Math.min(cost, (beforeLast[j - 2] ?? 0) + 1);
      row.push(cost);
    }
    [beforeLast, last] = [last, row];
  }
  return last[b.length] ?? 0;
}
