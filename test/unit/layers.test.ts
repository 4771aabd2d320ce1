import type { LayerSpec } from '../../lib/layers';
import { layers, resolveLayer, resolveStack } from '../../lib/layers';

describe('layers', () => {
  it('describe themselves with every default', () => {
    expect(layers.dense({ units: 6, activation: 'softmax' })).toEqual({
      kind: 'dense',
      units: 6,
      activation: 'softmax',
      useBias: true,
      init: 'xavier',
      trainable: true,
    });
    expect(layers.lstm({ units: 4, returnSequences: true })).toMatchObject({
      kind: 'lstm',
      returnSequences: true,
      gateOrder: 'ifgo',
    });
    expect(layers.larnn({ units: 8 })).toMatchObject({
      kind: 'larnn',
      heads: 4,
      window: 16,
      trainable: true,
    });
    expect(layers.dropout({ rate: 0.5, name: 'drop' })).toEqual({
      kind: 'dropout',
      rate: 0.5,
      name: 'drop',
    });
  });

  it('are the same when resolved again', () => {
    for (const layer of [
      layers.dense({ units: 2 }),
      layers.larnn({ units: 8 }),
      layers.lstm({ units: 2 }),
      layers.dropout({ rate: 0.1 }),
    ]) {
      expect(resolveLayer(layer, 'layer')).toEqual(layer);
    }
  });

  it('freeze under the published preset unless told otherwise', () => {
    expect(layers.larnn({ units: 8, preset: 'published' })['trainable']).toBe(false);
    expect(layers.larnn({ units: 8, preset: 'published', trainable: true })['trainable']).toBe(
      true,
    );
  });

  it.each([
    [{ kind: 'lstn', units: 2 }, /layer.kind is "lstn"; did you mean "lstm"\?/],
    [{ kind: 'dense', unit: 2 }, /layer: unknown option unit; did you mean units\?/],
    [{ kind: 'lstm', units: 2, inputSize: 3 }, /unknown option inputSize; a layer takes it/],
    [{ kind: 'lstm', units: 2, name: 'a.b' }, /name is "a.b"; expected letters/],
    [{ units: 2 }, /expected a layer such as/],
    [7, /layer is 7; expected a layer/],
    [{ kind: 'dropout', rate: 1 }, /rate is 1; expected less than 1/],
  ])('refuse %j', (value, message) => {
    expect(() => resolveLayer(value, 'layer')).toThrow(message);
  });
});

describe('a stack of layers', () => {
  const stack = (...given: LayerSpec[]) => resolveStack([128, 9], given, 'layers');

  it('numbers names and follows the shape', () => {
    const { layers: named, outputShape } = stack(
      layers.dense({ units: 16 }),
      layers.lstm({ units: 8, returnSequences: true }),
      layers.lstm({ units: 8 }),
      layers.dense({ units: 6 }),
    );
    expect(named.map((layer) => layer['name'])).toEqual(['dense', 'lstm', 'lstm_1', 'dense_1']);
    expect(outputShape).toEqual([6]);
  });

  it('keeps the sequence where the last recurrent layer does', () => {
    expect(
      stack(layers.lstm({ units: 8, returnSequences: true }), layers.dense({ units: 2 }))
        .outputShape,
    ).toEqual([128, 2]);
  });

  it('refuses a recurrent layer after a single row', () => {
    expect(() => stack(layers.lstm({ units: 8 }), layers.lstm({ units: 8 }))).toThrow(
      /layers\[1\] \(lstm\) reads a sequence .* returnSequences: true/,
    );
  });

  it('refuses a name twice', () => {
    expect(() =>
      stack(layers.dense({ units: 8, name: 'a' }), layers.dense({ units: 8, name: 'a' })),
    ).toThrow(/names must differ/);
  });

  it('checks sizes that only the place decides', () => {
    expect(() => stack(layers.larnn({ units: 8, stacking: 'residual' }))).toThrow(
      /inputSize 9 must be units 8/,
    );
  });

  it('is never empty', () => {
    expect(() => stack()).toThrow(/expected at least one layer/);
  });
});
