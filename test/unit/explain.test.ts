/**
 * `explain`: how recurrent layers run, on the device at hand and on GPUs that are not.
 */
import type { ExplainOptions, LayerSpec, Model } from '../../lib';
import { layers, sequential } from '../../lib';

const made: Model[] = [];
afterAll(() => {
  for (const model of made) model.dispose();
});

function modelOf(
  given: LayerSpec[],
  options: { device?: 'cpu' | 'emulated'; inputShape?: [number | null, number] } = {},
): Model {
  const model = sequential({ inputShape: [128, 9], threads: 2, layers: given, ...options });
  made.push(model);
  return model;
}

const lstm = (units: number): LayerSpec => layers.lstm({ units });

describe('explain', () => {
  it('tells the tiles of the CPU', () => {
    const plans = modelOf([lstm(32)]).explain({ batchSize: 64 });
    expect(plans).toEqual([
      { layer: 'lstm', device: 'cpu', driver: 'tiles', text: expect.any(String) as string },
    ]);
    expect(plans[0]?.text).toMatch(/^tiles: \d+ tiles of up to \d+ rows on \d threads?, each/);
    expect(modelOf([lstm(32)]).explain({ batchSize: 1 })[0]?.text).toMatch(
      /^rows: 1 row one by one on 1 thread, a lane to a unit; \d+ bytes a row$/,
    );
    const large = modelOf([lstm(128)]).explain({ batchSize: 1, steps: 128 });
    expect(large[0]?.text).toMatch(/one by one on 2 threads, 2 of them to a row, a lane to a unit/);
  });

  it('asks the device of the model where it has one, as the same description says', () => {
    const model = modelOf([layers.larnn({ units: 8, heads: 2, window: 4 })], {
      device: 'emulated',
    });
    const here = model.explain({ batchSize: 6 });
    expect(here).toEqual([
      {
        layer: 'larnn',
        device: 'emulated',
        driver: 'resident',
        text: expect.any(String) as string,
      },
    ]);
    // Two multiprocessors of 48 KiB: six rows are two blocks of four.
    expect(here[0]?.text).toMatch(/^resident: 2 blocks of 4 rows and 128 threads; a step by/);
    const on = { name: 'emulated', multiprocessors: 2, sharedBytes: 48 * 1024 };
    const [same] = model.explain({ batchSize: 6, on });
    expect(here[0]?.text.replace(/; products over all steps: .*/, '')).toBe(same?.text);
  });

  it('says what forms the products over all steps where the device is here', () => {
    const model = modelOf([lstm(4)], { device: 'emulated' });
    expect(model.explain()[0]?.text).toMatch(
      /; products over all steps: our own, cuBLAS is not used: .*LOOKBACK_CUBLAS/,
    );
    expect(model.explain({ training: false })[0]?.text).toMatch(
      /; products over all steps: our own, as always without training$/,
    );
    expect(model.explain({ on: 'h200' })[0]?.text).not.toMatch(/products|cuBLAS/);
  });

  it('goes while the device that it asks is busy, and opens nothing there', async () => {
    const model = modelOf([layers.gru({ units: 3 }), layers.dense({ units: 1 })], {
      device: 'emulated',
      inputShape: [40, 2],
    });
    const running = model.predict(new Float32Array(64 * 40 * 2));
    // Native work is going on: this would come between.
    expect(() => model.getWeights()).toThrow(/the model is busy/);
    const [during] = model.explain();
    expect(during?.text).toMatch(/; products over all steps: our own, too small for cuBLAS$/);
    expect(model.explain({ on: 'h200' })).toHaveLength(1);
    await running;
    const [after] = model.explain();
    expect(after?.text).toMatch(/: our own, cuBLAS is not used: /);
    expect(after?.text.replace(/; products.*/, '')).toBe(during?.text.replace(/; products.*/, ''));
    // From then on nothing is left to be looked for.
    const again = model.predict(new Float32Array(64 * 40 * 2));
    expect(model.explain()).toEqual([after]);
    await again;
  });

  it('divides a batch with statistics among the blocks of a cluster', () => {
    const model = modelOf([
      layers.larnn({ units: 32, heads: 8, window: 16, normalization: 'batch' }),
    ]);
    const text = (on: 'h200' | 'a100', training = true, batchSize = 64): string | undefined =>
      model.explain({ on, batchSize, training })[0]?.text;
    expect(text('h200')).toMatch(
      /^resident: 8 blocks of 8 rows and 160 threads in one cluster; .* bytes of shared memory a block/,
    );
    // Without clusters: as long as one block is the faster way for all rows.
    expect(text('a100', true, 16)).toMatch(/^resident: 1 block of 16 rows and 160 threads; /);
    expect(text('a100')).toMatch(/^stepwise: 64 blocks of 1 row and 160 threads; /);
    expect(text('h200', false)).toMatch(/^resident: 64 blocks of 1 row and 160 threads; /);
  });

  it('chooses by size: small cells stay on chip, large ones go step by step', () => {
    const small = modelOf([lstm(32)]).explain({ on: 'h200', batchSize: 64 });
    expect(small[0]).toMatchObject({ device: 'h200', driver: 'resident' });
    expect(small[0]?.text).toMatch(/^resident: 64 blocks of 1 row and 256 threads; /);
    expect(small[0]?.text).toMatch(
      /a step by the model: resident [\d.]+ us, stepwise [\d.]+ us; forward: .*; backward: \d+ bytes/,
    );
    const large = modelOf([lstm(512)], { inputShape: [150, 50] });
    expect(large.explain({ on: 'h200', batchSize: 128 })[0]?.driver).toBe('stepwise');
    expect(large.explain({ on: 'h200', batchSize: 128, training: false })[0]?.driver).toBe(
      'stepwise',
    );
  });

  it('depends on the size of the GPU', () => {
    const blocks = (options: ExplainOptions): string | undefined =>
      /(\d+) blocks? of \d+/.exec(modelOf([lstm(32)]).explain(options)[0]?.text ?? '')?.[0];
    expect(blocks({ on: 'h200', batchSize: 200 })).toBe('100 blocks of 2');
    expect(blocks({ on: 'l4', batchSize: 200 })).toBe('50 blocks of 4');
    const on = { multiprocessors: 1, sharedBytes: 0 };
    expect(blocks({ on, batchSize: 200 })).toBe('25 blocks of 8');
    expect(modelOf([lstm(32)]).explain({ on })[0]?.text).toMatch(
      /forward: 0 bytes of shared memory, 0 of/,
    );
  });

  it('spreads weights over a cluster of blocks where the GPU has those', () => {
    const wide = modelOf([lstm(128)]);
    const text = (on: NonNullable<ExplainOptions['on']>): string | undefined =>
      wide.explain({ on, batchSize: 64 })[0]?.text;
    expect(text('h200')).toMatch(
      /^resident: 64 clusters of 1 row, each 2 blocks of 256 threads; .*bytes of shared memory a block/,
    );
    const on = { multiprocessors: 132, sharedBytes: 227 * 1024 };
    expect(text(on)).toMatch(/^resident: 64 blocks of 1 row and 256 threads; /);
    expect(text({ ...on, name: 'h200', maxCluster: 8 })).toBe(text('h200'));
  });

  it('says nothing of backward where there is none', () => {
    const [plan] = modelOf([lstm(32)]).explain({ on: 'a100', training: false });
    expect(plan?.text).toMatch(/; forward: /);
    expect(plan?.text).not.toMatch(/backward/);
  });

  it('has every recurrent layer by its full name, and no other', () => {
    const more = { returnSequences: true };
    const model = modelOf([
      layers.dense({ units: 6 }),
      layers.bidirectional(layers.gru({ units: 3, ...more })),
      layers.residual([layers.rnn({ units: 6, name: 'inner', ...more })]),
      layers.larnn({ units: 4, heads: 2, window: 3, layers: 2 }),
    ]);
    const names = [
      'bidirectional.forward',
      'bidirectional.backward',
      'residual.inner',
      'larnn.l0',
      'larnn.l1',
    ];
    expect(model.explain().map(({ layer }) => layer)).toEqual(names);
    expect(model.explain({ on: 'h100' }).map(({ layer }) => layer)).toEqual(names);
    expect(modelOf([layers.dense({ units: 2 })]).explain()).toEqual([]);
  });

  it('is part of the summary where it is wanted', () => {
    const model = modelOf([lstm(32)]);
    const lines: string[] = [];
    const print = (line: string): number => lines.push(line);
    const plain = model.summary({ print });
    expect(plain).not.toMatch(/tiles/);
    lines.length = 0;
    const told = model.summary({ print, explain: true });
    expect(told).toBe(lines.join('\n'));
    expect(told.startsWith(plain)).toBe(true);
    expect(lines.slice(-2)).toEqual([
      'on cpu, 32 rows of 128 steps, training:',
      expect.stringMatching(/^ {2}lstm {2}tiles: /) as string,
    ]);
    const explain: ExplainOptions = { on: 'h200', batchSize: 1, steps: 9, training: false };
    expect(model.summary({ print: () => undefined, explain })).toMatch(
      /^on h200, 1 row of 9 steps, forward passes alone:\n {2}lstm {2}resident: 1 block of 1 row/m,
    );
    expect(
      modelOf([layers.dense({ units: 2 })]).summary({ print: () => undefined, explain: true }),
    ).toMatch(/: no recurrent layer$/);
  });

  it.each<[ExplainOptions, RegExp]>([
    [{}, /explain: steps is missing; the model takes any number of them/],
    [{ steps: 0 }, /explain: steps is 0; expected at least 1/],
    [{ steps: 4, batchSize: 0 }, /explain: batchSize is 0/],
    [{ steps: 4, on: 'h20' as 'h200' }, /explain: on is "h20"/],
    [{ steps: 4, gpu: 'h200' } as ExplainOptions, /explain: unknown option gpu/],
    [{ steps: 4, on: { multiprocessors: 0, sharedBytes: 1 } }, /on.multiprocessors is 0/],
    [{ steps: 4, on: { multiprocessors: 1, sharedBytes: 1, maxCluster: 0 } }, /on.maxCluster is 0/],
  ])('refuses %j and prints nothing', (options, message) => {
    const model = modelOf([lstm(4)], { inputShape: [null, 2] });
    const lines: string[] = [];
    expect(() => model.summary({ explain: options, print: (line) => lines.push(line) })).toThrow(
      expect.objectContaining({
        code: 'ERR_OPTION',
        message: expect.stringMatching(message) as string,
      }),
    );
    expect(lines).toEqual([]);
  });
});
