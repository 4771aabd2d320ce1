#!/usr/bin/env bash
# Finds what a build from source needs: Node, a C++20 compiler, CMake, Ninja or make, and Eigen's headers.
# Quick and silent about the system when all is there. What is missing:
#   Eigen         its Debian package is unpacked into .cache/, without root; afterwards no network is needed
#   other tools   installed when root or with LOOKBACK_SETUP=yes; asked about on a terminal;
#                 otherwise the exact line is printed and the exit code is 2
# Usage: bash scripts/setup.sh [eigen]      eigen: look after Eigen only, and never install anything
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf 'setup: %s\n' "$*"; }
have() { command -v "$1" >/dev/null 2>&1; }

have_node() {
  have node && node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 17) ? 0 : 1)'
}

compiler() {
  local candidate
  for candidate in "${CXX:-}" c++ g++ clang++; do
    if [ -n "$candidate" ] && have "$candidate"; then
      echo "$candidate"
      return
    fi
  done
  return 1
}

have_cxx20() {
  local cxx
  cxx=$(compiler) || return 1
  printf '#include <span>\n#include <concepts>\ntemplate <std::integral T> T id(T x) { return x; }\nint main() { return id(0); }\n' |
    "$cxx" -std=c++20 -fsyntax-only -x c++ - >/dev/null 2>&1
}

have_cmake() {
  have cmake || return 1
  local major minor
  read -r major minor < <(cmake --version | sed -n 's/^cmake version \([0-9]*\)\.\([0-9]*\).*/\1 \2/p')
  [ "${major:-0}" -gt 3 ] || { [ "${major:-0}" -eq 3 ] && [ "${minor:-0}" -ge 22 ]; }
}

have_make() { have ninja || have make; }
have_eigen() { node scripts/lib/eigen.cjs >/dev/null 2>&1; }

# Unpacks Debian's package of Eigen into .cache/eigen. Where the system has no package lists, and only root may fetch
# them, lists of our own under .cache/apt do.
fetch_eigen() {
  have apt-get && have dpkg || return 1
  local cache="$PWD/.cache" work="$PWD/.cache/eigen.new"
  rm -rf "$work" && mkdir -p "$work" || return 1
  say "fetching Eigen's headers into .cache/eigen (apt-get download libeigen3-dev)"
  if ! (cd "$work" && apt-get -qq -o APT::Sandbox::User=root download libeigen3-dev) >"$cache/setup.log" 2>&1; then
    mkdir -p "$cache/apt/state/lists/partial" "$cache/apt/cache/archives/partial"
    local own=(-qq -o "Dir::State=$cache/apt/state" -o "Dir::State::status=/var/lib/dpkg/status"
      -o "Dir::Cache=$cache/apt/cache" -o "APT::Sandbox::User=root")
    (apt-get "${own[@]}" update && cd "$work" && apt-get "${own[@]}" download libeigen3-dev) \
      >>"$cache/setup.log" 2>&1 || return 1
  fi
  dpkg -x "$work"/libeigen3-dev_*.deb "$work" >>"$cache/setup.log" 2>&1 || return 1
  rm -rf "$cache/eigen" "$cache/apt" "$work"/*.deb && mv "$work" "$cache/eigen" && have_eigen
}

# package_of MANAGER TOOL: the packages that bring one of compiler, cmake, make, eigen.
package_of() {
  case "$1 $2" in
    "apt compiler") echo g++ make ;;
    "dnf compiler") echo gcc-c++ make ;;
    "brew compiler") echo llvm ;;
    "apt make" | "dnf make") echo ninja-build ;;
    "brew make") echo ninja ;;
    "apt eigen") echo libeigen3-dev ;;
    "dnf eigen") echo eigen3-devel ;;
    *) echo "$2" ;;
  esac
}

# install_line PREFIX TOOL...: the line that installs those tools on this system. PREFIX is "" or "sudo ".
install_line() {
  local prefix=$1 manager packages="" tool
  shift
  if have apt-get; then manager=apt; elif have dnf; then manager=dnf; elif have brew; then manager=brew; else return 1; fi
  for tool in "$@"; do packages="$packages $(package_of $manager "$tool")"; done
  case $manager in
    apt) echo "${prefix}apt-get update && ${prefix}apt-get install -y$packages" ;;
    dnf) echo "${prefix}dnf install -y$packages" ;;
    brew) echo "brew install$packages" ;;
  esac
}

# may_install LINE: whether the line may be run: yes for root and LOOKBACK_SETUP=yes, else a person is asked.
may_install() {
  [ "$(id -u)" = 0 ] || [ "${LOOKBACK_SETUP:-}" = yes ] && return 0
  [ -t 0 ] && [ -t 1 ] || return 1
  local answer
  read -r -p "setup: run this now? [y/N] $1 : " answer
  [[ $answer == [yY]* ]]
}

if ! have_node; then
  say "Node.js 20.17 or later is needed; found: $(node --version 2>/dev/null || echo none). See https://nodejs.org"
  exit 2
fi
mkdir -p .cache

if ! have_eigen; then fetch_eigen || say "Eigen's Debian package could not be fetched here"; fi
if [ "${1:-}" = eigen ]; then
  have_eigen
  exit
fi

missing=()
have_cxx20 || missing+=(compiler)
have_cmake || missing+=(cmake)
have_make || missing+=(make)
have_eigen || missing+=(eigen)
if [ ${#missing[@]} -gt 0 ]; then
  say "missing: ${missing[*]}"
  prefix=""
  [ "$(id -u)" = 0 ] || prefix="sudo "
  if ! line=$(install_line "$prefix" "${missing[@]}"); then
    say "found none of apt-get, dnf and brew; install by hand: a C++20 compiler, CMake 3.22 or later, make, Eigen 3.4"
    exit 2
  fi
  if ! may_install "$line"; then
    say "install what is missing with this line, then run the command again (LOOKBACK_SETUP=yes runs it for you):"
    printf '    %s\n' "$line"
    exit 2
  fi
  say "$line"
  if ! DEBIAN_FRONTEND=noninteractive bash -c "$line" >.cache/setup.log 2>&1 </dev/null; then
    say "that failed; its output:"
    tail -n 20 .cache/setup.log
    exit 2
  fi
  for tool in "${missing[@]}"; do
    case $tool in compiler) check=have_cxx20 ;; *) check=have_$tool ;; esac
    hash -r
    $check || { say "$tool is still missing after the installation"; exit 2; }
  done
fi

say "$(compiler), $(cmake --version | head -n 1), $(have ninja && echo Ninja || echo make), Eigen in $(node scripts/lib/eigen.cjs)"
