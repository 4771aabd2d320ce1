/**
 * Every error code, where a user meets it. After each failure the model must still work.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DataLike, ErrorCode, Model, TensorLike } from '../../lib';
import {
  backendInfo,
  cells,
  devices,
  importWeights,
  layers,
  loadModel,
  LookbackError,
  sequential,
} from '../../lib';
import { encode, writeSafetensors } from '../../lib/storage/safetensors';
import { failure } from './support/failure';
import { features, steps, tinyData, tinyModel } from './support/tiny';

const data = tinyData(32);
const silent = { verbose: 0, batchSize: 8 } as const;
const folder = mkdtempSync(join(tmpdir(), 'lookback-errors-'));
afterAll(() => rmSync(folder, { recursive: true }));

async function expectUsable(model: Model): Promise<void> {
  await expect(model.fit(data, silent)).resolves.toBeDefined();
}

describe('LookbackError', () => {
  it('is an Error with a code, a cause and details', () => {
    const cause = new Error('inner');
    const error = new LookbackError('ERR_IO', 'outer', { cause, details: { path: 'p' } });
    expect(error).toBeInstanceOf(Error);
    expect([error.name, error.code, error.message, error.cause, error.details]).toEqual([
      'LookbackError',
      'ERR_IO',
      'outer',
      cause,
      { path: 'p' },
    ]);
  });

  it('comes out of native code too', async () => {
    const spec = { units: 4, inputSize: 2, bias: 'none' } as const;
    const error = await failure(() => cells.lstm(spec, { threads: 0.5 }));
    expect(error.code).toBe('ERR_OPTION');
  });
});

describe('ERR_SHAPE and ERR_DATA', () => {
  const changed = (change: (x: Float32Array) => void): DataLike => {
    const x = data.x.data.slice();
    change(x);
    return { x: { shape: data.x.shape, data: x }, y: data.y };
  };
  const labelled = (label: number): DataLike => ({
    x: data.x,
    y: Int32Array.from(data.y, (y, row) => (row === 5 ? label : y)),
  });

  it.each<[string, DataLike, ErrorCode, RegExp]>([
    [
      'a wrong rank',
      { x: { shape: [32 * steps, features], data: data.x.data }, y: data.y },
      'ERR_SHAPE',
      /data.x has shape \[192, 2\]; expected \[\?, 6, 2\]/,
    ],
    [
      'another number of steps',
      { x: { shape: [64, 3, 2], data: data.x.data }, y: data.y },
      'ERR_SHAPE',
      /has shape \[64, 3, 2\]/,
    ],
    [
      'another number type',
      { x: Float64Array.from(data.x.data), y: data.y },
      'ERR_SHAPE',
      /Float64Array; expected a Float32Array/,
    ],
    [
      'float labels',
      { x: data.x, y: Float32Array.from(data.y) },
      'ERR_SHAPE',
      /data.y is a Float32Array; expected an Int32Array/,
    ],
    [
      'too few labels',
      { x: data.x, y: data.y.slice(1) },
      'ERR_SHAPE',
      /data.y has shape 31 entries; expected \[32\]/,
    ],
    [
      'ragged rows',
      { x: [[[1, 2], [3]]] as never, y: Int32Array.of(0) },
      'ERR_SHAPE',
      /rows must be equally long/,
    ],
    [
      'a label too large',
      labelled(2),
      'ERR_DATA',
      /data.y\[5\] is 2; expected a label from 0 to 1/,
    ],
    ['a negative label', labelled(-1), 'ERR_DATA', /data.y\[5\] is -1/],
    ['NaN', changed((x) => (x[15] = NaN)), 'ERR_DATA', /data.x\[1, 1, 1\] is NaN/],
    ['infinity', changed((x) => (x[0] = Infinity)), 'ERR_DATA', /data.x\[0, 0, 0\] is Infinity/],
    [
      'no rows',
      { x: { shape: [0, 6, 2], data: new Float32Array(0) }, y: new Int32Array(0) },
      'ERR_DATA',
      /data.x is empty/,
    ],
    [
      'too long lengths',
      { ...data, lengths: new Int32Array(32).fill(7) },
      'ERR_DATA',
      /lengths\[0\] is 7; expected 0 to 6/,
    ],
    ['no data at all', 7 as never, 'ERR_SHAPE', /data is 7; expected \{ x, y \}/],
  ])('%s', async (_what, wrong, code, message) => {
    using model = tinyModel();
    const error = await failure(() => model.fit(wrong, silent));
    expect(error.message).toMatch(message);
    expect(error.code).toBe(code);
    await expectUsable(model);
  });

  it('cells check every tensor', async () => {
    const cell = cells.lstm({ units: 2, inputSize: 1, bias: 'none' });
    const x: TensorLike = { shape: [1, 3, 1], data: new Float32Array(3) };
    const weights = { W_x: new Float32Array(8), W_h: new Float32Array(16) };
    expect(
      (await failure(() => cell.forward({ x, h_0: new Float32Array(2) }, weights))).message,
    ).toMatch(/input "h_0" is unknown; did you mean h0\?/);
    expect((await failure(() => cell.forward({ x }, { W_x: weights.W_x }))).message).toMatch(
      /weight W_h is missing/,
    );
    expect(
      (await failure(() => cell.forward({ x }, { ...weights, W_h: new Float32Array(15) }))).code,
    ).toBe('ERR_SHAPE');
    const { handle } = await cell.forward({ x }, weights);
    expect((await failure(() => handle.backward({ z: new Float32Array(6) }))).code).toBe(
      'ERR_OPTION',
    );
    expect((await failure(() => handle.backward({ y: new Float32Array(5) }))).code).toBe(
      'ERR_SHAPE',
    );
    const { grads } = await handle.backward({ y: new Float32Array(6).fill(1) });
    expect(grads['W_x']?.shape).toEqual([8, 1]);
  });
});

describe('what is no object at all', () => {
  it.each<[string, (model: Model) => unknown, ErrorCode, string]>([
    [
      'backward',
      (model) => model.backward(undefined as never),
      'ERR_SHAPE',
      'backward: gradient is undefined; expected a Float32Array',
    ],
    [
      'setWeights',
      (model) => model.setWeights(null as never),
      'ERR_OPTION',
      'setWeights: the value is null; expected a record',
    ],
    [
      'importWeights',
      () =>
        importWeights(cells.lstm({ units: 2, inputSize: 1 }), null as never, { format: 'pytorch' }),
      'ERR_OPTION',
      'importWeights: the value is null; expected a record',
    ],
    [
      'a signal',
      (model) => model.fit(data, { ...silent, signal: {} as never }),
      'ERR_OPTION',
      'fit: signal is an object with no keys; expected an AbortSignal',
    ],
    [
      'a callback',
      (model) => model.fit(data, { ...silent, callbacks: [3 as never] }),
      'ERR_OPTION',
      'fit: callbacks[0] is 3; expected a callback object',
    ],
  ])('%s', async (_what, call, code, message) => {
    using model = tinyModel();
    const error = await failure(() => call(model));
    expect([error.code, error.message]).toEqual([code, expect.stringContaining(message)]);
    await expectUsable(model);
  });
});

describe('ERR_STATE', () => {
  it('not compiled', async () => {
    using model = sequential({
      inputShape: [steps, features],
      layers: [layers.dense({ units: 2 })],
    });
    expect((await failure(() => model.fit(data, silent))).message).toMatch(
      /not compiled; call compile/,
    );
  });

  it('no layers', async () => {
    using model = sequential({ inputShape: [steps, features] });
    expect((await failure(() => model.predict(data.x))).code).toBe('ERR_STATE');
  });

  it('disposed', async () => {
    const model = tinyModel();
    model.dispose();
    model.dispose();
    for (const call of [
      () => model.fit(data, silent),
      () => model.predict(data.x),
      () => model.getWeights(),
      () => model.save(join(folder, 'x')),
      () => model.add(layers.dense({ units: 1 })),
    ]) {
      const error = await failure(call);
      expect([error.code, error.message]).toEqual([
        'ERR_STATE',
        expect.stringContaining('disposed'),
      ]);
    }
  });

  it('a handle works once', async () => {
    const cell = cells.lstm({ units: 1, inputSize: 1, bias: 'none' });
    const x: TensorLike = { shape: [1, 1, 1], data: new Float32Array(1) };
    const weights = { W_x: new Float32Array(4), W_h: new Float32Array(4) };
    const first = await cell.forward({ x }, weights);
    await first.handle.backward({ y: [[[1]]] });
    expect((await failure(() => first.handle.backward({ y: [[[1]]] }))).code).toBe('ERR_STATE');
    const second = await cell.forward({ x }, weights);
    second.handle.dispose();
    second.handle.dispose();
    expect((await failure(() => second.handle.backward({ y: [[[1]]] }))).code).toBe('ERR_STATE');
  });
});

describe('ERR_DEVICE', () => {
  it('cuda never falls back', async () => {
    const error = await failure(() => tinyModel({ device: 'cuda' }));
    expect(error.code).toBe('ERR_DEVICE');
    expect(error.details['reason']).toBeTruthy();
    expect(
      (await failure(() => cells.lstm({ units: 1, inputSize: 1 }, { device: 'cuda' }))).code,
    ).toBe('ERR_DEVICE');
  });

  it('auto says once what it gives and why', async () => {
    const warn = jest.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
    using second = tinyModel({ device: 'auto' });
    expect(second.device).toBe('cpu');
    using model = tinyModel({ device: 'auto' });
    expect(model.device).toBe('cpu');
    expect(warn.mock.calls).toEqual([
      [expect.stringMatching(/device "auto" is the CPU: /), { type: 'LookbackWarning' }],
    ]);
    warn.mockRestore();
    expect(backendInfo()).toMatchObject({
      device: 'cpu',
      deviceReason: expect.any(String) as string,
    });
    expect(await devices()).toContainEqual({ kind: 'cpu', name: expect.any(String) as string });
  });

  it('an unknown device is an option', async () => {
    expect((await failure(() => tinyModel({ device: 'cdua' as 'cuda' }))).message).toMatch(
      /device is "cdua"; did you mean "cuda"\?/,
    );
  });
});

describe('ERR_MEMORY', () => {
  it('a size that no machine has', async () => {
    const huge = sequential({
      inputShape: [null, 1_000_000],
      layers: [layers.dense({ units: 1_048_576 })],
    });
    const error = await failure(() => huge.summary({ print: () => undefined }));
    expect(error.code).toBe('ERR_MEMORY');
  });
});

describe('ERR_NUMERIC', () => {
  it('a loss that is no longer finite leaves the last finite weights', async () => {
    using model = sequential({
      inputShape: [steps, features],
      layers: [layers.lstm({ units: 4 }), layers.dense({ units: 1 })],
    });
    model.compile({ optimizer: { kind: 'sgd', learningRate: 1e20 }, loss: 'meanSquaredError' });
    const y = { shape: [32, 1], data: new Float32Array(32).fill(1e10) };
    const error = await failure(() => model.fit(data.x, y, { ...silent, epochs: 20 }));
    expect(error.code).toBe('ERR_NUMERIC');
    for (const { data: values } of Object.values(model.getWeights()))
      expect(values.every(Number.isFinite)).toBe(true);
    await expect(model.predict(data.x)).resolves.toBeDefined();
  });

  it('weights of RRA whose sum has come to 0', async () => {
    const cell = cells.rra({ units: 1, inputSize: 1, K: 2, normalize: 'sum' });
    const x: TensorLike = { shape: [1, 3, 1], data: Float32Array.of(1, 2, 3) };
    const weights = {
      W_x: new Float32Array(4).fill(1),
      W_h: new Float32Array(4).fill(1),
      b: new Float32Array(4),
    };
    const at = (first: number, second: number) =>
      cell.forward({ x }, { ...weights, W_a: Float32Array.of(first, second) });
    const error = await failure(() => at(0.5, -0.5));
    expect(error.code).toBe('ERR_NUMERIC');
    expect(error.message).toMatch(/the sum of the 2 weights W_a is 0.*use normalize 'softmax'/);
    expect(Array.from((await at(1, 3)).outputs['w']?.data ?? [])).toEqual([0.25, 0.75]);
  });
});

describe('ERR_ABORTED', () => {
  it('carries the reason of the signal', async () => {
    using model = tinyModel();
    const controller = new AbortController();
    const reason = new Error('enough');
    const running = model.fit(data, { ...silent, epochs: 100_000, signal: controller.signal });
    setTimeout(() => controller.abort(reason), 20);
    const error = await failure(() => running);
    expect([error.code, error.cause]).toEqual(['ERR_ABORTED', reason]);
    await expectUsable(model);
  });

  it('an aborted signal starts nothing', async () => {
    using model = tinyModel();
    expect(
      (await failure(() => model.fit(data, { ...silent, signal: AbortSignal.abort() }))).code,
    ).toBe('ERR_ABORTED');
    expect((await failure(() => model.predict(data.x, { signal: AbortSignal.abort() }))).code).toBe(
      'ERR_ABORTED',
    );
    await expectUsable(model);
  });
});

describe('ERR_IO and ERR_FORMAT', () => {
  it('a folder that is not there', async () => {
    using model = tinyModel();
    const error = await failure(() => model.save(join(folder, 'absent', 'model.safetensors')));
    expect([error.code, (error.cause as NodeJS.ErrnoException).code]).toEqual(['ERR_IO', 'ENOENT']);
    expect((await failure(() => loadModel(join(folder, 'absent')))).code).toBe('ERR_IO');
    await expectUsable(model);
  });

  it.each<[string, unknown[], RegExp]>([
    [
      'a number as metadata',
      [join(folder, 'kept.safetensors'), { metadata: { epoch: 12 } }],
      /^save: metadata\.epoch is 12; expected a string$/,
    ],
    [
      'a misspelt option',
      [join(folder, 'kept.safetensors'), { metdata: {} }],
      /^save: unknown option metdata; did you mean metadata\?$/,
    ],
    ['no path', [], /^save: path is undefined; expected a string /],
  ])('%s is refused before anything is written', async (_what, given, message) => {
    using model = tinyModel();
    const path = join(folder, 'kept.safetensors');
    await model.save(path);
    const before = readFileSync(path);
    const save = model.save.bind(model) as (...given: unknown[]) => Promise<void>;
    const error = await failure(() => save(...given));
    expect([error.code, error.message]).toEqual([
      'ERR_OPTION',
      expect.stringMatching(message) as string,
    ]);
    expect(readFileSync(path)).toEqual(before);
  });

  it('a file that is no model', async () => {
    const path = join(folder, 'other.safetensors');
    await writeSafetensors(path, []);
    expect((await failure(() => loadModel(path))).message).toMatch(/not a model of this library/);
    writeFileSync(path, 'hello, this is text');
    expect((await failure(() => loadModel(path))).code).toBe('ERR_FORMAT');
  });

  it.each<[string, (config: Record<string, unknown>) => unknown, ErrorCode]>([
    ['no object', () => 7, 'ERR_FORMAT'],
    ['an unknown layer', (config) => ({ ...config, layers: [{ kind: 'lstmm' }] }), 'ERR_FORMAT'],
    ['other sizes', (config) => ({ ...config, inputShape: [6, 3] }), 'ERR_FORMAT'],
    ['a hostile size', (config) => ({ ...config, inputShape: [6, 1e300] }), 'ERR_FORMAT'],
    [
      'hostile units',
      (config) => ({
        ...config,
        inputShape: [6, 1_000_000],
        layers: [{ kind: 'dense', units: 1_048_576 }],
      }),
      'ERR_MEMORY',
    ],
    [
      'more layers than tensors',
      (config) => ({
        ...config,
        layers: [...(config['layers'] as object[]), { kind: 'dense', units: 2 }],
      }),
      'ERR_FORMAT',
    ],
  ])('metadata with %s', async (_what, change, code) => {
    using model = tinyModel();
    const path = join(folder, 'hostile.safetensors');
    const tensors = Object.entries(model.getWeights()).map(([name, tensor]) => ({
      name,
      shape: tensor.shape,
      data: tensor.data,
    }));
    const config = change(model.config() as unknown as Record<string, unknown>);
    writeFileSync(
      path,
      Buffer.concat(encode(tensors, { lookback: '1', model: JSON.stringify(config) })),
    );
    expect((await failure(() => loadModel(path))).code).toBe(code);
  });
});

describe('ERR_ADDON_MISSING', () => {
  const run = (code: string, binary: string) =>
    spawnSync(process.execPath, ['-e', code], {
      encoding: 'utf8',
      cwd: join(__dirname, '../..'),
      env: { ...process.env, LOOKBACK_BINARY: binary },
    });

  it('says what was looked for and what to type', () => {
    const absent = join(folder, 'nowhere.node');
    const { stdout } = run(
      "try { require('lookback') } catch (error) { console.log(error.code, error.message) }",
      absent,
    );
    expect(stdout).toMatch(/^ERR_ADDON_MISSING The native part of lookback is not built/);
    for (const part of [
      absent,
      'compiler:',
      'cmake:',
      'npm install-scripts approve lookback && npm rebuild lookback',
      'npx lookback build',
      'npx lookback doctor',
    ]) {
      expect(stdout).toContain(part);
    }
  });

  it('a file that does not load', () => {
    const broken = join(folder, 'broken.node');
    writeFileSync(broken, 'not a library');
    const { stdout } = run(
      "try { require('lookback') } catch (error) { console.log(error.code, error.message) }",
      broken,
    );
    expect(stdout).toMatch(/ERR_ADDON_MISSING .*broken.node does not load: /);
  });
});
