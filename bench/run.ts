/**
 * npm run --silent bench -- [--json] [--peer torch|onednn|onnxruntime|tfjs|own|none] [--threads N] [--device cpu|cuda] [CASE...]
 * npm run --silent bench -- --list
 *
 * Times one recurrent layer, forward and forward with backward, at published shapes, side by side with a peer. With `--json`
 * standard output carries one JSON object a case; remarks go to standard error. Without cases: all of them.
 */
import { parseArgs } from 'node:util';
import type { Device } from 'lookback';
import { CASES } from './cases';
import type { BenchCase } from './cases';
import { casesFrom, note, oneOf, parsed, run, threadsFrom } from './command-line';
import { machine, machineLine } from './machine';
import { measure } from './measure';
import type { Choices, Measurement, Spread } from './measure';
import { OPPONENTS } from './peers';
import { measureRoofline, rooflineLine, stepFloorMs } from './roofline';
import type { Roofline } from './roofline';

const OPTIONS = {
  json: { type: 'boolean', default: false },
  list: { type: 'boolean', default: false },
  peer: { type: 'string', default: 'none' },
  threads: { type: 'string', default: '' },
  device: { type: 'string', default: 'cpu' },
} as const;

/** Null where the probe cannot be built or run, which is said. */
function roofline(threads: number): Roofline | null {
  try {
    const found = measureRoofline(threads);
    note(rooflineLine(found));
    return found;
  } catch (error) {
    note(`no roofline: ${(error as Error).message}`);
    return null;
  }
}

function milliseconds(median: number, range: readonly [number, number] | null | undefined): string {
  const [least, largest] = range ?? [median, median];
  return `${median.toFixed(2)} ms (${least.toFixed(2)} to ${largest.toFixed(2)})`;
}

function times(side: { forwardMs: number; stepMs: number | null }, spread: Spread | null): string {
  const forward = `forward ${milliseconds(side.forwardMs, spread?.forwardMs)}`;
  if (side.stepMs === null) return forward;
  return `${forward}, step ${milliseconds(side.stepMs, spread?.stepMs)}`;
}

/** For people: medians, in brackets their ranges. */
function lines(bench: BenchCase, measured: Measurement, roof: Roofline | null): string {
  const { result, spread, peerSpread, difference } = measured;
  const { stepMs, gflops, samples, threads, peer, ratio } = result;
  const floor = roof && `${((100 * stepFloorMs(bench, roof)) / stepMs).toFixed(0)} % of the floor`;
  const details = [`${gflops.toFixed(1)} GFLOP/s`, floor, `${threads} threads, ${samples} samples`];
  const us = `${result.case}: ${times(result, spread)}; ${details.filter((text) => text !== null).join(', ')}`;
  if (!peer || !ratio) return us;
  const them = `${peer.name} ${peer.version} (${peer.variant}): ${times(peer, peerSpread)}`;
  const apart =
    difference === null ? '' : `; largest difference of results ${difference.toExponential(1)}`;
  const stepRatio = ratio.step === null ? '' : `, step ${ratio.step.toFixed(2)}`;
  return `${us}\n  ${them}${apart}\n  ratio: forward ${ratio.forward.toFixed(2)}${stepRatio}`;
}

async function main(): Promise<void> {
  const { values, positionals } = parsed(() =>
    parseArgs({ options: OPTIONS, allowPositionals: true }),
  );
  if (values.list) {
    for (const { name } of CASES) console.log(name);
    return;
  }
  const cases = casesFrom(positionals);
  const choices: Choices = {
    peer: oneOf('peer', values.peer, OPPONENTS),
    device: oneOf<Extract<Device, 'cpu' | 'cuda'>>('device', values.device, ['cpu', 'cuda']),
    threads: threadsFrom(values.threads),
    note,
  };
  note(machineLine(machine()));
  const roof = choices.device === 'cpu' ? roofline(choices.threads) : null;
  for (const bench of cases) {
    const measured = await measure(bench, choices);
    console.log(values.json ? JSON.stringify(measured.result) : lines(bench, measured, roof));
  }
}

run(main);
