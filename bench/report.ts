/**
 * npm run bench:report -- [--quick] [--threads 1,2] [--out FOLDER] [CASE...]
 * npm run bench:report -- --from FILE
 *
 * Measures every case alone and against every peer that is here, and what else the report tells; writes
 * bench/results/<machine>.md, its pictures and the data that they were made from. `--quick`: two cases and few samples,
 * to see that it works. `--from`: draws the page again from data.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { backendInfo } from 'lookback';
import { draw } from '../lib/report/charts';
import { CASES } from './cases';
import type { BenchCase } from './cases';
import { casesFrom, note, parsed, run, UsageError } from './command-line';
import { measureGrowth } from './growth';
import { machine, machineLine, machineSlug } from './machine';
import { measure } from './measure';
import type { Choices } from './measure';
import type { Opponent, PeerName } from './peers';
import { PEERS } from './peers';
import type { Missing, ReportData } from './report-page';
import { charts, floorKey, pageText } from './report-page';
import { measureRoofline, rooflineLine, stepFloorMs } from './roofline';
import type { Roofline } from './roofline';
import { eventLoopDelay, preparation, streamStep } from './serving';

const OPTIONS = {
  quick: { type: 'boolean', default: false },
  threads: { type: 'string', default: '' },
  out: { type: 'string', default: join('bench', 'results') },
  from: { type: 'string' },
} as const;

const QUICK_CASES = ['lstm-har-b64-h32', 'rra-har-b64-h32-k10'];
const QUICK_SAMPLES = 3;
/** Of a step, beyond which a peer would take minutes or more memory than there is. */
const TFJS_LARGEST = 1e9;
const LOOP_SECONDS = 10;
const STREAM_STEPS = 50_000;

/** `1,2`; without: one and all that the machine gives us. */
function threadCounts(text: string): number[] {
  if (text === '') return [...new Set([1, backendInfo().threads])];
  return text.split(',').map((part) => {
    const threads = Number(part);
    if (Number.isInteger(threads) && threads > 0) return threads;
    throw new UsageError(`--threads ${text}; expected whole numbers from 1, such as 1,2`);
  });
}

/** What a case is measured against, of the peers that are here: first nothing. */
function opponentsOf(bench: BenchCase, here: readonly PeerName[]): Opponent[] {
  const peers = here.filter(
    (name) =>
      PEERS[name].variants[bench.cell] !== undefined &&
      (name !== 'tfjs' || bench.stepFlops < TFJS_LARGEST),
  );
  return ['none', ...peers, ...(bench.cell === 'rra' ? (['own'] as const) : [])];
}

/** Without the place of this checkout, which the report's readers do not have. */
function reasonOf(error: unknown): string {
  const reason = error instanceof Error ? error.message : String(error);
  return reason.replaceAll(process.cwd(), 'the checkout');
}

function peersHere(missing: Missing[]): PeerName[] {
  return (Object.keys(PEERS) as PeerName[]).filter((name) => {
    try {
      PEERS[name].command('lstm', 1);
      return true;
    } catch (error) {
      note(`without ${name}: ${reasonOf(error)}`);
      missing.push({ what: name, why: reasonOf(error) });
      return false;
    }
  });
}

class Report {
  readonly #data: ReportData;

  constructor(quick: boolean) {
    this.#data = {
      machine: machine(),
      rooflines: [],
      measurements: [],
      floors: {},
      growth: [],
      eventLoop: null,
      stream: null,
      preparations: [],
      missing: [],
      loadAfter: NaN,
      quick,
    };
  }

  async fill(cases: readonly BenchCase[], counts: readonly number[]): Promise<ReportData> {
    const data = this.#data;
    const { cores, load } = data.machine;
    note(machineLine(data.machine));
    if (load > 0.3 * cores)
      note(`the machine is at work (load ${load}): these numbers are not for quoting`);
    for (const threads of counts) await this.#roofline(threads);
    const here = peersHere(data.missing);
    for (const threads of counts)
      for (const bench of cases) await this.#case(bench, threads, opponentsOf(bench, here));
    await this.#rest(cases, Math.max(...counts), here);
    return { ...data, loadAfter: Math.round((loadavg()[0] ?? NaN) * 100) / 100 };
  }

  #choices(threads: number, peer: Opponent): Choices {
    const samples = this.#data.quick ? { samples: QUICK_SAMPLES } : {};
    return { peer, threads, device: 'cpu', note, ...samples };
  }

  /** What fails is told in the report, which goes on. */
  async #try(what: string, work: () => Promise<void> | void): Promise<void> {
    note(what);
    try {
      await work();
    } catch (error) {
      note(`${what}: ${reasonOf(error)}`);
      this.#data.missing.push({ what, why: reasonOf(error) });
    }
  }

  #roofline(threads: number): Promise<void> {
    return this.#try(`the roof, ${threads} threads`, () => {
      const found: Roofline = measureRoofline(threads);
      note(rooflineLine(found));
      this.#data.rooflines.push(found);
    });
  }

  async #case(bench: BenchCase, threads: number, opponents: readonly Opponent[]): Promise<void> {
    const { rooflines, floors, measurements } = this.#data;
    const roof = rooflines.find((candidate) => candidate.threads === threads);
    if (roof) floors[floorKey(bench.name, threads)] = stepFloorMs(bench, roof);
    for (const peer of opponents) {
      const against = peer === 'none' ? '' : `, against ${peer}`;
      await this.#try(`${bench.name}, ${threads} threads${against}`, async () => {
        measurements.push(await measure(bench, this.#choices(threads, peer)));
      });
    }
  }

  async #rest(
    cases: readonly BenchCase[],
    threads: number,
    here: readonly PeerName[],
  ): Promise<void> {
    const data = this.#data;
    const alone = this.#choices(1, 'none');
    await this.#try('growth', async () => {
      data.growth = await measureGrowth(alone, data.quick);
    });
    await this.#try('the event loop', async () => {
      data.eventLoop = await eventLoopDelay(threads, data.quick ? 1 : LOOP_SECONDS);
    });
    await this.#try('streams', async () => {
      const peer = here.includes('torch') ? 'torch' : 'none';
      const steps = data.quick ? STREAM_STEPS / 50 : STREAM_STEPS;
      data.stream = await streamStep(steps, this.#choices(1, peer));
    });
    for (const bench of cases) {
      if (bench.cell !== 'enrnn' && bench.cell !== 'scornn') continue;
      await this.#try(`preparation of ${bench.name}`, async () => {
        data.preparations.push(await preparation(bench, alone));
      });
    }
  }
}

async function write(data: ReportData, out: string, slug: string): Promise<void> {
  const folder = join(out, slug);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'data.json'), `${JSON.stringify(data, null, 1)}\n`);
  for (const [name, spec] of charts(data))
    writeFileSync(join(folder, name), `${await draw(spec)}\n`);
  const page = join(out, `${slug}.md`);
  writeFileSync(page, pageText(data, slug));
  note(`the report is ${page}`);
}

async function main(): Promise<void> {
  const { values, positionals } = parsed(() =>
    parseArgs({ options: OPTIONS, allowPositionals: true }),
  );
  if (values.from !== undefined) {
    const folder = dirname(values.from);
    const data = JSON.parse(readFileSync(values.from, 'utf8')) as ReportData;
    return write(data, dirname(folder), basename(folder));
  }
  const names = positionals.length === 0 && values.quick ? QUICK_CASES : positionals;
  const cases = names.length === 0 ? CASES : casesFrom(names);
  const data = await new Report(values.quick).fill(cases, threadCounts(values.threads));
  await write(data, values.out, machineSlug(data.machine));
}

run(main);
