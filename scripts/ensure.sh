#!/usr/bin/env bash
# What quickstart and the tests need first: the toolchain, the npm packages of package-lock.json, and the named parts of
# the build (see build.cjs). Whatever is up to date is left alone.
set -eu
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash scripts/setup.sh
if ! node scripts/lib/node-modules.cjs; then
  echo "lookback: installing npm packages (npm ci), about a minute"
  LOOKBACK_SKIP_BUILD=1 npm ci --no-audit --no-fund
fi
node scripts/build.cjs "$@"
