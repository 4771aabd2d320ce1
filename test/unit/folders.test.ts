/**
 * Places that may not be written to: told before a run, in the system's own reason, and with what to do.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Callback, FitOptions, LookbackError } from '../../lib';
import { callbacks } from '../../lib';
import { makeFolder, makeFolders } from '../../lib/storage/folders';
import { tinyData, tinyModel } from './support/tiny';

const folder = mkdtempSync(join(tmpdir(), 'lookback-folders-'));
afterAll(() => rmSync(folder, { recursive: true }));

async function failure(work: Promise<unknown>): Promise<LookbackError> {
  return work.then(
    () => {
      throw new Error('nothing was thrown');
    },
    (error: unknown) => error as LookbackError,
  );
}

it('folders are made with those around them, also where some are there', async () => {
  const path = join(folder, 'a', 'b', 'c');
  await makeFolders(path);
  await makeFolder(path);
  expect(existsSync(path)).toBe(true);
});

it('a place that has no folders is told, and does not take for ever', async () => {
  if (process.platform !== 'linux') return;
  const error = await failure(makeFolder('/proc/none/below'));
  expect([error.code, error.message]).toEqual([
    'ERR_IO',
    expect.stringContaining('/proc/none/below could not be made: ENOENT'),
  ]);
});

/** A folder that nobody may write to, with a folder `there` in it; root may write to all but a read-only system. */
function readOnly(): { path: string; open(): void } | null {
  const path = mkdtempSync(join(folder, 'read-only-'));
  if (process.platform === 'win32') return null;
  if (process.getuid?.() !== 0) {
    mkdirSync(join(path, 'there'));
    for (const each of [join(path, 'there'), path]) chmodSync(each, 0o500);
    return {
      path,
      open: () => [path, join(path, 'there')].forEach((each) => chmodSync(each, 0o700)),
    };
  }
  const mount = (...options: string[]) => spawnSync('mount', [...options, path]).status === 0;
  if (process.platform !== 'linux' || !mount('-t', 'tmpfs', '-o', 'size=64k', 'tmpfs')) return null;
  mkdirSync(join(path, 'there'));
  mount('-o', 'remount,ro');
  return { path, open: () => void spawnSync('umount', [path]) };
}

describe('a place that may not be written to', () => {
  const place = readOnly();
  const { path = '' } = place ?? {};
  afterAll(() => place?.open());
  const cases: [string, FitOptions][] = [
    ['a new folder of checkpoints', { checkpoint: { dir: join(path, 'new', 'deep') } }],
    ['a folder of checkpoints', { checkpoint: { dir: join(path, 'there') } }],
    ['csvLogger', { callbacks: [callbacks.csvLogger({ path: join(path, 'log.csv') })] }],
    ['jsonlLogger', { callbacks: [callbacks.jsonlLogger({ path: join(path, 'new', 'l.jsonl') })] }],
    ['tensorBoard', { callbacks: [callbacks.tensorBoard({ dir: join(path, 'board') })] }],
    ['modelCheckpoint', { callbacks: [callbacks.modelCheckpoint({ path: join(path, 'm.st') })] }],
  ];

  it.each(cases)('ends a run before its first epoch: %s', async (_name, options) => {
    if (place === null) {
      console.warn('SKIPPED: no folder can be made read-only here');
      return;
    }
    using model = tinyModel();
    const begun: number[] = [];
    const note: Callback = { onEpochBegin: (epoch) => void begun.push(epoch) };
    const all = {
      ...options,
      verbose: 0,
      callbacks: [...(options.callbacks ?? []), note],
    } as const;
    const error = await failure(model.fit(tinyData(16), all));
    expect(error.code).toBe('ERR_IO');
    expect((error.cause as NodeJS.ErrnoException).code).toMatch(/^(EROFS|EACCES)$/);
    expect(error.message).toMatch(/E(ROFS|ACCES): .*; choose a place that may be written to$/);
    expect(begun).toEqual([]);
    expect(readdirSync(path)).toEqual(['there']);
  });
});

it('a folder in the place of a log is told before the first epoch', async () => {
  using model = tinyModel();
  const options = { verbose: 0, callbacks: [callbacks.csvLogger({ path: folder })] } as const;
  const error = await failure(model.fit(tinyData(16), options));
  expect([error.code, error.message]).toEqual([
    'ERR_IO',
    expect.stringMatching(/ is a folder; expected a file or nothing in that place; choose another/),
  ]);
  expect(model.history.epoch).toEqual([]);
});
