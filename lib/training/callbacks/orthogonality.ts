import { z } from 'zod';
import { cells } from '../../cell';
import type { LayerSpec } from '../../layers';
import type { Model } from '../../model';
import { parseOptions } from '../../options';
import type { FloatArray, Tensor } from '../../tensor';
import type { Callback } from './contract';

export interface OrthogonalityMonitorOptions {
  /** Epochs from one look to the next. Default 1. */
  every?: number;
}

export const orthogonalityMonitorSchema = z.strictObject({ every: z.int().min(1).default(1) });

/**
 * Adds `orthogonality` to the logs: how far the recurrent matrices of scoRNN, scuRNN, expRNN and the long block of ENRNN
 * are from orthogonal (unitary), the largest entry of `|W^T W - I|` over all of them. For each matrix that is one pass
 * over one step and n^3 multiplications in TypeScript.
 */
export function orthogonalityMonitor(options: OrthogonalityMonitorOptions = {}): Callback {
  const { every } = parseOptions(orthogonalityMonitorSchema, options, 'orthogonalityMonitor');
  return {
    async onEpochEnd(epoch, logs, { model }) {
      if ((epoch + 1) % every !== 0) return;
      const far = await distanceFromOrthogonal(model);
      if (far !== null) logs['orthogonality'] = far;
    },
  };
}

const orthogonalKinds = ['scornn', 'scurnn', 'exprnn', 'enrnn'] as const;
type OrthogonalKind = (typeof orthogonalKinds)[number];

/** Null for a model without such a layer. */
export async function distanceFromOrthogonal(model: Model): Promise<number | null> {
  const weights = model.getWeights();
  let worst: number | null = null;
  for (const { layer, path } of orthogonalLayers(model.config().layers, '')) {
    for (const distance of await distancesOf(layer, path, model, weights)) {
      worst = Math.max(worst ?? 0, distance);
    }
  }
  return worst;
}

interface OrthogonalLayer {
  layer: LayerSpec & { kind: OrthogonalKind };
  /** Its name with those around it: what its weights' names begin with. */
  path: string;
}

function orthogonalLayers(stack: readonly unknown[], prefix: string): OrthogonalLayer[] {
  return (stack as LayerSpec[]).flatMap((layer) => {
    const path = prefix + String(layer['name']);
    const { inside = [] } = layer;
    if (layer.kind === 'bidirectional') {
      return ['forward', 'backward'].flatMap((name) =>
        orthogonalLayers(
          inside.map((each) => ({ ...each, name })),
          `${path}.`,
        ),
      );
    }
    if (isOrthogonal(layer)) return [{ layer, path }];
    return orthogonalLayers(inside, `${path}.`);
  });
}

function isOrthogonal(layer: LayerSpec): layer is OrthogonalLayer['layer'] {
  return orthogonalKinds.some((kind) => kind === layer.kind);
}

/** The cell itself makes its matrix out of its parameters: what is looked at is what the model computes with. */
async function distancesOf(
  { kind, ...layer }: OrthogonalLayer['layer'],
  path: string,
  { dtype }: Model,
  weights: Readonly<Record<string, Tensor<FloatArray>>>,
): Promise<number[]> {
  const { name: _, returnSequences: _s, goBackwards: _g, trainable: _t, ...options } = layer;
  const inputs = weights[`${path}.W_x`] ?? weights[`${path}.W_x_re`];
  const inputSize = inputs?.shape[1] ?? 0;
  const make = cells[kind] as (given: object, how: { dtype: typeof dtype }) => MatrixCell;
  const cell = make({ ...options, inputSize }, { dtype });
  const x = [[Array.from({ length: inputSize }, () => 0)]];
  const own = Object.fromEntries(
    cell.weights.map((weight) => [weight.name, weights[`${path}.${weight.name}`]]),
  );
  const { outputs, handle } = await cell.forward({ x }, own);
  handle.dispose();
  return [
    [outputs['W'] ?? outputs['W_L'], null],
    [outputs['W_re'], outputs['W_im']],
  ].flatMap(([re, im]) => (re ? [distance(re, im ?? null)] : []));
}

/** What is used of a cell here, whatever its options. */
interface MatrixCell {
  readonly weights: readonly { name: string }[];
  forward(
    inputs: Record<string, unknown>,
    weights: Record<string, unknown>,
  ): Promise<{ outputs: Record<string, Tensor>; handle: { dispose(): void } }>;
}

/** The largest entry of `|W^H W - I|`. */
function distance(re: Tensor, im: Tensor | null): number {
  const n = re.shape[1] ?? 0;
  const [a, b] = [re.data, im?.data ?? new Float64Array(re.data.length)];
  let worst = 0;
  for (let i = 0; i < n; i += 1) {
    for (let j = 0; j < n; j += 1) {
      let [real, imaginary] = [i === j ? -1 : 0, 0];
      for (let row = 0; row < n * n; row += n) {
        const [ai, bi] = [a[row + i] ?? 0, b[row + i] ?? 0];
        const [aj, bj] = [a[row + j] ?? 0, b[row + j] ?? 0];
        real += ai * aj + bi * bj;
        imaginary += ai * bj - bi * aj;
      }
      worst = Math.max(worst, Math.hypot(real, imaginary));
    }
  }
  return worst;
}
