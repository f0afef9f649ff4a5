#!/usr/bin/env bash
# Buildroot runs this when all parts are there: post-image.sh IMAGES BOARD. Makes sdcard.img, its SHA-256 and the update bundle.
set -euo pipefail
images=$1 board=$2
here=$(cd "$(dirname "$0")" && pwd)
keys=${RACKBOOT_KEYS:-$here/../../build/firmware/keys}
version=$(sed -nE 's/^  "version": "(.*)",$/\1/p' "$here/../../package.json")

"$here/card.sh" "$board" "$images" "${BUILD_DIR:-$images}/card.tmp"
"$here/bundle.sh" "$board" "$version" "$images" "$keys/certificate.pem" "$keys/key.pem"
