import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { LayerSpec } from '../../lib';
import { layers, loadModel, sequential } from '../../lib';
import { resolveLayer, resolveStack, suggestedGroups } from '../../lib/layers';
import { weightsOf } from './support/tiny';

const folder = mkdtempSync(join(tmpdir(), 'lookback-layers-'));
afterAll(() => rmSync(folder, { recursive: true }));

const lstm = (units: number, more: object = {}): LayerSpec =>
  layers.lstm({ units, returnSequences: true, ...more });

describe('shapes', () => {
  const after = (...given: LayerSpec[]) => resolveStack([7, 4], given, 'layers').outputShape;

  it('follow through every kind', () => {
    expect(after(layers.layerNorm())).toEqual([7, 4]);
    expect(after(layers.pool({ over: 'mean' }))).toEqual([4]);
    expect(after(layers.bidirectional(lstm(3)))).toEqual([7, 6]);
    expect(after(layers.bidirectional(layers.lstm({ units: 3 }), { merge: 'sum' }))).toEqual([3]);
    expect(after(layers.residual(lstm(4)))).toEqual([7, 4]);
    expect(after(layers.residual([lstm(3), layers.dense({ units: 4 })]))).toEqual([7, 4]);
    expect(
      resolveStack([null, 1], [layers.embedding({ inputDim: 9, units: 5 })], 'layers').outputShape,
    ).toEqual([null, 5]);
  });

  it.each<[LayerSpec[], RegExp]>([
    [
      [layers.residual(lstm(3))],
      /layers\[0\] \(residual\) would add \[7, 3\] to \[7, 4\] for each row/,
    ],
    [[layers.residual(layers.lstm({ units: 4 }))], /would add \[4\] to \[7, 4\]/],
    [[layers.pool(), layers.pool()], /layers\[1\] \(pool\) reads a sequence/],
    [[layers.embedding({ inputDim: 3, units: 2 })], /reads one whole number a step.* 4 features/],
    [
      [layers.pool(), layers.bidirectional(lstm(2))],
      /layers\[1\] \(lstm\) reads a sequence|reads a/,
    ],
  ])('that do not fit are refused: %#', (given, message) => {
    expect(() => after(...given)).toThrow(
      expect.objectContaining({
        code: 'ERR_SHAPE',
        message: expect.stringMatching(message) as string,
      }),
    );
  });
});

describe('options', () => {
  it.each<[unknown, RegExp]>([
    [{ kind: 'pool', over: 'sum' }, /over is "sum"; expected one of "last", "mean", "max"/],
    [{ kind: 'layerNorm', epsilon: 0 }, /epsilon is 0; expected more than 0/],
    [{ kind: 'embedding', units: 3 }, /inputDim is missing/],
    [{ kind: 'bidirectional', inside: [] }, /inside is \[\]; expected at least 1 entries/],
    [
      { kind: 'bidirectional', inside: [{ kind: 'dense', units: 2 }] },
      /inside\[0\]\.kind is "dense"; expected a recurrent layer/,
    ],
    [
      { kind: 'bidirectional', inside: [lstm(2, { goBackwards: true })] },
      /inside\[0\]\.goBackwards is true/,
    ],
    [{ kind: 'bidirectional', inside: [lstm(2, { name: 'x' })] }, /\.name is not used/],
    [{ kind: 'residual', inside: [{ kind: 'lstn' }] }, /inside\[0\]\.kind is "lstn"; did you mean/],
    [
      { kind: 'residual', inside: [lstm(2, { name: 'a' }), lstm(2, { name: 'a' })] },
      /inside\[1\]\.name is "a", which an earlier layer has/,
    ],
    [
      { kind: 'residual', inside: [lstm(2), { kind: 'dense', units: 2, trainable: false }] },
      /some are not trainable/,
    ],
  ])('that are wrong are refused: %#', (value, message) => {
    expect(() => resolveLayer(value, 'layer')).toThrow(
      expect.objectContaining({
        code: 'ERR_OPTION',
        message: expect.stringMatching(message) as string,
      }),
    );
  });

  it('are filled in once', () => {
    for (const given of [
      layers.bidirectional(lstm(2), { merge: 'sum', name: 'both' }),
      layers.residual([lstm(2), layers.dropout({ rate: 0.1 })]),
      layers.embedding({ inputDim: 3, units: 2 }),
      lstm(2, { goBackwards: true }),
    ]) {
      expect(resolveLayer(given, 'layer')).toEqual(given);
    }
    expect(lstm(2)).not.toHaveProperty('goBackwards');
  });

  it('of cells inside bring their groups along', () => {
    const scornn = layers.scornn({ units: 4, negatives: 2, returnSequences: true });
    const stack = [
      layers.bidirectional(scornn, { name: 'both' }),
      layers.residual(scornn, { name: 'sum' }),
    ];
    const own = suggestedGroups([{ ...scornn, name: 'own' } as unknown as LayerSpec]);
    const paths = suggestedGroups(stack).map(({ layer }) => layer);
    expect(new Set(paths)).toEqual(
      new Set(own.length > 0 ? ['both.forward', 'both.backward', 'sum.scornn'] : []),
    );
  });
});

describe('models with them', () => {
  const steps = 5;
  const words = Int32Array.from({ length: 24 * steps }, (_, at) => (at * at) % 7);
  // Whether a row has a 4 in it: 0, 1, 2 and 4 are the squares modulo 7.
  const y = Int32Array.from({ length: 24 }, (_, row) =>
    words.subarray(row * steps, (row + 1) * steps).filter((word) => word === 4).length > 1 ? 1 : 0,
  );
  const make = () =>
    sequential({
      inputShape: [steps, 1],
      layers: [
        layers.embedding({ inputDim: 7, units: 4 }),
        layers.bidirectional(lstm(2)),
        layers.residual([layers.layerNorm(), layers.dense({ units: 4, activation: 'tanh' })]),
        layers.pool({ over: 'max' }),
        layers.dense({ units: 2, activation: 'softmax' }),
      ],
      seed: 2,
    }).compile({
      optimizer: { kind: 'adam', learningRate: 0.05 },
      loss: 'sparseCategoricalCrossentropy',
      metrics: ['accuracy'],
    });

  it('learn from whole numbers', async () => {
    using model = make();
    const x = { shape: [24, steps], data: words };
    await model.fit({ x, y }, { epochs: 40, batchSize: 8, verbose: 0 });
    expect((await model.evaluate({ x, y }))['accuracy']).toBeGreaterThan(0.9);
  });

  it('take them bare, nested, deep or as floats', async () => {
    using model = make();
    const nested = Array.from({ length: 24 }, (_, row) => [
      ...words.subarray(row * steps, (row + 1) * steps),
    ]);
    const { data: expected } = await model.predict(words);
    for (const x of [
      nested,
      { shape: [24, steps, 1], data: words },
      { shape: [24, steps, 1], data: Float32Array.from(words) },
    ]) {
      expect((await model.predict(x)).data).toEqual(expected);
    }
  });

  it('refuse numbers beyond the table and other shapes', async () => {
    using model = make();
    await expect(model.predict(words.map((word) => word + 3))).rejects.toMatchObject({
      code: 'ERR_DATA',
      message: expect.stringMatching(
        /reads 7 at row .*expected a whole number in 0\.\.6/,
      ) as string,
    });
    await expect(model.predict({ shape: [20, 6], data: words })).rejects.toMatchObject({
      code: 'ERR_SHAPE',
    });
  });

  it('name their weights, and are saved with them', async () => {
    using model = make();
    expect(Object.keys(model.getWeights())).toEqual(
      expect.arrayContaining([
        'embedding.W',
        'bidirectional.forward.W_x',
        'bidirectional.backward.W_x',
        'residual.layerNorm.gamma',
        'residual.dense.b',
      ]),
    );
    const path = join(folder, 'model.safetensors');
    await model.save(path);
    using loaded = await loadModel(path);
    expect(loaded.config()).toEqual(model.config());
    expect(weightsOf(loaded)).toEqual(weightsOf(model));
    expect((await loaded.predict(words)).data).toEqual((await model.predict(words)).data);
    expect(model.summary({ print: () => undefined })).toMatch(/bidirectional +bidirectional/);
  });

  it('freeze as a whole', async () => {
    using model = sequential({
      inputShape: [steps, 2],
      layers: [
        layers.bidirectional(lstm(2), { trainable: false }),
        layers.pool(),
        layers.dense({ units: 1 }),
      ],
    }).compile({ optimizer: 'sgd', loss: 'meanSquaredError' });
    const before = weightsOf(model);
    await model.trainOnBatch(
      { shape: [1, steps, 2], data: new Float32Array(2 * steps).fill(1) },
      Float32Array.of(1),
    );
    const changed = Object.entries(weightsOf(model)).filter(
      ([name, values]) => JSON.stringify(values) !== JSON.stringify(before[name]),
    );
    expect(changed.map(([name]) => name)).toEqual(['dense.W', 'dense.b']);
  });
});
