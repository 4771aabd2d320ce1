/**
 * A small tree with the layout of the official UCI HAR download.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';

export const SIGNALS = [
  'body_acc_x',
  'body_acc_y',
  'body_acc_z',
  'body_gyro_x',
  'body_gyro_y',
  'body_gyro_z',
  'total_acc_x',
  'total_acc_y',
  'total_acc_z',
];

export const TREE = {
  train: { labels: [1, 6, 3], subjects: [4, 4, 17] },
  test: { labels: [2, 5], subjects: [30, 9] },
} as const;
export type Part = keyof typeof TREE;

/** A number that says where it stands; seven digits, as the official files have. */
export function valueAt(part: Part, row: number, step: number, feature: number): number {
  const size = (part === 'train' ? 1 : 2) + row * 0.1 + step * 0.0001 + feature * 0.01;
  return Number((step % 2 ? -size : size).toExponential(6)) / 10 ** (feature % 4);
}

/** The official notation: 16 characters, three digits in the exponent, seven significant ones and a 0. */
export function officialNumber(value: number): string {
  const [mantissa = '', exponent = ''] = value.toExponential(6).split('e');
  const sign = exponent.startsWith('-') ? '-' : '+';
  const digits = exponent.replace(/[+-]/, '').padStart(3, '0');
  return `${mantissa}0e${sign}${digits}`.padStart(16);
}

export function signalText(part: Part, feature: number): string {
  const rows = TREE[part].labels.map((_, row) => {
    const numbers = Array.from({ length: 128 }, (__, step) => valueAt(part, row, step, feature));
    return numbers.map(officialNumber).join('');
  });
  return rows.map((row) => `${row} \n`).join('');
}

/** Every file of the tree, by its path. */
export function treeFiles(): Map<string, string> {
  const files = new Map<string, string>();
  for (const part of ['train', 'test'] as const) {
    files.set(`${part}/y_${part}.txt`, `${TREE[part].labels.join('\n')}\n`);
    files.set(`${part}/subject_${part}.txt`, `${TREE[part].subjects.join('\n')}\n`);
    SIGNALS.forEach((signal, feature) => {
      files.set(`${part}/Inertial Signals/${signal}_${part}.txt`, signalText(part, feature));
    });
  }
  return files;
}

export interface Folder extends Disposable {
  readonly path: string;
  write(file: string, content: string | Uint8Array): void;
}

/** A folder for one test, removed with everything in it. */
export function temporaryFolder(): Folder {
  const path = mkdtempSync(join(tmpdir(), 'lookback-data-'));
  return {
    path,
    write: (file, content) => {
      mkdirSync(dirname(join(path, file)), { recursive: true });
      writeFileSync(join(path, file), content);
    },
    [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }),
  };
}

/** Writes the tree, plain or compressed; `replace` gives other contents, or `null` for a file that is missing. */
export function writeTree(
  replace: Record<string, string | Uint8Array | null> = {},
  { compressed = false, below = '' } = {},
): Folder {
  const folder = temporaryFolder();
  for (const [file, text] of treeFiles()) {
    if (replace[file] === null) continue;
    const content = replace[file] ?? text;
    const signal = file.includes('Inertial Signals');
    if (compressed && signal) {
      const packed = typeof content === 'string' ? gzipSync(content) : content;
      folder.write(join(below, `${file}.gz`), packed);
    } else {
      folder.write(join(below, file), content);
    }
  }
  return folder;
}
