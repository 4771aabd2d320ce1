/**
 * Runs beside each other, callbacks out of a configuration, damaged checkpoints, and the schema of a configuration.
 */
import type { SpawnSyncReturns } from 'node:child_process';
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { z } from 'zod';
import { datasets, loadModel } from 'lookback';
import { differences } from '../../lib/report/comparison';
import { tinyConfig } from './support/tiny';

const root = join(__dirname, '..', '..');
const main = join(root, 'dist', 'cli', 'main.js');
const folder = mkdtempSync(join(tmpdir(), 'lookback-runs-'));
afterAll(() => rmSync(folder, { recursive: true }));

const config = {
  ...tinyConfig,
  epochs: 3,
  validation: { split: 0.2 },
  callbacks: [
    { kind: 'earlyStopping', patience: 1, minDelta: 100, restoreBestWeights: true },
    { kind: 'csvLogger', path: 'log.csv' },
    { kind: 'tensorBoard', dir: 'board' },
    { kind: 'orthogonalityMonitor' },
  ],
};
const configPath = join(folder, 'tiny.json');
writeFileSync(configPath, JSON.stringify(config));

function lookback(...args: string[]): SpawnSyncReturns<string> {
  return spawnSync(process.execPath, [main, ...args], { cwd: folder, encoding: 'utf8' });
}

function train(out: string, ...sets: string[]): SpawnSyncReturns<string> {
  return lookback('train', configPath, ...[`out=${out}`, ...sets].flatMap((set) => ['--set', set]));
}

function events(stdout: string): Record<string, unknown>[] {
  const lines = stdout.trimEnd().split('\n');
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
}

const attentive = [
  { kind: 'larnn', units: 6, heads: 2, window: 4, returnSequences: true },
  { kind: 'rra', units: 4, K: 3 },
  { kind: 'dense', units: 1 },
];

beforeAll(() => {
  const layers = `model.layers=${JSON.stringify(attentive)}`;
  expect(train('attentive', 'callbacks=[]', 'epochs=1', layers).status).toBe(0);
  expect(train('plain', 'callbacks=[]').status).toBe(0);
  expect(train('stopped').status).toBe(0);
  expect(train('wide', 'callbacks=[]', 'model.layers[0].units=9', 'epochs=2').status).toBe(0);
});

describe('callbacks of a configuration', () => {
  it('do their work, with files in the run folder', () => {
    expect(readdirSync(join(folder, 'stopped')).sort()).toEqual([
      'board',
      'checkpoints',
      'config.json',
      'log.csv',
      'log.jsonl',
      'model.safetensors',
      'report.html',
    ]);
    // The second epoch brings no improvement by 100, the third neither.
    expect(readFileSync(join(folder, 'stopped', 'log.csv'), 'utf8').split('\n')).toHaveLength(5);
    expect(readdirSync(join(folder, 'stopped', 'board')).sort()).toEqual(['train', 'validation']);
  });

  it('that have ended a run have ended it', () => {
    expect(train('ended', 'epochs=9').status).toBe(0);
    const args = ['--resume', '--set', 'out=ended', '--set', 'epochs=9'];
    const { status, stdout } = lookback('train', configPath, ...args);
    expect([status, stdout]).toEqual([0, expect.stringContaining('the run is finished already')]);
  });

  it.each([
    ['callbacks=[{"kind":"earlystopping"}]', 'did you mean "earlyStopping"?'],
    ['callbacks=[{"kind":"csvLogger"}]', 'callbacks[0] csvLogger: path is missing'],
    ['checkpoint.everyUpdates=0', 'checkpoint.everyUpdates is 0; expected at least 1'],
  ])('%s', (set, message) => {
    const { status, stderr } = train('wrong', set);
    expect(stderr).toContain(message);
    expect(status).toBe(2);
  });
});

it('a truncated checkpoint: the one before takes its place, and that is said', () => {
  expect(train('cut', 'callbacks=[]', 'epochs=2').status).toBe(0);
  const last = join(folder, 'cut', 'checkpoints', 'last.safetensors');
  writeFileSync(last, readFileSync(last).subarray(0, 1000));
  const args = ['--set', 'out=cut', '--set', 'callbacks=[]', '--resume'];
  const { status, stdout } = lookback('train', configPath, ...args);
  expect(status).toBe(0);
  expect(stdout).toMatch(
    /last\.safetensors is not a sound.*going on from the checkpoint before it/,
  );
  expect(stdout).toContain('resumed at epoch 2');
  const model = (out: string) => readFileSync(join(folder, out, 'model.safetensors'));
  expect(model('cut')).toEqual(model('plain'));
});

describe('lookback compare', () => {
  it('tells the results and writes a page', () => {
    const { status, stdout } = lookback('compare', 'plain', 'wide', '--out', 'both.html');
    expect(status).toBe(0);
    const lines = stdout.trimEnd().split('\n');
    expect(lines[0]).toMatch(/^run +epochs +seconds +test loss$/);
    expect(lines[1]).toMatch(/^plain +3 +[\d.]+ +0\.\d{4}$/);
    expect(lines[2]).toMatch(/^wide +2 +[\d.]+ +0\.\d{4}$/);
    expect(lines[3]).toBe('the comparison is in both.html');
    const html = readFileSync(join(folder, 'both.html'), 'utf8');
    expect(html).not.toMatch(/<script|<link|<img|src=|href="http|@import|url\(http/);
    expect(html).toContain('<td>model.layers[0].units</td><td>6</td><td>9</td>');
    expect(html).not.toContain('batchSize');
  });

  it('--json, a run that is not finished, and folders that are none', () => {
    mkdirSync(join(folder, 'begun'));
    for (const name of ['config.json', 'log.jsonl'])
      writeFileSync(join(folder, 'begun', name), name === 'config.json' ? '{}' : '');
    const { status, stdout } = lookback('compare', 'plain', 'begun', '--json');
    expect(status).toBe(0);
    expect(events(stdout)).toMatchObject([
      { event: 'run', run: 'plain', epochs: 3 },
      { event: 'run', run: 'begun', epochs: 0, test: null },
      { event: 'comparison' },
    ]);
    expect(lookback('compare', 'absent')).toMatchObject({ status: 3 });
    expect(lookback('compare', 'plain', 'plain')).toMatchObject({ status: 2 });
    for (const foreign of ['{"epoch":', 'null', '{"epoch":1}\n5', '[]']) {
      writeFileSync(join(folder, 'begun', 'log.jsonl'), foreign);
      expect(lookback('compare', 'begun')).toMatchObject({
        status: 3,
        stderr: expect.stringContaining('ERR_FORMAT') as string,
      });
    }
  });

  it('finds what differs, wherever it stands', () => {
    const found = differences([
      { config: { a: 1, b: { c: [1, { d: 2 }] }, e: {} } },
      { config: { a: 1, b: { c: [1, { d: 3 }] }, f: null } },
    ]);
    expect([...found]).toEqual([
      ['b.c[1].d', ['2', '3']],
      ['e', ['{}', null]],
      ['f', [null, 'null']],
    ]);
  });
});

describe('the schema of a configuration', () => {
  const { status, stdout } = lookback('schema');
  const schema = z.fromJSONSchema(JSON.parse(stdout) as never);

  it('is the one in the package', () => {
    expect(status).toBe(0);
    expect(stdout).toBe(readFileSync(join(root, 'dist', 'config.schema.json'), 'utf8'));
    expect(events(lookback('schema', '--json').stdout)).toMatchObject([{ event: 'schema' }]);
  });

  it.each(readdirSync(join(root, 'examples')))('fits examples/%s', (name) => {
    const path = join(root, 'examples', name, 'config.json');
    if (!existsSync(path)) return;
    const example: unknown = JSON.parse(readFileSync(path, 'utf8'));
    expect(schema.safeParse(example).error).toBeUndefined();
  });

  it.each<[string, object]>([
    ['a misspelt key', { epoch: 3 }],
    ['a wrong type', { epochs: '3' }],
    ['a misspelt option of an optimizer', { optimizer: { kind: 'adam', learningrate: 1 } }],
    ['an unknown kind', { loss: 'hinge' }],
    ['a kind that needs options by name', { loss: 'quantile' }],
    ['an unknown layer', { model: { layers: [{ kind: 'lstn' }] } }],
    ['an unknown data set', { data: { name: 'hra' } }],
    ['a callback without its path', { callbacks: [{ kind: 'csvLogger' }] }],
  ])('refuses %s', (_, changed) => {
    expect(schema.safeParse(config).success).toBe(true);
    expect(schema.safeParse({ ...config, ...changed }).success).toBe(false);
  });
});

it('every command shows examples in its help', () => {
  const { stdout } = lookback('--help');
  const commands = [...stdout.matchAll(/^ {2}(\w+) \[options\]/gm)].map(([, name]) => name ?? '');
  expect(commands.length).toBeGreaterThan(7);
  for (const name of commands) {
    const help = lookback(name, '--help').stdout;
    expect(help).toMatch(new RegExp(`Examples?:\\n {2}\\$ npx lookback ${name}`));
    expect(help).toContain('--json');
  }
});

const chromium = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(
  (path) => existsSync(path),
);

/** What a browser made of a page: measured by a script that only the test adds. */
function browsed(page: string): { dom: string; measured: Record<string, number>; log: string } {
  const probe = `<script>addEventListener('load', () => {
    const boxes = [...document.querySelectorAll('svg')].map((svg) => svg.getBoundingClientRect());
    document.body.dataset.measured = JSON.stringify({
      charts: boxes.filter(({ width, height }) => width > 200 && height > 100).length,
      overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
      height: document.body.scrollHeight,
      lines: document.querySelectorAll('svg path').length,
    });
  });</script>`;
  const path = join(folder, 'probed.html');
  writeFileSync(path, readFileSync(page, 'utf8').replace('</body>', `${probe}</body>`));
  const profile = mkdtempSync(join(folder, 'profile-'));
  const flags = [
    ...['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'],
    ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
    ...[`--user-data-dir=${profile}`, '--enable-logging=stderr', '--window-size=1000,1400'],
    ...['--dump-dom', pathToFileURL(path).href],
  ];
  const { stdout, stderr } = spawnSync(chromium ?? '', flags, {
    encoding: 'utf8',
    // A browser takes a second to start, and minutes on a machine that is busy with other things.
    timeout: 280_000,
  });
  const text = /data-measured="([^"]*)"/.exec(stdout)?.[1]?.replaceAll('&quot;', '"');
  return { dom: stdout, log: stderr, measured: JSON.parse(text ?? '{}') as Record<string, number> };
}

it('the report shows what the attention looked at, where there is one', () => {
  const report = (run: string) => readFileSync(join(folder, run, 'report.html'), 'utf8');
  expect(report('plain')).not.toContain('Attention of');
  const html = report('attentive');
  const found = [...html.matchAll(/<h2>Attention of (\w+)<\/h2>\n<p>Of (\d+) test sequences/g)];
  expect(found.map(([, layer, rows]) => [layer, rows])).toEqual([
    ['larnn', '32'],
    ['rra', '32'],
  ]);
  // Two lines for LARNN's heads with a legend, one without for RRA.
  expect(html.match(/>head 1</g)).toHaveLength(1);
  expect(html.match(/mean weight by age/g)?.length).toBeGreaterThanOrEqual(2);
  expect(html).not.toMatch(/<script|<link|<img|src=|href="http|@import|url\(http/);
});

const here =
  chromium === undefined ? ': NOT RUN, no Chromium (Debian: apt-get install chromium)' : '';
(here ? describe.skip : describe)(`in a browser${here}`, () => {
  beforeAll(() => {
    expect(lookback('compare', 'plain', 'wide').status).toBe(0);
  });

  it.each([
    ['the report', 'plain/report.html', 1],
    ['the report with what two layers looked at', 'attentive/report.html', 5],
    ['the comparison', 'comparison.html', 2],
  ])(
    '%s',
    (_, page, charts) => {
      const { dom, measured, log } = browsed(join(folder, page));
      expect(dom).toContain('<h1>');
      expect(measured['charts']).toBe(charts);
      expect(measured['lines']).toBeGreaterThan(10);
      expect(measured['overflow']).toBe(0);
      expect(measured['height']).toBeGreaterThan(400);
      expect(log).not.toMatch(/CONSOLE|ERR_/);
    },
    300_000,
  );
});

describe('streams in a configuration', () => {
  // An output at every step, and rows that are whole batches in every part.
  const data = { name: 'copying', delay: 6, train: 60, test: 20, seed: 1 };
  const layers = [
    { kind: 'lstm', units: 6, returnSequences: true },
    { kind: 'dense', units: 10 },
  ];
  const path = join(folder, 'streams.json');
  const base = { epochs: 2, batchSize: 10, data, model: { layers }, validation: { split: 0.5 } };
  const run = (out: string, more: object) => {
    writeFileSync(path, JSON.stringify({ ...base, ...more, out }));
    return lookback('train', path);
  };
  const testOf = (out: string): { loss: number } => {
    const last = readFileSync(join(folder, out, 'log.jsonl'), 'utf8')
      .trimEnd()
      .split('\n')
      .at(-1);
    return (JSON.parse(last ?? '') as { test: { loss: number } }).test;
  };

  it('do what the options of fit and evaluate do, also for `evaluate`', async () => {
    expect(run('separate', {}).status).toBe(0);
    expect(run('streamed', { stateful: true, burnIn: 3 }).status).toBe(0);
    const saved = await loadModel(join(folder, 'streamed', 'model.safetensors'));
    const { test } = datasets.copying({ delay: 6, train: 60, test: 20, seed: 1 });
    const how = { batchSize: 10, stateful: true, burnIn: 3 };
    const loss = (await saved.evaluate(test, how))['loss'] ?? NaN;
    expect(testOf('streamed').loss).toBe(loss);
    expect((await saved.evaluate(test))['loss']).not.toBe(loss);
    saved.dispose();
    expect(testOf('separate').loss).not.toBe(loss);
    const { stdout } = lookback('evaluate', 'streamed', '--json');
    expect(events(stdout)).toMatchObject([{ event: 'evaluate', test: { loss } }]);
  });

  it.each<[string, object, number, string]>([
    [
      'a test part of no whole batches',
      { stateful: true, data: { ...data, test: 25 } },
      3,
      'the test part has 25 rows',
    ],
    [
      'a training part of no whole batches',
      { stateful: true, batchSize: 20 },
      3,
      'fit: data has 30 rows',
    ],
    [
      'a burn-in as long as a row',
      { burnIn: 26 },
      2,
      'burnIn is 26; expected fewer than the 26 steps',
    ],
    ['a burn-in that is no number', { burnIn: 'long' }, 2, 'burnIn is "long"'],
  ])('%s is refused before the work', (_, more, code, message) => {
    const { status, stderr } = run('refused', more);
    expect(stderr).toContain(message);
    expect(status).toBe(code);
    expect(existsSync(join(folder, 'refused', 'model.safetensors'))).toBe(false);
  });

  it('are part of what a resumed run must keep', () => {
    expect(run('kept', { stateful: true }).status).toBe(0);
    const { status, stderr } = lookback('train', path, '--resume', '--set', 'stateful=false');
    expect([status, stderr]).toEqual([2, expect.stringContaining('begun with stateful true')]);
  });
});
