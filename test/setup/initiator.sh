#!/usr/bin/env bash
# Makes the Linux initiator that tests boot, once, and prints the folder that holds it:
#   disk.raw      its disk: one ext4 file system without a partition table, sparse
#   vmlinuz, initrd.img
# It is Debian's kernel with open-iscsi, multipath-tools, sg3-utils and fio, of the release that this machine runs, from the sources that its
# apt uses. A shell of ours is its process 1, so that it is up in seconds under emulation.
# Kept in ${XDG_CACHE_HOME:-~/.cache}/rackboot, by a hash of what makes it. Root, or user namespaces, will do.
set -euo pipefail
[[ ${1:-} == --help ]] && { sed -n '2,7p' "$0" | cut -c3-; exit 0; }

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck disable=SC1091 # on every Debian
codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-stable}")
packages=(linux-image-amd64 initramfs-tools busybox udev kmod open-iscsi multipath-tools sg3-utils fio iproute2 e2fsprogs util-linux zstd)
# Drivers of machines that are not emulated: most of what a kernel package weighs.
drivers=(sound drivers/gpu drivers/media drivers/net/wireless drivers/net/ethernet drivers/usb drivers/infiniband drivers/iio drivers/staging
  drivers/hid drivers/input drivers/mtd drivers/isdn drivers/hwmon drivers/bluetooth drivers/thunderbolt net/mac80211 net/bluetooth)
excluded=()
for each in "${drivers[@]}"; do excluded+=("--dpkgopt=path-exclude=*/kernel/$each/*"); done

hash=$({ echo "$codename"; cd "$here"; find initiator.sh initiator -type f -print0 | sort -z | xargs -0 sha256sum; } | sha256sum | cut -c1-12)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/rackboot
initiator=$cache/initiator-$hash
found() { touch "$initiator" && echo "$initiator"; }
[[ -e $initiator/disk.raw ]] && { found; exit 0; }

say() { printf 'initiator: %s\n' "$*" >&2; }

# In a user namespace of many identities, files of the guest keep their owners although nobody here is root.
as_root() { if ((EUID == 0)); then "$@"; else unshare --map-root-user --map-auto -- "$@"; fi; }

mkdir -p "$cache"
exec 9>"$cache/initiator.lock"
flock 9
[[ -e $initiator/disk.raw ]] && { found; exit 0; }

# What an interrupted run left, and initiators that nobody has used for a month.
find "$cache" -maxdepth 1 \( -name 'initiator-making.*' -o -name 'initiator-*' -mtime +30 -type d \) -print0 |
  while IFS= read -rd '' old; do as_root rm -rf "$old"; done

work=$(mktemp -d "$cache/initiator-making.XXXXXX")
chmod 755 "$work"
trap 'as_root rm -rf "$work"' EXIT

# What this machine's apt knows of its own release; mmdebstrap has a default where apt knows nothing yet.
sources=$(apt-get indextargets --format "\$(CODENAME) deb \$(REPO_URI) \$(RELEASE) \$(COMPONENT)" 'Created-By: Packages' |
  sed -nE "s/^$codename(-updates|-security)? //p" | sort -u)

say "Debian $codename with initiator and multipath: some minutes, once (kept in $initiator)"
# shellcheck disable=SC2016 # the hooks' $1 is mmdebstrap's
printf '%s\n' "$sources" | TMPDIR=${TMPDIR:-/var/tmp} mmdebstrap --variant=essential --format=tar \
  --include="$(IFS=,; echo "${packages[*]}")" \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
  "${excluded[@]}" \
  --essential-hook="sync-in '$here/initiator/files' /" \
  --customize-hook='rm -f "$1"/etc/hostname "$1"/etc/resolv.conf' \
  "$codename" "$work/root.tar" ${sources:+-} >&2

say "writing its disk"
# shellcheck disable=SC2016 # expanded by the inner shell
as_root bash -euc 'cd "$1"
  mkdir root
  tar -xf root.tar -C root --numeric-owner --exclude="./dev/*"
  cp root/boot/vmlinuz-* vmlinuz
  cp root/boot/initrd.img-* initrd.img
  rm -rf root/boot
  mke2fs -q -t ext4 -E lazy_itable_init=0,lazy_journal_init=0 -d root disk.raw 2G
  rm -rf root root.tar' - "$work"

mv -T "$work" "$initiator"
trap - EXIT
say "made: $(du -sh "$initiator" | cut -f1), initramfs $(du -h "$initiator/initrd.img" | cut -f1)"
echo "$initiator"
