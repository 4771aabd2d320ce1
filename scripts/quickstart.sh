#!/usr/bin/env bash
# From a fresh clone to a trained LARNN: toolchain, packages, build, then the HAR example on the data in data/.
# Arguments go to `lookback train`, as do the words of LOOKBACK_QUICKSTART_ARGS (e.g. "--set epochs=1").
set -eu
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The example runs on the CPU; the CUDA library takes minutes more: npx lookback build --cuda
export LOOKBACK_CUDA="${LOOKBACK_CUDA:-off}"
bash scripts/ensure.sh native ts
read -ra extra <<<"${LOOKBACK_QUICKSTART_ARGS:-}"
exec node dist/cli/main.js train examples/har/config.json ${extra[@]+"${extra[@]}"} "$@"
