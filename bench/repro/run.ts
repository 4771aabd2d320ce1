/**
 * npm run repro: the command. See `--help`, in arguments.ts.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { HELP, parseCommand, UsageError } from './arguments';
import { writePage } from './report';
import { RESULTS, ROOT } from './results';
import { FailedRun, runComparison } from './runner';

const EXIT_USAGE = 2;

async function main(): Promise<void> {
  const { help, wanted, choices } = parseCommand(process.argv.slice(2));
  if (help) return console.log(HELP);
  for (const one of wanted) runComparison(one, choices);
  if (choices.quick) return;
  await writePage();
  formatResults();
}

/** As every file of the checkout is. */
function formatResults(): void {
  const prettier = join(ROOT, 'node_modules', 'prettier', 'bin', 'prettier.cjs');
  const args = [prettier, '--log-level', 'warn', '--write', RESULTS];
  const { status } = spawnSync(process.execPath, args, { stdio: 'inherit' });
  if (status !== 0) throw new FailedRun(status);
}

main().catch((error: unknown) => {
  if (!(error instanceof UsageError) && !(error instanceof FailedRun)) throw error;
  console.error(`repro: ${error.message}`);
  process.exit(error instanceof FailedRun ? error.exitCode : EXIT_USAGE);
});
