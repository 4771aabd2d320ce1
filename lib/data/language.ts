/**
 * A text cut into sequences whose answer at every step is the next token.
 */
import type { Split } from './dataset';

/**
 * Sequences of `steps` tokens one behind the other, `x` `[n, steps, 1]`, each answered by the token behind it, `y`
 * `[n, steps]`. Every token but the first is an answer once: the last sequence may be shorter.
 */
export function nextTokenSplit(numbers: Int32Array, steps: number): Split<Int32Array> {
  const answers = numbers.length - 1;
  const n = Math.ceil(answers / steps);
  const x = new Float32Array(n * steps);
  const y = new Int32Array(n * steps);
  x.set(numbers.subarray(0, answers));
  y.set(numbers.subarray(1));
  const lengths = new Int32Array(n).fill(steps);
  if (n > 0) lengths[n - 1] = answers - (n - 1) * steps;
  return {
    x: { shape: [n, steps, 1], data: x },
    y: { shape: [n, steps], data: y },
    lengths,
    steps,
    features: 1,
  };
}
