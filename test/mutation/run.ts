/**
 * Mutation testing of the cells: flips every arithmetic operator of a cell's programs in turn and looks whether the
 * gradient check or the document's vectors notice.
 *
 *   npm run --silent mutate -- [HEADER...]        e.g. lstm larnn_window; default: all
 *
 * All mutants of a header are one program (flip.h), which runs once for each. Prints the survivors; exit code 1 where
 * fewer than nine in ten are noticed. Links the native code as it was built last.
 */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
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

/** Headers, and the cells whose tests have to notice what changes in them. */
const headers: Record<string, readonly string[]> = {
  bnlstm: ['bnlstm'],
  elman: ['rnn', 'scornn'],
  extensions: ['lstm', 'larnn', 'scurnn'],
  gru: ['gru'],
  gru_norm: ['gru'],
  larnn: ['larnn'],
  larnn_window: ['larnn'],
  lstm: ['lstm'],
  norm: ['larnn'],
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

/** The header with a switch at every operator. */
function mutate(text: string): { text: string; mutants: Mutant[] } {
  const programs = programsOf(text);
  const mutants: Mutant[] = [];
  const number = (at: number, what: string): number => {
    const before = programs.slice(0, at).split('\n');
    mutants.push({ line: before.length, text: what });
    return mutants.length - 1;
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
function vectorText(paths: readonly string[]): string {
  return paths
    .map(readCase)
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
  const { lengths, ...others } = inputs;
  if (lengths) lines.push(`lengths lengths ${lengths.data.join(' ')}`);
  const groups: [string, VectorTensors][] = [
    ['input', others],
    ['weight', weights],
    ['output', outputs],
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

/** Compiles all mutants of a header; gives the program. */
function compile(header: string, text: string): string {
  const folder = join(scratch, header);
  mkdirSync(join(folder, 'cells'), { recursive: true });
  const include = '#include "mutation/flip.h"\n';
  writeFileSync(
    join(folder, 'cells', `${header}.h`),
    text.replace(/^#include /m, `${include}#include `),
  );
  const program = join(folder, 'mutant');
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

async function survivors(
  program: string,
  keys: readonly string[],
  count: number,
): Promise<number[]> {
  const left: number[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) {
      const mutant = next;
      next += 1;
      if (!(await noticed(program, keys, mutant))) left.push(mutant);
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
  return left.sort((a, b) => a - b);
}

async function main(): Promise<number> {
  const known = readdirSync(join(root, 'native', 'cells'));
  const all = Object.keys(headers).filter((header) => known.includes(`${header}.h`));
  const chosen = process.argv.length > 2 ? process.argv.slice(2) : all;
  mkdirSync(scratch, { recursive: true });
  let failed = false;
  for (const header of chosen) {
    const keys = headers[header];
    if (!keys) throw new Error(`no header ${header}; expected some of ${all.join(', ')}`);
    for (const key of keys) {
      const folder = join(root, 'test', 'vectors', key);
      const paths = existsSync(folder) ? findCases([folder]) : [];
      writeFileSync(join(scratch, `${key}.txt`), vectorText(paths));
    }
    const { text, mutants } = mutate(
      readFileSync(join(root, 'native', 'cells', `${header}.h`), 'utf8'),
    );
    const program = compile(header, text);
    if (await noticed(program, keys, -1)) throw new Error(`${header}: the cell as it is fails`);
    const left = await survivors(program, keys, mutants.length);
    const share = 1 - left.length / mutants.length;
    failed ||= share < wanted;
    console.log(`${header}: ${mutants.length - left.length} of ${mutants.length} noticed`);
    for (const mutant of left) {
      const { line, text: operator } = mutants[mutant] ?? { line: 0, text: '' };
      console.log(`  survived: native/cells/${header}.h:${line} ${operator}`);
    }
  }
  return failed ? 1 : 0;
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
