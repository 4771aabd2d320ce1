/**
 * The machine and the build that numbers were measured on.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { cpus, loadavg, release, totalmem, type } from 'node:os';
import { join } from 'node:path';
import { backendInfo } from 'lookback';

export interface Cache {
  level: number;
  bytes: number;
}

export interface Machine {
  cpu: string;
  /** That this process may use at once. */
  cores: number;
  memoryGB: number;
  /** Of data, of the first core, smallest first; empty where the system does not tell. */
  caches: Cache[];
  system: string;
  node: string;
  version: string;
  commit: string;
  isa: string;
  compiler: string;
  /** Mean over the last minute. */
  load: number;
}

export function machine(): Machine {
  const { isa, compiler, version, threads } = backendInfo();
  return {
    cpu: (cpus()[0]?.model ?? 'unknown CPU').trim(),
    cores: threads,
    memoryGB: Math.round(totalmem() / 2 ** 30),
    caches: dataCaches('/sys/devices/system/cpu/cpu0/cache'),
    system: `${type()} ${release()}`,
    node: process.version,
    version,
    commit: commit(),
    isa,
    compiler,
    load: Math.round((loadavg()[0] ?? NaN) * 100) / 100,
  };
}

function commit(): string {
  try {
    const git = ['describe', '--always', '--dirty'];
    return execFileSync('git', git, { stdio: ['ignore', 'pipe', 'ignore'] })
      .toString()
      .trim();
  } catch {
    // Not a checkout: the version has to do.
    return 'unknown';
  }
}

/** As Linux tells them; elsewhere none. */
export function dataCaches(folder: string): Cache[] {
  if (!existsSync(folder)) return [];
  const read = (entry: string, file: string): string =>
    readFileSync(join(folder, entry, file), 'utf8').trim();
  return readdirSync(folder)
    .filter((entry) => entry.startsWith('index') && read(entry, 'type') !== 'Instruction')
    .map((entry) => ({
      level: Number(read(entry, 'level')),
      bytes: parseInt(read(entry, 'size'), 10) * 1024,
    }))
    .sort((a, b) => a.level - b.level);
}

export function machineLine({ cpu, cores, version, commit, isa, compiler, node }: Machine): string {
  return `${cores} x ${cpu}; lookback ${version}, commit ${commit}, ${isa} kernels, ${compiler}; Node ${node}`;
}

/** The name of the files that hold its results, such as `amd-epyc-2-cores`. */
export function machineSlug({ cpu, cores }: Pick<Machine, 'cpu' | 'cores'>): string {
  const name = cpu
    .toLowerCase()
    .replace(/\((r|tm)\)|@.*|\bcpu\b|\b\d+-core\b|\bprocessor\b/g, ' ')
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '');
  return `${name}-${cores}-cores`;
}
