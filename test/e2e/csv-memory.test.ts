/**
 * A file that is larger than the memory that its training may take. Only with LOOKBACK_LONG_TESTS=1 in the environment: it
 * writes 2 GB to the folder for temporary files and reads them, which takes minutes.
 */
import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, statSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const long = process.env['LOOKBACK_LONG_TESTS'] === '1';
const root = join(__dirname, '..', '..');
const megabyte = 1_000_000;

const features = Array.from({ length: 12 }, (_, at) => `sensor${at}`);

/** A block of lines again and again until the file has that size. */
function writeCsv(path: string, bytes: number): { rows: number } {
  const lines = Array.from({ length: 50_000 }, (_, row) =>
    [...features.map((_name, at) => Math.sin(row * (at + 1)).toFixed(6)), row % 97].join(','),
  );
  const block = Buffer.from(`${lines.join('\n')}\n`);
  const file = openSync(path, 'w');
  try {
    let written = writeSync(file, `${[...features, 'load'].join(',')}\n`);
    let rows = 0;
    for (; written < bytes; rows += lines.length) written += writeSync(file, block);
    return { rows };
  } finally {
    closeSync(file);
  }
}

(long ? it : it.skip)(
  'a CSV file of 2 GB trains within 500 MB of memory',
  () => {
    const folder = mkdtempSync(join(tmpdir(), 'lookback-csv-'));
    try {
      const path = join(folder, 'large.csv');
      const { rows } = writeCsv(path, 2000 * megabyte);
      expect(statSync(path).size).toBeGreaterThanOrEqual(2000 * megabyte);
      const script = `
        const { datasets, layers, sequential } = require(${JSON.stringify(root)});
        const source = datasets.streamCSV(${JSON.stringify(path)}, {
          features: ${JSON.stringify(features)}, target: 'load', steps: 50, stride: 50, batchSize: 64,
        });
        const stack = [layers.lstm({ units: 32 }), layers.dense({ units: 1 })];
        const model = sequential({ inputShape: [50, source.features], layers: stack });
        model.compile({ optimizer: 'adam', loss: 'meanSquaredError' });
        let batches = 0;
        const count = { onBatchEnd: () => { batches += 1; } };
        model.fit(source, { epochs: 1, verbose: 0, callbacks: [count] }).then(({ records }) => {
          const peak = process.resourceUsage().maxRSS * 1024;
          console.log(JSON.stringify({ peak, batches, loss: records[0].loss }));
        });`;
      const { stdout, stderr } = spawnSync(process.execPath, ['-e', script], { encoding: 'utf8' });
      if (stdout === '') throw new Error(stderr);
      const told = JSON.parse(stdout) as { peak: number; batches: number; loss: number };
      process.stdout.write(`${rows} rows: at most ${(told.peak / megabyte).toFixed(0)} MB\n`);
      // A target lies one row behind its sequence, so the last sequence may be without one.
      expect(told.batches).toBe(Math.ceil(Math.floor((rows - 1) / 50) / 64));
      expect(told.loss).toBeGreaterThan(0);
      expect(told.peak).toBeLessThan(500 * megabyte);
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
  3_600_000,
);
