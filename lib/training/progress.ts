/**
 * What `fit` prints: a bar on a terminal, plain lines elsewhere.
 */
import { Presets, SingleBar } from 'cli-progress';
import pc from 'picocolors';
import type { Logs } from './metrics';

/** Told by the training loop how far it is. */
export interface Reporter {
  epochBegin(epoch: number, epochs: number, batches: number, done: number): void;
  batchEnd(batch: number, logs: Logs): void;
  epochEnd(epoch: number, logs: Logs): void;
  /** Also after a failure; leaves the terminal as it was. */
  end(): void;
}

/** "loss 0.5321 accuracy 0.8123" */
export function logsText(logs: Logs): string {
  return Object.entries(logs)
    .map(([key, value]) => `${key} ${numberText(value)}`)
    .join(' ');
}

/** Of a log that was read back, too: JSON has null in place of NaN. */
function numberText(value: number | null): string {
  if (value === null) return 'NaN';
  return value !== 0 && Math.abs(value) < 0.001 ? value.toExponential(2) : value.toFixed(4);
}

/** The reporter for a `verbose` setting, or null for silence. */
export function makeReporter(
  verbose: 'auto' | 0 | 1 | 2,
  stream: NodeJS.WriteStream = process.stdout,
): Reporter | null {
  if (verbose === 0) return null;
  const bar = verbose === 1 || (verbose === 'auto' && stream.isTTY === true);
  return bar ? new BarReporter(stream) : new LineReporter(stream);
}

class BarReporter implements Reporter {
  readonly #stream: NodeJS.WriteStream;
  #bar: SingleBar | null = null;

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
  }

  epochBegin(epoch: number, epochs: number, batches: number, done: number): void {
    const format = `epoch ${epoch + 1}/${epochs} ${pc.cyan('{bar}')} {value}/{total} {duration_formatted} {logs}`;
    this.#bar = new SingleBar(
      {
        format,
        stream: this.#stream,
        barsize: 24,
        noTTYOutput: true,
        hideCursor: true,
        clearOnComplete: false,
      },
      Presets.shades_classic,
    );
    this.#bar.start(batches, done, { logs: '' });
  }

  batchEnd(batch: number, logs: Logs): void {
    this.#bar?.update(batch, { logs: logsText(logs) });
  }

  epochEnd(_epoch: number, logs: Logs): void {
    this.#bar?.update({ logs: logsText(logs) });
    this.end();
  }

  end(): void {
    this.#bar?.stop();
    this.#bar = null;
  }
}

class LineReporter implements Reporter {
  readonly #stream: NodeJS.WriteStream;
  #epochs = 0;
  #begun = 0;

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
  }

  epochBegin(_epoch: number, epochs: number): void {
    this.#epochs = epochs;
    this.#begun = performance.now();
  }

  batchEnd(): void {
    // A line per batch would bury the log.
  }

  epochEnd(epoch: number, logs: Logs): void {
    const seconds = (performance.now() - this.#begun) / 1000;
    this.#stream.write(
      `epoch ${epoch + 1}/${this.#epochs} ${seconds.toFixed(1)} s ${logsText(logs)}\n`,
    );
  }

  end(): void {
    // Nothing is held.
  }
}
