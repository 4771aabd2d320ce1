import type { Model } from '../model';
import type { Confusion } from '../report/report';
import type { RunSplit } from './run-data';

/** The place of the largest number of each row of `[rows, classes]`. */
export function argmaxRows(data: ArrayLike<number>, classes: number): number[] {
  return Array.from({ length: data.length / classes }, (_, row) => {
    let best = 0;
    for (let column = 1; column < classes; column += 1) {
      if ((data[row * classes + column] ?? 0) > (data[row * classes + best] ?? 0)) best = column;
    }
    return best;
  });
}

/** The option that goes with sequences of different lengths. */
export function lengthsOf({ lengths }: { lengths?: Int32Array }): { lengths?: Int32Array } {
  return lengths ? { lengths } : {};
}

/** How often each class was taken for each other one. */
export async function confusionOf(
  model: Model,
  split: RunSplit,
  classNames: string[],
): Promise<Confusion> {
  const outputs = await model.predict(split.x, lengthsOf(split));
  const predicted = argmaxRows(outputs.data, classNames.length);
  const counts = classNames.map(() => classNames.map(() => 0));
  predicted.forEach((column, row) => {
    const line = counts[split.y.data[row] ?? -1];
    if (line) line[column] = (line[column] ?? 0) + 1;
  });
  return { classNames, counts };
}
