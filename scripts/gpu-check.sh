#!/usr/bin/env bash
# Checks and measures the CUDA device on a machine that has a GPU: bash scripts/gpu-check.sh [--help] [PART...]
# Needs CMake, a C++20 compiler, Eigen's headers (the system's, or a copy as vendor/eigen) and the CUDA toolkit, for
# comparisons PyTorch, and for the part 'javascript' Node or the archive that scripts/gpu-archive.cjs makes; no network.
set -u
self=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/$(basename "${BASH_SOURCE[0]}")
cd "$(dirname "$self")/.."

# In the order in which they run, with the seconds that each may take: together nine minutes, less ten seconds so that the
# report is still made where all of them are used up.
order=(machine build parity roofline device javascript host plans sanitize compile report)
declare -A limits=([machine]=20 [build]=120 [parity]=85 [roofline]=20 [device]=110 [javascript]=60 [host]=40 [plans]=10
  [sanitize]=40 [compile]=15 [report]=10)

usage() {
  cat <<'HELP'
usage: bash scripts/gpu-check.sh [PART...]

Parts, in the order in which they run when none is named, with the seconds that each may take:
  machine  20   what the machine is: GPU, driver, toolkit, CPU, PyTorch
  build   120   the native tests and benches and the CUDA library, by CMake, for this GPU alone
  parity   85   every cell and driver beside the CPU (both float and double)
  roofline 20   launches, barriers, clusters, arithmetic, memory: what the GPU can do, and what waiting costs
  device  110   our drivers beside PyTorch on the GPU: nn.LSTM (fp32, tf32, bf16), eager cells, cells in a CUDA graph;
                products beside cuBLAS; large cells once more with our own products
  javascript 60   models by device: 'cuda' beside the CPU's (test/device): every cell and layer, optimizers, files,
                checkpoints, cancelling, no memory left; an epoch of HAR's size, and what of it waits for JavaScript
  host     40   our CPU kernels beside that machine's PyTorch, at 1, 2 and 16 threads
  plans    10   what the drivers' model of sizes says of the reference shapes
  sanitize 40   compute-sanitizer's memcheck, racecheck and synccheck on a few small cases
  compile  15   PyTorch's eager cells through torch.compile, where it finishes in time
  report   10   bench/results/<gpu>.md, and $OUT/page.md, from the files of the other parts, among them 'machine'

Environment:
  OUT              folder for the results (default: build/gpu-check)
  BUILD            build folder (default: build/gpu)
  SECONDS_TOTAL    what all parts together may take (default 540); those behind that are not run
  LIMIT            seconds of each part that is named, instead of the above
  PARITY_EVERY     one case of so many (default 1)
  BENCH_PYTHON     a Python that has PyTorch (default: python3)
  LOOKBACK_CUBLAS  the cuBLAS that training takes (default: the loader's, else PyTorch's), or 'off'
  NODE_ARCHIVE     Node with all that 'javascript' needs, by scripts/gpu-archive.cjs (default: build/gpu-node.tar.xz, where
                   it is there; else the checkout's own packages and the node on the PATH)
  CASES            names for 'device', 'host' and 'compile' (bench/device/run.py --list), instead of all

Each part writes $OUT/PART.txt, the benches also $OUT/roofline.jsonl, device.jsonl and host-THREADS.jsonl, compile.jsonl;
$OUT/summary.txt has one line a part. What a part has written stays where it is cut short. Exit code 1: a part failed. Without
Node and an archive 'javascript' is SKIPPED, which fails only where it is named.
HELP
}

OUT=${OUT:-build/gpu-check}
BUILD=${BUILD:-build/gpu}
python=${BENCH_PYTHON:-python3}

part_machine() {
  local gpu
  gpu=$(nvidia-smi --query-gpu=name --format=csv,noheader 2>/dev/null | head -n 1) || true
  {
    [ -z "$gpu" ] || echo "GPU: $gpu"
    [ -z "$gpu" ] || echo "driver: $(nvidia-smi --query-gpu=driver_version --format=csv,noheader | head -n 1)"
    ! command -v nvcc >/dev/null || echo "nvcc: $(nvcc --version | sed -n 's/.*release \([0-9.]*\).*/\1/p')"
    echo "CPU: $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) threads"
    echo "compiler: $(c++ --version | head -n 1)"
    echo "PyTorch: $("$python" -c 'import torch; print(torch.__version__)' 2>/dev/null || echo none)"
    echo "commit: $(git rev-parse --short HEAD 2>/dev/null || echo unknown)"
  } | tee "$OUT/facts.txt"
  nvidia-smi || { echo "no GPU: nvidia-smi fails"; return 1; }
}

part_build() {
  local generator=() architecture
  ! command -v ninja >/dev/null || generator=(-G Ninja)
  architecture=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -n 1 | tr -d .)
  cmake -S . -B "$BUILD" ${generator[@]+"${generator[@]}"} -DLOOKBACK_TESTS=ON -DLOOKBACK_BENCH=ON -DLOOKBACK_CUDA=on \
    -DLOOKBACK_CUDA_ARCHITECTURES="${architecture:-90}" &&
    cmake --build "$BUILD" --parallel "$(nproc)" --target \
      lookback_cuda test_cuda_parity_test test_block_plan_test bench_cells bench_gpu_roofline
}

# Whether the tests of a program have looked at anything, by what it wrote: without a GPU they skip themselves, which is no
# result here.
has_looked() { grep -q '^ok ' "$1" && ! grep -q '^SKIPPED: ' "$1"; }

part_parity() {
  local rc=0
  "$BUILD/test_cuda_parity_test" | tee "$OUT/parity.log" || rc=1
  has_looked "$OUT/parity.log" && [ "$rc" = 0 ]
}

part_roofline() { "$BUILD/cuda/gpu_roofline" | tee "$OUT/roofline.jsonl"; }

# bench DEVICE THREADS SECONDS FILE [ARGUMENT...]
bench() {
  local device=$1 threads=$2 seconds=$3 file=$4
  shift 4
  "$python" bench/device/run.py --ours "$BUILD/bench_cells" --device "$device" --threads "$threads" \
    --seconds "$seconds" --out "$OUT/$file" "$@"
}

part_device() {
  local own=14 rc=0
  [ "$limit" -ge 60 ] || own=0
  bench cuda 1 "$((limit - 8 - own))" device.jsonl --case-seconds 3 --products ${CASES:-} || rc=1
  [ "$own" != 0 ] || return "$rc"
  # By themselves, so that the difference is that of the products.
  LOOKBACK_CUBLAS=off bench cuda 1 "$own" device-own.jsonl --case-seconds 2 --alone \
    ${CASES:-lstm-ptb-b128-h512 lstm-har-b1024-h128 gru-ptb-b128-h512 scornn-mnist-b128-h512} || rc=1
  return "$rc"
}

skip() {
  echo "$*"
  exit 77
}

part_javascript() {
  local archive=${NODE_ARCHIVE:-build/gpu-node.tar.xz} folder=$BUILD/node node check
  if [ -f "$archive" ]; then
    rm -rf "$folder" && mkdir -p "$folder" && tar -C "$folder" -xf "$archive" || return 1
    node=$folder/bin/node check=$folder/check/run.js
    # What cmake-js would say.
    cmake -S . -B "$BUILD" -DCMAKE_JS_VERSION=none \
      "-DCMAKE_JS_INC=$folder/include/node;$folder/node_modules/node-addon-api" &&
      cmake --build "$BUILD" --parallel "$(nproc)" --target lookback || return 1
  elif [ -n "${NODE_ARCHIVE:-}" ]; then
    echo "NODE_ARCHIVE: $NODE_ARCHIVE is not there"
    return 1
  else
    command -v node >/dev/null || skip "no node on the PATH, and no archive of it at $archive"
    [ -d node_modules/node-addon-api ] || skip "there is a node, but node_modules is not; run npm ci, or bring $archive"
    node=node check=build/tools/test/device/run.js
    LOOKBACK_CUDA=off node scripts/build.cjs native ts tools || return 1
  fi
  LOOKBACK_BINARY=$PWD/build/Release/lookback.node "$node" "$check" --device cuda --speed
}

part_host() {
  local threads rc=0
  for threads in 1 2 16; do
    [ "$threads" -le "$(nproc)" ] || { echo "$threads threads: this machine has $(nproc)"; continue; }
    bench cpu "$threads" "$(((limit - 6) / 3))" "host-$threads.jsonl" --case-seconds 2 ${CASES:-} || rc=1
  done
  return "$rc"
}

part_compile() {
  bench cuda 1 "$limit" compile.jsonl --case-seconds 2 --compile ${CASES:-lstm-har-b64-h32 larnn-har-b64-h32}
}

part_plans() { "$BUILD/test_block_plan_test"; }

# The cells of the GPU alone: a sanitizer takes a hundred times as long. All tools look at a case before the next one.
part_sanitize() {
  command -v compute-sanitizer >/dev/null || { echo "compute-sanitizer was not found"; return 1; }
  local tool only log=$OUT/sanitize.log rc=0
  for only in "lstm ifog" "larnn none window 1" "bnlstm default, lengths" "rra default, mask"; do
    for tool in racecheck memcheck synccheck; do
      echo "=== $tool, cases with '$only'"
      # In the foreground, so that it ends with this part; by a file, because what a pipe leads to would wait for all of it.
      PARITY_ONLY=$only PARITY_EVERY=1 LOOKBACK_CUBLAS=off timeout --foreground 25 compute-sanitizer --tool "$tool" \
        --error-exitcode 9 "$BUILD/test_cuda_parity_test" a_gpu_agrees_with_the_cpu >"$log" 2>&1 || rc=1
      cat "$log"
      has_looked "$log" || { echo "$tool has looked at nothing: no case ran"; rc=1; }
    done
  done
  return "$rc"
}

# Also beside the files that it is made from, which may be all that comes back from a machine.
part_report() { python3 bench/device/report.py "$OUT" "$OUT/page.md" && python3 bench/device/report.py "$OUT"; }

# Runs a part as a process of its own, so that one that hangs ends with all that it has started.
run_part() {
  local part=$1 began=$SECONDS rc=0 said=ok limit=${LIMIT:-${limits[$1]}}
  local left=$((${SECONDS_TOTAL:-540} - SECONDS))
  [ "$limit" -le "$left" ] || limit=$left
  if [ "$left" -lt 10 ]; then
    said="not run: the time was up"
    rc=1
  else
    timeout -k 5 "$limit" env GPU_CHECK_PART="$part" GPU_CHECK_LIMIT="$limit" OUT="$OUT" BUILD="$BUILD" bash "$self" \
      >"$OUT/$part.txt" 2>&1 || rc=$?
    [ "$rc" = 0 ] || said=FAILED
    [ "$rc" != 124 ] && [ "$rc" != 137 ] || said="cut short after $limit s"
  fi
  if [ "$rc" = 77 ]; then
    said="SKIPPED: $(tail -n 1 "$OUT/$part.txt")"
    [ "$named" = 1 ] || rc=0
  fi
  [ "$rc" = 0 ] || failed=1
  printf '%-10s %s, %d s\n' "$part" "$said" $((SECONDS - began)) | tee -a "$OUT/summary.txt"
  [ "$rc" = 0 ] || [ ! -f "$OUT/$part.txt" ] || tail -n 20 "$OUT/$part.txt"
}

# The newest cuBLAS among the packages that PyTorch brings.
cublas_of_pytorch() {
  "$python" -c 'import glob, os, sysconfig
found = glob.glob(sysconfig.get_paths()["purelib"] + "/nvidia/*/lib/libcublas.so.1[23]")
print(max(found, key=os.path.basename, default=""))'
}

if [ -z "${LOOKBACK_CUBLAS:-}" ] && ! ldconfig -p 2>/dev/null | grep -q 'libcublas\.so\.1[23]'; then
  LOOKBACK_CUBLAS=$(cublas_of_pytorch 2>/dev/null) || true
  export LOOKBACK_CUBLAS
fi
export LOOKBACK_CUDA_LIBRARY=$PWD/build/Release/lookback_cuda.so

if [ -n "${GPU_CHECK_PART:-}" ]; then
  limit=$GPU_CHECK_LIMIT
  set -o pipefail
  "part_$GPU_CHECK_PART"
  exit
fi

parts=()
for argument in "$@"; do
  case $argument in
    -h | --help)
      usage
      exit 0
      ;;
    *)
      if [ -z "$argument" ] || [ -z "${limits[$argument]:-}" ]; then
        echo "gpu-check: unknown part '$argument'" >&2
        usage >&2
        exit 2
      fi
      parts+=("$argument")
      ;;
  esac
done
named=1
[ ${#parts[@]} -gt 0 ] || { parts=("${order[@]}"); named=0; }
mkdir -p "$OUT" "$BUILD"
OUT=$(cd "$OUT" && pwd)
BUILD=$(cd "$BUILD" && pwd)
failed=0
# Parts that run on their own keep the lines of those before them.
touch "$OUT/summary.txt"
for part in "${parts[@]}"; do sed -i "/^$part /d" "$OUT/summary.txt"; done
for part in "${parts[@]}"; do run_part "$part"; done
exit "$failed"
