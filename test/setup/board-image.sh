#!/usr/bin/env bash
# Puts both images of a half of the emulated board's card together: what test/setup/board.sh gathered, the overlay of firmware/, and the
# daemon, cross-compiled, in the places where the image's packages install them. Prints the folder that has them:
#   root/              the root file system
#   rootfs.squashfs    the same, as it lies on the card
#   boot.vfat          kernel, initramfs, and a kernel line for each half
#   keys/              whom such a card trusts: certificate.pem, key.pem
# Usage: board-image.sh BOARD FOLDER     BOARD: what board.sh printed; FOLDER: to work in, kept between runs so that little is built twice
set -euo pipefail
[[ ${1:-} == --help ]] && { sed -n '2,8p' "$0" | cut -c3-; exit 0; }
board=${1:?which board} out=${2:?which folder}

top=$(cd "$(dirname "$0")/../.." && pwd)
mkdir -p "$out"
out=$(cd "$out" && pwd)
root=$out/root app=$out/root/usr/lib/rackboot

cross=aarch64-linux-gnu-
build() { # FOLDER OBJECTS
  make -j2 --no-print-directory -C "$top/src/native$1" CXX=${cross}g++ OBJECTS="$out/objects$1" DIST="$out/dist" \
    PKG_CONFIG="env PKG_CONFIG_LIBDIR=$board/sysroot/usr/lib/aarch64-linux-gnu/pkgconfig PKG_CONFIG_SYSROOT_DIR=$board/sysroot pkg-config" >&2
}
build ''
build /look
build /supervise
build /restart

# onoff's native half is bound to one Node: it is built against the headers of the very version that will load it.
modules=$top/node_modules
epoll=$out/epoll.node
headers=$(echo "$modules"/node/node_modules/node-linux-*/include/node)
if [[ $modules/epoll/src/epoll.cc -nt $epoll ]]; then
  ${cross}g++ -O2 -std=c++20 -shared -fPIC -Wno-deprecated-declarations -Wno-cast-function-type -DNODE_GYP_MODULE_NAME=epoll \
    -I "$headers" -I "$modules/nan" -o "$epoll" "$modules/epoll/src/epoll.cc"
fi

rm -rf "$root"
mkdir -p "$root"
# Links are enough where the folders share a file system: nothing here changes a file in its place.
copy() { cp -al "$@" 2>/dev/null || cp -a "$@"; }
copy "$board/root/." "$root/"
mkdir -p "$root"/{usr/bin,usr/sbin,usr/share/rackboot,dev,proc,sys,run,tmp,var,root}
copy "$board/node" "$root/usr/bin/node"
cp -a "$top/firmware/rootfs-overlay/." "$root/"
find "$root" -name .keep -delete

# Busybox is every command that has no program of its own here.
while read -r path; do
  [[ -e $root/$path ]] || { mkdir -p "$root/$(dirname "$path")" && ln -s /bin/busybox "$root/$path"; }
done < <(busybox --list-full)

"$top/firmware/stage.sh" "$out/source"
mkdir -p "$app"
cp -a "$out/source/package.json" "$out/source/dist" "$out/source/node_modules" "$app/"
(cd "$out" && find dist -type f -print0 | cpio --quiet -0pdm "$app")
ln -s ../lib/rackboot/dist/src/main.js "$root/usr/bin/rackboot"
install -D "$epoll" "$app/node_modules/epoll/build/Release/epoll.node"

export RACKBOOT_KEYS=$out/keys
if [[ ! -e $RACKBOOT_KEYS/key.pem ]]; then
  mkdir -p "$RACKBOOT_KEYS"
  openssl req -x509 -newkey rsa:3072 -nodes -days 7300 -subj /CN=rackboot-tests -keyout "$RACKBOOT_KEYS/key.pem.new" \
    -out "$RACKBOOT_KEYS/certificate.pem" 2>/dev/null
  mv "$RACKBOOT_KEYS/key.pem.new" "$RACKBOOT_KEYS/key.pem"
fi
"$top/firmware/board/post-build.sh" "$root" qemu-virt
install -D "$root/usr/bin/rauc" "$root/usr/libexec/debian-rauc"
install "$top/test/setup/board-rauc" "$root/usr/bin/rauc"

"$top/test/setup/board-squashfs.sh" "$root" "$out/rootfs.squashfs"

# shellcheck source=firmware/layout.env
. "$top/firmware/layout.env"
boot=$out/boot.vfat
rm -f "$boot"
truncate -s 64M "$boot"
mkfs.vfat -n "$LABEL_BOOT" "$boot" >/dev/null
put() { # SLOT PARTITION: its kernel line, as firmware/board/card.sh makes it
  sed -e "s/@DISK_SIGNATURE@/$DISK_SIGNATURE/; s/@SLOT@/$1/; s/@ROOT@/$2/" "$top/firmware/board/qemu-virt/cmdline.txt" |
    mcopy -i "$boot" - "::cmdline_$1.txt"
}
put a "$PARTITION_ROOT_A"
put b "$PARTITION_ROOT_B"
mcopy -i "$boot" "$board/vmlinuz" "$board/initrd.img" ::
echo "$out"
