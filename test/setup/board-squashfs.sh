#!/usr/bin/env bash
# Makes a root file system of the emulated board the way it lies on the card.
# Usage: board-squashfs.sh ROOT FILE
set -euo pipefail
[[ ${1:-} == --help || $# != 2 ]] && { sed -n '2,3p' "$0" | cut -c3-; exit $(($# != 2)); }
# The kernel's own compression costs an emulated processor more than reading does.
mksquashfs "$1" "$2.new" -all-root -noappend -no-progress -quiet -noI -noD -noF -noX -no-xattrs >&2
mv "$2.new" "$2"
