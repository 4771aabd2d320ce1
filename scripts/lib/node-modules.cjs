'use strict';
/** Exits 0 where node_modules/ holds what package-lock.json asks for, else 1 (and says what differs first). */
const { readFileSync } = require('node:fs');
const { join } = require('node:path');

const root = join(__dirname, '..', '..');

function packages(path) {
  return JSON.parse(readFileSync(join(root, path), 'utf8')).packages;
}

/** The first package whose installed version is not the locked one, or null. */
function firstDifference() {
  const locked = packages('package-lock.json');
  let installed;
  try {
    // npm's own record of what it put there.
    installed = packages('node_modules/.package-lock.json');
  } catch {
    return 'node_modules is not there';
  }
  for (const [path, want] of Object.entries(locked)) {
    if (path === '' || want.optional || want.devOptional) continue;
    const have = installed[path];
    if (have?.version !== want.version)
      return `${path}: want ${want.version}, have ${have?.version ?? 'none'}`;
  }
  return null;
}

const difference = firstDifference();
if (difference !== null) {
  console.log(`lookback: ${difference}`);
  process.exitCode = 1;
}
