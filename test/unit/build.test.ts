/**
 * Holds the builds together: CMake and node-gyp compile the same sources with the same flags, no source is forgotten,
 * and code compiled for a newer instruction set cannot leak into what an older CPU runs.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join, relative } from 'node:path';

const root = join(__dirname, '..', '..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const words = (text: string): string[] => text.split(/\s+/).filter((word) => word !== '');

/** The words of `set(NAME ...)` in a CMake file. */
function cmakeList(file: string, name: string): string[] {
  const match = new RegExp(`^set\\(${name}(?=[\\s)])([^)]*)\\)`, 'm').exec(read(file));
  if (match === null) throw new Error(`${file} sets no ${name}`);
  return words(match[1]!);
}

interface GypTarget {
  target_name: string;
  sources: string[];
  defines?: string[];
  variables?: { isa_flags?: string[] };
}
interface Gyp {
  variables: Record<'lookback_flags' | 'lookback_kernel_flags' | 'lookback_kernels', string[]>;
  target_defaults: { cflags_cc: string[] };
  targets: GypTarget[];
  conditions: [[string, { targets: GypTarget[] }]];
}

/** binding.gyp is JSON but for comments and trailing commas. */
function readGyp(): Gyp {
  const json = read('binding.gyp')
    .replace(/^\s*#.*$/gm, '')
    .replace(/,(\s*[\]}])/g, '$1');
  return JSON.parse(json) as Gyp;
}

const gyp = readGyp();
const gypTargets = [...gyp.targets, ...gyp.conditions[0][1].targets];
const gypTarget = (name: string): GypTarget => {
  const target = gypTargets.find((candidate) => candidate.target_name === name);
  if (target === undefined) throw new Error(`binding.gyp has no target ${name}`);
  return target;
};

const sources = 'native/sources.cmake';
const core = cmakeList(sources, 'LOOKBACK_CORE_SOURCES');
const bridge = cmakeList(sources, 'LOOKBACK_BRIDGE_SOURCES');
const emulated = cmakeList(sources, 'LOOKBACK_EMULATED_SOURCES');
const isas = cmakeList(sources, 'LOOKBACK_KERNEL_ISAS');
const kernels = cmakeList(sources, 'LOOKBACK_KERNEL_SOURCES');

function nativeSources(folder = join(root, 'native')): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return nativeSources(path);
    return entry.name.endsWith('.cc') ? [relative(root, path)] : [];
  });
}

describe('native/sources.cmake', () => {
  it('names every source under native/ once', () => {
    const named = [...core, ...bridge, ...emulated, ...kernels];
    expect([...named].sort()).toEqual(nativeSources().sort());
  });

  it('compiles twice exactly what depends on LOOKBACK_EMULATED', () => {
    const aware = [...core, ...bridge].filter((path) => read(path).includes('LOOKBACK_EMULATED'));
    expect(cmakeList(sources, 'LOOKBACK_EMULATED_AWARE_SOURCES').sort()).toEqual(aware.sort());
  });
});

describe('binding.gyp', () => {
  it('has the sources of the CMake build', () => {
    expect(gypTarget('lookback_core').sources).toEqual(core);
    expect(gypTarget('lookback').sources).toEqual(bridge);
    const gypKernels = gypTargets.filter(({ target_name }) => target_name.includes('kernels'));
    expect(gyp.variables.lookback_kernels).toEqual(kernels);
    expect(gypKernels.map((target) => target.sources)).toEqual(
      isas.map(() => ['<@(lookback_kernels)']),
    );
  });

  it('has the flags of the CMake build', () => {
    const options = 'native/cmake/options.cmake';
    expect(gyp.variables.lookback_flags).toEqual(cmakeList(options, 'LOOKBACK_FLAGS'));
    expect(gyp.variables.lookback_kernel_flags).toEqual(
      cmakeList(options, 'LOOKBACK_KERNEL_FLAGS'),
    );
    expect(gyp.target_defaults.cflags_cc).toContain('-std=c++20');
    for (const isa of isas) {
      const target = gypTarget(`lookback_kernels_${isa}`);
      expect(target.variables?.isa_flags ?? []).toEqual(
        cmakeList(options, `LOOKBACK_ISA_FLAGS_${isa}`),
      );
      expect(target.defines).toContain(`LOOKBACK_ISA=${isa}`);
    }
  });

  it('has the Node-API definitions of the CMake build', () => {
    const addon = read('native/cmake/addon.cmake');
    for (const define of gypTarget('lookback').defines!)
      expect(addon).toContain(define.split('=')[0]);
  });
});

describe('objects compiled for one instruction set', () => {
  // The linker keeps one of several weak definitions of a symbol, whichever it meets first. One that was compiled with
  // AVX-512 must therefore not answer to a name that other code uses: its name has to hold the inline namespace.
  const weak = /^[0-9a-f]+ [Ww] (\S+)$/;
  const objects = (isa: string): string[] =>
    kernels.map((source) =>
      join(root, `build/cmake/CMakeFiles/lookback_kernels_${isa}.dir/${source}.o`),
    );

  const newer = process.arch === 'x64' ? isas.filter((isa) => isa !== 'generic') : [];
  for (const isa of newer) {
    it(`${isa} objects export no weak symbol that other code could pick up`, () => {
      const symbols = execFileSync('nm', ['--defined-only', ...objects(isa)], {
        encoding: 'utf8',
        maxBuffer: 2 ** 26,
      });
      expect(symbols).toContain(`${isa.length}${isa}`);
      const shared = symbols
        .split('\n')
        .map((line) => weak.exec(line)?.[1])
        .filter((symbol) => symbol !== undefined && !symbol.includes(`${isa.length}${isa}`));
      expect(shared).toEqual([]);
    });
  }
});

describe('package.json', () => {
  const manifest = JSON.parse(read('package.json')) as { version: string; files: string[] };

  it('ships only files that exist, or that packing makes', () => {
    const made = ['dist', 'vendor/eigen'];
    const missing = manifest.files.filter(
      (path) => !made.includes(path) && !existsSync(join(root, path)),
    );
    expect(missing).toEqual([]);
  });

  it('has its version in the changelog', () => {
    expect(read('CHANGELOG.md')).toContain(`## [${manifest.version}]`);
  });
});
