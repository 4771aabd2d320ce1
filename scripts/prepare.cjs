'use strict';
/** npm's prepare script, in checkouts and before packing: compiles the TypeScript. */
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
} else if (!haveTypeScript()) {
  console.log('lookback: installed without development dependencies, TypeScript is not compiled');
} else {
  buildTypeScript().catch((error) => {
    console.error(error);
    process.exitCode = 1;
  });
}
