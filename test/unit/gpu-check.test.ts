/**
 * What measures on machines without Node, as far as it goes without a GPU: the list of cases, the turns of both sides
 * (against programs that only pretend), the page, and the script's help.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BenchCase } from '../../bench/cases';
import { CASES } from '../../bench/cases';

const root = join(__dirname, '..', '..');
const folder = mkdtempSync(join(tmpdir(), 'lookback-gpu-check-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const python = (...args: string[]): ReturnType<typeof spawnSync> =>
  spawnSync('python3', args, {
    cwd: root,
    encoding: 'utf8',
    env: { ...process.env, PYTHONDONTWRITEBYTECODE: '1' },
  });

describe('gpu-check.sh', () => {
  const script = join('scripts', 'gpu-check.sh');
  const source = readFileSync(join(root, script), 'utf8');
  const run = (...words: string[]): ReturnType<typeof spawnSync> =>
    spawnSync('bash', [script, ...words], {
      cwd: root,
      encoding: 'utf8',
      env: { ...process.env, OUT: join(folder, 'out'), BUILD: join(folder, 'build') },
    });

  it('has a function and a line of help for each part, and all of them fit in nine minutes', () => {
    const help = String(run('--help').stdout);
    const order = /^order=\((.*)\)$/m.exec(source)?.[1]?.split(' ') ?? [];
    expect(order).toContain('device');
    const seconds = order.map((part) => {
      expect(source).toMatch(new RegExp(`^part_${part}\\(\\)`, 'm'));
      const told = new RegExp(`^ {2}${part} +(\\d+) {3}`, 'm').exec(help)?.[1];
      expect(source).toContain(`[${part}]=${told}`);
      return Number(told);
    });
    expect(seconds.reduce((sum, each) => sum + each, 0)).toBeLessThanOrEqual(540);
    expect(existsSync(join(folder, 'out'))).toBe(false);
  });

  it("takes PyTorch's cuBLAS, the newest, where the loader knows of none", () => {
    const home = join(folder, 'python');
    expect(python('-m', 'venv', '--without-pip', home).status).toBe(0);
    const [version = ''] = readdirSync(join(home, 'lib'));
    const packages = join(home, 'lib', version, 'site-packages', 'nvidia');
    for (const [name, number] of [
      ['cublas', 12],
      ['cu13', 13],
      ['cu14', 14],
    ] as const) {
      mkdirSync(join(packages, name, 'lib'), { recursive: true });
      writeFileSync(join(packages, name, 'lib', `libcublas.so.${number}`), '');
    }
    const bin = join(folder, 'loader');
    mkdirSync(bin);
    writeFileSync(join(bin, 'ldconfig'), '#!/bin/sh\necho "libcublas.so.$KNOWN => /usr/lib/x"\n');
    chmodSync(join(bin, 'ldconfig'), 0o755);
    const begin = source.indexOf('cublas_of_pytorch()');
    const words = source.slice(begin, source.indexOf('export LOOKBACK_CUDA_LIBRARY'));
    const asked = (known: string, given = ''): string => {
      const path = `${bin}:${process.env['PATH']}`;
      const env = {
        PATH: path,
        KNOWN: known,
        LOOKBACK_CUBLAS: given,
        python: join(home, 'bin', 'python3'),
      };
      const script = `${words}\necho "$LOOKBACK_CUBLAS"`;
      return spawnSync('bash', ['-c', script], { encoding: 'utf8', env }).stdout.trim();
    };
    expect(asked('11')).toBe(join(packages, 'cu13', 'lib', 'libcublas.so.13'));
    expect(asked('13')).toBe('');
    expect(asked('11', 'off')).toBe('off');
  });

  /** The part `sanitize`, with a compute-sanitizer that does `words`: its status, its line of the summary, its text. */
  const sanitize = (words: string): { status: number | null; line: string; text: string } => {
    const bin = join(folder, 'sanitizer');
    mkdirSync(bin, { recursive: true });
    writeFileSync(join(bin, 'compute-sanitizer'), `#!/bin/sh\n${words}\n`);
    chmodSync(join(bin, 'compute-sanitizer'), 0o755);
    const env = { ...process.env, PATH: `${bin}:${process.env['PATH']}`, PARITY_EVERY: '7' };
    const out = join(folder, 'sanitized');
    const { status } = spawnSync('bash', [script, 'sanitize'], {
      cwd: root,
      env: { ...env, OUT: out, BUILD: join(folder, 'build') },
    });
    const [line, text] = ['summary.txt', 'sanitize.txt'].map((name) =>
      readFileSync(join(out, name), 'utf8'),
    );
    return { status, line: line ?? '', text: text ?? '' };
  };

  it('has every tool of compute-sanitizer look at a case, and at nothing else, before the next one', () => {
    const { status, text } = sanitize(
      'echo "$2: $PARITY_ONLY, $PARITY_EVERY, $LOOKBACK_CUBLAS, ${5##*/} $6"; echo "ok   $6"',
    );
    expect(status).toBe(0);
    const said = text.match(/^\w+: .*$/gm) ?? [];
    expect(said).toHaveLength(12);
    expect(said.slice(0, 3)).toEqual(
      ['racecheck', 'memcheck', 'synccheck'].map(
        (tool) => `${tool}: lstm ifog, 1, off, test_cuda_parity_test a_gpu_agrees_with_the_cpu`,
      ),
    );
  });

  it.each([
    ['skips itself', 'echo "SKIPPED: no CUDA device was found"; echo "ok   $6"'],
    ['never begins', 'echo "========= COMPUTE-SANITIZER"'],
  ])('takes a test that %s under compute-sanitizer for no result', (_, words) => {
    const { status, line, text } = sanitize(`${words}; exit 0`);
    expect([status, line]).toEqual([1, expect.stringMatching(/^sanitize +FAILED, /)]);
    expect(text).toContain('racecheck has looked at nothing: no case ran\n');
  });

  it('refuses a part that it does not know', () => {
    const { status, stderr } = run('machin');
    expect([status, String(stderr).split('\n')[0]]).toEqual([
      2,
      "gpu-check: unknown part 'machin'",
    ]);
  });

  it('says loudly that the JavaScript check was skipped, and fails only where it was asked for', () => {
    const bare = join(folder, 'bare');
    const bin = join(bare, 'bin');
    mkdirSync(bin, { recursive: true });
    // A machine with all that the script calls, and no Node.
    for (const name of [
      'basename',
      'bash',
      'cat',
      'dirname',
      'env',
      'mkdir',
      'sed',
      'tail',
      'tee',
      'timeout',
      'touch',
    ])
      symlinkSync(execFileSync('which', [name], { encoding: 'utf8' }).trim(), join(bin, name));
    const env = { PATH: bin, HOME: bare, OUT: join(bare, 'out'), BUILD: join(bare, 'build') };
    mkdirSync(join(bare, 'scripts'));
    copyFileSync(join(root, script), join(bare, script));
    const named = spawnSync('bash', [script, 'javascript'], { cwd: bare, env, encoding: 'utf8' });
    expect(named.stdout).toMatch(
      /^javascript SKIPPED: no node on the PATH, and no archive of it at build\/gpu-node\.tar\.xz, \d s$/m,
    );
    expect(named.status).toBe(1);
    const all = spawnSync('bash', [script], {
      cwd: bare,
      env: { ...env, LIMIT: '20', OUT: join(bare, 'all') },
      encoding: 'utf8',
    });
    expect(all.stdout).toMatch(/^javascript SKIPPED: /m);
  });

  it('ends a part that takes too long, with what it has started, and goes on', () => {
    const bin = join(folder, 'bin');
    mkdirSync(bin, { recursive: true });
    writeFileSync(join(bin, 'nvidia-smi'), '#!/bin/sh\nsleep 100\n');
    chmodSync(join(bin, 'nvidia-smi'), 0o755);
    const out = join(folder, 'cut');
    const { status, stdout } = spawnSync('bash', [script, 'machine', 'report'], {
      cwd: root,
      encoding: 'utf8',
      env: {
        ...process.env,
        PATH: `${bin}:${process.env['PATH']}`,
        OUT: out,
        BUILD: join(folder, 'b'),
        LIMIT: '2',
        SECONDS_TOTAL: '11',
      },
    });
    expect(stdout).toMatch(/^machine +cut short after 2 s, \d+ s$/m);
    // Of eleven seconds fewer than ten are left.
    expect(stdout).toMatch(/^report +not run: the time was up, 0 s$/m);
    expect(readFileSync(join(out, 'summary.txt'), 'utf8').split('\n')).toHaveLength(3);
    expect(status).toBe(1);
  });
});

describe('the cases', () => {
  const known = JSON.parse(String(python('bench/device/cases.py').stdout)) as BenchCase[];

  it('are those of the bench where they have its names', () => {
    const ours = new Map(CASES.map((bench) => [bench.name, bench]));
    const both = known.filter(({ name }) => ours.has(name));
    expect(both.map(({ name }) => name).sort()).toEqual([...ours.keys()].sort());
    for (const { name, cell, shape, spec, tolerance } of both) {
      expect(ours.get(name)).toMatchObject({ cell, shape, spec, tolerance });
      expect(spec).toEqual(ours.get(name)?.spec);
    }
  });

  it('have names of their own', () => {
    expect(new Set(known.map(({ name }) => name)).size).toBe(known.length);
  });
});

describe('run.py', () => {
  const ours = join(folder, 'ours.py');
  const peers = join(folder, 'peers');
  const out = join(folder, 'results.jsonl');

  beforeAll(() => {
    mkdirSync(peers, { recursive: true });
    // A pass takes what its file says; a variant's results are as far from ours as its name says.
    writeFileSync(
      ours,
      `#!/usr/bin/env python3
import json, sys
far = 0
for line in sys.stdin:
    op, *rest = line.split()
    if op == "device": reply = {"device": "pretended", "threads": 1}
    elif op == "open":
        open(rest[0], "w").close()
        reply = {"tensors": [{"name": "x", "shape": [1], "offset": 0}], "plan": " ".join(rest[1:4])}
    elif op == "compare": reply = {"difference": float(open(rest[0]).read()), "tensor": "x"}
    elif op in ("forward", "step"): reply = {"ms": 2.0 if op == "forward" else 5.0}
    else: reply = {"error": "what is " + op + "?"}
    print(json.dumps(reply), flush=True)
`,
    );
    chmodSync(ours, 0o755);
    writeFileSync(
      join(peers, 'torch_lstm.py'),
      `import json, os, sys, time
for line in sys.stdin:
    request = json.loads(line)
    op, variant = request["op"], request["variant"]
    reply = {}
    if op == "open":
        if variant == "hangs": time.sleep(100)
        if variant == "dies": sys.exit("out of everything")
        reply = {"version": "0.0", "detail": os.environ["PEER_DEVICE"]}
        if variant == "fails": reply = {"error": "no such kernel"}
    if op == "results":
        open(request["path"], "w").write("0.5" if variant == "differs" else "1e-7")
        reply = {"tensors": [{"name": "x", "shape": [1], "offset": 0}]}
    if op in ("forward", "step"): reply = {"ms": 4.0 if op == "forward" else 15.0}
    print(json.dumps(reply), flush=True)
`,
    );
  });

  const bench = (
    ...more: string[]
  ): { status: number | null; lines: Record<string, unknown>[] } => {
    const words = ['--ours', ours, '--peers', peers, '--out', out, ...more];
    const { status } = python('bench/device/run.py', ...words);
    const text = readFileSync(out, 'utf8').trim();
    return {
      status,
      lines: text.split('\n').map((line) => JSON.parse(line) as Record<string, unknown>),
    };
  };

  it('takes turns and gives medians, the plan and the difference', () => {
    const { status, lines } = bench('--variant', 'nn.LSTM', 'lstm-har-b64-h32');
    expect(status).toBe(0);
    expect(lines).toEqual([
      { device: 'pretended', threads: 1 },
      expect.objectContaining({
        case: 'lstm-har-b64-h32',
        plan: 'lstm 64 128',
        forwardMs: 2,
        stepMs: 5,
        samples: 20,
        peers: [
          expect.objectContaining({
            variant: 'nn.LSTM',
            detail: 'cpu',
            forwardMs: 4,
            stepMs: 15,
            difference: 1e-7,
          }),
        ],
      }),
      { left: [] },
    ]);
  });

  it('says why a variant has no times, and goes on with the others', () => {
    const named = (...names: string[]): string[] => names.flatMap((name) => ['--variant', name]);
    const hanging = bench('--open-seconds', '1', ...named('hangs'), 'lstm-har-b64-h32');
    expect(hanging.lines[1]).toMatchObject({
      stepMs: 5,
      peers: [{ variant: 'hangs', skipped: 'it did not finish within 1 s' }],
    });
    const { status, lines } = bench(...named('dies', 'fails', 'nn.LSTM'), 'lstm-har-b64-h32');
    expect(lines[1]?.['peers']).toMatchObject([
      { variant: 'dies', skipped: 'it ended: out of everything' },
      { variant: 'fails', skipped: 'no such kernel' },
      { variant: 'nn.LSTM', forwardMs: 4 },
    ]);
    expect(status).toBe(0);
  });

  it('fails where a peer computes something else', () => {
    const { status, lines } = bench('--variant', 'differs', 'lstm-har-b64-h32');
    expect(lines[1]?.['peers']).toMatchObject([
      { variant: 'differs', skipped: 'not the same function: its results differ', difference: 0.5 },
    ]);
    expect(status).toBe(1);
  });

  it('measures ours alone where it is asked to', () => {
    const { lines } = bench('--alone', 'lstm-har-b64-h32');
    expect(lines[1]).toMatchObject({ case: 'lstm-har-b64-h32', stepMs: 5, peers: [] });
  });

  it('names the cases for which there was no time', () => {
    const { lines } = bench('--seconds', '1', 'lstm-har-b64-h32', 'gru-har-b64-h32');
    expect(lines.at(-1)).toEqual({ left: ['lstm-har-b64-h32', 'gru-har-b64-h32'] });
  });

  it('refuses a case that it does not know', () => {
    const { status, stderr } = python('bench/device/run.py', '--ours', ours, '--out', out, 'lstm');
    expect(status).toBe(2);
    expect(stderr).toMatch(/no case is called lstm; --list has them/);
  });
});

describe('report.py', () => {
  it('makes a page of what the parts have left', () => {
    const given = join(folder, 'given');
    mkdirSync(given);
    const write = (name: string, ...lines: (string | object)[]): void =>
      writeFileSync(
        join(given, name),
        lines
          .map((line) => (typeof line === 'string' ? line : JSON.stringify(line)) + '\n')
          .join(''),
      );
    write('facts.txt', 'GPU: NVIDIA Pretended 9', 'CPU: a CPU, 16 threads');
    write('summary.txt', 'machine   ok, 1 s', 'device    cut short after 9 s, 9 s');
    write(
      'parity.txt',
      'ok',
      '     float: worst 0.4 of its bound: lstm',
      '     double: worst 0.2 of its bound: gru',
    );
    write(
      'roofline.jsonl',
      { measure: 'launch', value: 2.5, unit: 'us', of: 'an empty kernel' },
      { measure: 'cluster barrier', skipped: 'clusters need compute capability 9.0' },
      '{"measure": "cut o',
    );
    const timed = { forwardMs: 0.5, stepMs: 1.25, samples: 20 };
    write(
      'device.jsonl',
      { device: 'NVIDIA Pretended 9', threads: 1, cublas: '13.1.2' },
      {
        product: [2, 3, 4],
        device: 'cuda',
        ms: { mm: 0.25, 'ours, own kernel': 0.75, ours: 0.5, 'mm, tf32': 'it ended' },
      },
      {
        case: 'lstm-har-b64-h32',
        device: 'cuda',
        plan: 'resident: 64 blocks',
        ...timed,
        peers: [
          {
            variant: 'nn.LSTM',
            version: '2.9',
            detail: 'cuDNN 9',
            forwardMs: 1,
            stepMs: 5,
            difference: 1.5e-7,
          },
          { variant: 'cell, compile', skipped: 'it did not finish within 60 s' },
        ],
      },
      { left: ['gru-har-b64-h32'] },
    );
    write('device-own.jsonl', {
      case: 'lstm-har-b64-h32',
      device: 'cuda',
      plan: 'stepwise',
      ...timed,
      stepMs: 2.5,
      peers: [],
    });
    write('host-2.jsonl', {
      case: 'lstm-har-b64-h32',
      device: 'cpu',
      plan: '',
      ...timed,
      peers: [],
    });
    const page = join(folder, 'page.md');
    const { status, stderr } = python('bench/device/report.py', given, page);
    expect([status, stderr]).toEqual([0, '']);
    const text = readFileSync(page, 'utf8');
    for (const line of [
      '# NVIDIA Pretended 9',
      '| CPU | a CPU, 16 threads |',
      '| device | cut short after 9 s, 9 s |',
      '- double: worst 0.2 of its bound: gru',
      '| launch | 2.50 us | an empty kernel | 3 |',
      '| cluster barrier |  | clusters need compute capability 9.0 |  |',
      '## Our drivers beside PyTorch on the GPU',
      '| `lstm-har-b64-h32` | 0.50 | 1.25 | nn.LSTM | 1.00 | 5.00 | 2.00 | 4.00 | 1.5e-07 |',
      '- `lstm-har-b64-h32`: resident: 64 blocks',
      '- `lstm-har-b64-h32`, cell, compile: it did not finish within 60 s',
      'cuBLAS for the large products of training: 13.1.2.',
      '| shape | ours | ours, own kernel | mm | mm, tf32 |',
      '| 2 x 3 x 4 | 0.50 | 0.75 | 0.25 | it ended |',
      '## Our drivers without cuBLAS',
      '| `lstm-har-b64-h32` | 0.50 | 2.50 |  |  |  |  |  |  |',
      'The time was up before: `gru-har-b64-h32`.',
      '## The CPU of this machine, 2 threads',
      '| `lstm-har-b64-h32` | 0.50 | 1.25 |  |  |  |  |  |  |',
    ]) {
      expect(text.split('\n')).toContain(line);
    }
    expect(text).not.toContain('cut o');
  });

  it("makes none before the part 'machine' has said what it would be about", () => {
    const bare = join(folder, 'unknown');
    mkdirSync(bare);
    const page = join(bare, 'page.md');
    const told = (): string => {
      const { status, stderr } = python('bench/device/report.py', bare, page);
      expect([status, existsSync(page)]).toEqual([1, false]);
      return String(stderr);
    };
    const first = "run the part 'machine' first: bash scripts/gpu-check.sh machine report\n";
    const none = `report.py: there are no facts about the machine (facts.txt) in ${bare}; ${first}`;
    expect(told()).toBe(none);
    writeFileSync(join(bare, 'facts.txt'), ''); // Cut short.
    expect(told()).toBe(none);
    writeFileSync(join(bare, 'facts.txt'), 'CPU: a CPU, 16 threads\n');
    const launch = { measure: 'launch', value: 2.5, unit: 'us', of: 'an empty kernel' };
    writeFileSync(join(bare, 'roofline.jsonl'), JSON.stringify(launch) + '\n');
    expect(told()).toBe(
      `report.py: facts.txt names no GPU, but roofline.jsonl has been measured on one; ${first}`,
    );
    rmSync(join(bare, 'roofline.jsonl'));
    expect(python('bench/device/report.py', bare, page).status).toBe(0);
    expect(readFileSync(page, 'utf8')).toMatch(/^# a machine without a GPU\n/);
  });

  it('says how it is called', () => {
    expect(python('bench/device/report.py').status).toBe(2);
  });
});
