/**
 * Files of logs that lost their end while the checkpoint that names it was kept.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import type { Callback, FitOptions } from '../../lib';
import { callbacks } from '../../lib';
import { disk } from '../../lib/storage/atomic';
import { LogFile } from '../../lib/storage/log-file';
import { wholeRecords } from '../../lib/storage/tfevents';
import { eventsIn } from './support/events';
import { tinyData, tinyModel } from './support/tiny';

const train = tinyData(44);
const held = tinyData(20, 7);
const folder = mkdtempSync(join(tmpdir(), 'lookback-log-files-'));
afterAll(() => rmSync(folder, { recursive: true }));

const logging = (place: string): Callback[] => [
  callbacks.csvLogger({ path: join(place, 'log.csv') }),
  callbacks.jsonlLogger({ path: join(place, 'log.jsonl') }),
  callbacks.tensorBoard({ dir: join(place, 'board'), everyUpdates: 2 }),
];

/** With its checkpoint in the same place. */
async function run(place: string, options: FitOptions): Promise<void> {
  using model = tinyModel();
  const checkpoint = { dir: join(place, 'checkpoint') };
  const all = { batchSize: 16, verbose: 0, validationData: held, checkpoint } as const;
  await model.fit(train, { ...all, callbacks: logging(place), ...options });
}

const boards = ['train', 'validation'] as const;

function filesOf(place: string): string[] {
  const events = boards.map((part) => {
    const dir = join(place, 'board', part);
    return join(dir, readdirSync(dir)[0] ?? '');
  });
  return [join(place, 'log.csv'), join(place, 'log.jsonl'), ...events];
}

function linesOf(place: string, name: string): string[] {
  const text = readFileSync(join(place, name), 'utf8');
  expect(text.endsWith('\n')).toBe(true);
  return text.trimEnd().split('\n');
}

const timeless = (place: string, part: string) =>
  eventsIn(join(place, 'board', part)).map(({ time: _, ...event }) => event);

describe('a resumed run goes on', () => {
  const whole = join(folder, 'whole');
  beforeAll(() => run(whole, { epochs: 4 }));

  /** Two epochs of four, then `harm`, then the others. */
  async function broken(place: string, harm: (path: string) => void): Promise<void> {
    await run(place, { epochs: 2 });
    filesOf(place).forEach(harm);
    await run(place, { epochs: 4, resume: true });
  }

  it('behind the last whole line and record', async () => {
    const place = join(folder, 'cut');
    await broken(place, (path) => truncateSync(path, statSync(path).size - 10));
    for (const [name, second] of [
      ['log.csv', 2],
      ['log.jsonl', 1],
    ] as const) {
      const expected = linesOf(whole, name).filter((_, line) => line !== second);
      expect(linesOf(place, name)).toEqual(expected);
    }
    for (const part of boards) {
      const expected = timeless(whole, part).filter(
        ({ step, values }) => !(step === 2 && 'epoch/loss' in values),
      );
      expect(timeless(place, part)).toEqual(expected);
    }
  });

  it('with the head of a file where that is empty', async () => {
    const place = join(folder, 'emptied');
    await broken(place, (path) => truncateSync(path, 0));
    const [names, , , ...rows] = linesOf(whole, 'log.csv');
    expect(linesOf(place, 'log.csv')).toEqual([names, ...rows]);
    expect(linesOf(place, 'log.jsonl')).toEqual(linesOf(whole, 'log.jsonl').slice(2));
    for (const part of boards) {
      const [head, ...events] = timeless(place, part);
      expect(head?.version).toBe('brain.Event:2');
      expect(timeless(whole, part).slice(-events.length)).toEqual(events);
    }
  });
});

it('a file that was mended and grew past what the checkpoint says is cut between two entries', async () => {
  const path = join(folder, 'twice');
  const first = new LogFile(path);
  for (const line of ['one\n', 'two\n']) await first.append(line);
  const told = await first.syncedLength();
  truncateSync(path, told - 2);
  for (let death = 0; death < 2; death += 1) {
    const next = new LogFile(path);
    next.reset(told);
    await next.append('three\n');
    expect(readFileSync(path, 'utf8')).toBe('one\nthree\n');
  }
});

it('logs are on the disk before a checkpoint names their length', async () => {
  const calls: string[] = [];
  const original = { ...disk };
  disk.open = async (...args) => {
    const file = await original.open(...args);
    const datasync = file.datasync.bind(file);
    file.datasync = () => {
      calls.push(basename(String(args[0])));
      return datasync();
    };
    return file;
  };
  disk.rename = (from, to) => {
    calls.push(basename(String(to)));
    return original.rename(from, to);
  };
  const place = join(folder, 'flushed');
  await run(place, { epochs: 1 }).finally(() => Object.assign(disk, original));
  const logs = filesOf(place).map((path) => basename(path));
  expect(calls).toEqual([...logs, 'previous.safetensors', 'last.safetensors']);
});

it('a torn record of events is found, wherever it is torn', () => {
  const path = filesOf(join(folder, 'whole'))[2] ?? '';
  const file = readFileSync(path);
  expect(wholeRecords(file)).toBe(file.length);
  const first = wholeRecords(file.subarray(0, 60));
  expect(first).toBeGreaterThan(16);
  for (let size = 0; size < 60; size += 1)
    expect(wholeRecords(file.subarray(0, size))).toBe(size < first ? 0 : first);
  const hole = Buffer.concat([file.subarray(0, first), Buffer.alloc(100)]);
  expect(wholeRecords(hole)).toBe(first);
});
