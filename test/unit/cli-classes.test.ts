/**
 * Classes on the command line: what a report counts of them, and what predictions are called.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { LayerSpec, LossLike, Model } from '../../lib';
import { layers, sequential } from '../../lib';
import { confusionOf } from '../../lib/cli/confusion';

const main = join(__dirname, '..', '..', 'dist', 'cli', 'main.js');
const folder = mkdtempSync(join(tmpdir(), 'lookback-classes-'));
afterAll(() => rmSync(folder, { recursive: true }));

const labels = ['low', 'high'];

function modelOf(stack: LayerSpec[], loss: LossLike): Model {
  const how = { inputShape: [3, 1], seed: 1, preprocessing: { labels } } as const;
  return sequential({ ...how, layers: stack }).compile({ optimizer: 'sgd', loss });
}

const softmax = layers.dense({ units: 2, activation: 'softmax' });
const sigmoid = layers.dense({ units: 1, activation: 'sigmoid' });

describe('the confusion matrix of a report', () => {
  const x = { shape: [2, 3, 1], data: Float32Array.of(1, 2, 9, -1, 9, 9) };
  const y = { shape: [2, 3], data: Int32Array.of(0, 1, 0, 1, 0, 0) };
  const split = { x, y, lengths: Int32Array.of(2, 1) };
  const config = { stateful: false, burnIn: 0 };

  it('leaves padding out', async () => {
    using model = modelOf([softmax], 'sparseCategoricalCrossentropy');
    const confusion = await confusionOf(model, config, split, labels);
    expect(confusion).toEqual({ classNames: labels, counts: await model.confusionMatrix(split) });
    expect(confusion?.counts.flat().reduce((sum, count) => sum + count)).toBe(3);
  });

  it('is not there for runs that it would say something else of', async () => {
    using model = modelOf([softmax], 'sparseCategoricalCrossentropy');
    for (const other of [{ stateful: true }, { burnIn: 1 }])
      expect(await confusionOf(model, { ...config, ...other }, split, labels)).toBeNull();
    using single = modelOf([sigmoid], 'binaryCrossentropy');
    expect(await confusionOf(single, config, split, labels)).toBeNull();
  });
});

describe('lookback predict names the class', () => {
  writeFileSync(join(folder, 'x.json'), '[[[1],[2],[3]],[[-3],[-2],[-1]]]');

  async function predicted(stack: LayerSpec[], loss: LossLike): Promise<[string[], object[]]> {
    using model = modelOf(stack, loss);
    const shape = model.getWeights()['dense.W']?.shape ?? [];
    // The last of the outputs is the larger, the larger the input.
    const data = Float32Array.of(-1, 1).subarray(2 - (shape[0] ?? 0));
    model.setWeights({ 'dense.W': { shape, data } });
    await model.save(join(folder, 'model.safetensors'));
    const lines = (...args: string[]): string[] => {
      const all = [main, 'predict', 'model.safetensors', 'x.json', ...args];
      const { stdout, stderr } = spawnSync(process.execPath, all, {
        cwd: folder,
        encoding: 'utf8',
      });
      expect(stderr).toBe('');
      return stdout.trimEnd().split('\n');
    };
    return [lines(), lines('--json').map((line) => JSON.parse(line) as object)];
  }

  it.each([
    ['of two outputs', softmax, 'sparseCategoricalCrossentropy'],
    ['of one output', sigmoid, 'binaryCrossentropy'],
  ] as const)('%s', async (_, last, loss) => {
    const [told, objects] = await predicted([layers.pool(), last], loss);
    expect(told).toEqual([expect.stringMatching(/^high [\d.]/), expect.stringMatching(/^low \S/)]);
    expect(objects).toMatchObject([
      { row: 0, class: 1, className: 'high' },
      { row: 1, class: 0, className: 'low' },
    ]);
  });

  it('of every step', async () => {
    const [told, objects] = await predicted([softmax], 'sparseCategoricalCrossentropy');
    expect(told[0]).toMatch(/^high high high [\d.]/);
    expect(objects).toMatchObject([
      { class: [1, 1, 1], className: ['high', 'high', 'high'], outputs: expect.any(Array) },
      { class: [0, 0, 0], className: ['low', 'low', 'low'] },
    ]);
  });
});
