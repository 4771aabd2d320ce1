'use strict';
/**
 * npm's install script: builds the native addon. A failure never fails the `npm install` of a project that depends on
 * Lookback: it warns, leaves `build/last-error.log`, and `require('lookback')` explains itself (ERR_ADDON_MISSING).
 *
 *   LOOKBACK_SKIP_BUILD=1           do nothing
 *   LOOKBACK_CUDA=auto|on|off       the CUDA library too: where nvcc and an NVIDIA driver are, always (a failure is
 *                                   fatal then), or never
 *   node scripts/install.cjs --required   a failure is fatal (what `npx lookback build` runs)
 */
const { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } = require('node:fs');
const { join } = require('node:path');
const { spawnSync } = require('node:child_process');

const root = join(__dirname, '..');
const addonPath = join(root, 'build', 'Release', 'lookback.node');
const errorLog = join(root, 'build', 'last-error.log');
const required = process.argv.includes('--required');

/** The published package has no scripts for developers. */
const isCheckout = existsSync(join(__dirname, 'build.cjs'));

/** A checkout without Eigen fetches its headers into .cache/; the published package brings them along. */
function ensureEigen() {
  if (!isCheckout || require('./lib/eigen.cjs').findEigen() !== null) return;
  spawnSync('bash', [join(__dirname, 'setup.sh'), 'eigen'], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
}

/** Nobody rebuilds parts of an installed package: only the addon and its stamp stay. */
function dropObjects() {
  if (isCheckout) return;
  const build = join(root, 'build');
  const keep = new Set(['Release', 'stamps']);
  const doomed = readdirSync(build)
    .filter((name) => !keep.has(name))
    .map((name) => join(build, name));
  const release = join(build, 'Release');
  for (const name of readdirSync(release)) {
    if (!/^lookback(\.node|_cuda\.)/.test(name)) doomed.push(join(release, name));
  }
  for (const path of doomed) rmSync(path, { recursive: true, force: true });
}

function explain(error) {
  const first = error.firstError ?? String(error.message ?? error);
  mkdirSync(join(root, 'build'), { recursive: true });
  writeFileSync(errorLog, `${first}\n\n${error.output ?? error.stack ?? ''}\n`);
  console.warn(
    [
      '',
      'lookback: the native addon was NOT built.',
      `  first error: ${first}`,
      `  whole log:   ${errorLog}`,
      "  Until it is built, require('lookback') throws ERR_ADDON_MISSING. What to do:",
      '    npx lookback doctor   shows which tools are there and what is missing',
      '    npx lookback build    tries again',
      '',
    ].join('\n'),
  );
}

async function main() {
  if (process.env.LOOKBACK_SKIP_BUILD === '1' && !required) {
    console.log('lookback: LOOKBACK_SKIP_BUILD=1, the native addon is not built');
    return 0;
  }
  // `npx lookback` in a checkout makes npm run this script; it wants to use what is built, however old.
  if (process.env.npm_command === 'exec' && !required && existsSync(addonPath)) return 0;
  try {
    const { buildNative } = require('./lib/native.cjs');
    ensureEigen();
    await buildNative('release');
    rmSync(errorLog, { force: true });
    dropObjects();
    if (required) console.log(`lookback: ${addonPath} is built`);
    return 0;
  } catch (error) {
    explain(error);
    return required || (process.env.LOOKBACK_CUDA || '').toLowerCase() === 'on' ? 1 : 0;
  }
}

main().then((code) => {
  process.exitCode = code;
});
