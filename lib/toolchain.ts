/**
 * Which build tools a machine has; asked by the loader's error message and by `lookback doctor`.
 */
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

const names = {
  compiler: ['c++', 'g++', 'clang++'],
  cmake: ['cmake'],
  nvcc: ['nvcc'],
} as const;

/** The first executable of that kind on the path (`CXX` and `CUDACXX` come first), or null. */
export function findTool(kind: keyof typeof names): string | null {
  const chosen = { compiler: process.env['CXX'], cmake: undefined, nvcc: process.env['CUDACXX'] }[
    kind
  ];
  const folders = (process.env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '');
  const suffix = process.platform === 'win32' ? '.exe' : '';
  const candidates = names[kind].flatMap((name) =>
    folders.map((folder) => join(folder, name + suffix)),
  );
  if (chosen !== undefined && chosen !== '') candidates.unshift(chosen);
  if (kind === 'nvcc') {
    for (const home of [process.env['CUDA_PATH'], process.env['CUDA_HOME'], '/usr/local/cuda']) {
      if (home) candidates.push(join(home, 'bin', 'nvcc' + suffix));
    }
  }
  return candidates.find(isExecutable) ?? null;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
