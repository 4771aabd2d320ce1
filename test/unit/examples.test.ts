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

/** What documents take for granted, with its types. */
const assumedTypes: Readonly<Record<string, string>> = {
  model: 'lookback.Model',
  served: 'lookback.Model',
  train: '{ x: lookback.Tensor<Float32Array>; y: Int32Array }',
  held: '{ x: lookback.Tensor<Float32Array>; y: Int32Array }',
  x: 'lookback.Tensor',
  dLoss: 'lookback.Tensor',
  weights: 'Record<string, lookback.Tensor>',
  stateDict: 'Record<string, lookback.Tensor>',
  sensor: 'AsyncIterable<Float32Array>',
};

/** What TypeScript says of examples as modules, one error a line; parameters may go without a type, as in JavaScript. */
function typeErrors(given: readonly Example[]): string[] {
  const texts = new Map(
    given.map(({ code }, at) => {
      const declares = (name: string): boolean =>
        new RegExp(`(const|let) ([[{][^}\\]]*\\b)?${name}\\b|import \\{[^}]*\\b${name}\\b`).test(
          code,
        );
      const lines = [
        ...Object.keys(lookback)
          .filter((name) => name !== '__esModule' && !declares(name))
          .map((name) => `const ${name} = lookback.${name};`),
        ...Object.entries(assumedTypes)
          .filter(([name]) => !declares(name))
          .map(([name, type]) => `declare const ${name}: ${type};`),
      ];
      const head = `import * as lookback from 'lookback'; ${lines.join(' ')}`;
      return [join(lib, `example-${at}.ts`), `${head}\n${code}\nexport {};\n`] as const;
    }),
  );
  const options: ts.CompilerOptions = {
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    lib: ['lib.es2023.d.ts', 'lib.esnext.disposable.d.ts'],
    types: ['node'],
    typeRoots: [join(lib, '..', 'node_modules', '@types')],
    paths: { lookback: [join(lib, 'index.ts')] },
    strict: true,
    noImplicitAny: false,
    noEmit: true,
    skipLibCheck: true,
  };
  const host = ts.createCompilerHost(options);
  const { getSourceFile, fileExists, readFile } = host;
  host.fileExists = (path) => texts.has(path) || fileExists(path);
  host.readFile = (path) => texts.get(path) ?? readFile(path);
  host.getSourceFile = (path, ...rest) => {
    const text = texts.get(path);
    return text === undefined
      ? getSourceFile(path, ...rest)
      : ts.createSourceFile(path, text, ts.ScriptTarget.ES2022);
  };
  const checked = ts.createProgram([...texts.keys()], options, host);
  return [...texts.keys()].flatMap((path, at) =>
    ts
      .getPreEmitDiagnostics(checked, checked.getSourceFile(path))
      .map(
        ({ messageText }) =>
          `${given[at]?.where}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`,
      ),
  );
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
    'gpu',
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

  it('docs/getting-started.md: the first example learns', async () => {
    const [{ code } = { code: '' }] = documentExamples('docs/getting-started.md');
    const check =
      "if (!(history.history.valLoss.at(-1) < 0.01)) throw new Error('nothing learnt');";
    await runExample(`${code}\n${check}`);
  });

  it('of documents have sound types', () => {
    const files = [...guides.map((guide) => `docs/${guide}.md`), 'docs/weights.md', 'README.md'];
    const found = files.flatMap((file) => documentExamples(file));
    expect(typeErrors([{ where: 'wrong', code: 'const x: string = sequential;' }])).toEqual([
      expect.stringContaining('wrong: '),
    ]);
    expect(typeErrors(found)).toEqual([]);
  }, 120_000);

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
