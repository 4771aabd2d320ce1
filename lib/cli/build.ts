/**
 * `lookback build`: runs the same script as npm's install, and fails when it does.
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { packageRoot } from '../native';
import { exitCodes } from './exit';
import type { Output } from './output';

/**
 * The exit code: 0, or 4 where the addon, or with `cuda` the CUDA library, could not be built. With --json the script's
 * own words go to stderr.
 */
export function build(output: Output, { cuda = false }: { cuda?: boolean } = {}): Promise<number> {
  const script = join(packageRoot, 'scripts', 'install.cjs');
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [script, '--required'], {
      cwd: packageRoot,
      stdio: output.json ? ['inherit', process.stderr, 'inherit'] : 'inherit',
      env: cuda ? { ...process.env, LOOKBACK_CUDA: 'on' } : process.env,
    });
    child.on('error', reject);
    child.on('close', (code) => {
      output.tell('build', { built: code === 0 }, null);
      resolve(code === 0 ? exitCodes.ok : exitCodes.device);
    });
  });
}
