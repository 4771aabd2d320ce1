/**
 * How far computed tensors may be from the vectors'.
 */
import type { DType } from 'lookback';
import type { VectorCase, VectorTensor, VectorTensors } from './vectors';

/** What a case computed, by the vectors' names. */
export interface Computed {
  outputs: Record<string, { shape: readonly number[]; data: ArrayLike<number> }>;
  grads: Record<string, { shape: readonly number[]; data: ArrayLike<number> }>;
}

/** The comparison that came nearest to its bound, or went beyond it. */
export interface Verdict {
  ok: boolean;
  tensor: string;
  /** Largest absolute error. */
  error: number;
  bound: number;
  /** The error in units of the scale that the bound is relative to. */
  relative: number;
  note?: string;
}

interface Tolerance {
  outputs: number;
  grads: number;
  /** What errors are measured against: each tensor's largest entry, or LARNN's rule. */
  scale: 'tensor' | 'case';
}

/** Relative to each tensor's largest entry, the same for outputs and gradients. */
const perTensor = (float64: number, float32: number): Record<DType, Tolerance> => ({
  float64: { outputs: float64, grads: float64, scale: 'tensor' },
  float32: { outputs: float32, grads: float32, scale: 'tensor' },
});

const tolerances: Record<string, Record<DType, Tolerance>> = {
  lstm: perTensor(1e-11, 5e-5),
  rnn: perTensor(1e-11, 5e-5),
  gru: perTensor(1e-11, 5e-5),
  rra: perTensor(1e-11, 5e-5),
  bnlstm: perTensor(1e-11, 5e-4),
  scornn: perTensor(1e-10, 2e-4),
  scurnn: perTensor(1e-10, 2e-4),
  enrnn: perTensor(1e-10, 2e-4),
  exprnn: perTensor(1e-10, 2e-4),
  larnn: {
    float64: { outputs: 1e-9, grads: 1e-9, scale: 'case' },
    float32: { outputs: 2e-5, grads: 1e-4, scale: 'case' },
  },
};

/** Compares every tensor under `outputs` and `grads`. */
export function judge(
  vectors: VectorCase,
  cell: string,
  dtype: DType,
  computed: Computed,
): Verdict {
  const tolerance = tolerances[cell]?.[dtype];
  if (!tolerance) throw new Error(`there is no tolerance for the cell ${cell}`);
  const largestGradient = largest(Object.values(vectors.grads));
  const largestOutput = Math.max(
    1,
    largest(Object.values({ y: vectors.outputs['y'] ?? { shape: [], data: [] } })),
  );
  const scaleOf = (tensor: VectorTensor, wholeCase: number): number => {
    const own = tolerance.scale === 'tensor' ? largest([tensor]) : 0;
    // A tensor that is zero in theory, and rounding noise in the file, has only the case to be measured against.
    return own > 1e-13 * wholeCase ? own : wholeCase;
  };
  const verdicts = [
    ...compareAll(vectors.outputs, computed.outputs, tolerance.outputs, (tensor) =>
      scaleOf(tensor, largestOutput),
    ),
    ...compareAll(vectors.grads, computed.grads, tolerance.grads, (tensor) =>
      scaleOf(tensor, largestGradient),
    ),
  ];
  const load = (verdict: Verdict): number =>
    verdict.ok ? verdict.error / verdict.bound : Infinity;
  return verdicts.reduce((worst, verdict) => (load(verdict) > load(worst) ? verdict : worst));
}

function compareAll(
  expected: VectorTensors,
  computed: Computed['outputs'],
  tolerance: number,
  scaleOf: (tensor: VectorTensor) => number,
): Verdict[] {
  return Object.entries(expected).map(([tensor, wanted]) => {
    const scale = scaleOf(wanted);
    const bound = tolerance * scale;
    const got = computed[tensor];
    const shape = wanted.shape.join(',');
    if (!got || got.shape.join(',') !== shape) {
      const note = got ? `shape [${got.shape.join(',')}], expected [${shape}]` : 'not computed';
      return { ok: false, tensor, error: Infinity, bound, relative: Infinity, note };
    }
    let error = 0;
    for (let at = 0; at < wanted.data.length; at += 1) {
      const difference = Math.abs((got.data[at] ?? NaN) - (wanted.data[at] ?? NaN));
      error = Number.isNaN(difference) ? Infinity : Math.max(error, difference);
    }
    return { ok: error <= bound, tensor, error, bound, relative: error / scale };
  });
}

function largest(tensors: readonly VectorTensor[]): number {
  return tensors.reduce(
    (most, { data }) => data.reduce((sum, value) => Math.max(sum, Math.abs(value)), most),
    0,
  );
}
