/**
 * Runs files of test vectors through the public API and compares every tensor:
 *
 *   npm run --silent oracle -- [--device cpu|cuda|emulated] [--dtype float64|float32] PATH...
 *
 * One line a case, then the sums; exit code 1 where a case fails, 2 for wrong arguments.
 */
import { parseArgs } from 'node:util';
import type { Device, DType } from 'lookback';
import { judge } from './compare';
import type { How } from './compute';
import { compute } from './compute';
import { findCases, readCase } from './vectors';

function readArguments(): { how: How; paths: string[] } {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      device: { type: 'string', default: 'cpu' },
      dtype: { type: 'string', default: 'float64' },
    },
  });
  if (!['cpu', 'cuda', 'emulated'].includes(values.device))
    throw new Error(`--device ${values.device}; expected cpu, cuda or emulated`);
  if (!['float64', 'float32'].includes(values.dtype))
    throw new Error(`--dtype ${values.dtype}; expected float64 or float32`);
  if (positionals.length === 0)
    throw new Error('no paths; expected files or folders of test vectors');
  return {
    how: { device: values.device as Device, dtype: values.dtype as DType },
    paths: findCases(positionals),
  };
}

/** Prints the case's line; true where it passes. */
async function runCase(path: string, how: How): Promise<boolean> {
  let name = path;
  try {
    const vectors = readCase(path);
    name = vectors.name;
    const cell = String(vectors.config['cell']);
    const { ok, tensor, error, bound, relative, note } = judge(
      vectors,
      cell,
      how.dtype,
      await compute(vectors, how),
    );
    const numbers = `error=${error.toExponential(1)} bound=${bound.toExponential(1)}`;
    console.log(
      ok
        ? `ok ${name} worst=${relative.toExponential(1)} ${tensor}`
        : `FAIL ${name} ${tensor} ${numbers}${note ? ` (${note})` : ''}`,
    );
    return ok;
  } catch (error) {
    console.log(`FAIL ${name} - ${error instanceof Error ? error.message : String(error)}`);
    return false;
  }
}

async function main(): Promise<number> {
  let chosen: ReturnType<typeof readArguments>;
  try {
    chosen = readArguments();
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    return 2;
  }
  let failed = 0;
  for (const path of chosen.paths) if (!(await runCase(path, chosen.how))) failed += 1;
  console.log(`${chosen.paths.length - failed} passed, ${failed} failed`);
  return failed === 0 && chosen.paths.length > 0 ? 0 : 1;
}

void main().then((code) => {
  process.exitCode = code;
});
