/**
 * One run at a time in a folder: a second one is refused before it touches anything, and a run that was killed keeps nobody out.
 */
import type { ChildProcess } from 'node:child_process';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { FolderLock } from '../../lib/storage/folder-lock';
import { tinyConfig, tinyData, tinyModel } from './support/tiny';

const main = join(__dirname, '..', '..', 'dist', 'cli', 'main.js');
const folder = mkdtempSync(join(tmpdir(), 'lookback-lock-'));
afterAll(() => rmSync(folder, { recursive: true }));

const here = (name: string): string => mkdtempSync(join(folder, `${name}-`));

describe('the lock of a folder', () => {
  it('is one at a time, and leaves nothing behind', async () => {
    const path = here('plain');
    const lock = await FolderLock.take(path);
    await expect(FolderLock.take(path)).rejects.toMatchObject({
      code: 'ERR_STATE',
      message: expect.stringMatching(
        `is in use: process ${process.pid} on ${hostname()} has trained there since 20..-.*; wait until`,
      ),
      details: { path, pid: process.pid, host: hostname() },
    });
    await lock.release();
    await lock.release();
    expect(readdirSync(path)).toEqual([]);
    await (await FolderLock.take(path)).release();
  });

  it('of one that is given back while another asks is held by one of them', async () => {
    const path = here('contended');
    let holders = 0;
    let taken = 0;
    const attempts = Array.from({ length: 200 }, async () => {
      try {
        const lock = await FolderLock.take(path);
        expect((holders += 1)).toBe(1);
        taken += 1;
        await new Promise(setImmediate);
        holders -= 1;
        await lock.release();
      } catch (error) {
        expect(error).toMatchObject({ code: 'ERR_STATE' });
      }
    });
    await Promise.all(attempts);
    expect(taken).toBeGreaterThan(0);
  });

  it('keeps nobody out where there can be none', async () => {
    await (await FolderLock.take(join(folder, 'nowhere'))).release();
  });

  it('says what it can of a holder that left no word', async () => {
    const path = here('silent');
    const lock = await FolderLock.take(path);
    writeFileSync(join(path, '.lookback.lock'), 'no word');
    await expect(FolderLock.take(path)).rejects.toThrow(
      'is in use: another run trains there; wait',
    );
    await lock.release();
  });
});

it('fit refuses the folder of a run that goes on, which loses nothing', async () => {
  const dir = here('fit');
  using model = tinyModel();
  using other = tinyModel();
  const run = { epochs: 2, batchSize: 8, verbose: 0, checkpoint: { dir } } as const;
  const data = tinyData(32);
  const meddle = async (): Promise<void> => {
    const before = readdirSync(dir);
    for (const resume of [false, true])
      await expect(other.fit(data, { ...run, resume })).rejects.toMatchObject({
        code: 'ERR_STATE',
        message: expect.stringContaining(`${dir} is in use: process ${process.pid}`),
      });
    expect(readdirSync(dir)).toEqual(before);
  };
  const callbacks = [{ onEpochEnd: meddle }];
  await model.fit(data, { ...run, callbacks });
  expect(readdirSync(dir).sort()).toEqual(['last.safetensors', 'previous.safetensors']);
  // Free again, also after a start that came to nothing.
  const elsewhere = { ...run, batchSize: 4, resume: true };
  await expect(other.fit(data, elsewhere)).rejects.toMatchObject({ code: 'ERR_OPTION' });
  const { epoch } = await other.fit(data, { ...run, epochs: 3, resume: true, callbacks: [{}] });
  expect(epoch).toEqual([0, 1, 2]);
  expect(existsSync(join(dir, 'before'))).toBe(false);
});

describe('lookback train', () => {
  const path = join(folder, 'tiny.json');
  writeFileSync(path, JSON.stringify({ ...tinyConfig, epochs: 1_000_000 }));
  const args = (...more: string[]): string[] => [main, 'train', path, '--set', 'out=run', ...more];
  let first: ChildProcess;
  afterAll(() => first.kill('SIGKILL'));

  it('refuses the folder of a run that goes on, and takes that of one that was killed', async () => {
    first = spawn(process.execPath, args('--json'), { cwd: folder, stdio: 'pipe' });
    await new Promise<void>((resolve, reject) => {
      first.stdout?.on('data', (chunk: Buffer) => chunk.includes('"epoch"') && resolve());
      first.once('close', () => reject(new Error('the first run has ended')));
    });
    for (const more of [[], ['--resume']]) {
      const second = spawnSync(process.execPath, args(...more), { cwd: folder, encoding: 'utf8' });
      expect([second.status, second.stdout]).toEqual([2, '']);
      expect(second.stderr).toContain(`run is in use: process ${first.pid} on ${hostname()}`);
    }
    expect(existsSync(join(folder, 'run', 'before'))).toBe(false);
    first.kill('SIGKILL');
    await once(first, 'close');
    expect(existsSync(join(folder, 'run', '.lookback.lock'))).toBe(true);
    // Whatever epoch it has come to is its last one.
    const more = args('--resume', '--set', 'epochs=1');
    const third = spawnSync(process.execPath, more, { cwd: folder, encoding: 'utf8' });
    expect([third.status, third.stderr]).toEqual([0, '']);
    expect(existsSync(join(folder, 'run', '.lookback.lock'))).toBe(false);
  });
});
