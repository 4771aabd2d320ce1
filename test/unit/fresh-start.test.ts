/**
 * A run that starts afresh where another one was: nothing of that is lost, and nothing of it gets into the new one.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FitOptions, History } from '../../lib';
import { tinyConfig, tinyData, tinyModel } from './support/tiny';

const main = join(__dirname, '..', '..', 'dist', 'cli', 'main.js');
const folder = mkdtempSync(join(tmpdir(), 'lookback-fresh-'));
afterAll(() => rmSync(folder, { recursive: true }));

const data = tinyData(32);

async function fit(dir: string, options: FitOptions = {}): Promise<History> {
  using model = tinyModel();
  const run = { epochs: 2, batchSize: 8, verbose: 0, checkpoint: { dir } } as const;
  return await model.fit(data, { ...run, ...options });
}

describe('fit', () => {
  it('moves the checkpoints of the run before aside', async () => {
    const dir = join(folder, 'fit');
    await fit(dir, { epochs: 3 });
    const last = readFileSync(join(dir, 'last.safetensors'));
    const fail = (): never => {
      throw new Error('on purpose');
    };
    await expect(fit(dir, { callbacks: [{ onTrainBegin: fail }] })).rejects.toThrow('on purpose');
    expect(readdirSync(dir)).toEqual(['before']);
    expect(readdirSync(join(dir, 'before'))).toEqual(['last.safetensors', 'previous.safetensors']);
    expect(readFileSync(join(dir, 'before', 'last.safetensors'))).toEqual(last);
    // A start that has come to nothing does not take its place.
    const { epoch } = await fit(dir, { epochs: 1, resume: true });
    expect(epoch).toEqual([0]);
    expect(readFileSync(join(dir, 'before', 'last.safetensors'))).toEqual(last);
    await fit(dir, { epochs: 1 });
    expect(readFileSync(join(dir, 'before', 'last.safetensors'))).not.toEqual(last);
  });
});

describe('lookback train', () => {
  const path = join(folder, 'tiny.json');
  writeFileSync(path, JSON.stringify({ ...tinyConfig, epochs: 2 }));
  const args = (out: string, ...sets: string[]): string[] => [
    main,
    ...['train', path],
    ...[`out=${out}`, ...sets].flatMap((set) => ['--set', set]),
  ];

  it('moves the run before aside, and says so', () => {
    const once = (): string => {
      const { status, stdout } = spawnSync(process.execPath, args('run'), {
        cwd: folder,
        encoding: 'utf8',
      });
      expect(status).toBe(0);
      return stdout;
    };
    const out = join(folder, 'run');
    expect(once()).not.toContain('before');
    const files = readdirSync(out).sort();
    const model = readFileSync(join(out, 'model.safetensors'));
    expect(once()).toContain('the run that was in run is now in run/before');
    expect(readdirSync(join(out, 'before')).sort()).toEqual(files);
    expect(readFileSync(join(out, 'before', 'model.safetensors'))).toEqual(model);
    expect(readdirSync(out).sort()).toEqual([...files, 'before'].sort());
  });

  it('leaves the run before where it is, where there turns out to be no memory for a step', () => {
    const out = join(folder, 'run');
    const before = readdirSync(out).sort();
    const { status } = spawnSync(
      process.execPath,
      args('run', 'model.layers[0].units=1000000', 'epochs=1'),
      { cwd: folder, encoding: 'utf8' },
    );
    expect(status).not.toBe(0);
    expect(readdirSync(out).sort()).toEqual(before);
  });

  it('goes on to the end where nobody hears it any more', async () => {
    const child = spawn(process.execPath, args('unheard', 'epochs=60'), {
      cwd: folder,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const ended = new Promise<number | null>((resolve) => child.on('exit', resolve));
    child.stdout.once('data', () => {
      child.stdout.destroy();
      child.stderr.destroy();
    });
    expect(await ended).toBe(0);
    const log = readFileSync(join(folder, 'unheard', 'log.jsonl'), 'utf8')
      .trimEnd()
      .split('\n');
    expect(log).toHaveLength(61);
    expect(existsSync(join(folder, 'unheard', 'model.safetensors'))).toBe(true);
  });
});
