#!/usr/bin/env node
/**
 * `lookback`: the command line as a process.
 */
import { CommanderError } from 'commander';
import { exitCodeOf, exitCodes, reportError } from './exit';
import { program } from './program';

/** Commands that work for the files they write: nobody has to hear what they say meanwhile. */
const unheard = new Set(['train', 'build']);

/** `lookback ... | head` closes the pipe; what it wanted has been said. A terminal that is gone answers EIO. */
function whenClosed(this: NodeJS.WriteStream, error: NodeJS.ErrnoException): void {
  const closed = this.isTTY ? ['EIO', 'EPIPE'] : ['EPIPE'];
  if (![...closed, 'ERR_STREAM_DESTROYED'].includes(error.code ?? '')) throw error;
  if (!unheard.has(process.argv[2] ?? '')) process.exit(exitCodes.ok);
}

async function main(): Promise<void> {
  process.stdout.on('error', whenClosed);
  process.stderr.on('error', whenClosed);
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
