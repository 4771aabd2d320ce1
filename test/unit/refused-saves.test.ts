/**
 * A model saved where the disk refuses it: a folder that may only be read, and a disk that is full.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { layers } from '../../lib';
import { tinyModel } from './support/tiny';

const asRoot = process.getuid?.() === 0;
const posix = process.platform !== 'win32';

/** Runs code in a process that root's rights are taken from, since root may write anywhere. */
function asNobody(code: string): { stdout: string; stderr: string } {
  const drop = asRoot ? 'process.setgid(65534); process.setuid(65534);' : '';
  const script = `
    const { sequential, layers } = require(${JSON.stringify(join(__dirname, '..', '..'))});
    const model = sequential({ inputShape: [3, 1], layers: [layers.gru({ units: 2 })] });
    model.getWeights();
    ${drop}
    (async () => { ${code} })();`;
  return spawnSync(process.execPath, ['-e', script], { encoding: 'utf8' });
}

(posix ? it : it.skip)('a read-only folder: a typed error, and the old file stays', () => {
  const dir = mkdtempSync(join(tmpdir(), 'lookback-read-only-'));
  const path = join(dir, 'model.safetensors');
  writeFileSync(path, 'old');
  chmodSync(dir, 0o555);
  try {
    const code = `model.save(${JSON.stringify(path)}).catch((error) => console.log(error.code, error.cause.code));`;
    const { stdout, stderr } = asNobody(code);
    expect([stdout, stderr]).toEqual(['ERR_IO EACCES\n', '']);
    expect(readFileSync(path, 'utf8')).toBe('old');
    expect(readdirSync(dir)).toEqual(['model.safetensors']);
  } finally {
    chmodSync(dir, 0o755);
    rmSync(dir, { recursive: true });
  }
});

/** A file system of 64 KiB, or null where none may be mounted. */
function smallDisk(): string | null {
  if (process.platform !== 'linux' || !asRoot) return null;
  const dir = mkdtempSync(join(tmpdir(), 'lookback-small-disk-'));
  const { status } = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', dir]);
  if (status === 0) return dir;
  rmSync(dir, { recursive: true });
  return null;
}

it('a full disk: a typed error, and the old file stays', async () => {
  const dir = smallDisk();
  if (dir === null) {
    console.warn('SKIPPED: a full disk: a small file system can be mounted by root on Linux only');
    return;
  }
  try {
    using small = tinyModel();
    const path = join(dir, 'model.safetensors');
    await small.save(path);
    const old = readFileSync(path);
    using large = tinyModel({ layers: [layers.lstm({ units: 100 }), layers.dense({ units: 2 })] });
    await expect(large.save(path)).rejects.toMatchObject({
      code: 'ERR_IO',
      message: expect.stringMatching(
        /; free some space, or choose another place; what was/,
      ) as string,
      cause: { code: 'ENOSPC' },
    });
    expect(readFileSync(path)).toEqual(old);
    expect(readdirSync(dir)).toEqual(['model.safetensors']);
  } finally {
    spawnSync('umount', [dir]);
    rmSync(dir, { recursive: true });
  }
});
