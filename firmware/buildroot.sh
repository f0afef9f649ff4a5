#!/usr/bin/env bash
# Prints the folder of a Buildroot: the one that is given, or the pinned release, which is downloaded once and checked by its hash.
# Usage: buildroot.sh [FOLDER]
set -euo pipefail
[[ ${1:-} == --help ]] && { sed -n '2,3p' "$0" | cut -c3-; exit 0; }
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=firmware/buildroot.env
. "$here/buildroot.env"

if [[ -n ${1:-} ]]; then
  [[ -e $1/Makefile && -e $1/utils/check-package ]] || { echo "image: $1 is no Buildroot; give the folder of a checkout" >&2; exit 1; }
  found=$(sed -nE 's/^export BR2_VERSION := //p' "$1/Makefile")
  [[ $found == "${BUILDROOT_VERSION%.*}"* ]] || echo "image: $1 is Buildroot $found; the tree is made for $BUILDROOT_VERSION" >&2
  (cd "$1" && pwd)
  exit
fi

store=$here/../build/firmware
folder=$store/buildroot-$BUILDROOT_VERSION
if [[ ! -e $folder/Makefile ]]; then
  mkdir -p "$store"
  archive=$store/${BUILDROOT_URL##*/}
  if ! sha256sum --check --status <<<"$BUILDROOT_SHA256  $archive" 2>/dev/null; then
    echo "image: downloading ${BUILDROOT_URL##*/}" >&2
    curl --fail --location --retry 3 --progress-bar --output "$archive.part" "$BUILDROOT_URL" ||
      { echo "image: $BUILDROOT_URL cannot be had; give a checkout: make image BOARD=... BUILDROOT=DIR" >&2; exit 1; }
    mv "$archive.part" "$archive"
    sha256sum --check --status <<<"$BUILDROOT_SHA256  $archive" ||
      { echo "image: $archive is not the release that firmware/buildroot.env names; remove it, and ask where it came from" >&2; exit 1; }
  fi
  mkdir -p "$folder.new"
  tar -xJf "$archive" -C "$folder.new" --strip-components=1
  mv "$folder.new" "$folder"
fi
(cd "$folder" && pwd)
