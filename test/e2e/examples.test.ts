/**
 * The programs of examples/, as processes: the server answers what predict gives, the loop of its own learns, and every
 * configuration trains on data of its format, whose model the program beside it takes.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkConfig } from '../../lib/cli/config';
import { steps, tinyData, tinyModel } from '../unit/support/tiny';
import { madeUp } from './support/made-up-data';

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

const main = join(__dirname, '..', '..', 'dist', 'cli', 'main.js');
const configured = readdirSync(examples).filter((name) =>
  existsSync(join(examples, name, 'config.json')),
);
const textOf = (name: string, file: string): string =>
  readFileSync(join(examples, name, file), 'utf8');

function node(...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  expect([args[0], status, stderr]).toEqual([args[0], 0, '']);
  return stdout;
}

const logged = configured.filter((name) => existsSync(join(examples, name, 'log.jsonl')));
const readmeLine = (name: string): string | undefined =>
  readFileSync(join(examples, 'README.md'), 'utf8')
    .split('\n')
    .find((text) => text.startsWith(`| [${name}]`));

it.each(
  [...textOf('.', 'README.md').matchAll(/^\| \[([\w-]+)\]\(([\w-]+)\)/gm)].map(
    ([, name]) => name ?? '',
  ),
)('%s has a configuration and a program', (name) => {
  const files = readdirSync(join(examples, name));
  // The loop of its own describes its model itself: that is what it shows.
  if (name !== 'custom-loop') expect(files).toContain('config.json');
  const [program, ...more] = files.filter((file) => file.endsWith('.mjs'));
  expect([program, more]).toEqual([expect.any(String), []]);
});

it('every folder stands in the README', () => {
  const folders = readdirSync(examples).filter((name) => !name.endsWith('.md'));
  for (const name of folders) expect([name, readmeLine(name)]).toEqual([name, expect.any(String)]);
});

it.each(configured)('%s has a sound configuration and a line in the README', (name) => {
  const config = checkConfig(JSON.parse(textOf(name, 'config.json')), name);
  expect(config.out).toBe(`runs/${name}`);
  expect(readmeLine(name)).toBeDefined();
  if (!logged.includes(name)) expect(readmeLine(name)).toContain('no committed log');
});

it('most have a log', () => expect(logged.length).toBeGreaterThan(configured.length / 2));

it.each(logged)('%s: log, configuration and README agree', (name) => {
  const { epochs } = checkConfig(JSON.parse(textOf(name, 'config.json')), name);
  const lines = textOf(name, 'log.jsonl').trimEnd().split('\n');
  expect(lines).toHaveLength(epochs + 1);
  const { test } = JSON.parse(lines.at(-1) ?? '') as { test: { loss: number; accuracy?: number } };
  const shown =
    test.accuracy === undefined
      ? `loss ${test.loss.toPrecision(3)}`
      : `accuracy ${test.accuracy.toFixed(4)}`;
  expect(readmeLine(name)).toContain(shown);
});

/** Of each example: how to make it small, its program's arguments and what that prints. */
const small: Record<string, { sets?: string[]; use: string[]; says: RegExp }> = {
  mnist: {
    use: ['classify.mjs', 'MODEL', 'DIR', '12'],
    says: /accuracy [01]\.\d{4} of 12 images\n$/,
  },
  'ptb-characters': { use: ['write.mjs', 'MODEL', 'the cat', '30'], says: /^the cat[^]{30}\n$/ },
  imdb: {
    use: ['judge.mjs', 'MODEL', 'so good', 'not'],
    says: /^(neg|pos) \d+ % {2}so good\n(neg|pos)/,
  },
  ett: {
    sets: ['model.layers[0].units=4', 'model.layers[0].window=2', 'batchSize=512'],
    use: ['forecast.mjs', 'MODEL', 'DIR'],
    says: /^model: off by [\d.]+ degrees on average\nas now: off by [\d.]+ degrees.*\nas a day ago: off by/,
  },
  har: {
    sets: ['model.layers[0].units=8', 'model.layers[0].window=2', 'batchSize=256'],
    use: ['people.mjs', 'MODEL'],
    says: /^(person \d+: \d+ of \d+(; took [A-Z_]+ for [A-Z_]+ \d+ times)?\n){9}$/,
  },
  adding: {
    sets: ['data.train=100', 'data.test=50', 'data.steps=20'],
    use: ['sums.mjs', 'MODEL', '20'],
    says: /^(\d\.\d\d \+ \d\.\d\d = \d\.\d\d, said -?\d\.\d\d\n){5}off on average.*: (\d\.\d{3}(, )?){4}\n$/,
  },
  copying: {
    sets: ['data.train=100', 'data.test=50', 'data.delay=5'],
    use: ['recall.mjs', 'MODEL', '5'],
    says: /^([1-8]{10} recalled as [0-8]{10}\n){5}\d+ of 2000 symbols\n$/,
  },
  'spoken-digits': { use: ['listen.mjs', 'MODEL', 'DIR'], says: /^ann: \d of 4.*\nbob: \d of 4/ },
};

describe.each(Object.entries(small))('%s', (name, { sets = [], use, says }) => {
  const dir = join(folder, name, 'data');
  const out = join(folder, name, 'run');
  const config = join(examples, name, 'config.json');

  it('trains on files of its format, and its program uses the model', () => {
    mkdirSync(dir, { recursive: true });
    madeUp[name]?.(dir);
    const place = madeUp[name] ? [`data.dir=${dir}`] : [];
    const all = [...place, `out=${out}`, 'epochs=1', ...sets];
    const printed = node(main, 'train', config, ...all.flatMap((set) => ['--set', set]));
    expect(printed).toMatch(/test (accuracy|loss) [\d.]+\n$/);
    const places: Record<string, string> = { MODEL: join(out, 'model.safetensors'), DIR: dir };
    const [program = '', ...args] = use.map((word) => places[word] ?? word);
    expect(node(join(examples, name, program), ...args)).toMatch(says);
  }, 120_000);

  if (!madeUp[name]) return;

  it('says where to get the files that are not there', () => {
    const args = [
      main,
      'train',
      config,
      '--set',
      `data.dir=${folder}/nothing`,
      '--set',
      `out=${out}2`,
    ];
    // Where CI is set, the command line colours what it says even into a pipe.
    const env = { ...process.env, NO_COLOR: '1' };
    const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', env });
    expect(status).toBe(3);
    expect(stderr).toMatch(/ERR_DATA .*nothing.*https:\/\//s);
  });
});
