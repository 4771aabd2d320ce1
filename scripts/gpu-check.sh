#!/usr/bin/env bash
# Checks the CUDA device on a machine that has a GPU: bash scripts/gpu-check.sh [--help] [PART...]
# Needs CMake, a C++20 compiler and the CUDA toolkit; no Node and no network. Results are files under $OUT.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
  cat <<'HELP'
usage: bash scripts/gpu-check.sh [PART...]

Parts, in the order in which they run when none is named:
  machine    what the machine is: GPU, driver, toolkit, CPU
  build      the native tests and the CUDA library, by CMake
  parity     every cell and driver beside the CPU (both float and double)
  sanitize   compute-sanitizer's memcheck, racecheck and synccheck on a few small cases
  plans      what the drivers' model of sizes says of the reference shapes

Environment:
  OUT            folder for the results (default: build/gpu-check)
  BUILD          build folder (default: build/gpu)
  PARITY_EVERY   one case of so many (default 1)

Each part writes $OUT/PART.txt; $OUT/summary.txt has one line a part. The exit code is 1 where a part failed.
HELP
}

OUT=${OUT:-build/gpu-check}
BUILD=${BUILD:-build/gpu}
mkdir -p "$OUT" "$BUILD"
OUT=$(cd "$OUT" && pwd)
BUILD=$(cd "$BUILD" && pwd)
export LOOKBACK_CUDA_LIBRARY=$PWD/build/Release/lookback_cuda.so
failed=0

part_machine() {
  uname -srm
  grep -m1 'model name' /proc/cpuinfo || true
  nproc
  nvidia-smi || { echo "no GPU: nvidia-smi fails"; return 1; }
  nvcc --version | tail -n 2
}

part_build() {
  local generator=()
  ! command -v ninja >/dev/null || generator=(-G Ninja)
  cmake -S . -B "$BUILD" ${generator[@]+"${generator[@]}"} -DLOOKBACK_TESTS=ON -DLOOKBACK_CUDA=auto &&
    cmake --build "$BUILD" --parallel "$(nproc)" --target lookback_cuda test_cuda_parity_test
}

part_parity() {
  "$BUILD/test_cuda_parity_test" | tee "$OUT/parity.log"
  local rc=${PIPESTATUS[0]}
  # Without a GPU the test skips itself, which is no result here.
  ! grep -q '^SKIPPED: ' "$OUT/parity.log" && [ "$rc" = 0 ]
}

part_sanitize() {
  command -v compute-sanitizer >/dev/null || { echo "compute-sanitizer was not found"; return 1; }
  local tool only rc=0
  for tool in memcheck racecheck synccheck; do
    for only in "lstm ifog" "larnn none" "bnlstm default, joint" "rra default"; do
      echo "=== $tool, cases with '$only'"
      PARITY_ONLY=$only PARITY_EVERY=${SANITIZE_EVERY:-7} timeout 25 compute-sanitizer --tool "$tool" \
        --error-exitcode 9 "$BUILD/test_cuda_parity_test" || rc=1
    done
  done
  return "$rc"
}

part_plans() {
  cmake --build "$BUILD" --parallel "$(nproc)" --target test_block_plan_test && "$BUILD/test_block_plan_test"
}

run_part() {
  local part=$1 began=$SECONDS rc=0
  "part_$part" >"$OUT/$part.txt" 2>&1 || rc=1
  [ "$rc" = 0 ] || failed=1
  printf '%-9s %s, %d s\n' "$part" "$([ "$rc" = 0 ] && echo ok || echo FAILED)" $((SECONDS - began)) |
    tee -a "$OUT/summary.txt"
  [ "$rc" = 0 ] || tail -n 20 "$OUT/$part.txt"
}

parts=()
for argument in "$@"; do
  case $argument in
    -h | --help)
      usage
      exit 0
      ;;
    machine | build | parity | sanitize | plans) parts+=("$argument") ;;
    *)
      echo "gpu-check: unknown part '$argument'" >&2
      usage >&2
      exit 2
      ;;
  esac
done
[ ${#parts[@]} -gt 0 ] || parts=(machine build parity sanitize plans)
: >"$OUT/summary.txt"
for part in "${parts[@]}"; do run_part "$part"; done
exit "$failed"
