'use strict';
/**
 * Remembers what a build was made from, by content, so that nothing is rebuilt that has not changed: neither after a
 * fresh clone's new time stamps nor when npm runs the install script again.
 */
const { createHash } = require('node:crypto');
const {
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} = require('node:fs');
const { dirname, join, relative } = require('node:path');

const root = join(__dirname, '..', '..');

function* filesUnder(path) {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return;
  if (!stat.isDirectory()) {
    yield path;
    return;
  }
  for (const name of readdirSync(path).sort()) yield* filesUnder(join(path, name));
}

/**
 * A digest of files and of other facts.
 *
 * @param {string[]} paths files and folders, relative to the package root; absent ones count as empty
 * @param {unknown} facts anything else that the result depends on
 */
function fingerprint(paths, facts) {
  const hash = createHash('sha256').update(JSON.stringify(facts ?? null));
  for (const path of paths) {
    for (const file of filesUnder(join(root, path))) {
      const content = readFileSync(file);
      hash.update(`\n${relative(root, file)} ${content.length}\n`).update(content);
    }
  }
  return hash.digest('hex');
}

const stampPath = (name) => join(root, 'build', 'stamps', name);

/** The fingerprint that build `name` was last made from, or null. */
function readStamp(name) {
  try {
    return readFileSync(stampPath(name), 'utf8');
  } catch {
    return null;
  }
}

function writeStamp(name, value) {
  mkdirSync(dirname(stampPath(name)), { recursive: true });
  writeFileSync(stampPath(name), value);
}

function dropStamp(name) {
  rmSync(stampPath(name), { force: true });
}

module.exports = { fingerprint, readStamp, writeStamp, dropStamp };
