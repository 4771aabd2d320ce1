/**
 * How a model's recurrent layers run on a device, without running them.
 */
import { z } from 'zod';
import { LookbackError } from './errors';
import type { NativeDevice, NativeEngine, NativeGpu, NativePlan } from './native';
import { loadAddon } from './native';
import { parseOptions } from './options';

/** What of a GPU the choice of a driver depends on: its multiprocessors, the shared memory of one block, its clusters. */
export interface GpuDescription {
  /** For the printed text. Default `'GPU'`. */
  name?: string;
  multiprocessors: number;
  /** The most that a block can ask for (`sharedMemPerBlockOptin` of CUDA), in bytes. */
  sharedBytes: number;
  /** Blocks of the largest thread-block cluster, which GPUs have from compute capability 9.0 on. Default 1: none. */
  maxCluster?: number;
}

/** GPUs that are known by name, `h100` as the SXM module; none of them has to be there. */
export type GpuName = 'a100' | 'h100' | 'h200' | 'l4' | 'rtx-3090' | 'rtx-4090';

/** As their makers describe them. */
const gpus: Readonly<Record<GpuName, Readonly<Omit<GpuDescription, 'name'>>>> = {
  a100: { multiprocessors: 108, sharedBytes: 163 * 1024 },
  h100: { multiprocessors: 132, sharedBytes: 227 * 1024, maxCluster: 8 },
  h200: { multiprocessors: 132, sharedBytes: 227 * 1024, maxCluster: 8 },
  l4: { multiprocessors: 58, sharedBytes: 99 * 1024 },
  'rtx-3090': { multiprocessors: 82, sharedBytes: 99 * 1024 },
  'rtx-4090': { multiprocessors: 128, sharedBytes: 99 * 1024 },
};
const gpuNames = Object.keys(gpus) as [GpuName, ...GpuName[]];

/** Options of {@link Model.explain}. */
export interface ExplainOptions {
  /**
   * Another device than the model's own: a GPU by its name or description, which need not be there, or `'cuda'` for
   * the first GPU of this machine. Default: the model's device.
   */
  on?: 'cuda' | GpuName | GpuDescription;
  /** Rows of a batch. Default 32, as in `fit`. */
  batchSize?: number;
  /** Steps of a row. Default: those of the model's `inputShape`; to be given where that has any number. */
  steps?: number;
  /** Forward and backward passes of training, or forward passes alone. Default true. */
  training?: boolean;
}

export const explainSchema = z.strictObject({
  on: z
    .union([
      z.enum(['cuda', ...gpuNames]),
      z.strictObject({
        name: z.string().min(1).default('GPU'),
        multiprocessors: z.int().min(1).max(1_048_576),
        sharedBytes: z
          .int()
          .min(0)
          .max(2 ** 30),
        maxCluster: z.int().min(1).max(16).default(1),
      }),
    ])
    .optional(),
  batchSize: z
    .int()
    .min(1)
    .max(2 ** 29)
    .default(32),
  steps: z
    .int()
    .min(1)
    .max(2 ** 29)
    .optional(),
  training: z.boolean().default(true),
});

/** How the loop over time of one recurrent layer runs. */
export interface LayerPlan {
  /** Its name; of a layer inside another or of a stack, behind that one's: `bidirectional.forward`, `larnn.l0`. */
  layer: string;
  /** The device's kind, or the GPU's name. */
  device: string;
  /**
   * `'tiles'`: the CPU's, threads that own rows. `'rows'`: the CPU's for a few rows, one by one, each by one thread or by several that share its units. `'resident'`: a GPU's, one kernel a pass, blocks that own rows.
   * `'stepwise'`: a GPU's, products over the whole batch in every step.
   */
  driver: 'tiles' | 'rows' | 'resident' | 'stepwise';
  /**
   * Everything in words: sizes, what lies in shared memory, and on a GPU the modelled time of a step with each driver; on a GPU
   * that is here also whether cuBLAS or our own kernel forms the products over all steps.
   */
  text: string;
}

interface Explained {
  device: string;
  steps: number;
  plans: LayerPlan[];
}

/** A GPU as the engine takes it; null for the model's own device. */
function gpuOf(on: z.infer<typeof explainSchema>['on']): NativeGpu | null {
  if (on === undefined) return null;
  if (typeof on === 'object') return on;
  if (on !== 'cuda') return { name: on, maxCluster: 1, ...gpus[on] };
  const { reason, devices } = loadAddon().cudaInfo();
  const [gpu] = devices;
  if (reason === null && gpu) return { ...gpu, cublas: loadAddon().cublasInfo() };
  const names = gpuNames.map((name) => `"${name}"`).join(', ');
  const message = `explain: device "cuda" is not available: ${reason ?? 'no CUDA device was found'}; a GPU that is not here goes by its name (${names}) or by { multiprocessors, sharedBytes, maxCluster }`;
  throw new LookbackError('ERR_DEVICE', message, { details: { reason } });
}

/** @throws {LookbackError} ERR_OPTION, ERR_DEVICE for 'cuda' where there is none */
export function explainEngine(
  engine: NativeEngine,
  model: { device: NativeDevice; inputShape: readonly [steps: number | null, features: number] },
  options: ExplainOptions,
): Explained {
  const { on, batchSize, training, steps: given } = parseOptions(explainSchema, options, 'explain');
  const steps = given ?? model.inputShape[0];
  if (steps === null) {
    const message =
      'explain: steps is missing; the model takes any number of them, expected how many to plan for';
    throw new LookbackError('ERR_OPTION', message, { details: { path: 'steps' } });
  }
  const gpu = gpuOf(on);
  const plans = engine.explain({ batch: batchSize, steps, training, gpu });
  const device = gpu?.name ?? model.device;
  return {
    device,
    steps,
    plans: plans.map(({ layer, driver, text }: NativePlan) => ({ layer, device, driver, text })),
  };
}

/** The plans as lines of text. */
export function planText({ device, steps, plans }: Explained, options: ExplainOptions): string {
  const { batchSize = 32, training = true } = options;
  const what = training ? 'training' : 'forward passes alone';
  const some = (n: number, word: string): string => `${String(n)} ${word}${n === 1 ? '' : 's'}`;
  const head = `on ${device}, ${some(batchSize, 'row')} of ${some(steps, 'step')}, ${what}:`;
  if (plans.length === 0) return `${head} no recurrent layer`;
  const width = Math.max(...plans.map(({ layer }) => layer.length));
  return [head, ...plans.map(({ layer, text }) => `  ${layer.padEnd(width)}  ${text}`)].join('\n');
}
