/**
 * npm run repro: the command. See `--help`, in arguments.ts.
 */
import { HELP, parseCommand, UsageError } from './arguments';
import { writePage } from './report';
import { FailedRun, runComparison } from './runner';

const EXIT_USAGE = 2;

async function main(): Promise<void> {
  const { help, wanted, choices } = parseCommand(process.argv.slice(2));
  if (help) return console.log(HELP);
  for (const one of wanted) runComparison(one, choices);
  if (!choices.quick) await writePage();
}

main().catch((error: unknown) => {
  if (!(error instanceof UsageError) && !(error instanceof FailedRun)) throw error;
  console.error(`repro: ${error.message}`);
  process.exit(error instanceof FailedRun ? error.exitCode : EXIT_USAGE);
});
