import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CompileOptions, GroupOptions, Model } from '../../lib';
import { layers, loadModel, sequential } from '../../lib';
import { checkConfig } from '../../lib/cli/config';
import { assignGroups, resolveGroups } from '../../lib/training/groups';
import { optimizers } from '../../lib/training/optimizers';
import { features, steps, tinyData, weightsOf } from './support/tiny';

const train = tinyData(64);
const silent = { verbose: 0, batchSize: 16 } as const;
const folder = mkdtempSync(join(tmpdir(), 'lookback-groups-'));
afterAll(() => rmSync(folder, { recursive: true }));

function compiled(options: Partial<CompileOptions> = {}): Model {
  return sequential({
    inputShape: [steps, features],
    layers: [
      layers.lstm({ units: 4, returnSequences: true, name: 'low' }),
      layers.lstm({ units: 4, name: 'high' }),
      layers.dense({ units: 2, activation: 'softmax' }),
    ],
    seed: 3,
  }).compile({ optimizer: 'adam', loss: 'sparseCategoricalCrossentropy', ...options });
}

describe('matching', () => {
  const names = ['low.W_x', 'low.b', 'bi.forward.W_x', 'bi.forward.b', 'dense.W', 'dense.b'];
  const matched = (...matches: string[]) =>
    assignGroups(
      resolveGroups(matches.map((match) => ({ match, trainable: false }))),
      [],
      optimizers.adam(),
      names,
    ).map(({ params }) => params);

  it('is by the name in the layer, in the model, or with *', () => {
    expect(matched('W_x')).toEqual([['low.W_x', 'bi.forward.W_x']]);
    expect(matched('forward.b')).toEqual([['bi.forward.b']]);
    expect(matched('dense.W')).toEqual([['dense.W']]);
    expect(matched('bi.*')).toEqual([['bi.forward.W_x', 'bi.forward.b']]);
    expect(matched('W*')).toEqual([['low.W_x', 'bi.forward.W_x', 'dense.W']]);
  });

  it('takes dots and the like as they are', () => {
    expect(() => matched('low.W.x')).toThrow(/no weight has/);
    expect(() => matched('low?b')).toThrow(/no weight has/);
  });

  it('gives a weight to the first group', () => {
    expect(matched('low.*', 'b')).toEqual([
      ['low.W_x', 'low.b'],
      ['bi.forward.b', 'dense.b'],
    ]);
    expect(() => matched('b', 'low.b')).toThrow(/groups\[1\]\.match is "low\.b"/);
  });

  it('lists the names where nothing matches', () => {
    expect(() => matched('A')).toThrow(
      expect.objectContaining({
        code: 'ERR_OPTION',
        message: expect.stringMatching(/"A".*the weights are low\.W_x, low\.b, /) as string,
      }),
    );
  });

  it('prefers groups of the user to those of a cell', () => {
    const suggested = [
      { layer: 'low', match: 'W_x', optimizer: { kind: 'rmsprop', learningRate: 0.5 } },
      { layer: 'dense', match: 'W', optimizer: { kind: 'adagrad' } },
    ];
    const groups = resolveGroups([{ match: 'low.W_x', learningRate: 0.25 }]);
    expect(
      assignGroups(groups, suggested, optimizers.sgd({ clipNorm: 1, l2: 0.5 }), names),
    ).toEqual([
      {
        params: ['low.W_x'],
        optimizer: { kind: 'sgd', learningRate: 0.25, l2: 0.5, momentum: 0, nesterov: false },
        trainable: true,
      },
      { params: ['dense.W'], optimizer: optimizers.adagrad(), trainable: true },
    ]);
  });

  it.each<[unknown, RegExp]>([
    [{ match: 'b' }, /groups\[0\] changes nothing/],
    [{ match: 'b', trainable: false, learningRate: 1 }, /not trainable but has learningRate/],
    [{ match: 'b', optimizer: { kind: 'adam', clipNorm: 1 } }, /give it to the model's optimizer/],
    [{ match: 'b', optimizer: 'adm' }, /groups\[0\]\.optimizer is "adm"; did you mean "adam"/],
    [{ match: 'b', rate: 1 }, /groups\[0\]: unknown option rate/],
    [{ learningRate: 1 }, /match is missing/],
    [{ match: 'b', learningRate: 0 }, /learningRate is 0; expected more than 0/],
  ])('refuses %j', (group, message) => {
    expect(() => resolveGroups([group])).toThrow(message);
  });
});

describe('training with groups', () => {
  const trained = async (options: Partial<CompileOptions>, schedule?: () => number) => {
    using model = compiled(options);
    await model.fit(train, { ...silent, epochs: 2, ...(schedule ? { schedule } : {}) });
    return weightsOf(model);
  };

  it('freezes and changes only what is named', async () => {
    const start = weightsOf(compiled());
    const weights = await trained({ groups: [{ match: 'low.*', trainable: false }] });
    for (const [name, values] of Object.entries(weights)) {
      if (name.startsWith('low.')) expect(values).toEqual(start[name]);
      else expect(values).not.toEqual(start[name]);
    }
  });

  it('a group of all weights is the same as the optimizer', async () => {
    const optimizer = optimizers.rmsprop({ learningRate: 0.02, epsilonInside: true });
    const schedule = () => 0.3;
    const groups: GroupOptions[] = [{ match: '*', optimizer }];
    expect(await trained({ optimizer: 'sgd', groups }, schedule)).toEqual(
      await trained({ optimizer }, schedule),
    );
  });

  it('a schedule is a factor on the rate of every group', async () => {
    const start = weightsOf(compiled());
    const groups: GroupOptions[] = [{ match: 'W', optimizer: 'sgd' }];
    const still = await trained({ groups }, () => 0);
    // Of a zero the sign may change.
    for (const [name, values] of Object.entries(still)) {
      values.forEach((value, at) => expect(value).toBeCloseTo(start[name]?.[at] ?? NaN, 12));
    }
  });

  it('clipping by value bounds every entry of the gradient, and changes no other', async () => {
    // Binary fractions: in float64 nothing but the subtraction of an update is rounded.
    const [rate, bound] = [0.5, 2 ** -10];
    const step = async (clip: { clipValue?: number }) => {
      using model = sequential({
        inputShape: [steps, features],
        layers: [layers.lstm({ units: 4 }), layers.dense({ units: 2, activation: 'softmax' })],
        seed: 3,
        dtype: 'float64',
      }).compile({
        optimizer: optimizers.sgd({ learningRate: rate, ...clip }),
        loss: 'sparseCategoricalCrossentropy',
      });
      const before = Object.values(weightsOf(model)).flat();
      await model.trainOnBatch({ ...train.x, data: Float64Array.from(train.x.data) }, train.y);
      return { before, after: Object.values(weightsOf(model)).flat() };
    };
    const { before, after: free } = await step({});
    const { after: clipped } = await step({ clipValue: bound });
    const moved = clipped.map((value, at) => Math.abs(value - before[at]!));
    const limited = free.map((value, at) => Math.abs(value - before[at]!) > rate * bound);
    expect(limited.filter(Boolean).length).toBeGreaterThan(20);
    expect(limited.filter((each) => !each).length).toBeGreaterThan(20);
    limited.forEach((isLimited, at) => {
      const start = before[at]!;
      const sign = Math.sign(free[at]! - start);
      expect(clipped[at]).toBe(isLimited ? start + sign * rate * bound : free[at]);
    });
    expect(Math.max(...moved)).toBeLessThan(rate * bound * (1 + 1e-9));
  });

  it('every optimizer lowers the loss', async () => {
    for (const optimizer of [
      optimizers.adagrad({ learningRate: 0.1, initialAccumulator: 0.1, epsilon: 0 }),
      optimizers.adadelta({ learningRate: 5 }),
      optimizers.adam({ amsgrad: true, learningRate: 0.02 }),
      optimizers.rmsprop({ epsilonInside: true, initialMeanSquare: 1, learningRate: 0.02 }),
      optimizers.sgd({ clipValue: 0.5, learningRate: 0.5 }),
    ]) {
      using model = sequential({
        inputShape: [steps, features],
        layers: [layers.lstm({ units: 4 }), layers.dense({ units: 2, activation: 'softmax' })],
        seed: 3,
      }).compile({ optimizer, loss: 'sparseCategoricalCrossentropy' });
      const { loss: before = NaN } = await model.evaluate(train);
      await model.fit(train, { ...silent, epochs: 10 });
      const { loss: after = NaN } = await model.evaluate(train);
      expect(after).toBeLessThan(0.9 * before);
    }
  });

  it('are part of a saved model', async () => {
    using model = compiled({ groups: [{ match: 'W_h', learningRate: 0.5 }] });
    const path = join(folder, 'model.safetensors');
    await model.save(path);
    using loaded = await loadModel(path);
    expect(loaded.compiled).toEqual(model.compiled);
    expect(loaded.compiled?.groups).toEqual([{ match: 'W_h', learningRate: 0.5 }]);
    const after = async (each: Model) => {
      await each.fit(train, { ...silent, shuffle: false });
      return weightsOf(each);
    };
    expect(await after(loaded)).toEqual(await after(model));
  });

  it('leave the model as it was where one is wrong', async () => {
    using model = compiled();
    expect(() =>
      model.compile({
        optimizer: 'sgd',
        loss: 'sparseCategoricalCrossentropy',
        groups: [{ match: 'A', trainable: false }],
      }),
    ).toThrow(/the weights are low\.W_x/);
    expect(model.compiled?.optimizer.kind).toBe('adam');
    await expect(model.fit(train, silent)).resolves.toBeDefined();
  });
});

describe('the configuration of a run', () => {
  const config = {
    data: { name: 'adding', steps: 10 },
    model: { layers: [{ kind: 'lstm', units: 2 }] },
  };

  it('takes groups', () => {
    expect(checkConfig(config, 'c.json')).not.toHaveProperty('groups');
    const groups = [{ match: 'W_h', optimizer: 'adagrad' }];
    expect(checkConfig({ ...config, groups }, 'c.json').groups).toEqual([
      { match: 'W_h', optimizer: optimizers.adagrad() },
    ]);
    expect(() => checkConfig({ ...config, groups: [{ match: 'b' }] }, 'c.json')).toThrow(
      /c\.json: groups\[0\] changes nothing/,
    );
  });
});
