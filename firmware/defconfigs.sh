#!/usr/bin/env bash
# Puts the defconfigs together: fragments/common.config and one fragment a board. With --check nothing is written; exit code 1 where
# one is not current.
# Usage: defconfigs.sh [--check]
set -euo pipefail
[[ ${1:-} == --help ]] && { sed -n '2,4p' "$0" | cut -c3-; exit 0; }
cd "$(dirname "$0")"

merged() { # FRAGMENT
  echo "# Made by firmware/defconfigs.sh from fragments/common.config and fragments/$1.config: change those."
  grep -hE '^(BR2_|# BR2_.* is not set)' fragments/common.config "fragments/$1.config"
}

for fragment in fragments/*.config; do
  board=$(basename "$fragment" .config)
  [[ $board == common ]] && continue
  twice=$(merged "$board" | sed -nE 's/^(# )?(BR2_[A-Za-z0-9_]+).*/\2/p' | sort | uniq -d)
  [[ -z $twice ]] || { echo "defconfigs: $board: set twice: $twice" >&2; exit 1; }
  target=configs/rackboot_${board}_defconfig
  if [[ ${1:-} == --check ]]; then
    cmp -s <(merged "$board") "$target" || { echo "defconfigs: $target is not current; run firmware/defconfigs.sh" >&2; exit 1; }
  else
    merged "$board" >"$target"
  fi
done
