/**
 * What a file is written over, and what is left alone.
 */
import { spawnSync } from 'node:child_process';
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { disk, removeLeftovers, writeAtomically } from '../../lib/storage/atomic';

const folder = mkdtempSync(join(tmpdir(), 'lookback-atomic-'));
afterAll(() => rmSync(folder, { recursive: true }));

const onPosix = process.platform === 'win32' ? it.skip : it;
const write = (path: string, text: string, before?: string) =>
  writeAtomically(path, [Buffer.from(text)], before);

describe('a link', () => {
  const elsewhere = join(folder, 'elsewhere');
  mkdirSync(elsewhere);
  const target = join(elsewhere, 'model');

  onPosix('stays one, and what it leads to is replaced', async () => {
    const link = join(folder, 'link');
    const second = join(folder, 'link-to-it');
    writeFileSync(target, 'old');
    symlinkSync(join('elsewhere', 'model'), link);
    symlinkSync('link', second);
    await write(second, 'new');
    expect(readFileSync(target, 'utf8')).toBe('new');
    expect([readlinkSync(second), readlinkSync(link)]).toEqual(['link', 'elsewhere/model']);
    expect(readdirSync(elsewhere)).toEqual(['model']);
  });

  onPosix('to nothing leads to the new file, and one to itself is refused', async () => {
    rmSync(target, { force: true });
    const link = join(folder, 'to-nothing');
    symlinkSync(join('elsewhere', 'model'), link);
    await write(link, 'first');
    expect(readFileSync(target, 'utf8')).toBe('first');
    expect(lstatSync(link).isSymbolicLink()).toBe(true);
    const circle = join(folder, 'circle');
    symlinkSync('circle', circle);
    await expect(write(circle, 'new')).rejects.toMatchObject({
      code: 'ERR_IO',
      cause: { code: 'ELOOP' },
    });
  });

  onPosix('is kept under another name where the file before is', async () => {
    const [link, kept] = [join(folder, 'last'), join(folder, 'previous')];
    writeFileSync(target, 'old');
    symlinkSync(join('elsewhere', 'model'), link);
    await write(link, 'new', kept);
    expect([readFileSync(link, 'utf8'), readFileSync(kept, 'utf8')]).toEqual(['new', 'old']);
  });
});

describe('what is no file', () => {
  onPosix.each<[string, RegExp, (path: string) => unknown]>([
    ['a folder', /is a folder; expected a file/, (path) => mkdirSync(path)],
    ['a pipe', /is a pipe; expected a file/, (path) => spawnSync('mkfifo', [path])],
  ])('%s is refused and stays', async (what, message, make) => {
    const path = join(folder, what);
    make(path);
    const { ino } = lstatSync(path);
    for (const before of [undefined, join(folder, 'before')]) {
      await expect(write(path, 'new', before)).rejects.toMatchObject({
        code: 'ERR_IO',
        message: expect.stringMatching(message) as string,
        details: { path },
      });
    }
    expect(lstatSync(path).ino).toBe(ino);
    expect(readdirSync(folder).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });
});

it('what a process before this one with its number left half written is removed', async () => {
  const dir = join(folder, 'left');
  mkdirSync(dir);
  const names = ['00000000', '11111111'].map((random) => `.last.${process.pid}-${random}.tmp`);
  for (const name of names) writeFileSync(join(dir, name), 'half');
  const before = Date.now() / 1000 - process.uptime() - 1;
  utimesSync(join(dir, names[0] ?? ''), before, before);
  await removeLeftovers(dir);
  expect(readdirSync(dir)).toEqual([names[1]]);
});

it('what this process writes now is no leftover, whatever the clock says', async () => {
  const own = join(folder, 'own');
  mkdirSync(own);
  const { open } = disk;
  disk.open = async (...args) => {
    const file = await open(...args);
    const sync = file.sync.bind(file);
    file.sync = async () => {
      if (args[1] === 'wx') await file.utimes(1, 1);
      await removeLeftovers(own);
      await sync();
    };
    return file;
  };
  await write(join(own, 'file'), 'new').finally(() => (disk.open = open));
  expect(readFileSync(join(own, 'file'), 'utf8')).toBe('new');
});
