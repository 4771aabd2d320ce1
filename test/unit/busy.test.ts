/**
 * A model does one call at a time: what a second one is told, and that the first goes on.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Model } from '../../lib';
import { failure } from './support/failure';
import { features, tinyData, tinyModel } from './support/tiny';

const data = tinyData(32);
const silent = { verbose: 0, batchSize: 8 } as const;
const folder = mkdtempSync(join(tmpdir(), 'lookback-busy-'));
afterAll(() => rmSync(folder, { recursive: true }));

describe('a model that is', () => {
  it('busy, and the job that runs is not disturbed', async () => {
    using model = tinyModel();
    const running = model.fit(data, { ...silent, epochs: 3 });
    const error = await failure(() => model.fit(data, silent));
    expect([error.code, error.message]).toEqual([
      'ERR_STATE',
      expect.stringMatching(/fit: the model is busy with fit/),
    ]);
    expect((await failure(() => model.predict(data.x))).code).toBe('ERR_STATE');
    expect((await running).epoch).toEqual([0, 1, 2]);
  });

  it.each<[string, (model: Model) => Promise<unknown>]>([
    ['fit', (model) => model.fit(data, silent)],
    ['trainOnBatch', (model) => model.trainOnBatch(data.x, data.y)],
    ['evaluate', (model) => model.evaluate(data)],
    ['predict', (model) => model.predict(data.x)],
    ['forward', (model) => model.forward(data.x)],
  ])('busy with %s, which the errors of all other calls name', async (name, call) => {
    using model = tinyModel();
    await model.predict(data.x); // Another name, which must not stay.
    const stream = model.createStream();
    const named = expect.objectContaining({
      code: 'ERR_STATE',
      message: expect.stringContaining(
        `the model is busy with ${name}; await it first, or use a second model`,
      ) as string,
    }) as Error;
    const running = call(model);
    const begun = (): boolean => {
      try {
        model.resetStates();
      } catch {
        return true;
      }
      return false;
    };
    for (let turns = 0; turns < 100 && !begun(); ++turns) await Promise.resolve();
    // The job settles in a turn of the event loop, of which there is none until all have been refused.
    for (const other of [
      () => model.getWeights(),
      () => model.resetStates(),
      () => model.createStream(),
      () => stream.step([new Array<number>(features).fill(0)]),
      () => model.compile({ optimizer: 'sgd', loss: 'meanSquaredError' }),
    ])
      expect(other).toThrow(named);
    const later = [model.evaluate(data), model.save(join(folder, 'never.safetensors'))];
    await expect(Promise.all(later.map((each) => failure(() => each)))).resolves.toEqual([
      named,
      named,
    ]);
    await running;
  });

  it('disposed while busy ends the job', async () => {
    const model = tinyModel();
    const running = model.fit(data, { ...silent, epochs: 1000 });
    const settled = failure(() => running);
    model.dispose();
    expect(['ERR_ABORTED', 'ERR_STATE']).toContain((await settled).code);
  });
});
