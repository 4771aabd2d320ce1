'use strict';
/** npm's prepare script, in checkouts and before packing: compiles the TypeScript. */
const { existsSync } = require('node:fs');
const { join } = require('node:path');
const { buildTypeScript } = require('./lib/typescript.cjs');

function haveTypeScript() {
  try {
    require.resolve('typescript/package.json');
    return true;
  } catch {
    return false;
  }
}

if (process.env.LOOKBACK_SKIP_BUILD === '1') {
  console.log('lookback: LOOKBACK_SKIP_BUILD=1, TypeScript is not compiled');
} else if (process.env.npm_command === 'exec' && existsSync(join(__dirname, '../dist/index.js'))) {
  // `npx lookback` in a checkout makes npm run this script; it wants to use what is built, however old.
} else if (!haveTypeScript()) {
  console.log('lookback: installed without development dependencies, TypeScript is not compiled');
} else {
  buildTypeScript().catch((error) => {
    console.error(error);
    process.exitCode = 1;
  });
}
