/**
 * The JSON Schema of a configuration, for editors: made from what the command line checks with. Works without the
 * native addon.
 */
import { z } from 'zod';
import { layers } from '../layers';
import { callbackSchemas } from '../training/callbacks';
import { lossSchemas } from '../training/losses';
import { metricSchemas } from '../training/metrics';
import { optimizerSchemas } from '../training/optimizers';
import { scheduleSchemas } from '../training/schedules';
import { configSchema } from './config';
import { dataSchemas } from './data-config';
import type { Output } from './output';

type Json = Record<string, unknown>;

/** Prints the schema. */
export function schema(output: Output): void {
  const json = configJsonSchema();
  output.tell('schema', { schema: json }, JSON.stringify(json, null, 2));
}

/** Layers are checked by kind alone here; `train` checks the options of each. */
export function configJsonSchema(): Json {
  const root = jsonOf(configSchema);
  const properties = root['properties'] as Record<string, Json>;
  const layer = {
    type: 'object',
    properties: { kind: { enum: Object.keys(layers) } },
    required: ['kind'],
  };
  const described: Record<string, Json> = {
    data: { anyOf: Object.values(dataSchemas).map(jsonOf) },
    model: {
      type: 'object',
      properties: { layers: { type: 'array', minItems: 1, items: layer } },
      required: ['layers'],
      additionalProperties: false,
    },
    optimizer: byKind(optimizerSchemas),
    loss: byKind(lossSchemas),
    schedule: byKind(scheduleSchemas),
    metrics: { type: 'array', items: byKind(metricSchemas) },
    callbacks: { type: 'array', items: byKind(callbackSchemas) },
  };
  for (const [key, value] of Object.entries(described)) {
    const { default: standard } = properties[key] ?? {};
    properties[key] = standard === undefined ? value : { ...value, default: standard };
  }
  return { ...root, title: 'A training run of lookback' };
}

function jsonOf(of: z.ZodType): Json {
  return z.toJSONSchema(of, { io: 'input', unrepresentable: 'any' });
}

/** The name of a kind whose options may all be left out, or a kind with its options. */
function byKind(schemas: Readonly<Record<string, z.ZodType>>): Json {
  const names = Object.entries(schemas).flatMap(([kind, of]) =>
    of.safeParse({}).success ? [kind] : [],
  );
  const objects = Object.entries(schemas).map(([kind, of]) => {
    const { $schema: _, ...json } = jsonOf(of);
    const { properties = {}, required = [] } = json as { properties?: Json; required?: string[] };
    return {
      ...json,
      properties: { kind: { const: kind }, ...properties },
      required: ['kind', ...required],
    };
  });
  return { anyOf: [{ enum: names }, ...objects] };
}
