/**
 * Every `@example` in the doc comments of lib/, and every example of the README and of the guides in docs/, runs as it
 * stands, given the few names that examples take for granted. The README's training run is cut to one epoch.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import ts from 'typescript';
import * as lookback from '../../lib';
import { tinyData } from './support/tiny';

const lib = join(__dirname, '..', '..', 'lib');

interface Example {
  where: string;
  code: string;
}

/** The TypeScript of a document, named by its headings. */
function documentExamples(path: string): Example[] {
  const text = readFileSync(join(lib, '..', path), 'utf8');
  return [...text.matchAll(/^## (.+)$|^```ts\n([\s\S]*?)^```$/gm)].flatMap((match, at, all) => {
    const heading =
      all
        .slice(0, at)
        .reverse()
        .find(([, title]) => title !== undefined)?.[1] ?? '';
    return match[2] === undefined ? [] : [{ where: `${path}: ${heading}`, code: match[2] }];
  });
}

function examples(): Example[] {
  const files = readdirSync(lib, { recursive: true, encoding: 'utf8' }).filter((file) =>
    file.endsWith('.ts'),
  );
  return files.flatMap((file) => {
    const text = readFileSync(join(lib, file), 'utf8');
    return [...text.matchAll(/@example\n[\s*]*```ts\n([\s\S]*?)```/g)].map((match) => ({
      where: `${relative(lib, join(lib, file))}: ${(match[1] ?? '').split('\n')[0]?.replace(/^ *\* ?/, '') ?? ''}`,
      code: (match[1] ?? '').replace(/^ *\* ?/gm, ''),
    }));
  });
}

/** What examples may use beside the public names. */
function assumed(): Record<string, unknown> {
  const train = tinyData(64);
  const { layers, sequential } = lookback;
  const model = sequential({
    inputShape: [6, 2],
    layers: [layers.lstm({ units: 2 }), layers.dense({ units: 2 })],
  });
  model.compile({ optimizer: 'adam', loss: 'sparseCategoricalCrossentropy' });
  return {
    ...lookback,
    model,
    train,
    held: train,
    x: { shape: [1, 3, 1], data: Float64Array.of(1, 2, 3) },
    W_x: new Float64Array(8),
    W_h: new Float64Array(16),
  };
}

/** Zeros in the shapes of a cell's weights. */
function zeroWeights(cell: lookback.Cell): Record<string, lookback.Tensor> {
  const zeros = (shape: number[]): lookback.Tensor => ({
    shape,
    data: new Float64Array(shape.reduce((size, dim) => size * dim, 1)),
  });
  return Object.fromEntries(cell.weights.map(({ name, shape }) => [name, zeros([...shape])]));
}

/** The second layer of an encoder in PyTorch's names: a GRU of 64 units over 9 inputs. */
function pytorchEncoder(): Record<string, lookback.Tensor> {
  const tensor = (...shape: number[]): lookback.Tensor => ({
    shape,
    data: new Float32Array(shape.reduce((size, dim) => size * dim, 1)).fill(0.1),
  });
  return {
    'encoder.weight_ih_l1': tensor(192, 9),
    'encoder.weight_hh_l1': tensor(192, 64),
    'encoder.bias_ih_l1': tensor(192),
    'encoder.bias_hh_l1': tensor(192),
  };
}

async function runExample(code: string, more: Record<string, unknown> = {}): Promise<void> {
  const options = {
    compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.CommonJS },
  };
  // The names of the package are there without it.
  const body = code.replace(/^import \{[^}]*\} from 'lookback';$/gm, '');
  const plain = ts.transpileModule(`async function example() {\n${body}\n}`, options).outputText;
  const given = { ...assumed(), ...more };
  // An example that declares a name does not take it for granted.
  const used = Object.keys(given).filter(
    (name) => !new RegExp(`(const|let) (\\{[^}]*\\b)?${name}\\b`).test(code),
  );
  // eslint-disable-next-line @typescript-eslint/no-implied-eval -- the code is the repository's own documentation
  const run = new Function(...used, `${plain}\nreturn example();`) as (
    ...values: unknown[]
  ) => Promise<unknown>;
  const silenced = [
    jest.spyOn(process.stdout, 'write').mockImplementation(() => true),
    jest.spyOn(console, 'log').mockImplementation(() => undefined),
  ];
  // What an example writes lands in a folder that goes with it.
  const [before, folder] = [process.cwd(), mkdtempSync(join(tmpdir(), 'lookback-example-'))];
  process.chdir(folder);
  try {
    await run(...used.map((name) => given[name]));
  } finally {
    process.chdir(before);
    rmSync(folder, { recursive: true });
    for (const spy of silenced) spy.mockRestore();
  }
}

/** Examples of data that does not come with the repository. */
const needsDownload = /'downloads\//;

describe('examples', () => {
  const guides = [
    'getting-started',
    'cells',
    'data',
    'custom-training-loop',
    'streaming-and-serving',
    'checkpoints',
    'from-tfjs',
    'from-pytorch',
  ];
  const found = [...examples(), ...guides.flatMap((guide) => documentExamples(`docs/${guide}.md`))];

  it('run: one that fails is noticed', async () => {
    await expect(runExample('await Promise.reject(new Error("noticed"))')).rejects.toThrow(
      'noticed',
    );
  });

  it('are there', () => {
    expect(found.length).toBeGreaterThan(3);
  });

  it.each(found.filter(({ code }) => !needsDownload.test(code)))('$where', ({ code }) =>
    runExample(code),
  );

  it('docs/weights.md: the layer of another library', async () => {
    const [{ code } = { code: '' }] = documentExamples('docs/weights.md');
    expect(code).toContain('importWeights');
    const x = { shape: [1, 3, 9], data: new Float32Array(27) };
    await runExample(code, { stateDict: pytorchEncoder(), x });
  });

  it('README.md: training, serving step by step, one cell', async () => {
    const [training, serving, cell, ...others] = documentExamples('README.md');
    expect(others).toEqual([]);
    const short = (training?.code ?? '').replace('epochs: 10', 'epochs: 1');
    expect(short).not.toEqual(training?.code);
    const sensor = [0, 1, 2].map((at) => new Float32Array(9).fill(at));
    await runExample(`${short}\n${serving?.code ?? ''}`, { sensor });
    const x = { shape: [1, 2, 3], data: Float64Array.of(1, 2, 3, 4, 5, 6) };
    const dLoss = { shape: [1, 2, 4], data: new Float64Array(8).fill(1) };
    const like = lookback.cells.lstm({ inputSize: 3, units: 4 }, { dtype: 'float64' });
    await runExample(cell?.code ?? '', { x, dLoss, weights: zeroWeights(like) });
  }, 120_000);
});
