#!/usr/bin/env bash
# Signs an update of the emulated board: the system that board-image.sh made, but for some files. Prints the bundle.
# Usage: board-update.sh IMAGES FOLDER VERSION [PATH=FILE...]     IMAGES: what board-image.sh printed; FOLDER: to work in, made anew;
#        PATH: in the root file system, FILE: what the update has there. RACKBOOT_KEYS: who signs it, if not the one whom the card trusts
set -euo pipefail
[[ ${1:-} == --help || $# -lt 3 ]] && { sed -n '2,4p' "$0" | cut -c3-; exit $(($# < 3)); }
here=$(cd "$(dirname "$0")" && pwd)
images=$1 folder=$2 version=$3
shift 3
keys=${RACKBOOT_KEYS:-$images/keys}

rm -rf "$folder"
mkdir -p "$folder"
cp -al "$images/root" "$folder/root"
for change in "$@"; do install -m 0644 "${change#*=}" "$folder/root/${change%%=*}"; done
"$here/board-squashfs.sh" "$folder/root" "$folder/rootfs.squashfs"
rm -rf "$folder/root"
cp --reflink=auto --sparse=always "$images/boot.vfat" "$folder/"
bundle=$("$here/../../firmware/board/bundle.sh" qemu-virt "$version" "$folder" "$keys/certificate.pem" "$keys/key.pem")
rm "$folder"/{rootfs.squashfs,boot.vfat}
echo "$bundle"
