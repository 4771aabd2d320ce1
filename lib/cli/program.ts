/**
 * The commands and options of `lookback`. Commands are loaded when they are called, so that `doctor` and `build` work
 * where the native addon is missing.
 */
import { Command } from 'commander';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../native';
import type { BenchOptions } from './bench';
import { makeOutput } from './output';

const exitCodeHelp = `
Exit codes: 0 ok, 1 internal or numeric, 2 usage, 3 data, 4 device, 75 interrupted after a checkpoint.`;

interface Json {
  json?: boolean;
}

/** A new parser: commander keeps what it has parsed. Over 60 lines: the commands, one after the other as help shows them. */
export function program(): Command {
  const root = new Command('lookback')
    .description('Train and serve long-memory recurrent networks.')
    .version(version())
    .addHelpText(
      'after',
      `${examplesText('train examples/har/config.json', 'evaluate runs/har')}\n${exitCodeHelp}`,
    )
    .exitOverride();
  const json = ['--json', 'print one JSON object a line'] as const;
  const config = [
    '--config <file>',
    'the configuration that names the data (default: config.json beside the model)',
  ] as const;
  const set = [
    '--set <key=value>',
    'override one option of the configuration',
    collect,
    [],
  ] as const;

  root
    .command('train <config>')
    .description('train a model as a JSON configuration says')
    .option(...set)
    .option(
      '--resume',
      'go on from the last checkpoint, bit for bit; start afresh where there is none',
    )
    .option(...json)
    .addHelpText(
      'after',
      examplesText(
        'train examples/har/config.json',
        'train examples/har/config.json --resume',
        'train examples/har/config.json --set epochs=5 --set "model.layers[0].units=64" --set out=runs/wide',
      ),
    )
    .action(async (config: string, options: Json & { set: string[]; resume?: boolean }) => {
      const { train } = await import('./train.js');
      const { set: sets, resume = false } = options;
      process.exitCode = await train(
        config,
        { set: sets, resume },
        makeOutput(options.json === true),
      );
    });
  root
    .command('evaluate <run>')
    .description('loss and metrics of a run folder or model file on the test part of its data')
    .option(...config)
    .option(...set)
    .option(...json)
    .addHelpText(
      'after',
      examplesText('evaluate runs/har', 'evaluate model.safetensors --config config.json --json'),
    )
    .action(async (run: string, options: Json & { set: string[]; config?: string }) => {
      const { evaluate } = await import('./evaluate.js');
      await evaluate(run, options, makeOutput(options.json === true));
    });
  root
    .command('predict <run> [input]')
    .description(
      'outputs for sequences in a JSON file, [rows][steps][features], or for the test part of the data',
    )
    .option(...config)
    .option(...set)
    .option(...json)
    .addHelpText(
      'after',
      examplesText('predict runs/har', 'predict runs/har sequences.json --json'),
    )
    .action(
      async (
        run: string,
        input: string | undefined,
        options: Json & { set: string[]; config?: string },
      ) => {
        const { predict } = await import('./predict.js');
        await predict(run, input, options, makeOutput(options.json === true));
      },
    );
  root
    .command('inspect <files...>')
    .description('what model files, checkpoints or run folders hold')
    .option(...json)
    .addHelpText(
      'after',
      examplesText(
        'inspect runs/har',
        'inspect runs/*/model.safetensors',
        'inspect runs/har/checkpoints/last.safetensors --json',
      ),
    )
    .action(async (files: string[], options: Json) => {
      const { inspect } = await import('./inspect.js');
      for (const file of files) await inspect(file, makeOutput(options.json === true));
    });
  root
    .command('compare <runs...>')
    .description('results, learning curves and configurations of several run folders on one page')
    .option('--out <file>', 'the page', 'comparison.html')
    .option(...json)
    .addHelpText('after', examplesText('compare runs/har runs/har-lstm'))
    .action(async (runs: string[], options: Json & { out: string }) => {
      const { compare } = await import('./compare.js');
      await compare(runs, options.out, makeOutput(options.json === true));
    });

  root
    .command('bench [cells...]')
    .description('how fast one recurrent layer of each cell runs here, forward and with backward')
    .option('--batch <n>', 'rows', '64')
    .option('--steps <n>', 'time steps of each row', '128')
    .option('--features <n>', 'features of each step', '9')
    .option('--units <n>', 'hidden units', '128')
    .option('--samples <n>', 'of which the median counts', '20')
    .option('--threads <n>', '0: what the machine gives', '0')
    .option('--device <name>', 'auto, cpu or cuda', 'cpu')
    .option('--dtype <name>', 'float32 or float64', 'float32')
    .option(...json)
    .addHelpText(
      'after',
      examplesText(
        'bench',
        'bench lstm larnn --units 64 --threads 1',
        'bench gru --batch 1 --json',
      ),
    )
    .action(async (cells: string[], options: Json & BenchOptions) => {
      const { bench } = await import('./bench.js');
      const { json: asJson, ...rest } = options;
      await bench(cells, rest, makeOutput(asJson === true));
    });

  root
    .command('schema')
    .description('the JSON Schema of a configuration, for editors')
    .option(...json)
    .addHelpText('after', examplesText('schema > lookback.schema.json'))
    .action(async (options: Json) => {
      const { schema } = await import('./schema.js');
      schema(makeOutput(options.json === true));
    });

  root
    .command('doctor')
    .description('what was found on this machine, which kernel is in use, and why')
    .option(...json)
    .addHelpText('after', examplesText('doctor', 'doctor --json'))
    .action(async (options: Json) => {
      const { doctor } = await import('./doctor.js');
      process.exitCode = doctor(makeOutput(options.json === true));
    });
  root
    .command('build')
    .description('build the native addon')
    .option('--cuda', 'and the CUDA library, which needs nvcc and takes minutes')
    .option(...json)
    .addHelpText('after', examplesText('build'))
    .action(async (options: Json & { cuda?: boolean }) => {
      const { build } = await import('./build.js');
      process.exitCode = await build(makeOutput(options.json === true), options);
    });
  return root;
}

function examplesText(...lines: string[]): string {
  const shown = lines.map((line) => `  $ npx lookback ${line}`);
  return `\n${lines.length > 1 ? 'Examples' : 'Example'}:\n${shown.join('\n')}`;
}

function collect(value: string, before: readonly string[]): string[] {
  return [...before, value];
}

function version(): string {
  const manifest = JSON.parse(readFileSync(join(packageRoot, 'package.json'), 'utf8')) as {
    version: string;
  };
  return manifest.version;
}
