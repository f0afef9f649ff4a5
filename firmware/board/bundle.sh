#!/usr/bin/env bash
# Signs an update of a board: both images of a slot, for "rackboot update FILE". Prints the file.
# Usage: bundle.sh BOARD VERSION FOLDER CERTIFICATE KEY     FOLDER: with boot.vfat and rootfs.squashfs
set -euo pipefail
[[ ${1:-} == --help || $# != 5 ]] && { sed -n '2,3p' "$0" | cut -c3-; exit $(($# != 5)); }
board=$1 version=$2 images=$3 certificate=$4 key=$5

content=$(mktemp -d)
trap 'rm -rf "$content"' EXIT
cp --reflink=auto "$images/boot.vfat" "$content/boot.img"
cp --reflink=auto "$images/rootfs.squashfs" "$content/root.img"
cat >"$content/manifest.raucm" <<MANIFEST
[update]
compatible=rackboot-$board
version=$version

[bundle]
format=plain

[image.root]
filename=root.img

[image.boot]
filename=boot.img
MANIFEST
bundle=$images/rackboot-$version-$board.raucb
rm -f "$bundle"
rauc bundle --cert="$certificate" --key="$key" "$content" "$bundle" >&2
(cd "$images" && sha256sum "$(basename "$bundle")" >"$(basename "$bundle").sha256")
echo "$bundle"
