/**
 * Runs that fail before their first update: what their callbacks hear of it, and what is left of them.
 */
import type { Callback, FitOptions } from '../../lib';
import { callbacks } from '../../lib';
import { tinyData, tinyModel } from './support/tiny';

const train = tinyData(44);
const fit = { batchSize: 8, epochs: 3, verbose: 0 } as const satisfies FitOptions;

describe('a run that fails in its beginning', () => {
  const boom = new Error('boom');
  const failing: Callback = {
    onTrainBegin() {
      throw boom;
    },
  };
  const rude: Callback = {
    onError() {
      throw boom;
    },
  };

  it.each([
    ['', []],
    [', also where a callback keeps others from hearing of it', [rude]],
  ])('leaves no time limit to the next one%s', async (_name, before) => {
    using model = tinyModel();
    const limit = callbacks.timeLimit({ seconds: 0.03 });
    const first = model.fit(train, { ...fit, callbacks: [...before, limit, failing] });
    await expect(first).rejects.toBe(boom);
    const slow: Callback = { onEpochEnd: () => new Promise((resolve) => setTimeout(resolve, 10)) };
    const { epoch } = await model.fit(train, { ...fit, epochs: 12, callbacks: [slow] });
    expect(epoch).toHaveLength(12);
  });

  it('tells its callbacks, and fails whatever they say', async () => {
    using model = tinyModel();
    const told: unknown[] = [];
    const calm: Callback = {
      onError(error) {
        told.push(error);
        return true;
      },
    };
    await expect(model.fit(train, { ...fit, callbacks: [failing, calm] })).rejects.toBe(boom);
    expect(told).toEqual([boom]);
  });
});
