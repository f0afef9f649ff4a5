#!/usr/bin/env bash
# Tries the tree on a real Buildroot: every defconfig loads without a dropped symbol, check-package finds nothing, and, unless --quick is
# given, our packages build: with the toolchain that the boards get, which takes an hour, or with Debian's cross compiler, which takes
# minutes. "make build" has to have run.
# Usage: check.sh BUILDROOT [--quick | --debian-toolchain]
set -euo pipefail
[[ ${1:-} == --help || $# == 0 ]] && { sed -n '2,5p' "$0" | cut -c3-; exit $(($# == 0)); }
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
in_buildroot() { make --no-print-directory -C "$buildroot" O="$output" BR2_EXTERNAL="$here" "$@"; }
if [[ ${2:-} == --debian-toolchain ]]; then
  output=$top/build/firmware/check/debian_toolchain
  mkdir -p "$output"
  toolchain=$("$top/test/setup/toolchain.sh" "$top/build/firmware/check/toolchain")
  { grep -vE '^BR2_(TOOLCHAIN|PACKAGE_HOST_LINUX_HEADERS)_' "$here/configs/rackboot_qemu_aarch64_defconfig"; echo "$toolchain"; } >"$output/defconfig"
  in_buildroot BR2_DEFCONFIG="$output/defconfig" defconfig >/dev/null
  "$here/dropped.sh" "$output/defconfig" "$output/.config"
fi
in_buildroot rackboot rackboot-loaders
echo "the packages build: $output/target"
