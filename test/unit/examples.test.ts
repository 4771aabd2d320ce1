/**
 * Every `@example` in the doc comments of lib/ runs as it stands, given the few names that examples take for granted.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import ts from 'typescript';
import * as lookback from '../../lib';
import { tinyData } from './support/tiny';

const lib = join(__dirname, '..', '..', 'lib');

interface Example {
  where: string;
  code: string;
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

/** Examples of data that does not come with the repository. */
const needsDownload = /uciHar\(/;

describe('examples', () => {
  const found = examples();

  it('are there', () => {
    expect(found.length).toBeGreaterThan(3);
  });

  it.each(found.filter(({ code }) => !needsDownload.test(code)))('$where', async ({ code }) => {
    const options = {
      compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.CommonJS },
    };
    const plain = ts.transpileModule(`(async () => {\n${code}\n})()`, options).outputText;
    const given = assumed();
    // An example that declares a name does not take it for granted.
    const used = Object.keys(given).filter(
      (name) => !new RegExp(`(const|let) (\\{[^}]*\\b)?${name}\\b`).test(code),
    );
    // eslint-disable-next-line @typescript-eslint/no-implied-eval -- the code is the repository's own documentation
    const run = new Function(...used, `return ${plain}`) as (
      ...values: unknown[]
    ) => Promise<unknown>;
    const log = jest.spyOn(process.stdout, 'write').mockImplementation(() => true);
    try {
      await run(...used.map((name) => given[name]));
    } finally {
      log.mockRestore();
    }
  });
});
