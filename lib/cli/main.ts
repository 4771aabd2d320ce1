#!/usr/bin/env node
/**
 * `lookback`: the command line as a process.
 */
import { CommanderError } from 'commander';
import { exitCodeOf, exitCodes, reportError } from './exit';
import { program } from './program';

async function main(): Promise<void> {
  // `lookback ... | head` closes the pipe; what it wanted has been said.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(exitCodes.ok);
    throw error;
  });
  try {
    await program().parseAsync();
  } catch (error) {
    if (error instanceof CommanderError) {
      // Commander has already said what was wrong; help and version are not failures.
      process.exitCode = error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
      return;
    }
    reportError(error);
    process.exitCode = exitCodeOf(error);
  }
}

void main();
