/**
 * The package as others see it: its types from every kind of project, and its reference.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const root = join(__dirname, '..', '..');
const folder = mkdtempSync(join(tmpdir(), 'lookback-package-'));
afterAll(() => rmSync(folder, { recursive: true }));

function node(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    cwd: root,
    encoding: 'utf8',
  });
  return { status, text: `${stdout}${stderr}` };
}

function installed(...path: string[]): string {
  return join(root, 'node_modules', ...path);
}

describe('the tarball', () => {
  let tarball = '';

  beforeAll(() => {
    // Without the scripts that bring Eigen: nothing here looks at native sources.
    const args = ['pack', '--silent', '--ignore-scripts', '--pack-destination', folder];
    const { status, stderr } = spawnSync('npm', args, {
      cwd: root,
      encoding: 'utf8',
      shell: process.platform === 'win32',
    });
    expect([status, stderr.replace(/^npm warn.*\n/gm, '')]).toEqual([0, '']);
    tarball = join(folder, readdirSync(folder)[0] ?? '');
  });

  it('resolves to the right types from CommonJS, ES modules and bundlers', () => {
    const main = installed('@arethetypeswrong', 'cli', 'dist', 'index.js');
    // The schema is no module: resolvers from before `exports` find it under dist/ only.
    const schema = ['--exclude-entrypoints', 'config.schema.json'];
    const { status, text } = node(main, tarball, '--no-color', ...schema);
    expect(text).toContain('No problems found');
    expect(status).toBe(0);
  });

  it('is what publint wants', () => {
    const { status, text } = node(installed('publint', 'src', 'cli.js'), '--strict', tarball);
    expect(text).toContain('All good!');
    expect(status).toBe(0);
  });
});

it('types hold in a project that checks those of its packages too', () => {
  const dist = join(root, 'dist');
  const files = readdirSync(dist, { recursive: true, encoding: 'utf8' }).filter((file) =>
    /\.d\.m?ts$/.test(file),
  );
  const options = [
    '--ignoreConfig',
    '--noEmit',
    '--strict',
    '--skipLibCheck',
    'false',
    '--types',
    'node',
  ];
  const target = [
    '--target',
    'es2022',
    '--lib',
    'es2022,esnext.disposable',
    '--module',
    'nodenext',
  ];
  const names = files.map((file) => join('dist', file));
  const { text } = node(installed('typescript', 'bin', 'tsc'), ...options, ...target, ...names);
  const ours = text
    .split('\n')
    .filter((line) => /error TS/.test(line) && !/^node_modules|^\.\.\//.test(line));
  expect(ours).toEqual([]);
}, 120_000);

it('no public type is any', () => {
  const dist = join(root, 'dist');
  const files = readdirSync(dist, { recursive: true, encoding: 'utf8' }).filter((file) =>
    file.endsWith('.d.ts'),
  );
  expect(files.length).toBeGreaterThan(50);
  for (const file of files) {
    // Zod's own types may say any; what they check is exported under types of our own.
    const text = readFileSync(join(dist, file), 'utf8').replace(/\/\*[^]*?\*\//g, '');
    const found = text.split('\n').filter((line) => /\bany\b/.test(line));
    expect([file, found]).toEqual([file, []]);
  }
});

it('the reference is made without a warning', () => {
  const main = installed('typedoc', 'bin', 'typedoc');
  const { status, text } = node(main, '--out', join(folder, 'api'), '--logLevel', 'Warn');
  expect(text).toBe('');
  expect(status).toBe(0);
  expect(readdirSync(join(folder, 'api'))).toContain('index.html');
});
