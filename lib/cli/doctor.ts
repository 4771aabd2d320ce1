/**
 * `lookback doctor`: what was found, and what is in use because of it. Works without the native addon.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { join } from 'node:path';
import { backendInfo } from '../devices';
import { addonCandidates, loadAddon, packageRoot } from '../native';
import { findTool } from '../toolchain';
import { exitCodes } from './exit';
import type { Output } from './output';

/** Prints the findings; 0 where the addon loads, else 4. */
export function doctor(output: Output): number {
  const addon = addonFindings();
  const found: Record<string, string> = {
    lookback: packageRoot,
    node: `${process.version} (${process.platform} ${process.arch}, kernel ${release()})`,
    cpu: cpus()[0]?.model ?? 'unknown',
    compiler: toolText('compiler', 'none: install g++ or clang++'),
    cmake: toolText('cmake', 'none: node-gyp is tried instead'),
    nvcc: toolText('nvcc', 'none: no CUDA part can be built'),
    'nvidia driver': driverText(),
    ...addon.found,
  };
  const lastError = lastBuildError();
  if (lastError !== null) found['last build error'] = lastError;
  if (!addon.loads) found['what to do'] = 'npx lookback build';
  const width = Math.max(...Object.keys(found).map((key) => key.length));
  const lines = Object.entries(found).map(([key, text]) => `${key.padEnd(width)}  ${text}`);
  output.tell('doctor', { ...found, loads: addon.loads }, lines.join('\n'));
  return addon.loads ? exitCodes.ok : exitCodes.device;
}

function addonFindings(): { loads: boolean; found: Record<string, string> } {
  const path = addonCandidates().find((candidate) => existsSync(candidate));
  const where = path ?? `not built; looked for at ${addonCandidates().join(', ')}`;
  try {
    loadAddon();
  } catch (error) {
    const first = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
    return {
      loads: false,
      found: path === undefined ? { addon: where } : { addon: where, 'addon error': first },
    };
  }
  const info = backendInfo();
  return {
    loads: true,
    found: {
      addon: where,
      build: `${info.build} (version ${info.version}, ${info.compiler})`,
      kernel: `${info.isa}: ${info.isaReason}; compiled in: ${info.isaAvailable.join(', ')}`,
      threads: `${info.threads}: ${info.threadsReason}`,
      'device auto': `${info.device}: ${info.deviceReason}`,
      ...cudaFindings(),
    },
  };
}

/** The library, or the one reason why it is of no use, and what its last build failed with. */
function cudaFindings(): Record<string, string> {
  const { library, build, reason, devices } = loadAddon().cudaInfo();
  const gpus = devices.map(
    ({ name, capability, totalBytes, driver }) =>
      `${name}, ${capability}, ${(totalBytes / 2 ** 30).toFixed(1)} GiB, driver for CUDA ${driver}`,
  );
  const cuda = reason === null ? `${library} (${build}); ${gpus.join('; ')}` : reason;
  const cublas: Record<string, string> = reason === null ? { cublas: cublasText() } : {};
  const failed = join(packageRoot, 'build', 'Release', 'lookback_cuda.error');
  if (!existsSync(failed)) return { cuda, ...cublas };
  const first = readFileSync(failed, 'utf8').split('\n')[0] ?? 'unknown';
  return { cuda, ...cublas, 'last cuda build': `${first} (${failed})` };
}

/** What forms the large products of training. */
function cublasText(): string {
  const { library, version, reason } = loadAddon().cublasInfo();
  if (reason === '') return `${version} (${library})`;
  const where = library === '' ? '' : ` (${library})`;
  return `not used, products are our own kernel's: ${reason}${where}`;
}

function toolText(kind: 'compiler' | 'cmake' | 'nvcc', absent: string): string {
  const path = findTool(kind);
  if (path === null) return absent;
  const { stdout } = spawnSync(path, ['--version'], { encoding: 'utf8' });
  const lines = (stdout ?? '').split('\n').filter((line) => line !== '');
  const version = kind === 'nvcc' ? lines.find((line) => line.includes('release')) : lines[0];
  return `${path} (${version ?? 'its version is unknown'})`;
}

function driverText(): string {
  const path = '/proc/driver/nvidia/version';
  if (!existsSync(path)) return 'none';
  return readFileSync(path, 'utf8').split('\n')[0] ?? 'present';
}

function lastBuildError(): string | null {
  const path = join(packageRoot, 'build', 'last-error.log');
  if (!existsSync(path)) return null;
  const first = readFileSync(path, 'utf8')
    .split('\n')
    .find((line) => line !== '');
  return `${first ?? 'unknown'} (${path})`;
}
