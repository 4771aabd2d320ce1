/**
 * npm run --silent bench -- [--json] [--peer torch|onednn|onnxruntime|tfjs|none] [--threads N] [--device cpu|cuda] [CASE...]
 * npm run --silent bench -- --list
 *
 * Times one recurrent layer, forward and forward with backward, at published shapes, side by side with a peer. With `--json`
 * standard output carries one JSON object a case; remarks go to standard error. Without cases: all of them.
 */
import { execFileSync } from 'node:child_process';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { backendInfo, LookbackError } from 'lookback';
import type { Device } from 'lookback';
import { CASES } from './cases';
import type { BenchCase } from './cases';
import { measure } from './measure';
import type { BenchResult, Choices } from './measure';
import { PeerMissing, PEERS } from './peers';
import type { PeerName } from './peers';

const EXIT_FAILURE = 1;
const EXIT_USAGE = 2;

const OPTIONS = {
  json: { type: 'boolean', default: false },
  list: { type: 'boolean', default: false },
  peer: { type: 'string', default: 'none' },
  threads: { type: 'string', default: '' },
  device: { type: 'string', default: 'cpu' },
} as const;

class UsageError extends Error {}

function note(text: string): void {
  process.stderr.write(`bench: ${text}\n`);
}

function oneOf<T extends string>(name: string, value: string, known: readonly T[]): T {
  const found = known.find((candidate) => candidate === value);
  if (found === undefined) {
    throw new UsageError(`--${name} ${value} is unknown; expected ${known.join(' or ')}`);
  }
  return found;
}

function threadsFrom(text: string): number {
  if (text === '') return backendInfo().threads;
  const threads = Number(text);
  if (!Number.isInteger(threads) || threads < 1) {
    throw new UsageError(`--threads ${text}; expected a whole number from 1`);
  }
  return threads;
}

function casesFrom(names: readonly string[]): BenchCase[] {
  if (names.length === 0) return [...CASES];
  return names.map((name) => {
    const found = CASES.find((candidate) => candidate.name === name);
    if (found === undefined) throw new UsageError(`no case ${name}; --list prints their names`);
    return found;
  });
}

function readArguments(): ReturnType<typeof parse> {
  try {
    return parse();
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function parse() {
  return parseArgs({ options: OPTIONS, allowPositionals: true });
}

function describeMachine(): string {
  const { isa, compiler, version } = backendInfo();
  let commit = 'unknown';
  try {
    const git = ['describe', '--always', '--dirty'];
    commit = execFileSync('git', git, { stdio: ['ignore', 'pipe', 'ignore'] })
      .toString()
      .trim();
  } catch {
    // Not a checkout: the version has to do.
  }
  const cpu = `${cpus().length} x ${cpus()[0]?.model ?? 'unknown CPU'}`;
  return `${cpu}; lookback ${version}, commit ${commit}, ${isa} kernels, ${compiler}; Node ${process.version}`;
}

function table(result: BenchResult): string {
  const ms = (value: number): string => value.toFixed(2);
  const { forwardMs, stepMs, gflops, samples, threads, peer, ratio } = result;
  const us = `${result.case}: forward ${ms(forwardMs)} ms, step ${ms(stepMs)} ms`;
  const detail = `${gflops.toFixed(1)} GFLOP/s, ${threads} threads, ${samples} samples`;
  if (!peer || !ratio) return `${us} (${detail})`;
  const step = peer.stepMs === null ? '' : `, step ${ms(peer.stepMs)} ms`;
  const them = `${peer.name} ${peer.version} (${peer.variant}): forward ${ms(peer.forwardMs)} ms${step}`;
  const stepRatio = ratio.step === null ? '' : `, step ${ratio.step.toFixed(2)}`;
  return `${us} (${detail})\n  ${them}\n  ratio: forward ${ratio.forward.toFixed(2)}${stepRatio}`;
}

async function main(): Promise<void> {
  const { values, positionals } = readArguments();
  if (values.list) {
    for (const { name } of CASES) console.log(name);
    return;
  }
  const cases = casesFrom(positionals);
  const choices: Choices = {
    peer: oneOf('peer', values.peer, [...(Object.keys(PEERS) as PeerName[]), 'none']),
    device: oneOf<Extract<Device, 'cpu' | 'cuda'>>('device', values.device, ['cpu', 'cuda']),
    threads: threadsFrom(values.threads),
    note,
  };
  note(describeMachine());
  for (const bench of cases) {
    const result = await measure(bench, choices);
    console.log(values.json ? JSON.stringify(result) : table(result));
  }
}

main().catch((error: unknown) => {
  const known =
    error instanceof UsageError || error instanceof PeerMissing || error instanceof LookbackError;
  note(known ? error.message : String(error instanceof Error ? error.stack : error));
  process.exitCode = error instanceof UsageError ? EXIT_USAGE : EXIT_FAILURE;
});
