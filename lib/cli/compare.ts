/**
 * `lookback compare`: several run folders on one page. Works without the native addon.
 */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { LookbackError } from '../errors';
import type { ComparedRun } from '../report/comparison';
import { show } from '../options';
import { writeAtomically } from '../storage/atomic';
import { reasonOf } from '../storage/reasons';
import type { Logs } from '../training/metrics';
import type { Output } from './output';

/** Prints a table of the runs and writes the page. @throws {LookbackError} ERR_IO, ERR_FORMAT, ERR_OPTION */
export async function compare(
  folders: readonly string[],
  out: string,
  output: Output,
): Promise<void> {
  const runs: ComparedRun[] = [];
  for (const folder of folders) runs.push(await readRun(folder));
  const twice = folders.find((folder, at) => folders.indexOf(folder) !== at);
  if (twice !== undefined) throw new LookbackError('ERR_OPTION', `${twice} is named twice`);
  const { renderComparison, resultRows } = await import('../report/comparison.js');
  await writeAtomically(out, [new TextEncoder().encode(await renderComparison(runs))]);
  for (const { name, records, test } of runs) {
    output.tell('run', { run: name, epochs: records.length, test }, null);
  }
  const rows = resultRows(runs);
  const widths = rows[0]?.map((_, column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0)),
  );
  const lines = rows.map((row) => row.map((cell, at) => cell.padEnd(widths?.[at] ?? 0)).join('  '));
  const text = [...lines.map((line) => line.trimEnd()), `the comparison is in ${out}`].join('\n');
  output.tell('comparison', { out: resolve(out) }, text);
}

async function readRun(folder: string): Promise<ComparedRun> {
  const [configPath, logPath] = [join(folder, 'config.json'), join(folder, 'log.jsonl')];
  for (const path of [configPath, logPath]) {
    if (!existsSync(path))
      throw new LookbackError(
        'ERR_IO',
        `${path} does not exist; expected a run folder of lookback train`,
      );
  }
  const config = (await readJson(configPath, (text) => JSON.parse(text) as unknown)) as object;
  const lines = await readJson(logPath, (text) =>
    text
      .split('\n')
      .filter((line) => line !== '')
      .map((line, at) => logLine(JSON.parse(line), `${logPath}: line ${at + 1}`)),
  );
  const test = lines.find((line): line is { test: Logs } => 'test' in line)?.test ?? null;
  const records = lines.filter((line): line is Logs => !('test' in line));
  return { name: folder, config: { ...config }, records, test };
}

/** @throws {LookbackError} ERR_FORMAT */
function logLine(value: unknown, where: string): Logs | { test: Logs } {
  if (typeof value === 'object' && value !== null && !Array.isArray(value))
    return value as Logs | { test: Logs };
  const message = `${where} is ${show(value)}; expected an object, as lookback train writes them`;
  throw new LookbackError('ERR_FORMAT', message);
}

async function readJson<T>(path: string, parse: (text: string) => T): Promise<T> {
  try {
    return parse(await readFile(path, 'utf8'));
  } catch (cause) {
    if (cause instanceof LookbackError) throw cause;
    const code = cause instanceof SyntaxError ? 'ERR_FORMAT' : 'ERR_IO';
    throw new LookbackError(code, `${path}: ${reasonOf(cause)}`, { cause, details: { path } });
  }
}
