#!/usr/bin/env node
/**
 * Makes data/har from the official UCI HAR tree: stitches the overlapping windows back into signals, rounds them to 16 bits and
 * compresses them. The output is the same byte for byte wherever it runs, since fflate compresses in JavaScript (zlib's
 * output depends on the build and on the processor).
 *
 *   node scripts/make-har-data.mjs --dir "UCI HAR Dataset" [--starts window_starts.csv.gz] [--out data/har]
 *
 * --starts: a table with the columns split,row,subject,activity,experiment,start (where each window lies in its recording).
 * Default: the window table that is already in --out.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { gunzipSync } from 'node:zlib';
import { gzipSync } from 'fflate';

const STEPS = 128;
const AXES = ['x', 'y', 'z'];
/** Steps of the 16-bit numbers: the largest values, 2.198 g and 5.974 rad/s, still fit. */
const RESOLUTION = { g: 0.00007, 'rad/s': 0.0002 };
const CHANNELS = [
  ...AXES.map((axis) => ({ name: `body_acc_${axis}`, unit: 'g' })),
  ...AXES.map((axis) => ({ name: `body_gyro_${axis}`, unit: 'rad/s' })),
  ...AXES.map((axis) => ({ name: `total_acc_${axis}`, unit: 'g' })),
];
const PARTS = ['train', 'test'];

function readText(path) {
  if (existsSync(path)) return readFileSync(path, 'latin1');
  return gunzipSync(readFileSync(`${path}.gz`)).toString('latin1');
}

function readNumbers(path) {
  return readText(path).trim().split(/\s+/).map(Number);
}

/** Windows of both parts in the official order: { part, subject, activity, experiment, start }. */
function readStarts(path) {
  const bytes = readFileSync(path);
  const text = (path.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8');
  const [header, ...lines] = text.trim().split('\n');
  if (header !== 'split,row,subject,activity,experiment,start') {
    throw new Error(`${path}: unexpected columns ${header}`);
  }
  return lines.map((line) => {
    const [part, , ...numbers] = line.split(',');
    const [subject, activity, experiment, start] = numbers.map(Number);
    return { part, subject, activity, experiment, start };
  });
}

function readWindowTable(path) {
  const tables = JSON.parse(gunzipSync(readFileSync(path)).toString('utf8'));
  return PARTS.flatMap((part) => {
    const { subject, activity, experiment, start } = tables[part];
    return start.map((from, row) => ({
      part,
      subject: subject[row],
      activity: activity[row],
      experiment: experiment[row],
      start: from,
    }));
  });
}

/** The official labels and subjects must be those of the window table, row by row. */
function checkRows(dir, windows) {
  for (const part of PARTS) {
    const rows = windows.filter((window) => window.part === part);
    for (const [column, file] of [
      ['activity', 'y'],
      ['subject', 'subject'],
    ]) {
      const official = readNumbers(join(dir, part, `${file}_${part}.txt`));
      const differs = official.findIndex((value, row) => value !== rows[row]?.[column]);
      if (differs >= 0 || official.length !== rows.length) {
        throw new Error(`${file}_${part}.txt differs from the window table at row ${differs}`);
      }
    }
  }
}

/** Stretches of the recordings that windows cover, by recording and time, with their place in the streams. */
function segmentsOf(windows) {
  const order = [...windows].sort((a, b) => a.experiment - b.experiment || a.start - b.start);
  const segments = [];
  let samples = 0;
  for (const window of order) {
    const last = segments.at(-1);
    const end = window.start + STEPS;
    if (last?.experiment === window.experiment && window.start <= last.end) {
      samples += end - last.end;
      last.end = end;
    } else {
      const { experiment, start } = window;
      segments.push({ experiment, start, end, offset: samples });
      samples += STEPS;
    }
    window.offset = segments.at(-1).offset + window.start - segments.at(-1).start;
  }
  return { segments, samples };
}

/** One signal of all windows as a stream; windows that overlap must agree in every digit. */
function stitch(dir, signal, windows, samples) {
  const stream = new Float64Array(samples).fill(NaN);
  for (const part of PARTS) {
    const values = readNumbers(join(dir, part, 'Inertial Signals', `${signal}_${part}.txt`));
    const rows = windows.filter((window) => window.part === part);
    if (values.length !== rows.length * STEPS) {
      throw new Error(`${signal}_${part}: ${values.length} values for ${rows.length} windows`);
    }
    rows.forEach(({ offset }, row) => {
      for (let step = 0; step < STEPS; ++step) {
        const value = values[row * STEPS + step];
        const known = stream[offset + step];
        if (!Number.isNaN(known) && known !== value) {
          throw new Error(`${signal}_${part}, row ${row + 1}: overlapping windows disagree`);
        }
        stream[offset + step] = value;
      }
    });
  }
  return stream;
}

/** 16-bit integers, and the largest error that reading them back as 32-bit floats leaves. */
function quantize(stream, resolution) {
  let maxError = 0;
  const integers = Int16Array.from(stream, (value) => {
    const integer = Math.round(value / resolution);
    if (Math.abs(integer) > 32767) throw new Error(`${value} does not fit in 16 bits`);
    maxError = Math.max(maxError, Math.abs(Math.fround(integer * resolution) - value));
    return integer;
  });
  return { integers, maxError };
}

/** Second differences (16 bits, wrapping), sign folded into bit 0, all high bytes before all low bytes. */
function encode(integers) {
  const planes = new Uint8Array(2 * integers.length);
  let value = 0;
  let slope = 0;
  integers.forEach((next, at) => {
    const difference = ((next - value - slope) << 16) >> 16;
    slope = next - value;
    value = next;
    const folded = (difference << 1) ^ (difference >> 31);
    planes[at] = folded >> 8;
    planes[integers.length + at] = folded;
  });
  return planes;
}

function pack(path, bytes) {
  const packed = gzipSync(bytes, { level: 9, mem: 12, mtime: 0 });
  writeFileSync(path, packed);
  console.log(`${path}: ${packed.length} bytes, sha256 ${sha256(packed)}`);
}

function sha256(bytes) {
  return createHash('sha256').update(bytes).digest('hex');
}

function windowTables(windows) {
  const columns = ['subject', 'activity', 'experiment', 'start'];
  const table = (part) => {
    const rows = windows.filter((window) => window.part === part);
    return Object.fromEntries(columns.map((column) => [column, rows.map((row) => row[column])]));
  };
  return Object.fromEntries(PARTS.map((part) => [part, table(part)]));
}

function main() {
  const { values: options } = parseArgs({
    options: {
      dir: { type: 'string' },
      starts: { type: 'string' },
      out: { type: 'string', default: join(import.meta.dirname, '..', 'data', 'har') },
    },
  });
  if (!options.dir) throw new Error('--dir is missing: the unpacked "UCI HAR Dataset" folder');
  const { dir, out } = options;
  mkdirSync(out, { recursive: true });
  const windows = options.starts
    ? readStarts(options.starts)
    : readWindowTable(join(out, 'windows.json.gz'));
  checkRows(dir, windows);
  const { segments, samples } = segmentsOf(windows);

  const rounded = new Map();
  for (const { name, unit } of CHANNELS) {
    rounded.set(name, quantize(stitch(dir, name, windows, samples), RESOLUTION[unit]));
    console.log(`${name}: largest error ${rounded.get(name).maxError.toExponential(3)} ${unit}`);
  }
  // Gravity is far smoother than the body acceleration that it leaves of the total; integers make the difference exact.
  const gravity = AXES.map((axis) => {
    const body = rounded.get(`body_acc_${axis}`).integers;
    const total = rounded.get(`total_acc_${axis}`).integers;
    return {
      name: `gravity_${axis}`,
      unit: 'g',
      integers: total.map((value, at) => value - body[at]),
    };
  });
  const stored = CHANNELS.filter(({ name }) => !name.startsWith('body_acc')).map((channel) => ({
    ...channel,
    integers: rounded.get(channel.name).integers,
  }));
  const streams = [...gravity, ...stored];

  const planes = streams.map(({ integers }) => Buffer.from(encode(integers)));
  pack(join(out, 'signals.bin.gz'), Buffer.concat(planes));
  pack(join(out, 'windows.json.gz'), Buffer.from(JSON.stringify(windowTables(windows))));
  const manifest = {
    format: 'lookback-har',
    version: 1,
    sampleRate: 50,
    segments: segments.length,
    samples,
    streams: streams.map(({ name, unit }) => ({ name, unit, resolution: RESOLUTION[unit] })),
    channels: CHANNELS.map(({ name }) => ({
      name,
      ...(name.startsWith('body_acc')
        ? { stream: name.replace('body', 'total'), minus: name.replace('body_acc', 'gravity') }
        : { stream: name }),
      maxError: Number(rounded.get(name).maxError.toPrecision(4)),
    })),
    signals: 'signals.bin.gz',
    windows: 'windows.json.gz',
  };
  writeFileSync(join(out, 'har.json'), `${JSON.stringify(manifest, null, 2)}\n`);
}

main();
