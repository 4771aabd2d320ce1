/**
 * Another library in a process of its own, which answers one line of JSON for each that it is sent (bench/peers/peer.py
 * lists the operations). So the bench can take turns with it, sample by sample.
 */
import { spawn } from 'node:child_process';
import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { BenchCase } from './cases';
import type { PeerCommand, PeerKind } from './peers';
import type { TensorEntry } from './tensors';

type Reply = Record<string, unknown> & { error?: string };

export class Peer {
  readonly kind: PeerKind;
  readonly #process: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterator<string>;
  #stderr = '';
  #version = '';
  #detail = '';

  constructor(kind: PeerKind, { program, args, env }: PeerCommand) {
    this.kind = kind;
    this.#process = spawn(program, args, { env: { ...process.env, ...env } });
    this.#process.stderr.on('data', (chunk: Buffer) => (this.#stderr += chunk.toString()));
    this.#process.on('error', (error) => (this.#stderr += error.message));
    // A process that died cannot be written to; the missing answer says so.
    this.#process.stdin.on('error', () => {});
    this.#lines = createInterface({ input: this.#process.stdout })[Symbol.asyncIterator]();
  }

  get version(): string {
    return this.#version;
  }

  /** What decides about its speed, in its own words: layouts, the library behind its products. */
  get detail(): string {
    return this.#detail;
  }

  async open(
    variant: string,
    { spec, shape }: BenchCase,
    path: string,
    tensors: readonly TensorEntry[],
  ): Promise<void> {
    const reply = await this.#ask({ op: 'open', variant, spec, shape, path, tensors });
    this.#version = String(reply['version']);
    this.#detail = String(reply['detail']);
  }

  async milliseconds(op: 'forward' | 'step', variant: string): Promise<number> {
    return Number((await this.#ask({ op, variant }))['ms']);
  }

  /** Lets the peer write its output, and gradients where it has any, to `path`. */
  async results(variant: string, path: string): Promise<TensorEntry[]> {
    return (await this.#ask({ op: 'results', variant, path }))['tensors'] as TensorEntry[];
  }

  close(): void {
    this.#process.kill('SIGCONT');
    this.#process.stdin.end();
  }

  /** Between its answers the peer stands still: neither its threads nor its garbage collector run while the other side is measured. */
  async #ask(request: object): Promise<Reply> {
    this.#process.kill('SIGCONT');
    this.#process.stdin.write(`${JSON.stringify(request)}\n`);
    const line = await this.#lines.next();
    this.#process.kill('SIGSTOP');
    if (line.done) {
      throw new Error(`the peer ended without an answer:\n${this.#stderr.trim()}`);
    }
    const reply = JSON.parse(line.value) as Reply;
    if (reply.error !== undefined) throw new Error(`the peer failed: ${reply.error}`);
    return reply;
  }
}
