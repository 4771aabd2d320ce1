import { join } from 'node:path';
import type { PreprocessingOptions, Prediction } from '../../lib';
import { loadModel, Preprocessing } from '../../lib';
import { codeOf } from './support/failure';
import { tinyData, tinyModel, weightsOf } from './support/tiny';
import { temporaryFolder } from './support/uci-tree';

const UNIT = 0.01;
const compressing: PreprocessingOptions = {
  input: { kind: 'standardize', compress: [UNIT, null] },
};

/** The first feature as it is to be compressed, the second alone, in float64. */
function byHand(data: ArrayLike<number>): Float64Array {
  return Float64Array.from(data, (value, at) => (at % 2 === 0 ? Math.asinh(value / UNIT) : value));
}

describe('features that are compressed', () => {
  it('are scaled and train as compressed by hand, to the bit', async () => {
    const { x, y } = tinyData(64);
    using model = tinyModel({ preprocessing: compressing });
    await model.fit({ x, y }, { epochs: 2, verbose: 0 });
    const plain = new Preprocessing({ input: 'standardize' });
    const changed = { shape: x.shape, data: byHand(x.data) };
    plain.fit({ x: changed, y }, 'data');
    expect(model.preprocessing!.fitted).toEqual(plain.fitted);
    using other = tinyModel();
    const { x: scaled } = plain.input(changed, 'float32', 'x') as { x: typeof x };
    await other.fit({ x: scaled, y }, { epochs: 2, verbose: 0 });
    expect(weightsOf(model)).toEqual(weightsOf(other));
  });

  it('are so in a loaded model and in a stream, to the bit', async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, 'model.safetensors');
    const { x, y } = tinyData(3);
    using model = tinyModel({ preprocessing: compressing });
    model.fitPreprocessing({ x, y });
    const before = await model.predict(x);
    await model.save(path);
    using loaded = await loadModel(path);
    expect(await loaded.predict(x)).toEqual(before);
    using stream = loaded.createStream({ batch: 3 });
    let last: Prediction | undefined;
    for (let step = 0; step < 6; step += 1)
      last = stream.step(
        [0, 1, 2].map((row) => [...x.data.slice((row * 6 + step) * 2, (row * 6 + step) * 2 + 2)]),
      );
    expect(last?.data).toEqual(before.data);
  });

  it.each<[string, object, RegExp]>([
    [
      'a unit too many',
      { input: { kind: 'minMax', compress: [1, null, 1] } },
      /preprocessing\.input: compress has 3 units; expected 2, one for each feature/,
    ],
    ['a unit of 0', { input: { kind: 'minMax', compress: [0, 1] } }, /compress/],
    ['targets', { target: { kind: 'minMax', compress: [1] } }, /target/],
  ])('are refused: %s', async (_, options, message) => {
    const found = await codeOf(() => {
      using model = tinyModel({ preprocessing: options });
      model.fitPreprocessing(tinyData(4));
    });
    expect(found).toEqual(['ERR_OPTION', expect.stringMatching(message)]);
  });
});
