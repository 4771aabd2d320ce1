/** The middle one of some samples, the mean of the middle two where their number is even; NaN of none. */
export function median(samples: readonly number[]): number {
  const sorted = [...samples].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? NaN;
  return sorted.length % 2 ? upper : ((sorted[middle - 1] ?? NaN) + upper) / 2;
}

/** Forward and step of one side, measured one after the other; no step where that side only infers. */
export interface Sample {
  forwardMs: number;
  stepMs: number | null;
}

/** The least and the largest of some samples. */
export type Range = readonly [number, number];

export interface Summary extends Sample {
  kept: number;
  forwardRange: Range;
  /** Null where that side only infers. */
  stepRange: Range | null;
}

function rangeOf(samples: readonly number[]): Range {
  return [Math.min(...samples), Math.max(...samples)];
}

/** Medians of both, and their ranges, over the samples that can be true: a step contains its forward. */
export function summarize(samples: readonly Sample[]): Summary {
  const kept = samples.filter(({ forwardMs, stepMs }) => stepMs === null || forwardMs <= stepMs);
  const forwards = kept.map(({ forwardMs }) => forwardMs);
  const steps = kept.map(({ stepMs }) => stepMs).filter((stepMs) => stepMs !== null);
  return {
    forwardMs: median(forwards),
    stepMs: steps.length > 0 ? median(steps) : null,
    kept: kept.length,
    forwardRange: rangeOf(forwards),
    stepRange: steps.length > 0 ? rangeOf(steps) : null,
  };
}
