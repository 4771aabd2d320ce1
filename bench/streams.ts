/**
 * Many clients of one model: `--streams` streams, each with a sample `--hz` times a second, for `--seconds`. A step's
 * latency is counted from the moment its sample is due to the moment its output is there, so waiting behind other
 * streams counts. All in one thread, as in a web service. With `--together` the clients share one stream, whose step
 * takes the samples of all at the end of each period.
 *
 *   node scripts/tool.cjs bench/streams.ts [--cell lstm] [--units 64] [--streams 1000] [--hz 50] [--seconds 30]
 *     [--together] [--json]
 */
import { Command } from 'commander';
import { backendInfo, layers, sequential } from 'lookback';
import type { LayerSpec, Stream } from 'lookback';

interface Options {
  cell: string;
  units: string;
  streams: string;
  hz: string;
  seconds: string;
  together?: boolean;
  json?: boolean;
}

const features = 9;
const megabyte = 2 ** 20;

function recurrent(cell: string, units: number): LayerSpec {
  switch (cell) {
    case 'gru':
      return layers.gru({ units });
    case 'larnn':
      return layers.larnn({ units, heads: 4, window: 16 });
    default:
      return layers.lstm({ units });
  }
}

/**
 * Steps every stream when its sample is due; gives the latencies in milliseconds, in order of time: fewer than there are
 * samples where the machine does not keep up.
 */
async function serve(
  streams: readonly Stream[],
  hz: number,
  seconds: number,
): Promise<Float64Array> {
  const total = Math.floor(streams.length * hz * seconds);
  const between = 1000 / (streams.length * hz);
  const latencies = new Float64Array(total);
  const input = new Float32Array(features);
  const sample = { shape: [1, features], data: input };
  const output = new Float32Array(6);
  const begun = performance.now();
  let [now, done] = [0, 0];
  while (done < total && now < 1000 * seconds) {
    now = performance.now() - begun;
    // What was due by then, for a while; then the event loop has a turn.
    const due = Math.min(total, done + streams.length, Math.floor(now / between) + 1);
    for (; done < due; done += 1) {
      input[done % features] = Math.sin(done);
      streams[done % streams.length]?.step(sample, output);
      latencies[done] = performance.now() - begun - done * between;
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
  return latencies.subarray(0, done);
}

/** The same with one stream of all clients: the latency of each step from the end of its period on. */
async function serveTogether(stream: Stream, hz: number, seconds: number): Promise<Float64Array> {
  const { batch } = stream;
  const total = Math.floor(hz * seconds);
  const latencies = new Float64Array(total);
  const sample = { shape: [batch, features], data: new Float32Array(batch * features) };
  const output = new Float32Array(batch * 6);
  const begun = performance.now();
  let [now, done] = [0, 0];
  while (done < total && now < 1000 * seconds) {
    const due = (done * 1000) / hz;
    now = performance.now() - begun;
    if (now < due) {
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, due - now - 1)));
      continue;
    }
    sample.data[done % features] = Math.sin(done);
    stream.step(sample, output);
    latencies[done] = performance.now() - begun - due;
    done += 1;
  }
  return latencies.subarray(0, done);
}

function quantile(sorted: Float64Array, share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? NaN;
}

async function main(): Promise<void> {
  const command = new Command('streams')
    .option('--cell <key>', 'lstm, gru or larnn', 'lstm')
    .option('--units <n>', 'hidden units', '64')
    .option('--streams <n>', 'clients', '1000')
    .option('--hz <n>', 'samples a second of each', '50')
    .option('--seconds <n>', 'how long', '30')
    .option('--together', 'one stream of all clients')
    .option('--json', 'one JSON object');
  const { cell, json, together, ...numbers } = command.parse().opts<Options>();
  const [units, count, hz, seconds] = [
    numbers.units,
    numbers.streams,
    numbers.hz,
    numbers.seconds,
  ].map(Number) as [number, number, number, number];
  using model = sequential({
    inputShape: [null, features],
    layers: [recurrent(cell, units), layers.dense({ units: 6, activation: 'softmax' })],
  });
  const all = together ? [model.createStream({ batch: count })] : [];
  while (!together && all.length < count) all.push(model.createStream());
  const [first] = all;
  const run = (time: number) =>
    together && first ? serveTogether(first, hz, time) : serve(all, hz, time);
  await run(2);
  const before = process.memoryUsage().rss;
  const [cpu, from] = [process.cpuUsage(), performance.now()];
  const latencies = await run(seconds);
  const { user, system } = process.cpuUsage(cpu);
  const rssGrowth = (process.memoryUsage().rss - before - latencies.byteLength) / megabyte;
  const wall = performance.now() - from;
  const sorted = latencies.slice().sort();
  const result = {
    cell,
    units,
    streams: count,
    hz,
    together: together === true,
    stepsDue: Math.floor((together ? 1 : count) * hz * seconds),
    steps: latencies.length,
    isa: backendInfo().isa,
    p50Ms: quantile(sorted, 0.5),
    p99Ms: quantile(sorted, 0.99),
    p999Ms: quantile(sorted, 0.999),
    maxMs: sorted.at(-1) ?? NaN,
    cpuShare: (user + system) / 1000 / wall,
    rssGrowthMb: rssGrowth,
  };
  if (json) console.log(JSON.stringify(result));
  else {
    for (const [key, value] of Object.entries(result)) {
      console.log(
        `${key.padEnd(12)} ${typeof value === 'number' ? Number(value.toPrecision(4)) : String(value)}`,
      );
    }
  }
}

void main();
