'use strict';
/**
 * Packs what scripts/gpu-check.sh needs to run the JavaScript check on a machine that has neither Node nor a network:
 *
 *   node scripts/gpu-archive.cjs [FILE]
 *
 * FILE (default: build/gpu-node.tar.xz) holds bin/node, this one; include/node, the headers that the addon is built with;
 * node_modules, the library as it is compiled now, what it loads and node-addon-api; and check, test/device compiled. The
 * addon is not in it: it is built there.
 */
const { spawnSync } = require('node:child_process');
const { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { dirname, join, resolve } = require('node:path');

const root = join(__dirname, '..');
/** Dependencies that only the command line and the installation load. */
const left = new Set(['cmake-js', 'commander', 'vega', 'vega-lite']);
const headers = ['node_api.h', 'node_api_types.h', 'js_native_api.h', 'js_native_api_types.h'];

function run(command, args, options = {}) {
  const { status, error } = spawnSync(command, args, { stdio: 'inherit', ...options });
  if (status === 0) return;
  throw new Error(
    `${command} ${args.join(' ')} failed${error ? `: ${error.message}` : ` with exit code ${status}`}`,
  );
}

/** The folders of packages, with those that they depend on. */
function withDependencies(names) {
  const found = new Map();
  for (const name of names) {
    const folder = join(root, 'node_modules', name);
    if (found.has(name) || !existsSync(folder)) continue;
    found.set(name, folder);
    const { dependencies = {} } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
    names.push(...Object.keys(dependencies));
  }
  return found;
}

function pack(file) {
  const include = join(dirname(dirname(process.execPath)), 'include', 'node');
  const absent = headers.find((header) => !existsSync(join(include, header)));
  if (absent !== undefined)
    throw new Error(`${include} has no ${absent}; use a Node that brings its headers (nodejs.org)`);
  run(process.execPath, [join(__dirname, 'build.cjs'), 'native', 'ts', 'tools']);
  const folder = mkdtempSync(join(tmpdir(), 'lookback-gpu-'));
  try {
    const put = (from, ...to) => cpSync(from, join(folder, ...to), { recursive: true });
    put(process.execPath, 'bin', 'node');
    for (const header of headers) put(join(include, header), 'include', 'node', header);
    const { dependencies } = require('../package.json');
    const names = Object.keys(dependencies).filter((name) => !left.has(name));
    for (const [name, from] of withDependencies(names)) put(from, 'node_modules', name);
    put(join(root, 'package.json'), 'node_modules', 'lookback', 'package.json');
    put(join(root, 'dist'), 'node_modules', 'lookback', 'dist');
    put(join(root, 'build', 'tools', 'test', 'device'), 'check');
    // Whether a package is missing is better known here.
    run(join(folder, 'bin', 'node'), ['-e', "require('lookback')"], {
      cwd: folder,
      env: { ...process.env, LOOKBACK_BINARY: join(root, 'build', 'Release', 'lookback.node') },
    });
    mkdirSync(dirname(file), { recursive: true });
    run('tar', ['-C', folder, '-cJf', file, 'bin', 'include', 'node_modules', 'check']);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  console.log(`wrote ${file}`);
}

try {
  pack(resolve(process.argv[2] ?? join(root, 'build', 'gpu-node.tar.xz')));
} catch (error) {
  console.error(`gpu-archive: ${error.message}`);
  process.exitCode = 1;
}
