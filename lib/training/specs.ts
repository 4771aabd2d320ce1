/**
 * Optimizers, losses and metrics as plain descriptions, by constructor or by name.
 */
import type { z } from 'zod';
import { LookbackError } from '../errors';
import { closest, parseOptions, show } from '../options';

/**
 * `value` is the name of a kind or an object with `kind`; both become that kind's checked description.
 *
 * @typeParam T what the schemas make, with `kind`
 * @throws {LookbackError} ERR_OPTION
 */
export function resolveKind<T extends { kind: string }>(
  schemas: Readonly<Record<T['kind'], z.ZodType>>,
  value: unknown,
  where: string,
): T {
  const described = typeof value === 'string' ? { kind: value } : value;
  const known = typeof described === 'object' && described !== null && 'kind' in described;
  const kind: unknown = known ? described.kind : undefined;
  const schema = Object.entries<z.ZodType>(schemas).find(([name]) => name === kind)?.[1];
  if (!known || !schema) {
    const kinds = Object.keys(schemas);
    const meant = typeof kind === 'string' ? closest(kind, kinds) : null;
    const hint =
      meant === null ? `expected one of ${kinds.join(', ')}` : `did you mean "${meant}"?`;
    throw new LookbackError('ERR_OPTION', `${where} is ${show(kind ?? value)}; ${hint}`);
  }
  const { kind: _, ...options } = described;
  const parsed = parseOptions(schema, options, `${where} ${String(kind)}`) as object;
  return { kind, ...parsed } as T;
}
