/**
 * What a server does for weeks: models made and disposed, streams come and go, and memory stays where it was. 300 models;
 * with LOOKBACK_LONG_TESTS=1 in the environment 10 000.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const long = process.env['LOOKBACK_LONG_TESTS'] === '1';
const root = join(__dirname, '..', '..');

/** Resident memory in MB before and after, in a process of its own that collects garbage before each look. */
function grown(code: string): { before: number; after: number } {
  const script = `
    const { layers, sequential } = require(${JSON.stringify(root)});
    const x = { shape: [16, 8, 2], data: new Float32Array(256).map((_, at) => Math.sin(at)) };
    const y = new Int32Array(16).map((_, at) => at % 2);
    const make = (units) => {
      const stack = [layers.lstm({ units }), layers.dense({ units: 2 })];
      const model = sequential({ inputShape: [8, 2], layers: stack });
      return model.compile({ optimizer: 'adam', loss: 'sparseCategoricalCrossentropy' });
    };
    const resident = async () => {
      for (let round = 0; round < 3; round += 1) {
        gc();
        await new Promise((resolve) => setImmediate(resolve));
      }
      return process.memoryUsage().rss / 2 ** 20;
    };
    // Without the pages that wait for their next use: every two seconds without a job they are given back. What the last look has collected goes
    // with the next time, on a busy machine later.
    const settled = async (most = Infinity) => {
      const late = Date.now() + 10_000;
      await resident();
      await new Promise((resolve) => setTimeout(resolve, 2500));
      while ((await resident()) > most && Date.now() < late)
        await new Promise((resolve) => setTimeout(resolve, 500));
      return resident();
    };
    (async () => { ${code} })();`;
  const { stdout, stderr } = spawnSync(process.execPath, ['--expose-gc', '-e', script], {
    encoding: 'utf8',
  });
  if (stdout === '') throw new Error(stderr);
  return JSON.parse(stdout) as { before: number; after: number };
}

/** MB. Each model holds more than one: 200 of them left behind would be ten times this, and over 10 000 it is 2 kB of each. */
const bound = 20;

it(
  'models made, trained, asked and disposed leave nothing behind',
  () => {
    const [first, cycles] = long ? [1000, 10_000] : [100, 300];
    const { before, after } = grown(`
      const cycle = async () => {
        const model = make(128);
        await model.fit(x, y, { batchSize: 16, verbose: 0 });
        await model.predict(x);
        model.dispose();
      };
      for (let at = 0; at < ${first}; at += 1) await cycle();
      const before = await settled();
      for (let at = ${first}; at < ${cycles}; at += 1) await cycle();
      console.log(JSON.stringify({ before, after: await settled(before + ${bound}) }));`);
    if (long)
      process.stdout.write(`${cycles} models: ${before.toFixed(1)} to ${after.toFixed(1)} MB\n`);
    expect(after - before).toBeLessThan(bound);
  },
  long ? 1_800_000 : 120_000,
);

it('what is not disposed goes with its object', () => {
  const { before, after } = grown(`
    const cycle = async (count) => {
      for (let at = 0; at < count; at += 1) {
        await make(128).fit(x, y, { batchSize: 16, verbose: 0 });
        if (at % 20 === 19) await resident();
      }
    };
    await cycle(200);
    const before = await settled();
    await cycle(${long ? 2000 : 200});
    console.log(JSON.stringify({ before, after: await settled(before + ${bound}) }));`);
  expect(after - before).toBeLessThan(bound);
}, 120_000);

it('a thousand streams that come, step and go leave nothing behind', () => {
  const { before, after } = grown(`
    const model = make(64);
    const serve = () => {
      const streams = Array.from({ length: 1000 }, () => model.createStream());
      for (let step = 0; step < 5; step += 1)
        for (const stream of streams) stream.step([[0.1, 0.2]]);
      for (const stream of streams) stream.dispose();
    };
    // The heap of JavaScript has its size by then.
    for (let round = 0; round < 13; round += 1) serve();
    const before = await settled();
    for (let round = 0; round < ${long ? 100 : 10}; round += 1) serve();
    console.log(JSON.stringify({ before, after: await settled(before + ${bound}) }));`);
  expect(after - before).toBeLessThan(bound);
}, 300_000);

it('workers that train side by side each get what the main thread gets', () => {
  const code = `
    const { Worker } = require('node:worker_threads');
    const inside = \`
      const { layers, sequential } = require(${JSON.stringify(root).replaceAll('"', "'")});
      const { parentPort, isMainThread } = require('node:worker_threads');
      (async () => {
        {
          const stack = [layers.larnn({ units: 8, heads: 2, window: 4 }), layers.dense({ units: 2 })];
          const model = sequential({ inputShape: [8, 2], layers: stack, seed: 3 });
          model.compile({ optimizer: 'adam', loss: 'sparseCategoricalCrossentropy' });
          const x = { shape: [64, 8, 2], data: new Float32Array(1024).map((_, at) => Math.sin(at)) };
          await model.fit(x, new Int32Array(64).map((_, at) => at % 2), { epochs: 5, verbose: 0 });
          const weights = JSON.stringify(Object.values(model.getWeights()).map(({ data }) => [...data]));
          if (isMainThread) globalThis.told(weights); else parentPort.postMessage(weights);
        }
      })();\`;
    const main = new Promise((resolve) => (globalThis.told = resolve));
    eval(inside);
    const workers = [0, 1, 2, 3].map(() => new Promise((resolve, reject) =>
      new Worker(inside, { eval: true }).on('message', resolve).on('error', reject)));
    Promise.all([main, ...workers]).then((all) =>
      console.log(JSON.stringify({ distinct: new Set(all).size, numbers: JSON.parse(all[0]).flat().length })));`;
  const { stdout, stderr } = spawnSync(process.execPath, ['-e', code], { encoding: 'utf8' });
  if (stdout === '') throw new Error(stderr);
  const { distinct, numbers } = JSON.parse(stdout) as { distinct: number; numbers: number };
  expect(distinct).toBe(1);
  expect(numbers).toBeGreaterThan(500);
});
