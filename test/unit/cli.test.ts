/**
 * The command line as a process: exit codes, what is printed, and what is on the disk afterwards.
 */
import type { SpawnSyncReturns } from 'node:child_process';
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const root = join(__dirname, '..', '..');
const main = join(root, 'dist', 'cli', 'main.js');
const folder = mkdtempSync(join(tmpdir(), 'lookback-cli-'));
afterAll(() => rmSync(folder, { recursive: true }));

const config = {
  seed: 4,
  epochs: 3,
  batchSize: 20,
  data: { name: 'adding', steps: 8, train: 200, test: 50, seed: 2 },
  model: {
    layers: [
      { kind: 'lstm', units: 8 },
      { kind: 'dropout', rate: 0.1 },
      { kind: 'dense', units: 1 },
    ],
  },
  optimizer: { kind: 'adam', learningRate: 0.01 },
  schedule: { kind: 'stepDecay', every: 2 },
  validation: { split: 0.2 },
};
const configPath = join(folder, 'tiny.json');
writeFileSync(configPath, JSON.stringify(config));

function lookback(...args: string[]): SpawnSyncReturns<string> {
  return spawnSync(process.execPath, [main, ...args], { cwd: folder, encoding: 'utf8' });
}

function train(out: string, ...args: string[]): SpawnSyncReturns<string> {
  return lookback('train', configPath, '--set', `out=${out}`, ...args);
}

interface LogLine {
  epoch?: number;
  loss?: number;
  valLoss?: number;
  test?: { loss: number };
}

function logOf(out: string): LogLine[] {
  const text = readFileSync(join(folder, out, 'log.jsonl'), 'utf8');
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as LogLine);
}

/** The log without its times. */
function numbersOf(out: string): unknown[] {
  return logOf(out).map((line) => ({ ...line, seconds: 0 }));
}

function modelOf(out: string): Buffer {
  return readFileSync(join(folder, out, 'model.safetensors'));
}

describe('lookback train', () => {
  it('writes model, log, report and checkpoint', () => {
    const { status, stdout, stderr } = train('whole');
    expect([status, stderr]).toEqual([0, '']);
    const lines = stdout.trimEnd().split('\n');
    expect(lines[0]).toBe('run folder whole');
    expect(stdout).toMatch(/training takes about \d+ s \(24 updates\)/);
    expect(stdout).toMatch(/epoch 3\/3 [\d.]+ s loss \d\.\d{4} valLoss \d\.\d{4}/);
    expect(lines.at(-2)).toBe('model, log.jsonl and report.html are in whole');
    expect(lines.at(-1)).toMatch(/^test loss \d\.\d{4}$/);
    expect(readdirSync(join(folder, 'whole')).sort()).toEqual([
      'checkpoints',
      'config.json',
      'log.jsonl',
      'model.safetensors',
      'report.html',
    ]);
    const log = logOf('whole');
    expect(log.map(({ epoch }) => epoch)).toEqual([1, 2, 3, undefined]);
    expect(log[2]?.loss).toBeLessThan(log[0]?.loss ?? 0);
    expect(log[3]?.test?.loss).toBeGreaterThan(0);
  });

  it('is the same again, to the byte, wherever it is written', () => {
    expect(train('again').status).toBe(0);
    expect(modelOf('again')).toEqual(modelOf('whole'));
    expect(numbersOf('again')).toEqual(numbersOf('whole'));
  });

  it('is another one with another seed', () => {
    expect(train('other', '--set', 'seed=5').status).toBe(0);
    expect(modelOf('other')).not.toEqual(modelOf('whole'));
  });

  it('goes on bit for bit where it was prolonged', () => {
    expect(train('parts', '--set', 'epochs=1').status).toBe(0);
    const { status, stdout } = train('parts', '--resume');
    expect(status).toBe(0);
    expect(stdout).toContain('resumed at epoch 2');
    expect(modelOf('parts')).toEqual(modelOf('whole'));
    expect(numbersOf('parts')).toEqual(numbersOf('whole'));
  });

  it('--resume does nothing where all is done, and everything where nothing is', () => {
    const done = train('whole', '--resume');
    expect([done.status, done.stdout]).toEqual([
      0,
      expect.stringMatching(/finished already.*\ntest loss \d\.\d{4}\n$/),
    ]);
    const fresh = train('fresh', '--resume');
    expect(fresh.status).toBe(0);
    expect(modelOf('fresh')).toEqual(modelOf('whole'));
  });

  it('--resume refuses another run', () => {
    const { status, stderr } = train('whole', '--resume', '--set', 'seed=9');
    expect(status).toBe(2);
    expect(stderr).toMatch(/whole was begun with seed 4 and is now to go on with 9/);
    const inner = train('whole', '--resume', '--set', 'model.layers[0].units=9').stderr;
    expect(inner).toMatch(/was begun with model\.layers\[0\]\.units 8 and is now to go on with 9;/);
    const fewer = '[{"kind":"dense","units":1}]';
    expect(train('whole', '--resume', '--set', `model.layers=${fewer}`).stderr).toMatch(
      /was begun with model\.layers an array of 3 and is now to go on with \[.*"units":1/,
    );
  });

  it('checkpoints on SIGHUP, also on two', async () => {
    const endless = ['--set', 'out=hung-up', '--set', 'epochs=1000000', '--json'];
    const child = spawn(process.execPath, [main, 'train', configPath, ...endless], { cwd: folder });
    const code = await new Promise<number | null>((resolve) => {
      // With every line, so also with the one that says that the run was interrupted.
      child.stdout.on('data', (chunk: Buffer) => {
        if (!chunk.includes('"epoch"')) return;
        for (let times = 0; times < 2; times += 1) child.kill('SIGHUP');
      });
      child.on('close', resolve);
    });
    expect(code).toBe(75);
    expect(readdirSync(join(folder, 'hung-up', 'checkpoints'))).toContain('last.safetensors');
  });

  it('checkpoints where its terminal is gone', () => {
    const place = join(folder, 'gone');
    const command = [process.execPath, main, 'train', configPath, '--set', `out=${place}`];
    const endless = [...command, '--set', 'epochs=1000000', '--set', 'batchSize=1'];
    // Its first epoch takes longer than the terminal stays.
    const script = `
import os, pty, sys, time
pid, terminal = pty.fork()
if pid == 0: os.execv(sys.argv[1], sys.argv[1:])
said = b''
while b'training takes' not in said: said += os.read(terminal, 4096)
time.sleep(0.5)
os.close(terminal)
os.waitpid(pid, 0)`;
    const data = ['--set', 'data.train=100000'];
    const { status, stderr } = spawnSync('python3', ['-c', script, ...endless, ...data], {
      encoding: 'utf8',
      timeout: 50_000,
    });
    if (status === null || /ModuleNotFoundError/.test(stderr)) {
      console.warn('SKIPPED: a terminal that goes: it takes python3');
      return;
    }
    // What Node's own end comes to without its terminal is not ours; what the run has learnt is there.
    expect([status, stderr]).toEqual([0, '']);
    expect(readdirSync(join(place, 'checkpoints'))).toContain('last.safetensors');
  });

  it('checkpoints on SIGTERM within an epoch, exits 75, and goes on bit for bit', async () => {
    const long = ['--set', 'data.train=40000', '--set', 'batchSize=4'];
    // More epochs than any machine gets through before the signal comes.
    const endless = ['--set', 'out=killed', ...long, '--set', 'epochs=1000000', '--json'];
    const child = spawn(process.execPath, [main, 'train', configPath, ...endless], {
      cwd: folder,
    });
    let printed = '';
    const code = await new Promise<number | null>((resolve) => {
      child.stdout.on('data', (chunk: Buffer) => {
        printed += chunk.toString();
        if (chunk.includes('"estimate"')) child.kill('SIGTERM');
      });
      child.on('close', resolve);
    });
    expect(code).toBe(75);
    expect(existsSync(join(folder, 'killed', 'model.safetensors'))).toBe(false);
    const last = JSON.parse(printed.trimEnd().split('\n').at(-1) ?? '') as Record<string, number>;
    expect(last['event']).toBe('interrupted');
    const epochs = ['--set', `epochs=${(last['epoch'] ?? NaN) + 1}`];
    expect(train('straight', ...long, ...epochs).status).toBe(0);
    expect(train('killed', ...long, ...epochs, '--resume').status).toBe(0);
    expect(modelOf('killed')).toEqual(modelOf('straight'));
    expect(numbersOf('killed')).toEqual(numbersOf('straight'));
  });

  it('keeps to its checkpoint on SIGTERM while it tests the model, and while a resumed run loads', async () => {
    // One epoch of eight updates, then a test part that takes longer than a signal.
    const slow = ['--set', 'data.test=400000', '--set', 'epochs=1', '--json'];
    const until = async (event: string, ...args: string[]): Promise<number | null> => {
      const child = spawn(process.execPath, [main, 'train', configPath, ...args, ...slow], {
        cwd: folder,
      });
      child.stdout.on('data', (chunk: Buffer) => {
        if (chunk.includes(`"event":"${event}"`)) child.kill('SIGTERM');
      });
      return new Promise((resolve) => child.on('close', resolve));
    };
    const out = ['--set', 'out=late'];
    expect(await until('epoch', ...out)).toBe(75);
    expect(existsSync(join(folder, 'late', 'model.safetensors'))).toBe(false);
    expect(await until('start', ...out, '--resume')).toBe(75);
    expect(logOf('late')).toHaveLength(1);
    expect(lookback('train', configPath, ...out, ...slow, '--resume').status).toBe(0);
    expect(lookback('train', configPath, '--set', 'out=early', ...slow).status).toBe(0);
    expect(modelOf('late')).toEqual(modelOf('early'));
    expect(numbersOf('late')).toEqual(numbersOf('early'));
    expect(existsSync(join(folder, 'late', 'report.html'))).toBe(true);
  });

  it('ends with 1 where the loss is no longer finite', () => {
    const optimizer = 'optimizer={"kind":"sgd","learningRate":1e30}';
    const { status, stderr } = train('diverged', '--set', optimizer);
    expect(stderr).toContain('ERR_NUMERIC');
    expect(status).toBe(1);
    expect(existsSync(join(folder, 'diverged', 'model.safetensors'))).toBe(false);
  });

  it('--json prints one object a line', () => {
    const { status, stdout } = train('json', '--json');
    const events = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { event: string });
    expect(status).toBe(0);
    expect(events.map(({ event }) => event)).toEqual([
      'start',
      'estimate',
      'epoch',
      'epoch',
      'epoch',
      'end',
    ]);
  });

  it('the report needs nothing but itself', () => {
    const html = readFileSync(join(folder, 'whole', 'report.html'), 'utf8');
    expect(html).toContain('<svg');
    expect(html).not.toMatch(/<script|<link|<img|src=|href="http|@import|url\(http/);
  });

  it('classifies and says so in the fixed last line', () => {
    const har = join(root, 'examples', 'har', 'config.json');
    const small = [
      '--set',
      'epochs=1',
      '--set',
      'model.layers=[{"kind":"lstm","units":4},{"kind":"dense","units":6}]',
      '--set',
      'batchSize=256',
    ];
    const { status, stdout } = lookback('train', har, '--set', 'out=har', ...small);
    expect(status).toBe(0);
    expect(stdout.trimEnd().split('\n').at(-1)).toMatch(/^test accuracy \d\.\d{4}$/);
    const html = readFileSync(join(folder, 'har', 'report.html'), 'utf8');
    for (const name of ['WALKING_UPSTAIRS', 'LAYING']) expect(html).toContain(name);
  });
});

describe('a wrong configuration', () => {
  it.each<[string[], number, string]>([
    [['epoch=3'], 2, `${configPath}: unknown option epoch; did you mean epochs?`],
    [['epochs=2.5'], 2, `${configPath}: epochs is 2.5; expected an integer`],
    [['epochs=many'], 2, `${configPath}: epochs is "many"; expected a number`],
    [
      ['model.layers[0].unit=3'],
      2,
      `${configPath}: model.layers[0]: unknown option unit; did you mean units?`,
    ],
    [
      ['model.layers.0.kind=lstn'],
      2,
      `${configPath}: model.layers[0].kind is "lstn"; did you mean "lstm"?`,
    ],
    [
      ['optimizer.learningrate=3'],
      2,
      `${configPath}: optimizer adam: unknown option learningrate; did you mean learningRate?`,
    ],
    [
      ['data.name=hra'],
      2,
      `${configPath}: data.name is "hra"; expected one of "har", "uciHar", "adding", "copying", "mnist", `,
    ],
    [['data.step=3'], 2, `${configPath}: data: unknown option step; did you mean steps?`],
    [
      ['metrics=["accuracy"]'],
      2,
      'metrics[0] is "accuracy", which goes with the loss sparseCategoricalCrossentropy',
    ],
    [
      ['validation={"subjects":[1],"split":0.1}'],
      2,
      'validation names subjects or a split; expected exactly one of the two',
    ],
    [['validation={"subjects":[1]}'], 3, 'this split has no subjects'],
    [['validationFreq=0'], 2, `${configPath}: validationFreq is 0; expected at least 1`],
    [['epochs'], 2, '--set "epochs"; expected key=value'],
    [['model.layers[9].units=1'], 2, '"9" is no place in an array of 3'],
    [['__proto__.x=1'], 2, 'not a dotted path'],
    [['device=cuda'], 4, 'device "cuda" is not available'],
    [['data={"name":"uciHar","dir":"absent"}'], 3, 'ERR_'],
  ])('%j', (sets, code, message) => {
    const { status, stderr } = train('wrong', ...sets.flatMap((set) => ['--set', set]));
    expect(stderr).toContain(message);
    expect(stderr).not.toMatch(/\n\s+at /);
    expect(status).toBe(code);
    expect(existsSync(join(folder, 'wrong', 'model.safetensors'))).toBe(false);
  });

  it('options of a validation that does not take place', () => {
    const { validation: _, ...rest } = config;
    writeFileSync(join(folder, 'unvalidated.json'), JSON.stringify(rest));
    for (const set of ['validationFreq=2', 'validationSteps=3']) {
      const { status, stderr } = lookback('train', 'unvalidated.json', '--set', set);
      expect(stderr).toContain(
        `${set.replace('=', ' is ')}, but there is nothing to validate on: adding has no validation part; hold one out`,
      );
      expect(status).toBe(2);
    }
  });

  it('a file that is missing or no JSON', () => {
    expect(lookback('train', 'absent.json')).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('absent.json could not be read') as string,
    });
    writeFileSync(join(folder, 'bad.json'), '{"epochs": }');
    expect(lookback('train', 'bad.json')).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('bad.json is not JSON') as string,
    });
  });

  it('an unknown key, and not the mark with which editors on Windows begin a file', () => {
    writeFileSync(join(folder, 'marked.json'), '\uFEFF{"epoch": 1}');
    expect(lookback('train', 'marked.json')).toMatchObject({
      status: 2,
      stderr: expect.not.stringContaining('is not JSON') as string,
    });
  });

  it('wrong words on the command line', () => {
    expect(lookback('trian', 'x')).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('Did you mean train?') as string,
    });
    expect(lookback('train')).toMatchObject({ status: 2 });
    expect(lookback('train', configPath, '--resum')).toMatchObject({ status: 2 });
    expect(lookback('--help')).toMatchObject({ status: 0 });
  });
});

it('a run validates every validationFreq epochs, on validationSteps batches', () => {
  const how = ['--set', 'validationFreq=2', '--set', 'validationSteps=1'];
  const stop = '[{"kind":"earlyStopping"},{"kind":"csvLogger","path":"log.csv"}]';
  const { status, stderr } = train('sparse', ...how, '--set', `callbacks=${stop}`);
  expect([status, stderr]).toEqual([0, '']);
  expect(logOf('sparse').map((line) => 'valLoss' in line)).toEqual([false, true, false, false]);
  const [, second] = logOf('whole');
  const [, seen] = logOf('sparse');
  expect(seen?.loss).toBe(second?.loss);
  expect(seen?.valLoss).not.toBe(second?.valLoss);
  const csv = readFileSync(join(folder, 'sparse', 'log.csv'), 'utf8').split('\n');
  expect(csv[0]).toBe('epoch,loss,valLoss');
  expect(csv[1]).toMatch(/^1,[\d.]+,$/);
  expect(csv[2]).toBe(`2,${seen?.loss},${seen?.valLoss}`);
  const again = ['--resume', '--set', `callbacks=${stop}`, ...how.slice(2)];
  const resumed = train('sparse', ...again, '--set', 'validationFreq=3', '--set', 'epochs=4');
  expect(resumed.stderr).toContain(
    'sparse was begun with validationFreq 2 and is now to go on with 3',
  );
  expect(resumed.status).toBe(2);
});

describe('other commands', () => {
  it('evaluate gives what train gave', () => {
    const { status, stdout } = lookback('evaluate', 'whole', '--json');
    expect(status).toBe(0);
    const { test } = JSON.parse(stdout) as { test: { loss: number } };
    expect(test.loss).toBe(logOf('whole').at(-1)?.test?.loss);
    expect(lookback('evaluate', 'absent').status).toBe(3);
    expect(
      lookback('evaluate', join(folder, 'whole', 'checkpoints', 'last.safetensors')).status,
    ).not.toBe(0);
  });

  it('predict takes sequences from a file', () => {
    writeFileSync(
      join(folder, 'x.json'),
      JSON.stringify([Array.from({ length: 8 }, (_, step) => [step / 8, step % 4 === 0 ? 1 : 0])]),
    );
    const { status, stdout } = lookback('predict', 'whole', 'x.json', '--json');
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      event: 'predict',
      row: 0,
      outputs: [expect.any(Number)],
    });
    writeFileSync(join(folder, 'ragged.json'), '[[[1, 2], [1]]]');
    expect(lookback('predict', 'whole', 'ragged.json').status).toBe(3);
  });

  it('preprocessing is part of the run and of its model', () => {
    const scaled = 'preprocessing={"input":"standardize","target":"minMax"}';
    expect(train('scaled', '--set', scaled).status).toBe(0);
    const { stdout } = lookback('inspect', 'scaled');
    expect(stdout).toMatch(/preprocessing: \{"input":"standardize","target":"minMax"\}/);
    expect(stdout).toMatch(/preprocessing\/input\.offset +F64 {2}\[2\]/);
    expect(lookback('evaluate', 'scaled').stdout).toBe(
      `test loss ${logOf('scaled').at(-1)!.test!.loss.toFixed(4)}\n`,
    );
    const first = lookback('predict', 'scaled').stdout.split('\n')[0];
    // Sums of two numbers out of [0, 1), unscaled.
    expect(Number(first)).toBeGreaterThan(0.2);
    expect(Number(first)).toBeLessThan(2);
  });

  it('inspect lists tensors and description', () => {
    const { status, stdout } = lookback('inspect', 'whole');
    expect(status).toBe(0);
    expect(stdout).toMatch(/lstm\.W_x +F32 {2}\[32, 2\]/);
    expect(stdout).toContain('"kind":"lstm"');
    writeFileSync(join(folder, 'junk.safetensors'), 'junk');
    expect(lookback('inspect', 'junk.safetensors').status).toBe(3);
  });

  it('inspect takes several files, and gives an object for each', () => {
    const files = ['whole', 'again'].map((run) => join(run, 'model.safetensors'));
    const { status, stdout } = lookback('inspect', ...files, '--json');
    expect(status).toBe(0);
    const told = stdout.trimEnd().split('\n');
    const objects = told.map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(objects.map(({ event, file }) => [event, file])).toEqual(
      files.map((file) => ['inspect', file]),
    );
    for (const { tensors, metadata } of objects) {
      expect(tensors).toContainEqual({ name: 'lstm.W_x', dtype: 'F32', shape: [32, 2] });
      expect(JSON.stringify(metadata)).toContain('lstm');
    }
    expect(lookback('inspect', ...files).stdout.match(/^lstm\.W_x /gm)).toHaveLength(2);
  });

  it('doctor names the kernel and why, and works without the addon', () => {
    const { status, stdout } = lookback('doctor');
    expect(status).toBe(0);
    for (const key of ['node', 'compiler', 'cmake', 'addon', 'kernel', 'threads'])
      expect(stdout).toMatch(new RegExp(`^${key} `, 'm'));
    const told = JSON.parse(lookback('doctor', '--json').stdout) as Record<string, unknown>;
    expect(told).toMatchObject({
      event: 'doctor',
      loads: true,
      node: expect.any(String) as string,
    });
    expect(stdout).toContain(told['kernel']);
    const env = { ...process.env, LOOKBACK_BINARY: join(folder, 'absent.node') };
    const without = spawnSync(process.execPath, [main, 'doctor'], { encoding: 'utf8', env });
    expect(without.status).toBe(4);
    expect(without.stdout).toContain('npx lookback build');
  });
});
