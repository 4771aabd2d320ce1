'use strict';
/**
 * Runs a developer's tool written in TypeScript against the built package, after building what is stale:
 *
 *   node scripts/tool.cjs test/oracle/run.ts ARGS...
 *
 * Standard output is the tool's alone; what the build says goes to standard error.
 */
const { spawnSync } = require('node:child_process');
const { join } = require('node:path');

const root = join(__dirname, '..');
const [tool, ...args] = process.argv.slice(2);

// Only the test build has the device 'emulated'. A binary that the caller chose is not ours to build.
const env = { ...process.env };
const parts = ['ts', 'tools'];
if (!env.LOOKBACK_BINARY) {
  const emulated = args.includes('emulated') || args.includes('--device=emulated');
  parts.push(emulated ? 'test' : 'native');
  if (emulated) env.LOOKBACK_BINARY = join(root, 'build', 'Test', 'lookback.node');
}
const built = spawnSync(process.execPath, [join(__dirname, 'build.cjs'), ...parts], {
  cwd: root,
  stdio: ['ignore', 2, 2],
});
if (built.status !== 0) process.exit(1);

const program = join(root, 'build', 'tools', tool.replace(/\.ts$/, '.js'));
const result = spawnSync(process.execPath, [program, ...args], { env, stdio: 'inherit' });
process.exit(result.status ?? 1);
