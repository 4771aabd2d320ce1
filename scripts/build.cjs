'use strict';
/**
 * Builds parts of a checkout, each only where it is stale:
 *
 *   node scripts/build.cjs [--force] [native] [cuda] [ts] [tools] [test] [bench] [gyp]
 *
 * native: build/Release/lookback.node, and the CUDA library as LOOKBACK_CUDA says (scripts/install.cjs) ·
 * cuda: build/Release/lookback_cuda.so · ts: dist/ · tools: bench/ and test/device, mutation and oracle, into build/tools ·
 * test: build/Test/lookback.node and the native tests · bench: the native benches ·
 * gyp: build/Release/lookback.node by node-gyp, always.
 */
const { buildCuda, buildNative } = require('./lib/native.cjs');
const { buildTypeScript, buildTools } = require('./lib/typescript.cjs');

const force = process.argv.includes('--force');
const parts = {
  native: () => buildNative('release', { force }),
  cuda: () => buildCuda({ required: true, force }),
  ts: () => buildTypeScript({ force }),
  tools: () => buildTools({ force }),
  test: () => buildNative('test', { force }),
  bench: () => buildNative('bench', { force }),
  gyp: () => buildNative('release', { tool: 'gyp' }),
};

async function main(names) {
  const unknown = names.filter((name) => !(name in parts));
  if (unknown.length > 0 || names.length === 0) {
    console.error(`usage: node scripts/build.cjs [--force] ${Object.keys(parts).join('|')} ...`);
    return 2;
  }
  for (const name of names) await parts[name]();
  return 0;
}

main(process.argv.slice(2).filter((word) => word !== '--force')).then(
  (code) => {
    process.exitCode = code;
  },
  (error) => {
    console.error(
      error.firstError === undefined ? error : `lookback: ${error.message}: ${error.firstError}`,
    );
    process.exitCode = 1;
  },
);
