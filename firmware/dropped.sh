#!/usr/bin/env bash
# Tells which settings of a defconfig Buildroot did not take: a symbol that it does not know, or one whose conditions are not met.
# Usage: dropped.sh DEFCONFIG DOT-CONFIG
set -euo pipefail
[[ ${1:-} == --help || $# != 2 ]] && { sed -n '2,3p' "$0" | cut -c3-; exit $(($# != 2)); }
dropped=0
while IFS= read -r line; do
  grep -qxF -- "$line" "$2" && continue
  # A symbol that is not set may be absent as well; its absence is what was asked for.
  symbol=$(sed -nE 's/^# (BR2_[A-Za-z0-9_]+) is not set$/\1/p' <<<"$line")
  [[ -n $symbol ]] && ! grep -q "^$symbol=" "$2" && continue
  # An empty string is what a symbol has that nobody set.
  [[ $line == *'=""' ]] && ! grep -q "^${line%%=*}=" "$2" && continue
  echo "dropped: $(basename "$1"): $line" >&2
  dropped=1
done < <(grep -E '^(BR2_|# BR2_.* is not set)' "$1")
exit $dropped
