/**
 * The comparisons of docs/results: their configurations are valid, the page says what the logs say, and the command says what it knows.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseCommand, UsageError } from '../../bench/repro/arguments';
import { configOf, EXPERIMENTS } from '../../bench/repro/experiments';
import { pageText, parameterCount, RESULTS } from '../../bench/repro/report';
import { runComparison } from '../../bench/repro/runner';
import { chosenRate, searchConfig, searched, searchRuns } from '../../bench/repro/search';
import { checkConfig } from '../../lib/cli/config';

const contestants = Object.entries(EXPERIMENTS).flatMap(([name, experiment]) =>
  experiment.contestants.map((contestant) => ({ name, experiment, contestant })),
);

it.each(contestants)('$name: $contestant.name can be run', ({ name, experiment, contestant }) => {
  for (const quick of [false, true]) {
    const config = configOf(experiment, contestant, 1, { threads: 0, quick, rate: 0.001 });
    expect(checkConfig(config, name).data.name).toBe(name);
  }
});

/** Of every log that is committed: its comparison, and its file's name without the ending. */
const logs = Object.keys(EXPERIMENTS)
  .filter((name) => existsSync(join(RESULTS, name)))
  .flatMap((name) =>
    readdirSync(join(RESULTS, name))
      .filter((file) => file.endsWith('.jsonl'))
      .map((file) => [name, file.slice(0, -'.jsonl'.length)] as const),
  );

it('there are logs', () => expect(logs.length).toBeGreaterThan(0));

it.each(logs)('%s/%s was run as it is described', (name, file) => {
  const experiment = EXPERIMENTS[name]!;
  const [, cell, seed] = /^(\w+)-s(\d+)$/.exec(file) ?? [];
  const contestant = experiment.contestants.find((one) => one.name === cell)!;
  const text = readFileSync(join(RESULTS, name, `${file}.json`), 'utf8');
  const { threads, ...ran } = JSON.parse(text) as { threads: number };
  const rate = chosenRate(experiment, contestant, join(RESULTS, name, 'search'));
  const choices = { threads, quick: false, rate };
  const { threads: _, ...described } = configOf(experiment, contestant, Number(seed), choices);
  expect(ran).toEqual(described);
});

it('the page says what the logs say', () => {
  expect(readFileSync(join(RESULTS, 'papers.md'), 'utf8')).toBe(pageText());
});

describe('har', () => {
  const { har } = EXPERIMENTS;
  const family = 'lstm';
  const runs = searchRuns(har!, har!.contestants);
  const folder = mkdtempSync(join(tmpdir(), 'lookback-search-'));
  afterAll(() => rmSync(folder, { recursive: true }));

  it('compares cells of equal size', () => {
    const sizes = har!.contestants.map((one) => parameterCount(har!, one));
    const smallest = Math.min(...sizes);
    for (const size of sizes) expect(size / smallest).toBeLessThan(1.06);
  });

  it('searches with the same rates and people for every cell, and never with the test people', () => {
    const families = new Set(har!.contestants.map((one) => one.family));
    const { rates, folds } = har!.search!;
    expect(runs).toHaveLength(families.size * rates.length * Object.keys(folds).length);
    for (const run of runs) {
      const config = searchConfig(har!, run, { threads: 1, quick: false });
      expect(checkConfig(config, run.file).validation).toEqual({ subjects: folds[run.fold] });
    }
  });

  it('takes the rate with the best mean over the folds, and none from half a search', () => {
    const lstm = har!.contestants.find((one) => one.name === 'lstm')!;
    const own = runs.filter((run) => run.family === family);
    const accuracy: Record<string, number> = {
      '0.001 B': 0.9,
      '0.001 C': 0.5,
      '0.002 B': 0.8,
      '0.002 C': 0.7,
      '0.004 B': 0.6,
    };
    for (const { rate, fold, file } of own) {
      const valAccuracy = accuracy[`${rate} ${fold}`];
      if (valAccuracy === undefined) continue;
      const lines = [
        { epoch: 1, valAccuracy: 1 },
        { epoch: 2, valAccuracy },
      ];
      const text = lines.map((line) => `${JSON.stringify(line)}\n`).join('');
      writeFileSync(join(folder, `${file}.jsonl`), text);
    }
    expect(() => chosenRate(har!, lstm, folder)).toThrow('the search for lstm is not done');
    const last = own.find(({ rate, fold }) => rate === 0.004 && fold === 'C')!;
    writeFileSync(join(folder, `${last.file}.jsonl`), '{"epoch":2,"valAccuracy":0.8}\n');
    expect(searched(har!, folder)).toMatchObject([
      { rate: 0.001, accuracy: 0.7 },
      { rate: 0.002, accuracy: 0.75 },
      { rate: 0.004, accuracy: 0.7 },
    ]);
    expect(chosenRate(har!, lstm, folder)).toBe(0.002);
  });
});

describe('the command', () => {
  it.each([
    [['humans'], 'no comparison humans; expected har, adding, copying'],
    [['toString'], 'no comparison toString; expected'],
    [['har', '--cells', 'lstm,rra'], 'har has no contestant rra; expected lstm, gru, bnlstm'],
    [['har', '--seeds', '0'], '--seeds 0; expected a whole number from 1'],
    [['har', '--fast'], "Unknown option '--fast'"],
    [[], 'expected the name of a comparison: har, adding, copying'],
  ])('refuses %j', (args, message) => {
    expect(() => parseCommand(args)).toThrow(UsageError);
    expect(() => parseCommand(args)).toThrow(message);
  });

  it('makes a quick run of the search and of a cell, beside docs/results', () => {
    const folder = mkdtempSync(join(tmpdir(), 'lookback-repro-'));
    const before = readdirSync(RESULTS, { recursive: true, encoding: 'utf8' });
    const { wanted, choices } = parseCommand(['har', '--quick', '--cells', 'lstm', '--seeds', '1']);
    const silenced = jest.spyOn(console, 'log').mockImplementation(() => undefined);
    try {
      runComparison(wanted[0]!, choices, folder, 'ignore');
      const results = join(folder, 'quick', 'har', 'results');
      expect(readdirSync(results).sort()).toEqual(['lstm-s1.json', 'lstm-s1.jsonl', 'search']);
      const log = readFileSync(join(results, 'lstm-s1.jsonl'), 'utf8');
      expect(log).toMatch(/^\{"epoch":1,.*\}\n\{"test":\{"loss":[\d.]+,"accuracy":[\d.]+\}\}\n$/);
      const searched = readFileSync(join(results, 'search', 'lstm-r0.001-B.jsonl'), 'utf8');
      expect(searched).toMatch(/^\{"epoch":1,.*"valAccuracy".*\}\n$/);
      // What is done is not repeated: the log, with its seconds, stays as it is.
      runComparison(wanted[0]!, choices, folder, 'ignore');
      expect(readFileSync(join(results, 'lstm-s1.jsonl'), 'utf8')).toBe(log);
      expect(readdirSync(RESULTS, { recursive: true, encoding: 'utf8' })).toEqual(before);
    } finally {
      silenced.mockRestore();
      rmSync(folder, { recursive: true });
    }
  }, 300_000);
});
