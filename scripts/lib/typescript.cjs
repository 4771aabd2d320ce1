'use strict';
/**
 * Compiles lib/ to dist/ and puts the ESM face beside it; compiles developers' tools to build/tools. For checkouts only:
 * the published package brings dist/.
 */
const { chmodSync, existsSync, rmSync, writeFileSync } = require('node:fs');
const { join } = require('node:path');
const { run } = require('./run.cjs');
const { fingerprint, readStamp, writeStamp, dropStamp } = require('./stamp.cjs');

const root = join(__dirname, '..', '..');
const dist = join(root, 'dist');

function inputs() {
  return fingerprint(['lib', 'tsconfig.json', 'scripts/lib/typescript.cjs'], {
    typescript: require('typescript/package.json').version,
  });
}

function compile(project) {
  return run('tsc', process.execPath, [require.resolve('typescript/bin/tsc'), '-p', project], {
    cwd: root,
  });
}

/** Does nothing where dist/ was made from what is on disk now, unless `force`. */
async function buildTypeScript({ force = false } = {}) {
  const made = inputs();
  if (!force && existsSync(join(dist, 'index.js')) && readStamp('typescript') === made) return;
  console.log('lookback: compiling TypeScript');
  dropStamp('typescript');
  rmSync(dist, { recursive: true, force: true });
  await run(
    'tsc',
    process.execPath,
    [require.resolve('typescript/bin/tsc'), '-p', 'tsconfig.json'],
    { cwd: root },
  );
  // One build with two faces: `import` and `require` give the same classes, so `instanceof` holds across them.
  writeFileSync(join(dist, 'index.mjs'), "export * from './index.js';\n");
  writeFileSync(join(dist, 'index.d.mts'), "export * from './index.js';\n");
  const { configJsonSchema } = require(join(dist, 'cli', 'schema.js'));
  writeFileSync(
    join(dist, 'config.schema.json'),
    `${JSON.stringify(configJsonSchema(), null, 2)}\n`,
  );
  const cli = join(dist, 'cli', 'main.js');
  if (existsSync(cli)) chmodSync(cli, 0o755);
  writeStamp('typescript', made);
}

/** Compiles bench/, test/device, test/mutation and test/oracle to build/tools; they import the built package by its name. */
async function buildTools({ force = false } = {}) {
  const out = join(root, 'build', 'tools');
  const made = fingerprint(
    [
      'bench',
      'test/device',
      'test/mutation',
      'test/oracle',
      'tsconfig.json',
      'tsconfig.tools.json',
    ],
    readStamp('typescript'),
  );
  if (!force && existsSync(out) && readStamp('tools') === made) return;
  dropStamp('tools');
  rmSync(out, { recursive: true, force: true });
  await compile('tsconfig.tools.json');
  writeStamp('tools', made);
}

module.exports = { buildTypeScript, buildTools };
