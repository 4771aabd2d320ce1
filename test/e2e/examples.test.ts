/**
 * The programs of examples/, as processes: the server answers what predict gives, the loop of its own learns.
 */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { steps, tinyData, tinyModel } from '../unit/support/tiny';

const examples = join(__dirname, '..', '..', 'examples');
const folder = mkdtempSync(join(tmpdir(), 'lookback-examples-'));
afterAll(() => rmSync(folder, { recursive: true }));

it('every program has at most 40 lines', () => {
  const files = readdirSync(examples, { recursive: true, encoding: 'utf8' });
  const programs = files.filter((file) => file.endsWith('.mjs'));
  expect(programs.length).toBeGreaterThan(1);
  for (const file of programs) {
    const lines = readFileSync(join(examples, file), 'utf8').trimEnd().split('\n');
    expect([file, lines.length <= 40]).toEqual([file, true]);
  }
});

it('stream-server answers what predict gives, keeps clients apart, and refuses bad samples', async () => {
  using model = tinyModel();
  const path = join(folder, 'model.safetensors');
  await model.save(path);
  const { x } = tinyData(2);
  const whole = await model.predict(x);
  const server = spawn(process.execPath, [
    join(examples, 'stream-server', 'server.mjs'),
    path,
    '0',
  ]);
  try {
    const port = await new Promise<string>((resolve, reject) => {
      server.stdout.on('data', (chunk: Buffer) =>
        resolve(/listening on (\d+)/.exec(chunk.toString())?.[1] ?? ''),
      );
      server.on('close', () => reject(new Error('the server ended')));
    });
    const ask = async (client: string, body: string) => {
      const url = `http://127.0.0.1:${port}/${client}`;
      const response = await fetch(url, { method: 'POST', body });
      return { status: response.status, body: await response.json() };
    };
    let last: unknown[] = [];
    for (let step = 0; step < steps; step += 1) {
      const sample = (row: number) => {
        const at = (row * steps + step) * 2;
        return JSON.stringify([...x.data.subarray(at, at + 2)]);
      };
      last = [await ask('first', sample(0)), await ask('second', sample(1))];
    }
    expect(last).toEqual([
      { status: 200, body: [...whole.data.subarray(0, 2)] },
      { status: 200, body: [...whole.data.subarray(2, 4)] },
    ]);
    for (const bad of ['[1]', '[1, "a"]', '[1,', '[null, 1]']) {
      expect(await ask('first', bad)).toMatchObject({ status: 400 });
    }
    await fetch(`http://127.0.0.1:${port}/first`, { method: 'DELETE' });
    using stream = model.createStream();
    const fresh = stream.step([[0.5, 0.25]]);
    expect((await ask('first', '[0.5, 0.25]')).body).toEqual([...fresh.data]);
  } finally {
    server.kill();
  }
});

it('custom-loop learns, and leans to the side that costs less', () => {
  const program = join(examples, 'custom-loop', 'train.mjs');
  const { stdout, stderr } = spawnSync(process.execPath, [program, '40'], { encoding: 'utf8' });
  expect(stderr).toBe('');
  const losses = [...stdout.matchAll(/loss ([\d.]+)/g)].map(([, loss]) => Number(loss));
  expect(losses).toHaveLength(40);
  expect(losses.at(-1)).toBeLessThan(0.6 * (losses[0] ?? 0));
  expect(Number(/too low ([\d.]+) %/.exec(stdout)?.[1])).toBeLessThan(50);
});
