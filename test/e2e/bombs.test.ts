/**
 * Small archives that unpack to more than memory: refused, in a process whose memory is measured.
 */
import { spawnSync } from 'node:child_process';
import { createWriteStream, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { Header } from 'tar';

const root = join(__dirname, '..', '..');
const megabyte = 2 ** 20;
const folder = mkdtempSync(join(tmpdir(), 'lookback-bombs-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** A gzip file of `head` and zeros, `bytes` long when it is unpacked. */
async function bomb(name: string, head: Buffer, bytes: number): Promise<string> {
  const path = join(folder, name);
  const zeros = Buffer.alloc(megabyte);
  function* pieces(): Generator<Buffer> {
    yield head;
    for (let left = bytes - head.length; left > 0; left -= megabyte)
      yield zeros.subarray(0, Math.min(left, megabyte));
  }
  await pipeline(Readable.from(pieces()), createGzip({ level: 1 }), createWriteStream(path));
  expect(statSync(path).size).toBeLessThan(bytes / 100);
  return path;
}

/** The head of an IDX file of as many images of 28 x 28 as fit. */
function images(bytes: number): [Buffer, number] {
  const count = Math.floor((bytes - 16) / 784);
  const head = Buffer.alloc(16);
  [0x803, count, 28, 28].forEach((word, at) => head.writeUInt32BE(word, 4 * at));
  return [head, 16 + 784 * count];
}

/** The head of an archive with one review of that size. */
function review(bytes: number): [Buffer, number] {
  const head = Buffer.alloc(512);
  new Header({ path: 'aclImdb/train/pos/0_9.txt', type: 'File', mode: 0o644, size: bytes }).encode(
    head,
  );
  return [head, 512 * (2 + Math.ceil(bytes / 512))];
}

/** What a call says, and the most memory that its process had. */
function refusal(call: string): { code: string; message: string; megabytes: number } {
  const script = `
    const { datasets } = require(${JSON.stringify(root)});
    try {
      ${call};
    } catch ({ code, message }) {
      const megabytes = process.resourceUsage().maxRSS / 1024;
      console.log(JSON.stringify({ code, message, megabytes }));
    }`;
  const { stdout, stderr } = spawnSync(process.execPath, ['-e', script], { encoding: 'utf8' });
  if (stdout === '') throw new Error(stderr);
  return JSON.parse(stdout) as ReturnType<typeof refusal>;
}

// Node with the addon takes 65 MB. What is unpacked lies in pieces of 512 MB in all before the limit is met, and is then
// copied into one where it is not.
it.each([
  [
    'beyond the limit',
    2048,
    700,
    /unpacks to more than 536870912 bytes from \d+/,
    /unpacks to more/,
  ],
  ['just within it', 511, 1200, /missing file .*train-labels/, /of \d+ bytes is beyond the limit/],
] as const)(
  'what unpacks to %s takes bounded memory',
  async (_, size, bound, ofImages, ofReviews) => {
    await bomb('train-images-idx3-ubyte.gz', ...images(size * megabyte));
    const mnist = refusal(`datasets.mnist({ dir: ${JSON.stringify(folder)} })`);
    expect(mnist).toMatchObject({ code: 'ERR_DATA', message: expect.stringMatching(ofImages) });
    const archive = await bomb('reviews.tar.gz', ...review((size - 1) * megabyte));
    const imdb = refusal(`datasets.imdb({ dir: ${JSON.stringify(archive)} })`);
    expect(imdb).toMatchObject({ code: 'ERR_DATA', message: expect.stringMatching(ofReviews) });
    const told = [mnist, imdb].map(({ megabytes }) => Math.round(megabytes));
    process.stdout.write(`${size} MB unpacked: at most ${told.join(' and ')} MB\n`);
    expect(Math.max(...told)).toBeLessThan(bound);
  },
  120_000,
);
