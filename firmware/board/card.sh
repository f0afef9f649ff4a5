#!/usr/bin/env bash
# Makes the card of a board from a folder with its parts (rootfs.squashfs and what the board's boot-files names): sdcard.img.
# Usage: card.sh BOARD FOLDER TEMPORARY
set -euo pipefail
[[ ${1:-} == --help || $# != 3 ]] && { sed -n '2,3p' "$0" | cut -c3-; exit $(($# != 3)); }
here=$(cd "$(dirname "$0")" && pwd)
board=$1 images=$2 work=$3

# shellcheck source=firmware/layout.env
. "$here/../layout.env"
kind=${board/#rpi[0-9]*/rpi}

put() { # FILE SLOT PARTITION
  sed -e "s/@DISK_SIGNATURE@/$DISK_SIGNATURE/; s/@SLOT@/$2/; s/@ROOT@/$3/" "$here/$kind/cmdline.txt" >"$images/$1"
}
put cmdline_a.txt a "$PARTITION_ROOT_A"
put cmdline_b.txt b "$PARTITION_ROOT_B"
install -m 0644 "$here"/boot-config/* "$images/"
boot=(cmdline_a.txt cmdline_b.txt)
if [[ $kind == rpi ]]; then
  install -m 0644 "$here/rpi/config.txt" "$images/config.txt"
  boot+=(config.txt)
fi
while read -r file; do
  [[ -e $images/$file ]] || { echo "card: $images/$file is missing" >&2; exit 1; }
  boot+=("$file")
done <"$here/$board/boot-files"

# Of a path with a folder, only the last part is wanted on the card.
files=$(for file in "${boot[@]}"; do printf '\t\tfile "%s" { image = "%s" }\n' "${file##*/}" "$file"; done)
values=$(set -o posix; set | grep -E '^(SIZE|LABEL|DISK)_' | tr -d "'")
text=$(<"$here/genimage.cfg.in")
while IFS='=' read -r name value; do text=${text//@"$name"@/$value}; done <<<"$values"
text=${text//@BOOT_FILES@/$files}

rm -rf "$work"
mkdir -p "$work/root"
printf '%s\n' "$text" >"$work/genimage.cfg"
genimage --loglevel 1 --config "$work/genimage.cfg" --rootpath "$work/root" --tmppath "$work/tmp" --inputpath "$images" --outputpath "$images"
rm -rf "$work"
(cd "$images" && sha256sum sdcard.img >sdcard.img.sha256)
