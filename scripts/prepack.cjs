'use strict';
/**
 * Before packing: compiles dist/ afresh and copies Eigen's headers and licence into vendor/eigen, so that installing the
 * tarball needs a compiler and nothing else. scripts/postpack.cjs takes the copy away again.
 */
const {
  cpSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
} = require('node:fs');
const { dirname, join } = require('node:path');
const { findEigen } = require('./lib/eigen.cjs');
const { buildTypeScript } = require('./lib/typescript.cjs');

const root = join(__dirname, '..');
const vendor = join(root, 'vendor', 'eigen');

/** Every file below `folder`. */
function walk(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? walk(path) : [path];
  });
}

/** The names in `#include <Eigen/NAME>` or `#include "NAME"` directives that lead to one of Eigen's modules. */
function modulesIncludedBy(file, eigen) {
  const includes = readFileSync(file, 'utf8').matchAll(
    /^\s*#\s*include\s*[<"](?:Eigen\/)?(\w+)[>"]/gm,
  );
  return [...includes]
    .map((match) => match[1])
    .filter((name) => existsSync(join(eigen, 'Eigen', name)));
}

/** The modules that our sources include, and those that these include in turn. */
function neededModules(eigen) {
  const ours = walk(join(root, 'native')).filter((path) => /\.(cc|h)$/.test(path));
  const queue = ours.flatMap((path) => modulesIncludedBy(path, eigen));
  const needed = new Set();
  for (let name = queue.pop(); name !== undefined; name = queue.pop()) {
    if (needed.has(name)) continue;
    needed.add(name);
    queue.push(...modulesIncludedBy(join(eigen, 'Eigen', name), eigen));
  }
  if (needed.size === 0)
    throw new Error('no source under native/ includes Eigen; is the package complete?');
  return needed;
}

/** A module is a header of its name, the folders under src/ that the header includes, and what all modules share. */
function vendorEigen() {
  const eigen = findEigen();
  if (eigen === null)
    throw new Error("Eigen's headers were found nowhere; run: bash scripts/setup.sh");
  const target = join(vendor, 'Eigen');
  const folders = new Set(['src/Core', 'src/misc', 'src/plugins']);
  const modules = neededModules(eigen);
  for (const name of modules) {
    const header = readFileSync(join(eigen, 'Eigen', name), 'utf8');
    for (const match of header.matchAll(/#include "(src\/\w+)\//g)) folders.add(match[1]);
  }
  rmSync(vendor, { recursive: true, force: true });
  const copy = (path) => {
    mkdirSync(dirname(join(target, path)), { recursive: true });
    cpSync(join(eigen, 'Eigen', path), join(target, path), { recursive: true });
  };
  for (const name of [...modules, ...folders])
    if (existsSync(join(eigen, 'Eigen', name))) copy(name);
  copyFileSync(join(__dirname, 'licences', 'MPL-2.0.txt'), join(vendor, 'COPYING.MPL2'));
  console.log(`lookback: packed Eigen's modules ${[...modules].sort().join(', ')}`);
}

buildTypeScript({ force: true })
  .then(vendorEigen)
  .catch((error) => {
    console.error(`lookback: ${error.message}`);
    process.exitCode = 1;
  });
