/**
 * Every command line that a document shows is one that works as far as can be told without running it: `lookback`'s by
 * its own parser, with the configurations and `--set` of `train`; npm's by the scripts of package.json; and files of the
 * repository that they name are there.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CommanderError } from 'commander';
import { cells } from '../../lib';
import { readConfig } from '../../lib/cli/config';
import { program } from '../../lib/cli/program';
import { requireSameRun } from '../../lib/cli/run-folder';

const root = join(__dirname, '..', '..');
const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  scripts: Record<string, string>;
};

interface Line {
  where: string;
  command: string;
  /** Whether a command's name alone, as texts mention it, will do. */
  mention: boolean;
}

const started = /^(?:[A-Z_]+=\S+ )*(?:npx|npm|lookback|node) \S/;

/** The command lines of a document: lines of its blocks, indented or fenced, and code within its text. */
function linesOf(text: string, where: string): Line[] {
  const found: Line[] = [];
  const blocks: string[] = [];
  const prose = text.replace(
    /^```[a-z]*\n([\s\S]*?)^```$|^ {4}(\S.*)$/gm,
    (_, fenced, indented) => {
      blocks.push(String(fenced ?? indented));
      return '';
    },
  );
  for (const line of blocks.join('\n').split('\n')) {
    const command = line.trim().replace(/\s+#\s.*$/, '');
    if (started.test(command)) found.push({ where, command, mention: false });
  }
  for (const [, code = ''] of prose.matchAll(/`([^`]+)`/g)) {
    const command = code.replace(/\s+/g, ' ').trim();
    if (started.test(command)) found.push({ where, command, mention: true });
  }
  return found;
}

function documents(): string[] {
  const below = ['docs', 'examples', 'bench', 'data'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).map((file) =>
      join(folder, file),
    ),
  );
  return ['README.md', 'CONTRIBUTING.md', ...below.filter((file) => file.endsWith('.md'))];
}

/** Words that stand for something of the reader's. */
const placeholder = /\b(CONFIG\.json|MACHINE|NAME|PATH|RUN|DIR|FILE)\b/;
const ofRepository = /^(bench|data|docs|examples|lib|native|scripts|test)\//;

/** The words of a command, without variables before it and without quotes. */
function wordsOf(line: string): string[] {
  const words = line.split(/ +/).filter((word) => !/^[A-Z_]+=/.test(word));
  return words.map((word) => word.replace(/^(['"])(.*)\1$/, '$2'));
}

/**
 * What is wrong with the runs that a document resumes: typed one after another, its lines have to go on with what those
 * before them began.
 */
async function problemsOfResumes(commands: readonly string[]): Promise<string[]> {
  const problems: string[] = [];
  const begun = new Map<string, Record<string, unknown>>();
  for (const words of commands.map(wordsOf)) {
    const [npx, lookback, train, path = ''] = words;
    if (npx !== 'npx' || lookback !== 'lookback' || train !== 'train' || placeholder.test(path))
      continue;
    const config = await readConfig(
      join(root, path),
      words.filter((_, at) => words[at - 1] === '--set'),
    );
    const before = begun.get(config.out);
    begun.set(config.out, JSON.parse(JSON.stringify(config)) as Record<string, unknown>);
    if (!before || !words.includes('--resume')) continue;
    try {
      requireSameRun(before, config, config.out);
    } catch (error) {
      problems.push((error as Error).message);
    }
  }
  return problems;
}

/** What is wrong with a command line; null where nothing is. */
async function problemOf({ command, mention }: Omit<Line, 'where'>): Promise<string | null> {
  const [line = ''] = command.split(/ (?:\||>|&&) /);
  const words = wordsOf(line);
  const missing = words.find(
    (word) =>
      ofRepository.test(word) &&
      !/[*]/.test(word) &&
      !placeholder.test(word) &&
      !existsSync(join(root, word)),
  );
  if (missing !== undefined) return `${missing} is not there`;
  if (words[0] === 'npm') return problemOfNpm(words.slice(1));
  if (words[0] === 'npx' && words[1] === 'lookback')
    return problemOfLookback(words.slice(2), mention);
  if (words[0] === 'lookback') return problemOfLookback(words.slice(1), mention);
  return null;
}

function problemOfNpm([verb = '', ...rest]: string[]): string | null {
  if (verb !== 'run' && verb !== 'test') return null;
  const name = verb === 'test' ? 'test' : (rest.find((word) => !word.startsWith('--')) ?? '');
  return name in scripts ? null : `package.json has no script ${JSON.stringify(name)}`;
}

async function problemOfLookback(words: string[], mention: boolean): Promise<string | null> {
  const parser = program();
  const [name = ''] = words;
  if (mention && words.length === 1 && parser.commands.some((each) => each.name() === name))
    return null;
  const calls: { args: string[]; set: string[] }[] = [];
  for (const each of [parser, ...parser.commands])
    each.configureOutput({ writeErr: () => undefined, writeOut: () => undefined });
  for (const each of parser.commands) {
    each.action(() => {
      calls.push({ args: each.args, set: each.opts<{ set?: string[] }>().set ?? [] });
    });
  }
  try {
    await parser.parseAsync(words, { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError) return error.message;
    throw error;
  }
  const [{ args, set } = { args: [], set: [] }] = calls;
  const [config = ''] = args;
  if (name === 'bench') {
    const strange = args.find((cell) => !(cell in cells));
    if (strange !== undefined) return `${strange} is no cell`;
  }
  if (name !== 'train' || placeholder.test(config)) return null;
  return readConfig(join(root, config), set).then(
    () => null,
    (error: unknown) => (error as Error).message,
  );
}

describe('command lines in documents', () => {
  const found = documents().flatMap((file) =>
    linesOf(readFileSync(join(root, file), 'utf8'), file),
  );
  const unique = [...new Map(found.map((line) => [`${line.where}: ${line.command}`, line]))];

  it('are found in blocks and in texts', () => {
    const text =
      'See `npx lookback\ntrain`, `x` or\n\n    npm test   # all\n\n```\nA=1 npx jest test\n```\n';
    expect(linesOf(text, 'x.md')).toEqual([
      { where: 'x.md', command: 'npm test', mention: false },
      { where: 'x.md', command: 'A=1 npx jest test', mention: false },
      { where: 'x.md', command: 'npx lookback train', mention: true },
    ]);
    const sources = new Set(unique.map(([, { where }]) => where));
    for (const file of ['README.md', 'docs/gpu.md', 'examples/README.md', 'bench/README.md'])
      expect(sources).toContain(file);
  });

  it.each([
    ['npx lookback trian examples/har/config.json', /unknown command 'trian'/],
    ['npx lookback train examples/har/config.json --resum', /unknown option '--resum'/],
    ['npx lookback train', /missing required argument/],
    ['npx lookback train examples/none/config.json', /examples\/none\/config.json is not there/],
    ['npx lookback train examples/har/config.json --set epoch=3', /unknown option epoch; did you/],
    ['npx lookback bench lstn', /lstn is no cell/],
    ['npx lookback doctor extra', /too many arguments/],
    ['npm run --silent nothing -- --list', /no script "nothing"/],
    ['LOOKBACK_LONG_TESTS=1 npx jest test/e2e/none.test.ts', /none.test.ts is not there/],
    ['node examples/none.mjs', /none.mjs is not there/],
  ])('that are wrong are noticed: %s', async (command, problem) => {
    expect(await problemOf({ command, mention: false })).toMatch(problem);
  });

  it('brackets stand in quotes, which some shells read themselves', () => {
    const bare = unique.filter(([, { command }]) => /(?<!['"][^ ]*)\[/.test(command));
    expect(bare.map(([name]) => name)).toEqual([]);
  });

  it('runs are resumed as they were begun', async () => {
    const har = 'npx lookback train examples/har/config.json';
    const changed = await problemsOfResumes([`${har} --set 'batchSize=2'`, `${har} --resume`]);
    expect(changed).toEqual([
      expect.stringContaining('begun with batchSize 2 and is now to go on'),
    ]);
    for (const file of new Set(unique.map(([, { where }]) => where))) {
      const commands = unique.filter(([, line]) => line.where === file && !line.mention);
      const problems = await problemsOfResumes(commands.map(([, { command }]) => command));
      expect([file, problems]).toEqual([file, []]);
    }
  });

  it.each(unique)('%s', async (_name, line) => {
    expect(await problemOf(line)).toBeNull();
  });
});
