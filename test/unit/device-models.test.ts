/**
 * The check of models on a GPU (test/device), as far as it goes without one: how far apart two results are, and what is tried.
 */
import type { LayerSpec } from '../../lib';
import { optimizers } from '../../lib';
import { layerKinds } from '../../lib/layers';
import { CASES as MODELS } from '../device/cases';
import { worstOf } from '../device/compare';

describe('models beside the CPU', () => {
  const zeros = { losses: [1, 0], predict: [100, -200] };

  it('are as far apart as their worst result, as a share of its largest entry', () => {
    const near = { ...zeros, predict: [100, -201] };
    expect(worstOf(near, zeros)).toEqual({ name: 'predict', error: 0.005 });
    expect(worstOf(zeros, zeros).error).toBe(0);
  });

  it('differ where a number is none, and where one is missing', () => {
    expect(worstOf({ ...zeros, losses: [1, NaN] }, zeros).error).toBe(Infinity);
    expect(() => worstOf({ ...zeros, predict: [100] }, zeros)).toThrow(/predict has 1 numbers/);
    expect(() => worstOf({ losses: [1, 0] }, zeros)).toThrow(/predict has 0 numbers, on the CPU 2/);
  });

  it('have a case for every kind of layer and optimizer', () => {
    const kinds = (all: readonly LayerSpec[]): string[] =>
      all.flatMap(({ kind, inside = [] }) => [kind, ...kinds(inside)]);
    const tried = new Set(MODELS.flatMap((each) => kinds(each.layers)));
    expect([...layerKinds].filter((kind) => !tried.has(kind))).toEqual([]);
    const named = MODELS.flatMap(({ optimizer }) =>
      typeof optimizer === 'object' ? [optimizer.kind] : [],
    );
    expect(new Set(named)).toEqual(new Set(Object.keys(optimizers)));
    expect(new Set(MODELS.map(({ name }) => name)).size).toBe(MODELS.length);
  });
});
