/**
 * Downloads from a local server: whole or not at all, checked, and resumed.
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { create } from 'tar';
import { checkConfig } from '../../lib/cli/config';
import { datasets } from '../../lib/data';
import type { DownloadOptions, DownloadProgress } from '../../lib/data';
import { afterDownload, downloadFiles } from '../../lib/data/download';
import type { Home } from '../../lib/data/homes';
import { homes } from '../../lib/data/homes';
import { LookbackError } from '../../lib/errors';
import { failureOf } from './support/damage';
import type { Folder } from './support/uci-tree';
import { temporaryFolder } from './support/uci-tree';

const bytes = Buffer.from(Array.from({ length: 200_000 }, (_, at) => (at * at) % 251));
const name = 'numbers.bin';
const published = {
  name,
  bytes: bytes.length,
  sha256: createHash('sha256').update(bytes).digest('hex'),
};

type Handler = (request: IncomingMessage, response: ServerResponse) => void;
let handle: Handler;
let asked: { url: string; range: string | undefined }[] = [];
let server: Server;
let root: string;
let folder: Folder;

beforeAll(async () => {
  server = createServer((request, response) => {
    asked.push({ url: request.url ?? '', range: request.headers.range });
    handle(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  root = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});
beforeEach(() => {
  asked = [];
  handle = serve;
  folder = temporaryFolder();
});
afterEach(() => folder[Symbol.dispose]());

/** The file, or the part of it that is asked for. */
const serve: Handler = (request, response) => {
  const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
  if (from > 0)
    response.writeHead(206, {
      'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}`,
    });
  response.end(bytes.subarray(from));
};

function homeAt(...from: string[]): Home {
  return { title: 'Numbers', page: 'https://numbers.example/', from, files: [published] };
}

const fetchInto = (options: DownloadOptions = {}, home = homeAt(root)): Promise<void> =>
  downloadFiles(home, [published], folder.path, options);

async function failure(work: Promise<unknown>): Promise<LookbackError> {
  const error = await work.then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(LookbackError);
  return error as LookbackError;
}

const inFolder = (): string[] => readdirSync(folder.path);
const sizeOf = (file: string): number => statSync(join(folder.path, file)).size;

describe('a download', () => {
  it('brings the file, tells how far it is, and asks for nothing that is there', async () => {
    const seen: DownloadProgress[] = [];
    await fetchInto({ onProgress: (progress) => seen.push(progress) });
    expect(inFolder()).toEqual([name]);
    expect(readFileSync(join(folder.path, name)).equals(bytes)).toBe(true);
    const counts = seen.map(({ received }) => received);
    expect(counts).toEqual([...counts].sort((a, b) => a - b));
    expect(seen.at(-1)).toEqual({ file: name, received: bytes.length, total: bytes.length });
    await fetchInto();
    expect(asked).toEqual([{ url: `/${name}`, range: undefined }]);
  });

  it('goes on where it was interrupted', async () => {
    let connection: ServerResponse | undefined;
    handle = (_request, response) => {
      connection = response.writeHead(200, { 'content-length': bytes.length });
      response.write(bytes.subarray(0, 70_000));
    };
    const onProgress = ({ received }: DownloadProgress): void => {
      if (received === 70_000) connection?.destroy();
    };
    const error = await failure(fetchInto({ onProgress }));
    expect(error).toMatchObject({ code: 'ERR_IO', details: { received: 70_000 } });
    expect(error.message).toContain(`${root}${name} was interrupted after 70000 of 200000 bytes (`);
    expect([inFolder(), sizeOf(`${name}.part`)]).toEqual([[`${name}.part`], 70_000]);
    handle = serve;
    const seen: number[] = [];
    await fetchInto({ onProgress: ({ received }) => seen.push(received) });
    expect(asked.map(({ range }) => range)).toEqual([undefined, 'bytes=70000-']);
    expect(Math.min(...seen)).toBeGreaterThan(70_000);
    expect(inFolder()).toEqual([name]);
    expect(readFileSync(join(folder.path, name)).equals(bytes)).toBe(true);
  });

  it('takes an end that comes too early for an interruption', async () => {
    handle = (_request, response) => response.end(bytes.subarray(0, 100));
    expect((await failure(fetchInto())).message).toMatch(/interrupted after 100 of 200000 bytes; /);
    expect(sizeOf(`${name}.part`)).toBe(100);
  });

  it('starts afresh where the server knows no ranges', async () => {
    writeFileSync(join(folder.path, `${name}.part`), 'other bytes');
    handle = (_request, response) => response.end(bytes);
    await fetchInto();
    expect(readFileSync(join(folder.path, name)).equals(bytes)).toBe(true);
  });

  it.each([
    ['refuses the range', 416, {}],
    ['answers another range', 206, { 'content-range': 'bytes 5-10/200000' }],
  ])('drops its part where the server %s', async (_what, status, headers) => {
    writeFileSync(join(folder.path, `${name}.part`), bytes.subarray(0, 100));
    handle = (_request, response) => response.writeHead(status, headers).end('x');
    expect(await failure(fetchInto())).toMatchObject({ code: 'ERR_IO', details: { status } });
    expect(inFolder()).toEqual([]);
    handle = serve;
    await fetchInto();
    expect(inFolder()).toEqual([name]);
  });

  it('keeps nothing of bytes that are not the published ones', async () => {
    const other = Buffer.from(bytes);
    other[1234]! ^= 1;
    handle = (_request, response) => response.end(other);
    const error = await failure(fetchInto());
    const actual = createHash('sha256').update(other).digest('hex');
    expect(error).toMatchObject({
      code: 'ERR_DATA',
      details: { expected: published.sha256, actual },
    });
    expect(error.message).toContain(`its SHA-256 is ${actual}; expected ${published.sha256}`);
    expect(inFolder()).toEqual([]);
  });

  it('keeps nothing of a part that was spoilt', async () => {
    writeFileSync(join(folder.path, `${name}.part`), Buffer.alloc(70_000));
    expect(await failure(fetchInto())).toMatchObject({ code: 'ERR_DATA' });
    expect(inFolder()).toEqual([]);
    await fetchInto();
    expect(inFolder()).toEqual([name]);
  });

  it('stops at the published size', async () => {
    handle = (_request, response) => response.end(Buffer.concat([bytes, bytes]));
    const error = await failure(fetchInto());
    expect(error.code).toBe('ERR_DATA');
    expect(error.message).toContain('has more than the 200000 bytes of the published numbers.bin');
    expect(inFolder()).toEqual([]);
  });

  it('tells the status of a server that refuses', async () => {
    handle = (_request, response) => response.writeHead(403).end('no');
    const error = await failure(fetchInto());
    expect(error).toMatchObject({ code: 'ERR_IO', details: { status: 403 } });
    expect(error.message).toBe(`${root}${name}: the server answers with status 403; expected 200`);
    expect(inFolder()).toEqual([]);
  });

  it('tells that there is no network', async () => {
    const closed = createServer();
    await new Promise<void>((resolve) => closed.listen(0, '127.0.0.1', resolve));
    const { port } = closed.address() as AddressInfo;
    await new Promise((resolve) => closed.close(resolve));
    const error = await failure(fetchInto({}, homeAt(`http://127.0.0.1:${port}/`)));
    expect(error.code).toBe('ERR_IO');
    expect(error.message).toMatch(
      /could not be reached \(.*ECONNREFUSED.*\); is there a network\?$/,
    );
    expect(error.cause).toHaveProperty('message', 'fetch failed');
  });

  it('tries the next source, and tells of all when none serves', async () => {
    handle = (request, response) =>
      request.url?.startsWith('/open/') ? serve(request, response) : response.writeHead(404).end();
    const closed = [`${root}first/`, `${root}second/`];
    const error = await failure(fetchInto({}, homeAt(...closed)));
    expect(error.message).toContain(`first/${name}: the server answers with status 404`);
    expect(error.message).toContain(`second/${name}: the server answers with status 404`);
    expect(error.message).toContain('Get "Numbers" from https://numbers.example/ by hand');
    await fetchInto({}, homeAt(...closed, `${root}open/`));
    expect(inFolder()).toEqual([name]);
  });

  it('can be cancelled, and goes on later', async () => {
    const controller = new AbortController();
    handle = (_request, response) => void response.write(bytes.subarray(0, 50_000));
    const cancelled = fetchInto({
      signal: controller.signal,
      onProgress: ({ received }) => received === 50_000 && controller.abort('enough'),
    });
    expect(await failure(cancelled)).toMatchObject({ code: 'ERR_ABORTED', cause: 'enough' });
    expect(sizeOf(`${name}.part`)).toBe(50_000);
    handle = serve;
    await fetchInto();
    expect(asked.at(-1)?.range).toBe('bytes=50000-');
    const early = await failure(
      downloadFiles(homeAt(root), [{ ...published, name: 'more.bin' }], folder.path, {
        signal: AbortSignal.abort('never'),
      }),
    );
    expect(early).toMatchObject({ code: 'ERR_ABORTED', cause: 'never' });
  });

  it('tells what the disk refuses', async () => {
    const path = join(folder.path, 'a-file');
    writeFileSync(path, '');
    const home = { ...homeAt(root), from: [root, root] };
    const error = await failure(downloadFiles(home, [published], path, {}));
    expect(error).toMatchObject({ code: 'ERR_IO' });
    // Once, whatever the number of sources.
    expect(error.message).toMatch(/^.* could not be written: E[^\n]*$/);
  });

  it('takes a compressed file for the plain one', async () => {
    writeFileSync(join(folder.path, `${name}.gz`), '');
    await fetchInto();
    expect(asked).toEqual([]);
  });
});

describe('loaders', () => {
  const chorales = { dir: '' };
  beforeEach(() => {
    chorales.dir = folder.path;
  });

  it('fetch nothing unless they are asked', () => {
    expect(() => datasets.jsbChorales(chorales)).toThrow(
      'get "JSB Chorales" from https://github.com/czhuang/JSB-Chorales-dataset, or ask for it with download: true',
    );
    expect(() => datasets.jsbChorales({ ...chorales, download: false })).toThrow('missing file');
  });

  it('read what has arrived', async () => {
    const read = (): string => readFileSync(join(folder.path, name), 'utf8');
    await expect(
      afterDownload('ett', folder.path, { mirror: root }, read, [published]),
    ).resolves.toBe(bytes.toString());
  });

  it.each([
    ['mnist', () => datasets.mnist({ dir: folder.path, download: { mirror: root } }), 4],
    ['ett', () => datasets.ett({ dir: folder.path, download: { mirror: root } }), 1],
    ['jsbChorales', () => datasets.jsbChorales({ ...chorales, download: { mirror: root } }), 1],
    ['imdb', () => datasets.imdb({ dir: folder.path, download: { mirror: root } }), 1],
  ] as const)('%s takes no other bytes than the published ones', async (data, load, files) => {
    handle = (_request, response) => response.end('[]');
    const error = await failure(load());
    expect(error).toMatchObject({ code: 'ERR_IO' });
    const { name: first, bytes: total } = homes[data].files[0];
    expect(error.message).toContain(`${root}${first} was interrupted after 2 of ${total} bytes`);
    expect(homes[data].files.length).toBeGreaterThanOrEqual(files);
  });

  it('ask for the one table that is wanted', async () => {
    handle = (_request, response) => response.writeHead(404).end();
    await failure(datasets.ett({ dir: folder.path, name: 'ETTh2', download: { mirror: root } }));
    expect(asked).toEqual([{ url: '/ETTh2.csv', range: undefined }]);
  });

  const review = { 'train/pos/0_9.txt': 'good', 'test/neg/0_1.txt': 'bad' };
  it.each<[string, string, (add: (path: string, bytes: string | Buffer) => void) => void]>([
    ['the folder aclImdb', '', (add) => addReviews(add, 'aclImdb/')],
    ['the unpacked folder itself', 'aclImdb', (add) => addReviews(add, 'aclImdb/')],
    ['aclImdb_v1.tar.gz', '', (add) => add('aclImdb_v1.tar.gz', packed(true))],
    ['aclImdb_v1.labelled.tar.gz', '', (add) => add('aclImdb_v1.labelled.tar.gz', packed(true))],
    ['aclImdb_v1.tar', '', (add) => add('aclImdb_v1.tar', packed(false))],
    ['an archive of any name', 'my.tar', (add) => add('my.tar', packed(false))],
  ])('imdb fetches nothing where there is %s', async (_name, below, put) => {
    put((path, content) => folder.write(path, content));
    const dir = join(folder.path, below);
    const promise = datasets.imdb({ dir, steps: 1, download: { mirror: root } });
    expect(promise).toBeInstanceOf(Promise);
    expect((await promise).train.stars).toEqual(Int32Array.of(9));
    expect(asked).toEqual([]);
  });

  function addReviews(add: (path: string, text: string) => void, below: string): void {
    for (const [path, text] of Object.entries(review)) add(`${below}${path}`, text);
  }

  function packed(gzip: boolean): Buffer {
    using tree = temporaryFolder();
    addReviews((path, text) => tree.write(path, text), 'aclImdb/');
    const file = join(tree.path, 'packed');
    create({ sync: true, gzip, cwd: tree.path, file }, ['aclImdb']);
    return readFileSync(file);
  }

  it('imdb puts an archive that is named where it is named', async () => {
    handle = (_request, response) => response.end(bytes.subarray(0, 9));
    const dir = join(folder.path, 'aclImdb_v1.tar.gz');
    await failure(datasets.imdb({ dir, download: { mirror: root } }));
    expect(inFolder()).toEqual(['aclImdb_v1.tar.gz.part']);
  });

  it('imdb reads the published archive where another one is named that is not there', async () => {
    folder.write('aclImdb_v1.tar.gz', packed(true));
    const dir = join(folder.path, 'aclImdb_v1.tar');
    const { train } = await datasets.imdb({ dir, steps: 1, download: { mirror: root } });
    expect(train.stars).toEqual(Int32Array.of(9));
    expect(asked).toEqual([]);
  });

  it('jsbChorales gives a promise also of a file that is named', async () => {
    folder.write('own.json', '{}');
    const dir = join(folder.path, 'own.json');
    const promise = datasets.jsbChorales({ dir, download: { mirror: root } });
    expect((await failure(promise)).message).toContain('expected a list of chorales');
    expect(asked).toEqual([]);
  });

  describe('of what is not fetched', () => {
    const ldc =
      /: its licence, of the Linguistic Data Consortium, .* Get it from https:\/\/catalog/;
    const closed: [string, (options: never) => unknown, RegExp][] = [
      ['ptb', datasets.ptb, ldc],
      ['timit', datasets.timit, ldc],
      ['spokenDigits', datasets.spokenDigits, /: GitHub packs .* Get it from https:\/\/github.com/],
      ['uciHar', datasets.uciHar, /: its archive is a zip .* Get it from https:\/\/archive.ics/],
      ['har', datasets.har, /: there is nothing to fetch; leave download out/],
    ];
    it.each(closed)('%s refuses, with the reason and the way', (data, load, reason) => {
      const refusal = (download: unknown): LookbackError =>
        failureOf(() => load({ dir: folder.path, download } as never));
      const error = refusal(true);
      expect(error.code).toBe('ERR_OPTION');
      expect(error.message).toMatch(reason);
      expect(error.message).toContain(`datasets.${data}: download is true, but `);
      expect(refusal({ mirror: root }).message).toContain(
        'download is an object with mirror, but ',
      );
      expect(refusal(false).code).toBe('ERR_DATA');
      expect(asked).toEqual([]);
    });

    it.each(closed)('%s does so in a configuration', (data, _load, reason) => {
      const config = (download: boolean) => ({
        data: { name: data, dir: folder.path, download },
        model: { layers: [{ kind: 'dense', units: 1 }] },
      });
      const error = failureOf(() => checkConfig(config(true), 'c.json'));
      expect(error.code).toBe('ERR_OPTION');
      expect(error.message).toMatch(reason);
      expect(error.message).toContain('c.json: data: download is true, but ');
      expect(checkConfig(config(false), 'c.json').data).toMatchObject({ download: false });
    });
  });

  it.each(['mnist', 'ett', 'jsbChorales', 'imdb'])('%s can be asked by a configuration', (data) => {
    const model = { layers: [{ kind: 'dense', units: 1 }] };
    const asking = { name: data, dir: folder.path, download: true };
    expect(checkConfig({ data: asking, model }, 'c.json').data).toEqual(asking);
  });

  it.each([
    ['yes' as never, 'download is "yes"'],
    [{ mirror: 'ftp://numbers.example/' }, 'a mirror that begins with https:// or http://'],
    [{ progress: 1 } as never, 'download'],
  ])('refuse %j', (download, message) => {
    expect(() => datasets.mnist({ dir: folder.path, download })).toThrow(message);
    expect(asked).toEqual([]);
  });
});
