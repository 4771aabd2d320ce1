/**
 * The comparisons of docs/results: their configurations are valid, and the page says what the logs say.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { configOf, EXPERIMENTS } from '../../bench/repro/experiments';
import { pageText, RESULTS } from '../../bench/repro/report';
import { checkConfig } from '../../lib/cli/config';

const contestants = Object.entries(EXPERIMENTS).flatMap(([name, experiment]) =>
  experiment.contestants.map((contestant) => ({ name, experiment, contestant })),
);

it.each(contestants)('$name: $contestant.name can be run', ({ name, experiment, contestant }) => {
  for (const quick of [false, true]) {
    const config = configOf(experiment, contestant, 1, { threads: 0, quick });
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
  const { threads: _, ...described } = configOf(experiment, contestant, Number(seed), {
    threads,
    quick: false,
  });
  expect(ran).toEqual(described);
});

it('the page says what the logs say', () => {
  expect(readFileSync(join(RESULTS, 'papers.md'), 'utf8')).toBe(pageText());
});
