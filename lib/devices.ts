/**
 * Which devices there are, and which one a model gets.
 */
import { cpus } from 'node:os';
import { LookbackError } from './errors';
import { loadAddon, type NativeDevice } from './native';
import { closest, show } from './options';

/** `'auto'` takes the best device that works; the others take that one or fail. `'emulated'` is for tests. */
export type Device = 'auto' | 'cpu' | 'cuda' | 'emulated';

const names: readonly Device[] = ['auto', 'cpu', 'cuda', 'emulated'];

let toldFallback = false;

/** A fallback is told once in a process, as a warning with its reason. */
function tellFallback(reason: string): void {
  if (toldFallback) return;
  toldFallback = true;
  process.emitWarning(`device "auto" is the CPU: ${reason}`, { type: 'LookbackWarning' });
}

function resolveAuto(): NativeDevice {
  const { reason } = loadAddon().cudaInfo();
  if (reason === null) return 'cuda';
  tellFallback(reason);
  return 'cpu';
}

/** @throws {LookbackError} ERR_OPTION for an unknown name, ERR_DEVICE for a device that is not there */
export function resolveDevice(device: unknown): NativeDevice {
  if (device === undefined || device === 'cpu') return 'cpu';
  if (device === 'auto') return resolveAuto();
  if (device === 'cuda') {
    const { reason } = loadAddon().cudaInfo();
    if (reason === null) return 'cuda';
    const message = `device "cuda" is not available: ${reason}; use "cpu", or "auto" which falls back`;
    throw new LookbackError('ERR_DEVICE', message, { details: { reason } });
  }
  if (device === 'emulated') {
    if (loadAddon().buildInfo().emulated) return 'emulated';
    const reason = 'it exists in test builds only';
    throw new LookbackError(
      'ERR_DEVICE',
      `device "emulated" is not available: ${reason}; use "cpu"`,
      { details: { reason } },
    );
  }
  const meant = typeof device === 'string' ? closest(device, names) : null;
  const hint =
    meant === null ? `expected one of ${names.map(show).join(', ')}` : `did you mean "${meant}"?`;
  throw new LookbackError('ERR_OPTION', `device is ${show(device)}; ${hint}`);
}

/** A device that `sequential` and `cells` accept. */
export interface DeviceInfo {
  kind: 'cpu' | 'cuda';
  name: string;
}

/** The devices of this machine that work with this build. Never throws once the library is loaded. */
export function devices(): Promise<DeviceInfo[]> {
  const gpus = loadAddon().cudaInfo().devices;
  return Promise.resolve([
    { kind: 'cpu', name: cpus()[0]?.model ?? 'CPU' },
    ...gpus.map(({ name }): DeviceInfo => ({ kind: 'cuda', name })),
  ]);
}

/** What runs the models of this process, and why. */
export interface BackendInfo {
  /** What `'auto'` gives. */
  device: 'cpu' | 'cuda';
  deviceReason: string;
  /** The instruction set of the kernels in use: avx512, avx2 or generic. */
  isa: string;
  isaReason: string;
  /** The instruction sets that were compiled in. */
  isaAvailable: string[];
  /** Threads of a job unless told otherwise. */
  threads: number;
  threadsReason: string;
  compiler: string;
  /** Identifies the build of the addon. */
  build: string;
  version: string;
}

/** What runs the models of this process, and why. */
export function backendInfo(): BackendInfo {
  const { isa, isaReason, isaAvailable, threads, threadsReason, compiler, build, version } =
    loadAddon().buildInfo();
  const cpu = { isa, isaReason, isaAvailable, threads, threadsReason };
  const { reason, devices: gpus } = loadAddon().cudaInfo();
  const gpu = gpus[0];
  const device: Pick<BackendInfo, 'device' | 'deviceReason'> =
    reason === null && gpu !== undefined
      ? { device: 'cuda', deviceReason: `${gpu.name}, compute capability ${gpu.capability}` }
      : { device: 'cpu', deviceReason: reason ?? 'no CUDA device was found' };
  return { ...device, ...cpu, compiler, build, version };
}
