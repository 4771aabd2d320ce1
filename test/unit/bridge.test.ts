/**
 * The native boundary itself, below everything that lib/ checks: whatever JavaScript hands over, it is a typed error or
 * JavaScript's own, and the process lives.
 */
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isTypedArray } from 'node:util/types';
import { LookbackError } from '../../lib';
import type {
  EngineSpec,
  EngineSums,
  NativeCell,
  NativeEngine,
  NativeTensor,
} from '../../lib/native';
import { loadAddon } from '../../lib/native';

const addon = loadAddon();
const steps = 10;
const features = 3;
const onLinux = process.platform === 'linux' ? it : it.skip;

function makeEngine(spec: Partial<EngineSpec> = {}): NativeEngine {
  const engine = addon.createEngine({
    dtype: 'float32',
    device: 'cpu',
    seed: 1,
    threads: 1,
    inputSize: features,
    layers: [
      { kind: 'lstm', units: 16 },
      { kind: 'dense', units: 2 },
    ],
    ...spec,
  });
  engine.compile({ loss: { kind: 'softmaxCrossEntropy' }, optimizer: { kind: 'adam' } });
  return engine;
}

function input(rows: number, value = 0.1): NativeTensor {
  return {
    shape: [rows, steps, features],
    data: new Float32Array(rows * steps * features).fill(value),
  };
}

function weightsOf(cell: NativeCell): Record<string, NativeTensor> {
  return Object.fromEntries(
    cell.params().map(({ name, shape }) => {
      const size = shape.reduce((product, extent) => product * extent, 1);
      return [name, { shape, data: new Float64Array(size).fill(0.1) }];
    }),
  );
}

function addData(engine: NativeEngine, rows = 64): number {
  return engine.addData(input(rows), { shape: [rows], data: new Int32Array(rows) }, null);
}

/** A training call that lasts for minutes unless it is stopped. */
function endless(data: number) {
  return { data, rows: new Uint32Array(4_000_000), batchSize: 4, rateFactor: 1e-6 };
}

const hostile = new Proxy(
  {},
  {
    get: () => {
      throw new RangeError('a getter that throws');
    },
    ownKeys: () => {
      throw new RangeError('a trap that throws');
    },
  },
);

const junk: unknown[] = [
  undefined,
  null,
  true,
  -1,
  NaN,
  1e300,
  10n,
  'text',
  Symbol('symbol'),
  {},
  Object.create(null),
  [],
  new Proxy([], {}),
  () => 1,
  hostile,
  new Float32Array(3),
  new DataView(new ArrayBuffer(8)),
  { shape: [1], data: new Float32Array(1) },
  { shape: [-1], data: new Float32Array(1) },
  { shape: [1.5, 2], data: new Float32Array(3) },
  { shape: [2 ** 53, 2 ** 53], data: new Float32Array(1) },
  { shape: new Array(9), data: 1 },
];

/** Runs what a stranger might type; only errors of the two kinds may come out. */
async function attempt(call: () => unknown): Promise<void> {
  try {
    await call();
  } catch (error) {
    if (error instanceof LookbackError && error.code !== 'ERR_INTERNAL') return;
    expect(String(error)).toContain('that throws');
  }
}

describe('junk', () => {
  it('in every argument of every method', async () => {
    const engine = makeEngine();
    const methods = Object.getOwnPropertyNames(Object.getPrototypeOf(engine)).filter(
      (name) => name !== 'constructor' && name !== 'dispose',
    );
    expect(methods).toContain('train');
    for (const name of methods) {
      const method = (engine as unknown as Record<string, (...args: unknown[]) => unknown>)[name]!;
      for (const first of junk) {
        for (const second of junk) await attempt(() => method.call(engine, first, second, first));
      }
    }
    engine.dispose();
  });

  it('in every argument of the addon', async () => {
    const loose = addon as unknown as Record<string, (...args: unknown[]) => unknown>;
    const cell = addon.createCell('lstm', { inputSize: 2, units: 3 }, 'float32', 'cpu');
    const forward = cell.forward.bind(cell) as (...args: unknown[]) => unknown;
    for (const first of junk) {
      await attempt(() => loose['createEngine']!(first));
      for (const second of junk) {
        await attempt(() => loose['createCell']!(first, second, 'float32', 'cpu'));
        await attempt(() => loose['createCell']!('lstm', first, second, 'cpu'));
        await attempt(() => loose['uniforms']!(first, second, first));
        await attempt(() => forward(first, second, { training: true, threads: 1 }));
      }
    }
    for (const key of ['dtype', 'device', 'seed', 'threads', 'inputSize', 'layers']) {
      for (const value of junk) await attempt(() => makeEngine({ [key]: value }));
    }
  });

  it('as the object that a method is called on', () => {
    const engine = makeEngine();
    const cell = addon.createCell('lstm', { inputSize: 2, units: 3 }, 'float32', 'cpu');
    for (const wrong of [{}, cell, Object.create(engine) as object]) {
      expect(() => (engine.counters as () => unknown).call(wrong)).toThrow('Illegal invocation');
    }
    const { constructor } = engine as object as { constructor: new () => unknown };
    expect(() => new constructor()).toThrow(expect.objectContaining({ code: 'ERR_STATE' }));
    engine.dispose();
  });
});

describe('buffers', () => {
  const engine = makeEngine();
  afterAll(() => engine.dispose());
  const run = (data: Float32Array) =>
    engine.forward({ shape: [1, steps, features], data }, null, false);

  it('may be shared or resizable', async () => {
    const expected = await run(new Float32Array(30).fill(0.5));
    const shared = new Float32Array(new SharedArrayBuffer(120)).fill(0.5);
    expect(await run(shared)).toEqual(expected);
    const buffer = new (
      ArrayBuffer as unknown as new (size: number, options: object) => ArrayBuffer
    )(120, { maxByteLength: 240 });
    expect(await run(new Float32Array(buffer).fill(0.5))).toEqual(expected);
  });

  it('that are gone have no numbers', () => {
    const data = new Float32Array(30);
    structuredClone(data.buffer, { transfer: [data.buffer] });
    expect(() => run(data)).toThrow(expect.objectContaining({ code: 'ERR_SHAPE' }));
  });

  it('are copied before the call returns', async () => {
    const expected = await run(new Float32Array(30).fill(0.5));
    const data = new Float32Array(30).fill(0.5);
    const outputs = run(data);
    data.fill(9);
    structuredClone(data.buffer, { transfer: [data.buffer] });
    expect(await outputs).toEqual(expected);
  });
});

describe('jobs', () => {
  it('report progress that never goes back and reaches what the promise gives', async () => {
    const engine = makeEngine();
    const data = addData(engine);
    const seen: EngineSums[] = [];
    const rows = new Uint32Array(64 * 200);
    const call = { data, rows, batchSize: 4, rateFactor: 1e-3 };
    const job = engine.train(call, (now) => seen.push(now));
    // Steps that end while this thread has no time for them share one call.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200);
    const sums = await job;
    expect(sums).toMatchObject({ rows: rows.length, steps: rows.length / 4 });
    expect(seen.length).toBeGreaterThan(0);
    expect(seen.map((now) => now.steps)).toEqual(
      [...new Set(seen.map((now) => now.steps))].sort((a, b) => a - b),
    );
    // Newest wins.
    expect(seen.length).toBeLessThan(sums.steps);
    engine.dispose();
  });

  it('end with what their progress callback throws, and leave the engine idle', async () => {
    const engine = makeEngine();
    const job = engine.train(endless(addData(engine)), () => {
      throw new RangeError('mine');
    });
    await expect(job).rejects.toThrow(RangeError);
    expect(engine.counters().updates).toBeGreaterThan(0);
    engine.dispose();
  });

  it('are cancelled soon, also by dispose from within the callback', async () => {
    const engine = makeEngine();
    const data = addData(engine);
    const first = engine.train(endless(data), null);
    engine.cancel();
    await expect(first).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    const second = engine.train(endless(data), () => engine.dispose());
    await expect(second).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    expect(() => engine.counters()).toThrow(expect.objectContaining({ code: 'ERR_STATE' }));
  });

  it('of one cell may run at the same time', async () => {
    const cell = addon.createCell('lstm', { inputSize: 2, units: 3 }, 'float64', 'cpu');
    const weights = weightsOf(cell);
    const options = { training: true, threads: 2 };
    const x = { shape: [4, 5, 2], data: new Float64Array(40).fill(0.3) };
    const passes = await Promise.all(
      Array.from({ length: 8 }, () => cell.forward({ x }, weights, options)),
    );
    const upstream = { y: { shape: [4, 5, 3], data: new Float64Array(60).fill(1) } };
    const grads = await Promise.all(passes.map(({ tape }) => tape.backward(upstream)));
    for (const each of grads) expect(each).toEqual(grads[0]);
    expect(isTypedArray(grads[0]!['W_x']!.data)).toBe(true);
    expect(() => passes[0]!.tape.backward(upstream)).toThrow(
      expect.objectContaining({ code: 'ERR_STATE' }),
    );
  });

  onLinux('leave few threads behind, however many ran at the same time', async () => {
    const threads = (): number => readdirSync('/proc/self/task').length;
    const cell = addon.createCell('lstm', { inputSize: 2, units: 3 }, 'float64', 'cpu');
    const weights = weightsOf(cell);
    const x = { shape: [64, 500, 2], data: new Float64Array(64_000).fill(0.3) };
    const before = threads();
    const jobs = Array.from({ length: 24 }, () =>
      cell.forward({ x }, weights, { training: true, threads: 1 }),
    );
    const during = threads();
    await Promise.all(jobs);
    expect(during - before).toBeGreaterThan(8);
    // The system lists one that has ended for a moment longer.
    for (let wait = 0; wait < 50 && threads() - before > 4; wait += 1) await sleep(20);
    expect(threads() - before).toBeLessThanOrEqual(4);
  });

  onLinux('give the memory that waits for others back when none came for a while', () => {
    const script = `
      const { cells } = require(${JSON.stringify(join(__dirname, '..', '..'))});
      const zeros = (...shape) => ({ shape, data: new Float32Array(shape.reduce((a, b) => a * b)) });
      const cell = cells.lstm({ inputSize: 1, units: 32 }, { threads: 1 });
      const weights = { W_x: zeros(128, 1), W_h: zeros(128, 32), b_x: zeros(128), b_h: zeros(128) };
      const megabytes = () => process.memoryUsage().rss / 1e6;
      cell.forward({ x: zeros(64, 4000, 1) }, weights, { training: true }).then(async (pass) => {
        const waiting = megabytes();
        const gone = () => waiting - megabytes();
        for (let wait = 0; wait < 20 && gone() < 25; wait += 1)
          await new Promise((wake) => setTimeout(wake, 500));
        console.log(JSON.stringify({ gone: gone(), kept: pass.outputs.y.length }));
        pass.handle.dispose();
      });`;
    const { stdout, stderr } = spawnSync(process.execPath, ['-e', script], { encoding: 'utf8' });
    expect(stderr).toBe('');
    // The engine's own copy of y, which JavaScript has in an array of its own: 33 MB.
    expect((JSON.parse(stdout) as { gone: number }).gone).toBeGreaterThan(25);
  });
});

it('uniforms are a function of seed, stream and place', () => {
  const numbers = addon.uniforms(7, 1, 1000);
  expect(addon.uniforms(7, 1, 10)).toEqual(numbers.subarray(0, 10));
  expect(addon.uniforms(7, 2, 10)).not.toEqual(numbers.subarray(0, 10));
  expect(addon.uniforms(8, 1, 10)).not.toEqual(numbers.subarray(0, 10));
  for (const value of numbers) expect(value >= 0 && value < 1).toBe(true);
});
