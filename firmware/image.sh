#!/usr/bin/env bash
# Builds the card of a board: sdcard.img with its SHA-256, the signed update bundle, and the list of licences. "make build" has to have run.
# Usage: image.sh BOARD [BUILDROOT]     BOARD: rpi4, rpi5 or qemu. RACKBOOT_KEYS: folder with certificate.pem and key.pem for updates
set -euo pipefail
[[ ${1:-} == --help || $# == 0 ]] && { sed -n '2,3p' "$0" | cut -c3-; exit $(($# == 0)); }
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/.." && pwd)

case $1 in
  rpi4 | rpi5) defconfig=rackboot_${1}_64_defconfig ;;
  qemu) defconfig=rackboot_qemu_aarch64_defconfig ;;
  *) echo "image: there is no board $1; the boards are rpi4, rpi5 and qemu" >&2; exit 2 ;;
esac
output=$top/build/firmware/$1
buildroot=$("$here/buildroot.sh" "${2:-}")
((EUID != 0)) || export FORCE_UNSAFE_CONFIGURE=1

# Whoever has the key can update the cards that are made with it.
export RACKBOOT_KEYS=${RACKBOOT_KEYS:-$top/build/firmware/keys}
if [[ ! -e $RACKBOOT_KEYS/key.pem ]]; then
  echo "image: making a key for updates in $RACKBOOT_KEYS; keep it: only bundles that it signs can be installed on this card" >&2
  mkdir -p "$RACKBOOT_KEYS"
  (umask 077 && openssl req -x509 -newkey rsa:3072 -nodes -days 7300 -subj /CN=rackboot-updates \
    -keyout "$RACKBOOT_KEYS/key.pem" -out "$RACKBOOT_KEYS/certificate.pem" 2>/dev/null)
fi

"$here/defconfigs.sh" --check
"$here/stage.sh" "$top/build/firmware/source"
in_buildroot() { make --no-print-directory -C "$buildroot" O="$output" BR2_EXTERNAL="$here" "$@"; }
in_buildroot "$defconfig"
"$here/dropped.sh" "$here/configs/$defconfig" "$output/.config"
# What was staged may be newer than what was built.
[[ ! -e $output/build/rackboot-local ]] || in_buildroot rackboot-rebuild
in_buildroot
in_buildroot legal-info >/dev/null

images=$output/images
printf '\n%s\n' "Write it to a card:  dd if=$images/sdcard.img of=/dev/sdX bs=4M conv=fsync status=progress"
cat "$images/sdcard.img.sha256"
printf 'Update bundle:  %s\nLicences:       %s\n' "$(echo "$images"/*.raucb)" "$output/legal-info"
