/**
 * Small native programs of the bench, compiled at their first use.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';

const root = dirname(require.resolve('lookback/package.json'));

/** What the compiler said first. */
export class CompileError extends Error {}

/**
 * The program `build/bench/<name>`, compiled where it is missing or older than its source.
 *
 * @param source path from the root of the checkout
 * @throws {CompileError}
 */
export function compiled(name: string, source: string, flags: readonly string[]): string {
  const from = join(root, source);
  const program = join(root, 'build', 'bench', name);
  if (existsSync(program) && statSync(program).mtimeMs > statSync(from).mtimeMs) return program;
  mkdirSync(dirname(program), { recursive: true });
  const compiler = process.env['CXX'] ?? 'c++';
  const built = spawnSync(compiler, ['-std=c++20', from, ...flags, '-o', program], {
    encoding: 'utf8',
  });
  if (built.status === 0) return program;
  const said = built.error?.message ?? built.stderr;
  throw new CompileError(said.split('\n').find((line) => line.includes('error')) ?? said.trim());
}
