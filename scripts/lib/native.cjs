'use strict';
/** Builds the native addon: CMake through cmake-js, or node-gyp where CMake is absent. */
const { existsSync, mkdirSync, rmSync, writeFileSync } = require('node:fs');
const { availableParallelism } = require('node:os');
const { delimiter, dirname, join } = require('node:path');
const { execFileSync } = require('node:child_process');
const { run, StepFailed } = require('./run.cjs');
const { fingerprint, readStamp, writeStamp, dropStamp } = require('./stamp.cjs');

const root = join(__dirname, '..', '..');
const cmakeDir = join(root, 'build', 'cmake');

/** Compile time of a clean release build in seconds of one core, as last measured; only estimates depend on it. */
const releaseCoreSeconds = 150;

/** The same of the CUDA library. */
const cudaCoreSeconds = 530;

const addons = {
  release: join(root, 'build', 'Release', 'lookback.node'),
  test: join(root, 'build', 'Test', 'lookback.node'),
};

/** Compute capabilities with machine code of their own: '80;90', or fewer from LOOKBACK_CUDA_ARCHITECTURES. */
const cudaArchitectures = () => process.env.LOOKBACK_CUDA_ARCHITECTURES || '80;90';

function inputs(kind) {
  const paths = ['native', 'CMakeLists.txt', 'binding.gyp'];
  if (kind === 'test') {
    paths.push('test/native', 'test/gradcheck', 'test/parity', 'test/property', 'test/support');
  }
  if (kind === 'bench') paths.push('bench/native');
  const facts = {
    version: require('../../package.json').version,
    napi: require('node-addon-api/package.json').version,
    machine: `${process.platform}-${process.arch}`,
    ...(kind === 'cuda' ? { architectures: cudaArchitectures() } : {}),
  };
  return fingerprint(paths, facts);
}

/** 'auto', 'on' or 'off', from LOOKBACK_CUDA. */
function cudaChoice() {
  const choice = (process.env.LOOKBACK_CUDA || 'auto').toLowerCase();
  if (!['auto', 'on', 'off'].includes(choice)) {
    throw new StepFailed(
      'reading LOOKBACK_CUDA',
      `error: LOOKBACK_CUDA is '${choice}'; expected auto, on or off.`,
    );
  }
  return choice;
}

/** Whether a build of that kind ('release', 'test' or 'bench') is there and made from what is on disk now. */
function isFresh(kind) {
  const there = addons[kind] === undefined || existsSync(addons[kind]);
  return there && readStamp(kind) === inputs(kind);
}

const cudaLibrary = join(root, 'build', 'Release', 'lookback_cuda.so');
/** First line: the first error of the last build of the CUDA library, for `doctor`. */
const cudaErrorLog = join(root, 'build', 'Release', 'lookback_cuda.error');

/** Where nvcc is, asked in the places that CMake asks; null where it is in none. */
function findNvcc() {
  const homes = [process.env.CUDA_PATH, process.env.CUDA_HOME, '/usr/local/cuda'];
  const folders = [
    ...(process.env.PATH ?? '').split(delimiter),
    ...homes.filter(Boolean).map((home) => join(home, 'bin')),
  ];
  const candidates = [process.env.CUDACXX, ...folders.map((folder) => join(folder, 'nvcc'))];
  return candidates.find((path) => path && existsSync(path)) ?? null;
}

/**
 * Whether a release build is followed by that of the CUDA library: 'on' always, 'auto' where it would be of use, with
 * nvcc and an NVIDIA driver on the machine.
 */
function wantsCuda() {
  const choice = cudaChoice();
  if (choice !== 'auto') return choice === 'on';
  return findNvcc() !== null && existsSync('/proc/driver/nvidia/version');
}

/** Whether CMake 3.22 or later is on the path. */
function haveCMake() {
  try {
    const words = execFileSync('cmake', ['--version'], { encoding: 'utf8' }).match(
      /version (\d+)\.(\d+)/,
    );
    return words !== null && (Number(words[1]) > 3 || Number(words[2]) >= 22);
  } catch {
    return false;
  }
}

/** What is passed to CMake and what is built, by kind. All kinds share one tree, and so the core's objects. */
const cmakeKinds = {
  release: { options: [], targets: ['lookback'] },
  test: {
    options: ['LOOKBACK_TESTS=ON', 'LOOKBACK_EMULATED=ON'],
    targets: ['lookback_test', 'lookback_tests'],
  },
  bench: { options: ['LOOKBACK_BENCH=ON'], targets: ['lookback_benches'] },
  cuda: { options: [], targets: ['lookback_cuda'] },
};

async function buildWithCMake(kind) {
  const cmakeJs = require.resolve('cmake-js/bin/cmake-js');
  const { options, targets } = cmakeKinds[kind];
  const defines = [...options, `LOOKBACK_CUDA=${kind === 'cuda' ? 'on' : cudaChoice()}`];
  if (process.env.LOOKBACK_WERROR) defines.push(`LOOKBACK_WERROR=${process.env.LOOKBACK_WERROR}`);
  if (kind === 'cuda') defines.push(`LOOKBACK_CUDA_ARCHITECTURES=${cudaArchitectures()}`);
  const common = ['--out', cmakeDir, '--log-level', 'warn'];
  mkdirSync(cmakeDir, { recursive: true });
  const configure = () =>
    run(
      'CMake (configure)',
      process.execPath,
      [cmakeJs, 'configure', ...common, ...defines.map((define) => `--CD${define}`)],
      { cwd: root, quiet: true },
    );
  try {
    await configure();
  } catch (error) {
    // CMake refuses a tree that was made in another folder or by another generator, and names the cache.
    if (!/CMakeCache\.txt|does not match/i.test(error.output ?? '')) throw error;
    rmSync(cmakeDir, { recursive: true, force: true });
    mkdirSync(cmakeDir);
    await configure();
  }
  const jobs = String(availableParallelism());
  await run(
    'CMake (build)',
    'cmake',
    ['--build', cmakeDir, '--parallel', jobs, '--target', ...targets],
    { cwd: root },
  );
}

/** The node-gyp that npm brings, or the checkout's own; null where there is neither. */
function findNodeGyp() {
  const own = process.env.npm_config_node_gyp;
  if (own && existsSync(own)) return own;
  try {
    return require.resolve('node-gyp/bin/node-gyp.js');
  } catch {
    return null;
  }
}

async function buildWithGyp() {
  const nodeGyp = findNodeGyp();
  if (nodeGyp === null) {
    throw new StepFailed(
      'node-gyp',
      'error: neither CMake 3.22 or later nor node-gyp was found; install CMake.',
    );
  }
  // Headers that came with this Node spare node-gyp a download.
  const prefix = dirname(dirname(process.execPath));
  const args = [nodeGyp, 'configure', 'build', '--jobs', String(availableParallelism())];
  if (
    !process.env.npm_config_nodedir &&
    existsSync(join(prefix, 'include', 'node', 'node_api.h'))
  ) {
    args.push(`--nodedir=${prefix}`);
  }
  // Not 'rebuild': that would delete the whole of build/, CMake's tree included.
  await run('node-gyp', process.execPath, args, { cwd: root });
}

/**
 * The CUDA library beside the addon, where it is stale. Its failure is told and kept for `doctor`.
 *
 * @throws {StepFailed} with LOOKBACK_CUDA=on, or `required`
 */
async function buildCuda({ required = cudaChoice() === 'on', force = false } = {}) {
  if (!force && existsSync(cudaLibrary) && readStamp('cuda') === inputs('cuda')) return;
  dropStamp('cuda');
  const made = inputs('cuda');
  const jobs = availableParallelism();
  console.log(
    `lookback: building the CUDA library with nvcc on ${jobs} cores: about ` +
      `${Math.max(1, Math.round(cudaCoreSeconds / jobs / 60))} min (LOOKBACK_CUDA=off leaves it out)`,
  );
  try {
    if (findNvcc() === null) {
      throw new StepFailed('CUDA', 'error: nvcc was found nowhere; install the CUDA toolkit.');
    }
    if (!haveCMake()) {
      throw new StepFailed('CUDA', 'error: CMake 3.22 or later was not found on the PATH.');
    }
    await buildWithCMake('cuda');
    rmSync(cudaErrorLog, { force: true });
    writeStamp('cuda', made);
  } catch (error) {
    const first = error.firstError ?? String(error.message ?? error);
    mkdirSync(dirname(cudaErrorLog), { recursive: true });
    writeFileSync(cudaErrorLog, `${first}\n\n${error.output ?? error.stack ?? ''}\n`);
    if (required) throw error;
    console.warn(
      `lookback: the CUDA library was NOT built; models run on the CPU.\n  first error: ${first}\n` +
        '  npx lookback build --cuda tries again',
    );
  }
}

/** One line for people who wait: what is about to be built and how long it takes. */
function announce(kind, tool) {
  const jobs = availableParallelism();
  const warm = existsSync(join(cmakeDir, 'CMakeCache.txt'));
  const factor = kind === 'release' ? 1 : 2;
  const seconds = Math.max(10, Math.round((releaseCoreSeconds * factor) / jobs / 10) * 10);
  const estimate = warm ? `at most ${seconds} s, less where little changed` : `about ${seconds} s`;
  console.log(
    `lookback: building the native code (${kind}) with ${tool} on ${jobs} cores: ${estimate}`,
  );
}

/** Which tool builds it: CMake unless it is absent, or `wanted`. @throws {StepFailed} where neither can */
function chooseTool(kind, wanted) {
  if (wanted !== undefined) return wanted;
  if (haveCMake()) return 'cmake';
  const onlyCMake = cudaChoice() === 'on' ? 'LOOKBACK_CUDA=on' : `the ${kind} build`;
  if (kind === 'release' && cudaChoice() !== 'on') return 'gyp';
  const message = `error: ${onlyCMake} needs CMake 3.22 or later, and none was found on the PATH.`;
  throw new StepFailed('CMake', message);
}

async function buildWith(tool, kind) {
  announce(kind, tool === 'cmake' ? 'CMake' : 'node-gyp');
  // To one tool's rules, a binary that the other linked looks up to date.
  if (addons[kind] !== undefined && readStamp(`${kind}-tool`) !== tool) {
    rmSync(addons[kind], { force: true });
    writeStamp(`${kind}-tool`, tool);
  }
  await (tool === 'cmake' ? buildWithCMake(kind) : buildWithGyp());
}

/**
 * Builds 'release' (the addon), 'test' (the addon with the device 'emulated', and the native tests) or 'bench'. Does
 * nothing where the build is fresh; a failure leaves an older addon in its place.
 *
 * @param {{ tool?: 'cmake' | 'gyp', force?: boolean }} [how] `tool`: that one, fresh or not
 * @throws {StepFailed}
 */
async function buildNative(kind, how = {}) {
  if (how.force || how.tool !== undefined || !isFresh(kind)) await buildAddon(kind, how);
  if (kind === 'release' && how.tool === undefined && wantsCuda()) await buildCuda();
}

async function buildAddon(kind, how) {
  dropStamp(kind);
  const made = inputs(kind);
  const tool = chooseTool(kind, how.tool);
  try {
    await buildWith(tool, kind);
  } catch (error) {
    // A compiler error would only come again; a CMake that cannot configure may be what is wrong.
    const unusable = error instanceof StepFailed && error.step === 'CMake (configure)';
    if (!unusable || how.tool !== undefined || kind !== 'release' || cudaChoice() === 'on')
      throw error;
    console.warn(`lookback: ${error.message}; trying node-gyp`);
    await buildWith('gyp', kind);
  }
  writeStamp(kind, made);
}

module.exports = { buildCuda, buildNative };
