/**
 * The comparisons of docs/results: their configurations are valid, the page says what the logs say, and the command says what it knows.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { parseCommand, UsageError } from '../../bench/repro/arguments';
import type { Choices, Wanted } from '../../bench/repro/arguments';
import { configOf, modelOf, rates } from '../../bench/repro/comparison';
import { COMPARISONS } from '../../bench/repro/comparisons';
import { pageText } from '../../bench/repro/report';
import { RESULTS } from '../../bench/repro/results';
import { runComparison } from '../../bench/repro/runner';
import { chosenSetting, heldOut, searchConfig } from '../../bench/repro/search';
import { searched, searchRuns } from '../../bench/repro/search';
import { learntNumbers, unitsFor } from '../../bench/repro/widths';
import { checkConfig } from '../../lib/cli/config';
import { madeUp } from '../e2e/support/made-up-data';
import { temporaryFolder } from './support/uci-tree';

const contestants = Object.entries(COMPARISONS).flatMap(([name, comparison]) =>
  comparison.contestants.map((contestant) => ({ name, comparison, contestant })),
);

it.each(contestants)('$name: $contestant.name can be run', ({ name, comparison, contestant }) => {
  for (const quick of [false, true]) {
    const setting = { learningRate: 0.001 };
    const config = checkConfig(
      configOf(comparison, contestant, 1, { threads: 0, quick, setting }),
      name,
    );
    expect(config.data).toMatchObject({ name: (comparison.config['data'] as Named).name });
  }
});

it.each(Object.entries(COMPARISONS))(
  '%s: the cells are of equal size where it asks for one, and searched for alike',
  (_name, comparison) => {
    const sizes = comparison.contestants.map((one) =>
      learntNumbers(modelOf(comparison, one).layers, comparison.inputShape),
    );
    if (comparison.parameters !== undefined)
      expect(Math.max(...sizes) / Math.min(...sizes)).toBeLessThan(1.1);
    const { search, contestants: all } = comparison;
    if (search === undefined) return;
    const families = new Set(all.map((one) => one.family ?? one.name));
    const tries = Object.keys(search.settings).length * Object.keys(search.folds).length;
    const runs = searchRuns(comparison, all);
    expect(runs).toHaveLength(families.size * tries);
    // What is held out comes from the training part.
    for (const run of runs) {
      const config = searchConfig(comparison, run, { threads: 1, quick: false });
      expect(checkConfig(config, run.file)).toMatchObject(search.folds[run.fold]!);
    }
  },
);

interface Named {
  name: string;
}

/** Of every log that is committed: its comparison, and its file's name without the ending. */
const logs = Object.keys(COMPARISONS)
  .filter((name) => existsSync(join(RESULTS, name)))
  .flatMap((name) =>
    readdirSync(join(RESULTS, name))
      .filter((file) => file.endsWith('.jsonl'))
      .map((file) => [name, file.slice(0, -'.jsonl'.length)] as const),
  );

it('there are logs', () => expect(logs.length).toBeGreaterThan(0));

it.each(logs)('%s/%s was run as it is described', (name, file) => {
  const comparison = COMPARISONS[name]!;
  const [, cell, seed] = /^(\w+)-s(\d+)$/.exec(file) ?? [];
  const contestant = comparison.contestants.find((one) => one.name === cell)!;
  const text = readFileSync(join(RESULTS, name, `${file}.json`), 'utf8');
  const { threads, ...ran } = JSON.parse(text) as { threads: number };
  const setting = chosenSetting(comparison, contestant, join(RESULTS, name, 'search'));
  const choices = { threads, quick: false, setting };
  const { threads: _, ...described } = configOf(comparison, contestant, Number(seed), choices);
  expect(ran).toEqual(described);
});

it('the page says what the logs say', () => {
  expect(readFileSync(join(RESULTS, 'papers.md'), 'utf8')).toBe(pageText());
});

describe('widths', () => {
  const dense = { kind: 'dense', units: 2 };

  it.each([
    // By hand: skew 6 * 5 / 2, inputs 6 * 3, bias 6, answer 2 * 6 + 2; the signs d are not learnt.
    [{ kind: 'scornn', units: 6 }, 15 + 18 + 6 + 14],
    // The base is not learnt.
    [{ kind: 'exprnn', units: 6 }, 15 + 18 + 6 + 14],
    // A skew-Hermitian 4 x 4 matrix has 16 free numbers; theta, inputs, bias, start, answer 2 * 8 + 2.
    [{ kind: 'scurnn', units: 4 }, 16 + 4 + 24 + 4 + 8 + 18],
    // Skew 4 * 3 / 2, T 2 * 2, inputs 18, bias 6, W_C 2 * 4.
    [{ kind: 'enrnn', longUnits: 4, shortUnits: 2 }, 6 + 4 + 18 + 6 + 8 + 14],
    // Running statistics are not learnt: W_x, W_h, b, gamma_h, gamma_x, gamma_c, beta_c, answer.
    [{ kind: 'bnlstm', units: 4 }, 48 + 64 + 16 + 32 + 8 + 10],
  ])('counts what %j learns', (layer, expected) => {
    expect(learntNumbers([layer, dense], [5, 3])).toBe(expected);
  });

  it('finds the nearest width', () => {
    const layers = (units: number) => [{ kind: 'larnn', units, heads: 4 }, dense];
    const size = (units: number) => learntNumbers(layers(units), [5, 3]);
    expect(unitsFor(size(24), layers, [5, 3], 4)).toBe(24);
    const middle = Math.floor((size(24) + size(28)) / 2);
    expect(unitsFor(middle, layers, [5, 3], 4)).toBe(24);
    expect(unitsFor(middle + 1, layers, [5, 3], 4)).toBe(28);
    expect(unitsFor(1, layers, [5, 3], 4)).toBe(4);
  });
});

describe('the search', () => {
  const { har: whole } = COMPARISONS;
  const har = {
    ...whole!,
    search: { ...whole!.search!, settings: rates(0.001, 0.002, 0.004) },
  };
  const family = 'lstm';
  const runs = searchRuns(har, har.contestants);
  it('takes the rate with the best mean over the folds, and none from half a search', () => {
    using temporary = temporaryFolder();
    const folder = temporary.path;
    const lstm = har.contestants.find((one) => one.name === 'lstm')!;
    const own = runs.filter((run) => run.family === family);
    const accuracy: Record<string, number> = {
      'r0.001 B': 0.9,
      'r0.001 C': 0.5,
      'r0.002 B': 0.8,
      'r0.002 C': 0.7,
      'r0.004 B': 0.6,
    };
    for (const { setting, fold, file } of own) {
      const valAccuracy = accuracy[`${setting} ${fold}`];
      if (valAccuracy === undefined) continue;
      const lines = [
        { epoch: 1, valAccuracy: 1 },
        { epoch: 2, valAccuracy },
      ];
      const text = lines.map((line) => `${JSON.stringify(line)}\n`).join('');
      writeFileSync(join(folder, `${file}.jsonl`), text);
    }
    expect(() => chosenSetting(har, lstm, folder)).toThrow('the search for lstm is not done');
    const last = own.find(({ setting, fold }) => setting === 'r0.004' && fold === 'C')!;
    writeFileSync(join(folder, `${last.file}.jsonl`), '{"epoch":2,"valAccuracy":0.8}\n');
    expect(searched(har, folder)).toMatchObject([
      { setting: 'r0.001', value: 0.7 },
      { setting: 'r0.002', value: 0.75 },
      { setting: 'r0.004', value: 0.7 },
    ]);
    expect(chosenSetting(har, lstm, folder)).toEqual({ learningRate: 0.002 });
    // A run that came to no number is the worst there is.
    writeFileSync(join(folder, `${last.file}.jsonl`), '{"epoch":1,"loss":9}\n{"diverged":true}\n');
    expect(heldOut(folder, last, 'accuracy')).toBe(0);
    expect(heldOut(folder, last, 'loss')).toBe(Infinity);
  });
});

describe('the command', () => {
  it.each([
    [['humans'], 'no comparison humans; expected har, harPooled, harCompressed, adding, adding750'],
    [['toString'], 'no comparison toString; expected'],
    [['har', '--cells', 'lstm,rra'], 'har has no contestant rra; expected lstm, gru, bnlstm'],
    [['har', '--seeds', '0'], '--seeds 0; expected a whole number from 1'],
    [
      ['har', '--seeds', '3-2'],
      '--seeds 3-2; expected a whole number from 1, or a range such as 2-5',
    ],
    [['har', '--seeds', '0-2'], '--seeds 0-2'],
    [['har', '--seeds', '1-2-3'], '--seeds 1-2-3'],
    [['har', '--fast'], "Unknown option '--fast'"],
    [[], 'expected the name of a comparison: har, harPooled, harCompressed, adding, adding750'],
  ])('refuses %j', (args, message) => {
    expect(() => parseCommand(args)).toThrow(UsageError);
    expect(() => parseCommand(args)).toThrow(message);
  });

  it.each([
    [[], null],
    [
      ['--seeds', '3'],
      [1, 3],
    ],
    [
      ['--seeds', '2-5'],
      [2, 5],
    ],
  ])('reads the seeds of %j', (args, seeds) => {
    expect(parseCommand(['har', ...args]).choices.seeds).toEqual(seeds);
  });

  it.each([
    ['har', 'lstm', null],
    ['harCompressed', 'larnn_batch_small', null],
    ['adding', 'rra', null],
    ['copying', 'exprnn', null],
    ['digits', 'enrnn', 'spoken-digits'],
    ['digitFrames', 'scornn', 'spoken-digits'],
    ['imdb', 'rra', 'imdb'],
    ['mnist', 'exprnn', 'mnist'],
    ['permutedMnist', 'bnlstm', 'mnist'],
    ['ptb', 'lstm', 'ptb-characters'],
  ])(
    'makes a quick run of %s, beside docs/results',
    (name, cell, files) => {
      using folder = temporaryFolder();
      const before = readdirSync(RESULTS, { recursive: true, encoding: 'utf8' });
      const { wanted, choices } = parseCommand([
        ...[name, '--quick', '--cells', cell, '--seeds', '1'],
        ...['--downloads', folder.path],
      ]);
      const { comparison, contestants } = wanted[0]!;
      const { dir = '' } = comparison.config['data'] as { dir?: string };
      const data = join(folder.path, relative('downloads', dir));
      if (files !== null) mkdirSync(data, { recursive: true });
      if (files !== null) madeUp[files]!(data);
      runQuietly(wanted[0]!, choices, folder.path);
      const results = join(folder.path, 'quick', name, 'results');
      const run = `${cell}-s1`;
      const search = comparison.search ? ['search'] : [];
      expect(readdirSync(results).sort()).toEqual([`${run}.json`, `${run}.jsonl`, ...search]);
      const log = readFileSync(join(results, `${run}.jsonl`), 'utf8');
      expect(log).toMatch(/^\{"epoch":1,.*\}\n\{"test":\{"loss":.*\}\}\n$/);
      // No path of this machine is kept, and nothing of the test part in a search.
      const config = readFileSync(join(results, `${run}.json`), 'utf8');
      expect(config).not.toContain(folder.path);
      for (const { file } of searchRuns(comparison, contestants, true)) {
        const text = readFileSync(join(results, 'search', `${file}.jsonl`), 'utf8');
        expect(text).toMatch(/^\{"epoch":1,.*"valLoss".*\}\n$/);
      }
      // What is done is not repeated: the log, with its seconds, stays as it is.
      runQuietly(wanted[0]!, choices, folder.path);
      expect(readFileSync(join(results, `${run}.jsonl`), 'utf8')).toBe(log);
      expect(readdirSync(RESULTS, { recursive: true, encoding: 'utf8' })).toEqual(before);
    },
    300_000,
  );

  it('goes on with a search where a run came to no number', () => {
    using folder = temporaryFolder();
    const { wanted, choices } = parseCommand(['adding', '--quick', '--cells', 'rra']);
    const { comparison, contestants } = wanted[0]!;
    const settings = { wild: { learningRate: 1e30 }, tame: { learningRate: 0.001 } };
    const folds = { tenth: { validation: { split: 0.1 } } };
    const search = { settings, config: {}, folds };
    const one = { name: 'adding', comparison: { ...comparison, search }, contestants };
    runQuietly(one, { ...choices, seeds: [1, 1] }, folder.path);
    const results = join(folder.path, 'quick', 'adding', 'results');
    const wild = readFileSync(join(results, 'search', 'rra-wild-tenth.jsonl'), 'utf8');
    expect(wild).toMatch(/\{"diverged":true\}\n$/);
    const kept = readFileSync(join(results, 'rra-s1.json'), 'utf8');
    expect(JSON.parse(kept)).toMatchObject({ optimizer: { learningRate: 0.001 } });
  }, 300_000);
});

function runQuietly(...args: [one: Wanted, choices: Choices, root: string]): void {
  const silenced = jest.spyOn(console, 'log').mockImplementation(() => undefined);
  try {
    runComparison(...args, 'ignore');
  } finally {
    silenced.mockRestore();
  }
}
