/**
 * Mutation testing of the cells: flips every arithmetic operator of a cell's programs in turn and looks whether the
 * gradient check or the document's vectors notice.
 *
 *   npm run --silent mutate -- [HEADER...]        e.g. lstm larnn_window; default: all
 *
 * All mutants are one program (flip.h), which runs once for each. Prints the survivors; exit code 1 where fewer than
 * nine in ten of a header are noticed. Links the native code as it was built last.
 */
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { cells } from 'lookback';
import type { Cell, CellOptions } from 'lookback';
import type { VectorCase, VectorTensors } from '../oracle/vectors';
import { findCases, readCase } from '../oracle/vectors';

const root = dirname(require.resolve('lookback/package.json'));
const scratch = join(root, 'build', 'mutation');
const wanted = 0.9;
const limitMs = 60_000;

/**
 * Headers whose programs hold arithmetic, and the cells whose tests have to notice what changes in them. Not here:
 * bnlstm, rnn, rnn_norm, lstm_norm, scornn, exprnn and enrnn, whose programs call others' or only place parameters.
 */
const headers: Record<string, readonly string[]> = {
  elman: ['rnn', 'scornn'],
  extensions: ['lstm', 'larnn', 'scurnn'],
  gru: ['gru'],
  gru_norm: ['gru'],
  larnn: ['larnn'],
  larnn_window: ['larnn'],
  lstm: ['lstm'],
  norm: ['lstm', 'larnn'],
  norm_products: ['lstm', 'gru', 'bnlstm'],
  normalized_lstm: ['lstm', 'bnlstm'],
  rra: ['rra'],
  scurnn: ['scurnn'],
};

interface Mutant {
  line: number;
  text: string;
}

/** Comments and everything from a `declare` on are not programs. */
function programsOf(text: string): string {
  const end = /^inline .*::declare\w*\(|^template <[^>]*>\n[^\n]*::declare\w*\(/m.exec(text);
  return end === null ? text : text.slice(0, end.index);
}

/** The header with a switch at every operator, numbered from `first` on. */
function mutate(text: string, first: number): { text: string; mutants: Mutant[] } {
  const programs = programsOf(text);
  const mutants: Mutant[] = [];
  const number = (at: number, what: string): number => {
    const before = programs.slice(0, at).split('\n');
    mutants.push({ line: before.length, text: what });
    return first + mutants.length - 1;
  };
  const pattern =
    /\/\/[^\n]*|#[^\n]*|"[^"\n]*"|(?<=[\w)\]] )([-+*/])(?=\s+\S)|\bfma\(| ([-+])= ([^;{]+);/g;
  const mutated = programs.replace(
    pattern,
    (match: string, operator?: string, compound?: string, value?: string, ...rest: unknown[]) => {
      const at = rest[0] as number;
      if (operator !== undefined) {
        return `${operator} Flip<${number(at, operator)}>() ${operator}`;
      }
      if (compound !== undefined && value !== undefined) {
        const sign = number(at, `${compound}=`);
        return ` ${compound}= flip_sign<${sign}>(${mutateWithin(value, at, number)});`;
      }
      return match === 'fma(' ? `flip_fma<${number(at, 'fma')}>(` : match;
    },
  );
  return { text: mutated + text.slice(programs.length), mutants };
}

/** Operators inside the right side of a += or -=. */
function mutateWithin(
  text: string,
  begin: number,
  number: (at: number, what: string) => number,
): string {
  return text.replace(
    /(?<=[\w)\]] )([-+*/])(?=\s+\S)|\bfma\(/g,
    (match: string, operator: string | undefined, at: number) =>
      operator === undefined
        ? `flip_fma<${number(begin + at, 'fma')}>(`
        : `${match} Flip<${number(begin + at, match)}>() ${match}`,
  );
}

/** Vectors as mutant.cc reads them. */
function vectorText(cases: readonly VectorCase[]): string {
  return cases
    .filter(({ config }) => config['model'] === undefined && config['operation'] === undefined)
    .map(caseText)
    .join('');
}

function caseText({ config, inputs, weights, outputs, upstream, grads }: VectorCase): string {
  const kind = String(config['cell']);
  const runner = ['cell', 'steps', 'batch', 'training', 'normActiveIn', 'normActiveOut'];
  // Unset, statistics are kept for as many steps as training has.
  const filled = { ...config, ...(config['tMax'] === null ? { tMax: config['steps'] } : {}) };
  const options = Object.fromEntries(
    Object.entries(filled).filter(([key, value]) => !runner.includes(key) && value !== null),
  );
  const make: (given: never, how: CellOptions) => Cell = cells[kind as keyof typeof cells];
  const { spec } = make(options as never, { dtype: 'float64' });
  const training = config['training'] === true ? 1 : 0;
  const lines = [`case ${kind} ${Number(config['batch'])} ${Number(config['steps'])} ${training}`];
  for (const [key, value] of Object.entries(spec)) {
    const type = { string: 'word', number: 'number', boolean: 'flag' }[typeof value as 'string'];
    lines.push(`${type} ${key} ${typeof value === 'boolean' ? Number(value) : value}`);
  }
  const { lengths, ...others } = renamed(inputs, /^(?:running_)?(mean|var)_(\w+)$/);
  if (lengths) lines.push(`lengths lengths ${lengths.data.join(' ')}`);
  const groups: [string, VectorTensors][] = [
    ['input', others],
    ['weight', weights],
    ['output', renamed(outputs, /^running_(mean|var)_(\w+)$/)],
    ['upstream', upstream],
    ['grad', grads],
  ];
  for (const [word, tensors] of groups) {
    for (const [name, { shape, data }] of Object.entries(tensors)) {
      lines.push([word, name, shape.length, ...shape, ...data].join(' '));
    }
  }
  return `${lines.join('\n')}\n`;
}

/** BN-LSTM's running statistics under the names that the native cell gives them. */
function renamed(tensors: VectorTensors, statistics: RegExp): VectorTensors {
  const entries = Object.entries(tensors);
  return Object.fromEntries(
    entries.map(([name, tensor]) => [name.replace(statistics, 'buf.$2.$1'), tensor]),
  );
}

/** Compiles the mutated headers, by their names; gives the program. */
function compile(texts: ReadonlyMap<string, string>): string {
  const folder = join(scratch, 'headers');
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(join(folder, 'cells'), { recursive: true });
  const include = '#include "mutation/flip.h"\n';
  for (const [header, text] of texts) {
    writeFileSync(
      join(folder, 'cells', `${header}.h`),
      text.replace(/^#include /m, `${include}#include `),
    );
  }
  const program = join(scratch, 'mutant');
  const search = [folder, join(root, 'native'), join(root, 'test')].map((path) => `-I${path}`);
  const source = join(root, 'test', 'mutation', 'mutant.cc');
  const library = join(root, 'build', 'cmake', 'liblookback_core.a');
  const flags = ['-std=c++20', '-O1', '-w', ...search];
  execFileSync('c++', [...flags, source, library, '-lpthread', '-o', program], {
    stdio: 'inherit',
  });
  return program;
}

/** Whether a mutant is noticed: a wrong number, an error, a crash, or no end. */
async function noticed(program: string, keys: readonly string[], mutant: number): Promise<boolean> {
  for (const key of keys) {
    const vectors = join(scratch, `${key}.txt`);
    const code = await new Promise<number | null>((resolve) => {
      const child = spawn(program, [key, vectors], {
        env: { ...process.env, LOOKBACK_MUTANT: String(mutant) },
        stdio: 'ignore',
        timeout: limitMs,
      });
      child.on('close', resolve);
    });
    if (code !== 0) return true;
  }
  return false;
}

/** Numbers first, first + 1, ... of `count` mutants that nothing notices. */
async function survivors(
  program: string,
  keys: readonly string[],
  first: number,
  count: number,
): Promise<number[]> {
  const left: number[] = [];
  let next = first;
  const worker = async (): Promise<void> => {
    while (next < first + count) {
      const mutant = next;
      next += 1;
      if (!(await noticed(program, keys, mutant))) left.push(mutant);
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
  return left.sort((a, b) => a - b);
}

/** Prints what is noticed of a header; whether that is enough. */
async function judge(
  program: string,
  header: string,
  first: number,
  mutants: readonly Mutant[],
): Promise<boolean> {
  const left = await survivors(program, headers[header] ?? [], first, mutants.length);
  const hits = mutants.length - left.length;
  console.log(`${header}: ${hits} of ${mutants.length} noticed`);
  for (const mutant of left) {
    const { line, text: operator } = mutants[mutant - first] ?? { line: 0, text: '' };
    console.log(`  survived: native/cells/${header}.h:${line} ${operator}`);
  }
  return hits >= wanted * mutants.length;
}

/** Writes the cells' vectors where the program reads them. */
function writeVectors(keys: Iterable<string>): void {
  const cases = findCases([join(root, 'test', 'vectors')]).map((path) => readCase(path));
  for (const key of keys) {
    writeFileSync(
      join(scratch, `${key}.txt`),
      vectorText(cases.filter(({ config }) => config['cell'] === key)),
    );
  }
}

async function main(): Promise<number> {
  const all = Object.keys(headers);
  const chosen = process.argv.length > 2 ? process.argv.slice(2) : all;
  const unknown = chosen.find((header) => !all.includes(header));
  if (unknown !== undefined)
    throw new Error(`no header ${unknown}; expected some of ${all.join(', ')}`);
  mkdirSync(scratch, { recursive: true });
  const keys = new Set(chosen.flatMap((header) => headers[header] ?? []));
  writeVectors(keys);
  const texts = new Map<string, string>();
  const parts: { header: string; first: number; mutants: Mutant[] }[] = [];
  let first = 0;
  for (const header of chosen) {
    const path = join(root, 'native', 'cells', `${header}.h`);
    const { text, mutants } = mutate(readFileSync(path, 'utf8'), first);
    texts.set(header, text);
    parts.push({ header, first, mutants });
    first += mutants.length;
  }
  const program = compile(texts);
  for (const key of keys)
    if (await noticed(program, [key], -1))
      throw new Error(
        `${key}: the cell as it is fails; see LOOKBACK_MUTANT=-1 ${program} ${key} ${join(scratch, `${key}.txt`)}`,
      );
  let enough = true;
  for (const { header, first: begin, mutants } of parts)
    enough = (await judge(program, header, begin, mutants)) && enough;
  return enough ? 0 : 1;
}

void main().then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    console.error(error instanceof Error ? error.message : String(error));
    process.exitCode = 2;
  },
);
