/**
 * Who may include or import whom. A rule that is broken on purpose is changed here, with the reason.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';

const root = join(__dirname, '..', '..');

function filesUnder(folder: string, ending: RegExp): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && ending.test(entry.name))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)));
}

/** Every pair of a file of ours and a file of ours that it names. */
function edges(
  folder: string,
  ending: RegExp,
  line: RegExp,
  target: (from: string, name: string) => string | null,
): [string, string][] {
  return filesUnder(folder, ending).flatMap((from) => {
    const text = readFileSync(join(root, from), 'utf8');
    return [...text.matchAll(line)]
      .map((match) => target(from, match[1] ?? ''))
      .filter((to) => to !== null)
      .map((to): [string, string] => [from, to]);
  });
}

const includes = edges('native', /\.(h|cc|cu|cuh)$/, /^#include "([^"]+)"/gm, (_from, name) =>
  join('native', name),
);
const imports = edges('lib', /\.ts$/, /from '(\.[^']+)'|import\('(\.[^']+)'\)/g, (from, name) =>
  name === '' ? null : normalize(join(dirname(from), name)),
);

/** What both devices build on: the loop over time, its arguments, what the host does for a cell, and the table of a
 * device's kernels. */
const betweenDevices = [
  'array_space',
  'backend',
  'barrier',
  'block_stride',
  'cell_host',
  'derived',
  'driver',
  'exchange',
  'layer_stack',
  'masks',
  'segmented',
  'sequence',
  'tensors',
  'walk',
].map((name) => `native/backend/${name}.h`);

/** What the files of a folder may include, folders by their prefix. */
const mayInclude: [folder: string, allowed: string[]][] = [
  ['native/base/', ['native/base/']],
  ['native/math/', ['native/base/', 'native/math/']],
  [
    'native/cells/',
    // A cell names its way from parameters to matrices; the headers are free of Eigen (below).
    ['native/base/', 'native/math/', 'native/parametrization/', 'native/cells/'],
  ],
  ['native/parametrization/', ['native/base/', 'native/ops/', 'native/parametrization/']],
  ['native/ops/', ['native/base/', 'native/math/', 'native/ops/']],
  [
    'native/backend/cpu/',
    [
      'native/base/',
      'native/math/',
      'native/cells/',
      'native/ops/',
      ...betweenDevices,
      'native/backend/cpu/',
    ],
  ],
  [
    'native/backend/cuda/',
    [
      'native/base/',
      'native/math/',
      'native/cells/',
      'native/ops/',
      ...betweenDevices,
      'native/backend/cuda/',
    ],
  ],
  // Orthogonal starts are linear algebra on the host, whatever the device.
  [
    'native/model/',
    ['native/base/', 'native/ops/linalg.h', 'native/backend/backend.h', 'native/model/'],
  ],
  [
    'native/bridge/',
    // Operations on parameters need no model.
    [
      'native/base/',
      'native/backend/backend.h',
      'native/model/',
      'native/parametrization/operations.h',
      'native/bridge/',
    ],
  ],
];

describe('native', () => {
  it('has includes to check', () => {
    expect(includes.length).toBeGreaterThan(20);
  });

  it.each(mayInclude)('%s includes only what lies below it', (folder, allowed) => {
    const wrong = includes.filter(
      ([from, to]) => from.startsWith(folder) && !allowed.some((prefix) => to.startsWith(prefix)),
    );
    expect(wrong).toEqual([]);
  });

  it('cells do not include each other', () => {
    const shared = [
      'cell',
      'elman',
      'extensions',
      'gates',
      'norm',
      'normalized',
      'orthogonal',
      'registry',
    ];
    // Parts of one cell, such as larnn.h and larnn_declare.h, count as that cell.
    const cellOf = (file: string) => /^native\/cells\/([a-z]+)/.exec(file)?.[1] ?? null;
    const wrong = includes.filter(([from, to]) => {
      const [own, other] = [cellOf(from), cellOf(to)];
      if (own === null || other === null || own === other) return false;
      return !shared.includes(own) && !shared.includes(other);
    });
    expect(wrong).toEqual([]);
  });

  it('only sources of the core know Eigen, and no header', () => {
    const wrong = filesUnder('native', /\.(h|cc|cu|cuh)$/).filter(
      (file) =>
        !/^native\/(ops|parametrization)\/\w+\.cc$/.test(file) &&
        /#include <Eigen/.test(readFileSync(join(root, file), 'utf8')),
    );
    expect(wrong).toEqual([]);
  });

  it('only the bridge knows Node', () => {
    const wrong = filesUnder('native', /\.(h|cc|cu|cuh)$/).filter(
      (file) =>
        !file.startsWith('native/bridge/') &&
        /#include <(napi|node_api)/.test(readFileSync(join(root, file), 'utf8')),
    );
    expect(wrong).toEqual([]);
  });

  it('the model names no cell and the bridge no layer kind', () => {
    const names = (folder: string, words: RegExp) =>
      filesUnder(folder, /\.(h|cc)$/).filter((file) =>
        words.test(readFileSync(join(root, file), 'utf8').replace(/\/\/.*$/gm, '')),
      );
    expect(names('native/model', /"(lstm|larnn|gru|rra)"/)).toEqual([]);
    expect(names('native/bridge', /"(lstm|larnn|dense|dropout)"/)).toEqual([]);
  });
});

describe('lib', () => {
  it('has imports to check', () => {
    expect(imports.length).toBeGreaterThan(50);
  });

  it('only native.ts touches the addon', () => {
    const wrong = filesUnder('lib', /\.ts$/).filter(
      (file) =>
        file !== 'lib/native.ts' &&
        /lookback\.node|createRequire|process\.dlopen/.test(readFileSync(join(root, file), 'utf8')),
    );
    expect(wrong).toEqual([]);
  });

  it.each([
    ['lib/cells/', ['lib/cells/', 'lib/errors', 'lib/options', 'lib/tensor', 'lib/native']],
    // What a loader does to text and tables is what a model does to them when it serves.
    [
      'lib/data/',
      [
        'lib/data/',
        'lib/preprocessing/',
        'lib/errors',
        'lib/options',
        'lib/tensor',
        // What a disk refuses is told in one way, whoever writes.
        'lib/storage/folders',
        'lib/storage/reasons',
      ],
    ],
    ['lib/preprocessing/', ['lib/preprocessing/', 'lib/errors', 'lib/options', 'lib/tensor']],
    [
      'lib/storage/',
      [
        'lib/storage/',
        'lib/errors',
        'lib/options',
        'lib/tensor',
        'lib/native',
        'lib/model-options',
        // Scales are part of a model's file.
        'lib/preprocessing/preprocessing',
      ],
    ],
  ])('%s imports only what it needs', (folder, allowed) => {
    const wrong = imports.filter(
      ([from, to]) => from.startsWith(folder) && !allowed.some((prefix) => to.startsWith(prefix)),
    );
    expect(wrong).toEqual([]);
  });

  it('nothing but the command line imports the command line or the report', () => {
    const upper = /^lib\/(cli|report)\//;
    const wrong = imports.filter(([from, to]) => upper.test(to) && !upper.test(from));
    expect(wrong).toEqual([]);
  });

  it('nothing imports the public surface', () => {
    expect(imports.filter(([, to]) => to === 'lib/index')).toEqual([]);
  });
});
