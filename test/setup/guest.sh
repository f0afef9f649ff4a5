#!/usr/bin/env bash
# Makes the guest that tests and the demo boot, once, and prints the folder that holds it:
#   disk.raw      its disk: one ext4 file system (label rackboot-guest) without a partition table, sparse
#   vmlinuz       its kernel
#   initrd.img    its initramfs by dracut, with dhclient (as RHEL 8 has it)
#   initrd-networkmanager.img    another, with NetworkManager (as RHEL 9 has it)
#   seed.raw      the same disk with one xfs instead
#   rhel-esp.vfat, rhel-boot.xfs, rhel-root.xfs    the file systems of a disk as RHEL lays it out, with the signed loaders of this machine
# It is Debian with dracut and open-iscsi, of the release that this machine runs, from the sources that its apt uses.
# Kept in ${XDG_CACHE_HOME:-~/.cache}/rackboot, by a hash of what makes it. Root, or user namespaces, will do.
# Usage: guest.sh [--path]     --path: say where it would be, make nothing
set -euo pipefail
[[ ${1:-} == --help ]] && { sed -n '2,11p' "$0" | cut -c3-; exit 0; }

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck disable=SC1091 # on every Debian
codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-stable}")
packages=(systemd-sysv udev dbus linux-image-amd64 dracut dracut-network open-iscsi isc-dhcp-client iputils-arping network-manager
  iproute2 gawk e2fsprogs xfsprogs lvm2 util-linux kmod zstd procps apt)

hash=$({ echo "$codename"; cd "$here"; find guest.sh guest-disks.sh guest -type f -print0 | sort -z | xargs -0 sha256sum; } | sha256sum | cut -c1-12)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/rackboot
guest=$cache/guest-$hash
found() { touch "$guest" && echo "$guest"; }
[[ ${1:-} == --path ]] && { echo "$guest"; exit 0; }
[[ -e $guest/disk.raw ]] && { found; exit 0; }

say() { printf 'guest: %s\n' "$*" >&2; }

# In a user namespace of many identities, files of the guest keep their owners although nobody here is root.
as_root() { if ((EUID == 0)); then "$@"; else unshare --map-root-user --map-auto -- "$@"; fi; }

mkdir -p "$cache"
exec 9>"$cache/guest.lock"
flock 9
[[ -e $guest/disk.raw ]] && { found; exit 0; }

# What an interrupted run left, and guests that nobody has used for a month.
find "$cache" -maxdepth 1 \( -name 'guest-making.*' -o -name 'guest-*' -mtime +30 -type d \) -print0 |
  while IFS= read -rd '' old; do as_root rm -rf "$old"; done

work=$(mktemp -d "$cache/guest-making.XXXXXX")
chmod 755 "$work"
trap 'as_root rm -rf "$work"' EXIT

# What this machine's apt knows of its own release; mmdebstrap has a default where apt knows nothing yet.
sources=$(apt-get indextargets --format "\$(CODENAME) deb \$(REPO_URI) \$(RELEASE) \$(COMPONENT)" 'Created-By: Packages' |
  sed -nE "s/^$codename(-updates|-security)? //p" | sort -u)

say "Debian $codename, about 300 packages: some minutes, once (kept in $guest)"
# shellcheck disable=SC2016 # the hook's $1 is mmdebstrap's
printf '%s\n' "$sources" | TMPDIR=${TMPDIR:-/var/tmp} mmdebstrap --variant=apt --format=tar \
  --include="$(IFS=,; echo "${packages[*]}")" \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
  --essential-hook="sync-in '$here/guest/files' /" \
  --customize-hook='chroot "$1" /usr/local/sbin/rackboot-guest-finish' \
  "$codename" "$work/root.tar" ${sources:+-} >&2

say "writing its disks"
as_root "$here/guest-disks.sh" "$work" >&2

mv -T "$work" "$guest"
trap - EXIT
say "made: $(du -sh "$guest" | cut -f1), initramfs $(du -h "$guest/initrd.img" | cut -f1)"
echo "$guest"
