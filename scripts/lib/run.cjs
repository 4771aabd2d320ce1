'use strict';
/** Runs a program, shows its output and keeps a copy of it. */
const { spawn } = require('node:child_process');

/** What a failed step leaves behind: the step, and everything it printed. */
class StepFailed extends Error {
  constructor(step, output) {
    super(`${step} failed`);
    this.step = step;
    this.output = output;
  }

  /** The first line that reads like an error, else the last line that was printed. */
  get firstError() {
    const lines = this.output
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line !== '');
    return (lines.find(isErrorLine) ?? lines.at(-1) ?? this.message).replace(
      /^gyp ERR! (stack )?/,
      '',
    );
  }
}

function isErrorLine(line) {
  if (/^(npm|gyp) (warn|info|verb|http)/i.test(line)) return false;
  return /(^|[\s:])(fatal )?error\b[^:]*:|CMake Error|not found|No such file|Killed|out of memory/i.test(
    line,
  );
}

/**
 * @param {string} step what to call it when it fails
 * @param {string} command
 * @param {string[]} args
 * @param {{ cwd: string, env?: Record<string, string>, quiet?: boolean }} options `quiet`: shown only when it fails
 * @returns {Promise<string>} everything it printed
 * @throws {StepFailed}
 */
function run(step, command, args, options) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const pieces = [];
    const take = (stream, sink) =>
      stream.on('data', (piece) => {
        pieces.push(piece);
        if (!options.quiet) sink.write(piece);
      });
    take(child.stdout, process.stdout);
    take(child.stderr, process.stderr);
    const output = () => Buffer.concat(pieces).toString('utf8');
    child.on('error', (cause) =>
      reject(new StepFailed(step, `error: ${cause.message}\n${output()}`)),
    );
    child.on('close', (code) => {
      if (code === 0) return resolve(output());
      if (options.quiet) process.stderr.write(output());
      return reject(new StepFailed(step, output()));
    });
  });
}

module.exports = { run, StepFailed };
