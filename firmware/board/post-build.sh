#!/usr/bin/env bash
# Buildroot runs this on the target's root file system: post-build.sh TARGET BOARD. What belongs to one board, and what updates need.
set -euo pipefail
target=$1 board=$2
here=$(cd "$(dirname "$0")" && pwd)
keys=${RACKBOOT_KEYS:-$here/../../build/firmware/keys}

# shellcheck source=firmware/layout.env
. "$here/../layout.env"
install -D -m 0644 "$here/../layout.env" "$target/usr/share/rackboot/layout.env"
install -D -m 0755 "$here/rauc/slot-backend" "$target/usr/lib/rackboot/slot-backend"
install -D -m 0644 "$keys/certificate.pem" "$target/etc/rauc/keyring.pem"
sed -e "s|@BOARD@|$board|; s|@STATE@|$MOUNT_STATE|; s|@DEVICES@|$DEVICES|" "$here/rauc/system.conf.in" >"$target/etc/rauc/system.conf"
[[ -e $target/etc/rackboot/board.env ]] && sed -i "s/^BOARD=.*/BOARD=$board/" "$target/etc/rackboot/board.env"

# Of the board's own GRUB only its reader of disks is used; those beside it, *-signed, are for the machines of the rack.
find "$target/usr/lib/grub" -mindepth 1 -maxdepth 1 ! -name '*-signed' -exec rm -r {} +
(cd "$target" && rm -rf usr/share/{grub,locale,info,man} share etc/grub.d boot)
find "$target"/usr/{bin,sbin} -name 'grub-*' ! -name grub-fstest -delete
# The scripts of the overlay are the whole of init.
find "$target/etc/init.d" -type f | while read -r script; do
  [[ -e $here/../rootfs-overlay/etc/init.d/${script##*/} ]] || rm "$script"
done
find "$target" -name .keep -delete
