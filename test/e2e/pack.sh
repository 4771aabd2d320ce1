#!/usr/bin/env bash
# Packs the checkout as for npm and installs the tarball as a stranger would: an empty project, an empty home, no npm
# configuration, nothing but /usr/bin on the path.
#   1. the tarball holds what it should and nothing else
#   2. --ignore-scripts: the first require explains itself; `npx lookback build` without CMake (node-gyp) repairs it
#   3. a plain install builds with CMake
# After 2 and 3 a model trains three steps.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/home" "$work/bin"

say() { printf 'pack: %s\n' "$*"; }
die() {
  say "FAILED: $*" >&2
  exit 1
}

# The directories that a plain user has, and the one Node lives in.
path="$(dirname "$(command -v node)"):/usr/bin:/bin"
# $BUILD_ENVIRONMENT, assignments, reaches the builds: .ci/run remembers what its stages compile.
bare() { env -i HOME="$work/home" PATH="$path" npm_config_update_notifier=false ${BUILD_ENVIRONMENT:-} "$@"; }

# The same without CMake: every program but that one, as links.
no_cmake() {
  local directory file
  for directory in ${path//:/ }; do
    for file in "$directory"/*; do
      case ${file##*/} in cmake | ctest | cmake-js | ninja) ;; *) ln -sfn "$file" "$work/bin/" ;; esac
    done
  done
  env -i HOME="$work/home" PATH="$work/bin" "$@"
}

new_project() {
  mkdir "$work/$1"
  cd "$work/$1"
  printf '{ "name": "stranger", "version": "1.0.0", "private": true }\n' >package.json
  cp "$here/train-three-steps.cjs" .
}

say "packing"
cd "$root"
npm pack --silent --pack-destination "$work" >"$work/pack.log" 2>&1 || { cat "$work/pack.log"; die "npm pack"; }
tarball=$(echo "$work"/lookback-*.tgz)
[ ! -e vendor ] || die "packing left vendor/ behind"
tar -tzf "$tarball" | sed 's#^package/##' >"$work/files"
for wanted in package.json README.md LICENSE NOTICE dist/index.js dist/index.mjs dist/index.d.ts dist/index.d.mts \
  dist/cli/main.js native/sources.cmake CMakeLists.txt binding.gyp scripts/install.cjs vendor/eigen/Eigen/Core \
  vendor/eigen/COPYING.MPL2; do
  grep -qx "$wanted" "$work/files" || die "the tarball lacks $wanted"
done
if grep -E '^(test|bench|data|examples|lib|build|docs|node_modules)/' "$work/files"; then die "not meant to be packed"; fi
node "$root/node_modules/publint/src/cli.js" --strict "$tarball" || die "publint"
say "$(wc -l <"$work/files") files, $(du -h "$tarball" | cut -f1)"

say "install --ignore-scripts: the first require explains itself"
new_project blocked
bare npm install --silent --ignore-scripts "$tarball" || die "npm install --ignore-scripts"
bare node -e '
  try { require("lookback"); } catch (error) {
    const told = ["npx lookback build", "npm rebuild lookback", "npx lookback doctor"];
    if (error.code === "ERR_ADDON_MISSING" && told.every((line) => error.message.includes(line))) process.exit(0);
    console.error(error);
    process.exit(1);
  }
  console.error("require did not throw");
  process.exit(1);' || die "require without the addon"

say "npx lookback build without CMake"
no_cmake npx lookback build >"$work/build.log" 2>&1 || { tail -n 30 "$work/build.log"; die "npx lookback build"; }
no_cmake node train-three-steps.cjs || die "training with the addon that node-gyp built"

say "plain install"
new_project plain
bare npm install --foreground-scripts "$tarball" >"$work/install.log" 2>&1 || { tail -n 30 "$work/install.log"; die "npm install"; }
bare node train-three-steps.cjs || { tail -n 30 "$work/install.log"; die "training with the addon that CMake built"; }
bare npx lookback doctor >"$work/doctor.log" || { cat "$work/doctor.log"; die "npx lookback doctor"; }
say "ok"
