/**
 * Models by the one option `device`, beside the same models on the CPU:
 *
 *   node scripts/tool.cjs test/device/run.ts [--device cuda|emulated] [--speed] [NAME...]
 *
 * Every case of cases.ts in both number types, then files, checkpoints, cancelling and running out of memory; with NAMEs
 * only what contains one of them. `--speed` then measures what docs/gpu.md aims at. One line each, then the sums; exit code
 * 1 where one fails, 2 for wrong arguments, 4 where there is no such device.
 */
import { parseArgs } from 'node:util';
import type { Device, DType } from 'lookback';
import { LookbackError, sequential } from 'lookback';
import type { DeviceCase } from './cases';
import { CASES } from './cases';
import { CHECKS } from './checks';
import { BOUNDS, compute, worstOf } from './compare';
import { measureSpeed } from './speed';

interface Arguments {
  device: Device;
  speed: boolean;
  names: string[];
}

function readArguments(): Arguments {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      device: { type: 'string', default: 'cuda' },
      speed: { type: 'boolean', default: false },
    },
  });
  if (!['cuda', 'emulated'].includes(values.device))
    throw new Error(`--device ${values.device}; expected cuda or emulated`);
  return { device: values.device as Device, speed: values.speed, names: positionals };
}

async function runCase(given: DeviceCase, device: Device, dtype: DType): Promise<string> {
  const { name, error } = worstOf(
    await compute(given, { device, dtype }),
    await compute(given, { device: 'cpu', dtype }),
  );
  const told = `worst=${error.toExponential(1)} ${name}`;
  if (error > BOUNDS[dtype]) throw new Error(`${told}, beyond ${BOUNDS[dtype].toExponential(0)}`);
  return told;
}

/** Prints the line; true where it passes. */
async function told(name: string, work: () => Promise<string>): Promise<boolean> {
  try {
    console.log(`ok ${name} ${await work()}`.trimEnd());
    return true;
  } catch (error) {
    console.log(`FAIL ${name} ${error instanceof Error ? error.message : String(error)}`);
    return false;
  }
}

async function main(): Promise<number> {
  let given: Arguments;
  try {
    given = readArguments();
    sequential({ inputShape: [1, 1], device: given.device });
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    return error instanceof LookbackError ? 4 : 2;
  }
  const { device, speed, names } = given;
  const wanted = (name: string) => names.length === 0 || names.some((part) => name.includes(part));
  const results: boolean[] = [];
  for (const each of CASES.filter(({ name }) => wanted(name))) {
    for (const dtype of ['float64', 'float32'] as const)
      results.push(await told(`${each.name}, ${dtype}`, () => runCase(each, device, dtype)));
  }
  for (const [name, check] of Object.entries(CHECKS).filter(([name]) => wanted(name)))
    results.push(await told(name, () => check(device)));
  const failed = results.filter((passed) => !passed).length;
  console.log(`${results.length - failed} passed, ${failed} failed`);
  if (speed) await measureSpeed(device);
  return failed === 0 && results.length > 0 ? 0 : 1;
}

void main().then((code) => {
  process.exitCode = code;
});
