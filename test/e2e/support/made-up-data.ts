/**
 * Small files in the formats of the published data sets, by the name of the example that reads them.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Unsigned bytes in the format of MNIST. */
function idx(shape: number[], at: (index: number) => number): Buffer {
  const head = Buffer.alloc(4 + 4 * shape.length);
  head[2] = 8;
  head[3] = shape.length;
  shape.forEach((size, axis) => head.writeUInt32BE(size, 4 + 4 * axis));
  const count = shape.reduce((product, size) => product * size, 1);
  return Buffer.concat([head, Uint8Array.from({ length: count }, (_, index) => at(index))]);
}

/** A tone at 8 kHz, mono, 16 bits. */
function wav(samples: number, pitch: number): Buffer {
  const bytes = Buffer.alloc(44 + 2 * samples);
  bytes.write('RIFF', 0);
  bytes.writeUInt32LE(36 + 2 * samples, 4);
  bytes.write('WAVEfmt ', 8);
  bytes.writeUInt32LE(16, 16);
  bytes.writeUInt16LE(1, 20);
  bytes.writeUInt16LE(1, 22);
  bytes.writeUInt32LE(8000, 24);
  bytes.writeUInt32LE(16000, 28);
  bytes.writeUInt16LE(2, 32);
  bytes.writeUInt16LE(16, 34);
  bytes.write('data', 36);
  bytes.writeUInt32LE(2 * samples, 40);
  for (let at = 0; at < samples; at += 1) {
    bytes.writeInt16LE(Math.round(8000 * Math.sin(at * pitch)), 44 + 2 * at);
  }
  return bytes;
}

/** Writes the files of an example into a folder. */
export const madeUp: Record<string, (dir: string) => void> = {
  mnist(dir) {
    for (const [part, n] of [
      ['train', 40],
      ['t10k', 20],
    ] as const) {
      const image = idx([n, 28, 28], (index) => (index * 31) % 256);
      writeFileSync(join(dir, `${part}-images-idx3-ubyte`), image);
      writeFileSync(
        join(dir, `${part}-labels-idx1-ubyte`),
        idx([n], (index) => index % 10),
      );
    }
  },
  'ptb-characters'(dir) {
    const text = ' the cat sat on the mat \n <unk> dogs N \n'.repeat(20);
    for (const part of ['train', 'valid', 'test'])
      writeFileSync(join(dir, `ptb.${part}.txt`), text);
  },
  imdb(dir) {
    for (const part of ['train', 'test']) {
      for (const [sign, word, stars] of [
        ['neg', 'not', 2],
        ['pos', 'so', 9],
      ] as const) {
        const folder = join(dir, 'aclImdb', part, sign);
        mkdirSync(folder, { recursive: true });
        for (let id = 0; id < 4; id += 1)
          writeFileSync(join(folder, `${id}_${stars}.txt`), `A film that is ${word} good.`);
      }
    }
  },
  ett(dir) {
    const rows = Array.from({ length: 14_400 }, (_, hour) => {
      const load = Math.sin((hour * Math.PI) / 12);
      return `${hour},${[1, 2, 3, 4, 5, 6, 20].map((base) => (base + load).toFixed(3)).join(',')}\n`;
    });
    const head = 'date,HUFL,HULL,MUFL,MULL,LUFL,LULL,OT\n';
    writeFileSync(join(dir, 'ETTh1.csv'), head + rows.join(''));
  },
  'spoken-digits'(dir) {
    for (const speaker of ['ann', 'bob'])
      for (const digit of [0, 1])
        for (const index of [3, 4, 5, 6, 7]) {
          const file = join(dir, `${digit}_${speaker}_${index}.wav`);
          writeFileSync(file, wav(800 + 40 * index, 0.1 + 0.3 * digit));
        }
  },
};
