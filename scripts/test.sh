#!/usr/bin/env bash
# Every test: the native ones, Jest, the numerical vectors in test/vectors, and models on the emulated device beside the
# CPU, each part after the other even where one fails. With arguments, those of Jest alone: npm test -- test/unit/build.test.ts
set -eu
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash scripts/ensure.sh test ts tools
export LOOKBACK_BINARY="$PWD/build/Test/lookback.node"

if [ $# -gt 0 ]; then exec node node_modules/jest/bin/jest.js "$@"; fi

failed=()
part() {
  local name=$1
  shift
  printf '\n== %s\n' "$name"
  "$@" || failed+=("$name")
}

part "native tests" ctest --test-dir build/cmake --output-on-failure --no-tests=error \
  --parallel "$(getconf _NPROCESSORS_ONLN)"
part "jest" node node_modules/jest/bin/jest.js
for device in cpu emulated; do
  for dtype in float64 float32; do
    part "vectors on $device in $dtype" \
      npm run --silent oracle -- --device "$device" --dtype "$dtype" test/vectors
  done
done
part "models on emulated" node scripts/tool.cjs test/device/run.ts --device emulated

if [ ${#failed[@]} -gt 0 ]; then
  printf '\nfailed:'
  printf ' [%s]' "${failed[@]}"
  printf '\n'
  exit 1
fi
printf '\nall tests passed\n'
