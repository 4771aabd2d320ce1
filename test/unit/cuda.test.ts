/**
 * The CUDA part from JavaScript, on machines without a GPU and with a library that is absent, foreign or broken.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const root = join(__dirname, '..', '..');
const main = join(root, 'dist', 'cli', 'main.js');
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'lookback-cuda-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** The reason that a process gives which looks for the library there. */
function reasonWith(library: string): string | null {
  const code =
    "console.log(JSON.stringify(require('./dist/native.js').loadAddon().cudaInfo().reason))";
  const env = { ...process.env, LOOKBACK_CUDA_LIBRARY: library };
  const stdout = execFileSync(process.execPath, ['-e', code], { cwd: root, env, encoding: 'utf8' });
  return JSON.parse(stdout) as string | null;
}

describe('the library', () => {
  it('is absent: how to get it', () => {
    expect(reasonWith(join(folder, 'nothing.so'))).toMatch(
      /is not built .*nothing\.so is not there.*npx lookback build --cuda/,
    );
  });

  it('is broken: what the loader says', () => {
    const broken = join(folder, 'broken.so');
    writeFileSync(broken, 'not a library');
    expect(reasonWith(broken)).toMatch(/does not load: .*broken\.so/);
  });

  it('is of another build: to be built again', () => {
    const source = join(folder, 'other.c');
    writeFileSync(
      source,
      'struct { unsigned version, bytes; unsigned long layout; } table = {9999, 8, 1};\n' +
        'void* lookback_cuda_table(void) { return &table; }\n',
    );
    const other = join(folder, 'other.so');
    execFileSync('c++', ['-x', 'c', '-shared', '-fPIC', source, '-o', other]);
    expect(reasonWith(other)).toMatch(
      /is of another build \(its version is 9999, .*build it again/,
    );
  });
});

describe('a library that fits', () => {
  let library: string;

  // Nothing but devices is asked of it; how many there are, or the fault, says the environment.
  beforeAll(() => {
    const source = join(folder, 'fits.cc');
    library = join(folder, 'fits.so');
    writeFileSync(
      source,
      `#include <cstdlib>
#include "backend/cuda/faults.h"
#include "backend/cuda/operation_list.h"
namespace lookback {
static int32_t count(int32_t* devices, CudaFault* fault) {
  *devices = std::atoi(std::getenv("FAKE_DEVICES"));
  const int status = std::atoi(std::getenv("FAKE_STATUS"));
  return status == 0 ? 0 : set_fault(fault, CudaStatus(status), "the fake says", "no");
}
static int32_t info(int32_t, CudaDeviceInfo* device, CudaFault*) {
  *device = {"Fake GPU", 9, 0, 132, 49152, 0, 1, int64_t{8} << 30, int64_t{4} << 30, 13000, 13000, 1};
  return 0;
}
static int32_t open(int32_t, CudaSession**, CudaFault*) { return 0; }
static void close(CudaSession*) {}
static int32_t blas(CudaSession*, CudaBlasInfo* info, CudaFault* fault) {
  const int version = std::atoi(std::getenv("FAKE_CUBLAS_VERSION"));
  if (version < 0) return set_fault(fault, kCudaNoMemory, "a workspace", "no", 32, 16);
  *info = {version > 0, version, "/fake/libcublas.so", "too old"};
  return 0;
}
static const CudaTable table = [] {
  CudaTable made = {kCudaApiVersion, sizeof(CudaTable), cuda_layout(), "fake", count, info, open, close};
  made.blas = blas;
  return made;
}();
}
extern "C" const lookback::CudaTable* lookback_cuda_table() { return &lookback::table; }
`,
    );
    const words = ['-std=c++20', '-w', '-shared', '-fPIC', '-I', join(root, 'native'), source];
    execFileSync('c++', [...words, '-o', library]);
  }, 60_000);

  const ask = (devices: number, status: number, code: string, more = {}): string => {
    const fake = { FAKE_DEVICES: String(devices), FAKE_STATUS: String(status), ...more };
    const env = { ...process.env, LOOKBACK_CUDA_LIBRARY: library, ...fake };
    return execFileSync(process.execPath, ['-e', code], { cwd: root, env, encoding: 'utf8' });
  };
  const reason = "console.log(require('./dist/native.js').loadAddon().cudaInfo().reason ?? 'none')";

  it.each([
    [0, 0, 'no CUDA device was found\n'],
    [0, 2, 'no CUDA device was found (the fake says: no)\n'],
    [0, 3, 'the fake says: no\n'],
    [0, 5, 'the CUDA device failed: the fake says: no\n'],
    [1, 0, 'none\n'],
  ])('%i devices and status %i: %j', (devices, status, expected) => {
    expect(ask(devices, status, reason)).toBe(expected);
  });

  it('has a GPU: devices() lists it and auto takes it', () => {
    const code = `const { devices, backendInfo } = require('lookback');
      devices().then((list) => console.log(JSON.stringify([list[1], backendInfo().device, backendInfo().deviceReason])))`;
    expect(JSON.parse(ask(1, 0, code))).toEqual([
      { kind: 'cuda', name: 'Fake GPU' },
      'cuda',
      'Fake GPU, compute capability 9.0',
    ]);
  });

  it.each([
    [130102, '13.1.2 (/fake/libcublas.so)'],
    [11605, '11.6.5 (/fake/libcublas.so)'],
    [0, "not used, products are our own kernel's: too old (/fake/libcublas.so)"],
    [-1, "not used, products are our own kernel's: cuBLAS' workspace: 32 bytes are needed on .*"],
  ])('has cuBLAS as doctor says it: version %i is %j', (version, expected) => {
    const fake = { FAKE_DEVICES: '1', FAKE_STATUS: '0', FAKE_CUBLAS_VERSION: String(version) };
    const env = { ...process.env, LOOKBACK_CUDA_LIBRARY: library, ...fake };
    const { stdout } = spawnSync(process.execPath, [main, 'doctor'], { env, encoding: 'utf8' });
    const pattern = version < 0 ? expected : expected.replace(/[()]/g, '\\$&');
    expect(stdout).toMatch(new RegExp(`^cublas +${pattern}$`, 'm'));
  });

  it.each([
    [true, 130102, 'cuBLAS 13.1.2'],
    [true, 0, 'our own, cuBLAS is not used: too old'],
    [false, 130102, 'our own, as always without training'],
  ])("is what explain plans for with on: 'cuda'", (training, version, products) => {
    const code = `const { sequential, layers } = require('lookback');
      const model = sequential({ inputShape: [512, 3], layers: [layers.lstm({ units: 8 })] });
      const options = { batchSize: 128, training: ${String(training)} };
      const [cuda] = model.explain({ ...options, on: 'cuda' });
      const on = { name: 'Fake GPU', multiprocessors: 132, sharedBytes: 49152 };
      console.log(JSON.stringify([cuda, model.explain({ ...options, on })[0]]));`;
    const fake = { FAKE_CUBLAS_VERSION: String(version) };
    const [cuda, same] = JSON.parse(ask(1, 0, code, fake)) as { device: string; text: string }[];
    expect(cuda).toEqual({
      ...same,
      text: `${String(same?.text)}; products over all steps: ${products}`,
    });
    expect(cuda?.device).toBe('Fake GPU');
    expect(cuda?.text).toMatch(/^resident: 128 blocks of 1 row/);
  });
});

describe('without a GPU that can be used', () => {
  const env = { ...process.env, LOOKBACK_CUDA_LIBRARY: '/nowhere/lookback_cuda.so' };
  const train = (device: string): { status: number | null; stderr: string; stdout: string } => {
    const out = mkdtempSync(join(folder, 'run-'));
    const set = ['device=' + device, 'epochs=1', 'out=' + out, 'data.train=64', 'data.test=16'];
    const sets = [...set, 'data.steps=10'].flatMap((each) => ['--set', each]);
    const words = [main, 'train', 'examples/adding/config.json', ...sets];
    return spawnSync(process.execPath, words, { cwd: root, env, encoding: 'utf8' });
  };

  it('train with device=cuda ends with exit code 4 and the reason', () => {
    const { status, stderr } = train('cuda');
    expect(stderr).toMatch(/device "cuda" is not available: the CUDA library is not built/);
    expect(status).toBe(4);
  });

  it('train with device=auto goes on with the CPU and says once why', () => {
    const { status, stderr } = train('auto');
    expect(stderr.match(/device "auto" is the CPU: the CUDA library is not built/g)).toHaveLength(
      1,
    );
    expect(status).toBe(0);
  });

  it("explain with on: 'cuda' fails with the reason and says what goes without a GPU", () => {
    const code = `const { sequential, layers } = require('lookback');
      const model = sequential({ inputShape: [4, 3], layers: [layers.lstm({ units: 8 })] });
      try { model.explain({ on: 'cuda' }); } catch ({ code, message }) { console.log(code, message); }`;
    const stdout = execFileSync(process.execPath, ['-e', code], {
      cwd: root,
      env,
      encoding: 'utf8',
    });
    expect(stdout).toMatch(
      /^ERR_DEVICE explain: device "cuda" is not available: the CUDA library is not built.*"h200"/,
    );
  });

  it('doctor names the reason', () => {
    const { status, stdout } = spawnSync(process.execPath, [main, 'doctor'], {
      env,
      encoding: 'utf8',
    });
    expect(stdout).toMatch(/^cuda +the CUDA library is not built/m);
    expect(stdout).not.toMatch(/^cublas/m);
    expect(status).toBe(0);
  });
});

describe('nvcc.cmake', () => {
  const script = join(root, 'native', 'cmake', 'nvcc.cmake');
  const runWith = (log: string, command: string[]): ReturnType<typeof spawnSync> =>
    spawnSync('cmake', [`-DLOG=${log}`, '-P', script, '--', ...command], { encoding: 'utf8' });

  it('keeps what the compiler says', () => {
    const log = join(folder, 'fine.log');
    expect(runWith(log, [process.execPath, '-e', "console.log('registers')"]).status).toBe(0);
    expect(readFileSync(log, 'utf8')).toContain('registers');
  });

  it('shows it where the compiler fails, so that its first error is found', () => {
    const failing = "console.error('x.cu(3): error: no such thing'), process.exit(2)";
    const { status, stderr } = runWith(join(folder, 'bad.log'), [process.execPath, '-e', failing]);
    expect(status).not.toBe(0);
    const { StepFailed } = jest.requireActual<{
      StepFailed: new (step: string, output: string) => { firstError: string };
    }>('../../scripts/lib/run.cjs');
    expect(new StepFailed('CUDA', String(stderr)).firstError).toBe('x.cu(3): error: no such thing');
  });
});
