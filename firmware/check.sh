#!/usr/bin/env bash
# Tries the tree on a real Buildroot: every defconfig loads without a dropped symbol, check-package finds nothing, and, unless --quick is
# given, the package "rackboot" builds with the toolchain of the first board. "make build" has to have run.
# Usage: check.sh BUILDROOT [--quick]
set -euo pipefail
[[ ${1:-} == --help || $# == 0 ]] && { sed -n '2,4p' "$0" | cut -c3-; exit $(($# == 0)); }
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/.." && pwd)
buildroot=$("$here/buildroot.sh" "$1")
((EUID != 0)) || export FORCE_UNSAFE_CONFIGURE=1
"$here/defconfigs.sh" --check

status=0
for defconfig in "$here"/configs/*_defconfig; do
  name=$(basename "$defconfig")
  output=$top/build/firmware/check/${name%_defconfig}
  make --no-print-directory -C "$buildroot" O="$output" BR2_EXTERNAL="$here" "$name" >/dev/null
  if "$here/dropped.sh" "$defconfig" "$output/.config"; then echo "$name loads, no symbol is dropped"; else status=1; fi
done

# check-package wants a module that Debian has for its own Python; another one may stand before it in the path.
/usr/bin/python3 -c 'import magic' 2>/dev/null || { echo "check: python3-magic is missing: apt-get install python3-magic" >&2; exit 1; }
# The overlay's init scripts are ours, not Buildroot's: they start no daemon of a package, so the rules of those do not fit.
mapfile -t files < <(cd "$top" && git ls-files -- firmware/{Config.in,external.mk,configs,package,patches,board} | sed "s#^#$top/#")
if /usr/bin/python3 "$buildroot/utils/check-package" --br2-external "${files[@]}"; then echo "check-package is content"; else status=1; fi
((status == 0)) || exit $status

[[ ${2:-} == --quick ]] && exit
"$here/stage.sh" "$top/build/firmware/source"
output=$top/build/firmware/check/rackboot_qemu_aarch64
make --no-print-directory -C "$buildroot" O="$output" BR2_EXTERNAL="$here" rackboot
echo "the package rackboot builds: $output/target/usr/lib/rackboot"
