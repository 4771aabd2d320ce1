#!/usr/bin/env bash
# clang-format over the native sources: --check (exit 1 where a file is not formatted) or --write.
set -eu
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if ! command -v clang-format >/dev/null; then
  echo "clang-format was not found; install it (Debian: apt-get install clang-format) or use npm run lint alone" >&2
  exit 1
fi
case "${1:-}" in
  --check) how=(--dry-run --Werror) ;;
  --write) how=(-i) ;;
  *) echo "usage: format-native.sh --check|--write" >&2; exit 2 ;;
esac
find native test bench -name '*.h' -o -name '*.cc' -o -name '*.cu' -o -name '*.cuh' | sort | xargs clang-format "${how[@]}"
