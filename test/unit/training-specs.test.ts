import type { LayerSpec } from '../../lib/layers';
import { layers } from '../../lib/layers';
import { sequential } from '../../lib/model';
import type { LossSpec } from '../../lib/training/losses';
import { checkLossFits, losses, resolveLoss } from '../../lib/training/losses';
import { logsOf, metrics, noSums, resolveMetrics } from '../../lib/training/metrics';
import { optimizers, resolveOptimizer } from '../../lib/training/optimizers';
import { changesWithinEpoch, factorAt, schedules } from '../../lib/training/schedules';

describe('optimizers', () => {
  it('by name have the defaults of the constructor', () => {
    for (const kind of ['sgd', 'rmsprop', 'adam', 'adamw', 'adagrad', 'adadelta'] as const) {
      expect(resolveOptimizer(kind)).toEqual(optimizers[kind]());
    }
    expect(optimizers.adam()).toEqual({
      kind: 'adam',
      learningRate: 0.001,
      l2: 0,
      beta1: 0.9,
      beta2: 0.999,
      epsilon: 1e-8,
      amsgrad: false,
    });
  });

  it.each([
    ['adm', /optimizer is "adm"; did you mean "adam"\?/],
    [{ kind: 'adam', lr: 1 }, /optimizer adam: unknown option lr/],
    [{ kind: 'adam', learningRate: 0 }, /learningRate is 0; expected more than 0/],
    [{ kind: 'adagrad', epsilon: 0 }, /initialAccumulator and epsilon are both 0/],
    [{ kind: 'adam', clipValue: 0 }, /clipValue is 0; expected more than 0/],
    [{ kind: 'sgd', momentum: 1 }, /momentum is 1; expected less than 1/],
    [
      undefined,
      /optimizer is undefined; expected one of sgd, rmsprop, adam, adamw, adagrad, adadelta/,
    ],
    ['constructor', /expected one of/],
  ])('refuse %j', (value, message) => {
    expect(() => resolveOptimizer(value)).toThrow(message);
  });
});

describe('losses and metrics', () => {
  it('see softmax or logits from the last layer', () => {
    const softmax = layers.dense({ units: 3, activation: 'softmax', name: 'out' });
    const linear = layers.dense({ units: 3, name: 'out' });
    const sigmoid = layers.dense({ units: 3, activation: 'sigmoid', name: 'out' });
    const check = (loss: LossSpec, last: LayerSpec) => () => checkLossFits(loss, [last], 3);
    const { sparseCategoricalCrossentropy: sparse, binaryCrossentropy: binary } = losses;
    expect(check(sparse(), softmax)).not.toThrow();
    expect(check(sparse({ fromLogits: true }), linear)).not.toThrow();
    expect(check(sparse({ fromLogits: true }), softmax)).toThrow(/gives probabilities/);
    expect(check(sparse({ fromLogits: false }), linear)).toThrow(/gives logits/);
    expect(check(binary(), sigmoid)).not.toThrow();
    expect(check(binary({ fromLogits: true }), sigmoid)).toThrow(/gives probabilities/);
    expect(check(binary({ fromLogits: false }), linear)).toThrow(/gives logits/);
  });

  it.each(['softmax', 'sigmoid'] as const)('refuse %s with a pool or a dropout behind', (name) => {
    const dense = layers.dense({ units: 3, activation: name, name: 'out' });
    const linear = layers.dense({ units: 3, name: 'out' });
    const [pool, dropout] = [layers.pool({ name: 'mean' }), layers.dropout({ rate: 0.1 })];
    const check =
      (loss: LossSpec, ...stack: LayerSpec[]) =>
      () =>
        checkLossFits(loss, stack, 3);
    for (const loss of [losses.sparseCategoricalCrossentropy(), losses.binaryCrossentropy()]) {
      expect(check(loss, dense, pool)).toThrow(
        `layer out gives probabilities by its activation "${name}", and the pool mean behind it`,
      );
      expect(check(loss, dense, pool, dropout)).toThrow(/put the dropout before the dense layer/);
      expect(check(loss, linear, pool)).not.toThrow();
      expect(check(loss, pool, dense)).not.toThrow();
    }
    expect(check(losses.meanSquaredError(), dense, pool)).not.toThrow();
    using model = sequential({ inputShape: [2, 1], layers: [dense, pool] });
    expect(() => model.compile({ optimizer: 'sgd', loss: 'binaryCrossentropy' })).toThrow(
      /put the pool before the dense layer, or leave its activation out/,
    );
  });

  it('fit the outputs', () => {
    const last = layers.dense({ units: 3, name: 'out' });
    const check = (loss: LossSpec) => () => checkLossFits(loss, [last], 3);
    expect(check(losses.quantile({ quantiles: [0.1, 0.5, 0.9] }))).not.toThrow();
    expect(check(losses.quantile({ quantiles: [0.1, 0.9] }))).toThrow(
      /wants 2 outputs for each target, but the last layer out has 3/,
    );
    expect(check(losses.gaussianNegativeLogLikelihood())).toThrow(/wants 2 outputs/);
    expect(check(losses.sparseCategoricalCrossentropy({ classWeight: [1, 2] }))).toThrow(
      /classWeight has 2 entries; expected 3/,
    );
  });

  it.each([
    [{ kind: 'huber', delta: 0 }, /loss huber: delta is 0; expected more than 0/],
    [{ kind: 'quantile', quantiles: [] }, /quantiles is \[\]; expected at least 1 entries/],
    [{ kind: 'quantile', quantiles: [1] }, /quantiles\[0\] is 1; expected less than 1/],
    ['quantile', /quantiles is missing/],
    [{ kind: 'meanSquaredError', skipNan: true }, /did you mean skipNaN/],
    ['meanSquarredError', /did you mean "meanSquaredError"/],
  ])('refuse %j', (value, message) => {
    expect(() => resolveLoss(value)).toThrow(message);
  });

  it('go together', () => {
    expect(resolveMetrics(['accuracy'], resolveLoss('sparseCategoricalCrossentropy'))).toEqual([
      metrics.accuracy(),
    ]);
    expect(() => resolveMetrics(['accuracy'], losses.meanSquaredError())).toThrow(
      /metrics\[0\] is "accuracy", which goes with/,
    );
    expect(() => resolveMetrics(['acuracy'], losses.sparseCategoricalCrossentropy())).toThrow(
      /did you mean "accuracy"/,
    );
  });

  it('are means over rows', () => {
    const sums = { rows: 4, weight: 8, count: 4, loss: 4, hits: 3, absolute: 2 };
    expect(logsOf(sums, [metrics.accuracy(), metrics.meanAbsoluteError()])).toEqual({
      loss: 0.5,
      accuracy: 0.75,
      meanAbsoluteError: 0.5,
    });
    const bits = logsOf({ ...sums, loss: 8 * Math.log(32) }, [
      metrics.bitsPerCharacter(),
      metrics.perplexity(),
    ]);
    expect(bits['bitsPerCharacter']).toBeCloseTo(5, 12);
    expect(bits['perplexity']).toBeCloseTo(32, 10);
    expect(logsOf(noSums(), [metrics.accuracy()])).toEqual({ loss: NaN, accuracy: NaN });
  });
});

describe('schedules', () => {
  const at = (schedule: Parameters<typeof factorAt>[0], epoch: number) =>
    factorAt(schedule, { epoch, epochs: 10 });

  it('stepDecay drops every so many epochs', () => {
    const schedule = schedules.stepDecay({ every: 3, factor: 0.5 });
    expect([0, 2.9, 3, 6, 9.5].map((epoch) => at(schedule, epoch))).toEqual([
      1, 1, 0.5, 0.25, 0.125,
    ]);
    expect(changesWithinEpoch(schedule)).toBe(false);
    expect(changesWithinEpoch(schedules.stepDecay({ every: 1.5 }))).toBe(true);
  });

  it('cosine falls from 1 to final after its warm-up', () => {
    const schedule = schedules.cosine({ final: 0.1, warmup: 2 });
    expect(at(schedule, 0)).toBeCloseTo(0.01, 12);
    expect(at(schedule, 1)).toBeCloseTo(0.505, 12);
    expect(at(schedule, 2)).toBe(1);
    expect(at(schedule, 6)).toBeCloseTo(0.55, 12);
    expect(at(schedule, 10)).toBeCloseTo(0.1, 12);
    expect(changesWithinEpoch(schedule)).toBe(true);
  });

  it('oneCycle rises to 1 and falls to final', () => {
    const schedule = schedules.oneCycle({ rise: 0.4, start: 0.2, final: 0 });
    expect(at(schedule, 0)).toBeCloseTo(0.2, 12);
    expect(at(schedule, 2)).toBeCloseTo(0.6, 12);
    expect(at(schedule, 4)).toBe(1);
    expect(at(schedule, 7)).toBeCloseTo(0.5, 12);
    expect(at(schedule, 10)).toBeCloseTo(0, 12);
  });

  it('may be a function, which must give a factor', () => {
    expect(at(({ epoch, epochs }) => 1 - epoch / epochs, 5)).toBe(0.5);
    expect(() => at(() => NaN, 0)).toThrow(/schedule gave NaN at epoch 0/);
  });
});
