#!/usr/bin/env bash
# Dresses Debian's cross compiler for arm64 as an external toolchain for Buildroot, which takes none whose system root is "/": the
# compiler with a system root of its own, which has the C library and nothing else. Prints what a defconfig says of it.
# Usage: toolchain.sh FOLDER
set -euo pipefail
[[ ${1:-} == --help || $# != 1 ]] && { sed -n '2,4p' "$0" | cut -c3-; exit $(($# != 1)); }
prefix=aarch64-linux-gnu
rm -rf "$1"
mkdir -p "$1"/{apt/state/lists/partial,apt/cache/archives/partial,debs,unpacked,root/lib,root/usr/lib,root/usr/include,bin,lib,$prefix/bin,$prefix/include,$prefix/lib}
cd "$1"
here=$PWD root=$PWD/root

: >apt/status
private=(-q -o "Dir::State=$here/apt/state" -o "Dir::Cache=$here/apt/cache" -o "Dir::State::status=$here/apt/status"
  -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Sandbox::User=root -o Acquire::Languages=none)
apt-get "${private[@]}" update >&2
(cd debs && apt-get "${private[@]}" download libc6 libc6-dev linux-libc-dev libgcc-s1 libstdc++6 libcrypt1 libcrypt-dev libatomic1 >&2)
for package in debs/*.deb; do dpkg-deb -x "$package" unpacked; done

# Debian's folder for each architecture is laid out plainly; what names the folder is told so.
cp -a "unpacked/lib/$prefix/." root/lib/
cp -a "unpacked/usr/lib/$prefix/." root/usr/lib/
cp -a unpacked/usr/include/. root/usr/include/
cp -a "root/usr/include/$prefix/." root/usr/include/
rm -r "root/usr/include/$prefix"
find root -lname "/lib/$prefix/*" | while read -r link; do ln -sfn "../../lib/$(basename "$(readlink "$link")")" "$link"; done
sed -i "s#/$prefix/#/#g" root/usr/lib/libc.so

# A compiler finds its parts from where it lies itself.
for program in /usr/bin/"$prefix"-*; do cp -L "$program" bin/; done
cp -a /usr/lib/gcc-cross lib/
[[ ! -d /usr/libexec/gcc-cross ]] || { mkdir -p libexec && cp -a /usr/libexec/gcc-cross libexec/; }
cp -a "/usr/$prefix/include/c++" "$prefix/include/"
for program in as ld ld.bfd nm ar ranlib objcopy objdump strip readelf; do ln -s "../../bin/$prefix-$program" "$prefix/bin/$program"; done
find lib -xtype l | while read -r link; do
  library=$(basename "$(readlink "$link")")
  for folder in root/lib root/usr/lib; do [[ ! -e $folder/$library ]] || cp -L "$folder/$library" "$prefix/lib/"; done
done
for name in gcc g++ cpp; do
  mv "bin/$prefix-$name" "bin/plain-$name"
  cat >"bin/$prefix-$name" <<EOF
#!/bin/sh
case " \$* " in
  *" -v "*) "$here/bin/plain-$name" --sysroot="$root" "\$@" 2>&1 | sed "s#--with-sysroot=/ #--with-sysroot=$root #" >&2 ;;
  *) exec "$here/bin/plain-$name" --sysroot="$root" "\$@" ;;
esac
EOF
  chmod +x "bin/$prefix-$name"
done
rm -r apt debs unpacked

# LINUX_VERSION_CODE: the version, then the patch level, eight bits each (include/uapi/linux/version.h).
code=$(sed -nE 's/^#define LINUX_VERSION_CODE ([0-9]+)$/\1/p' root/usr/include/linux/version.h)
cat <<EOF
BR2_TOOLCHAIN_EXTERNAL=y
BR2_TOOLCHAIN_EXTERNAL_CUSTOM=y
BR2_TOOLCHAIN_EXTERNAL_PREINSTALLED=y
BR2_TOOLCHAIN_EXTERNAL_PATH="$here"
BR2_TOOLCHAIN_EXTERNAL_CUSTOM_PREFIX="$prefix"
BR2_TOOLCHAIN_EXTERNAL_GCC_$("$prefix-gcc" -dumpversion | cut -d. -f1)=y
BR2_TOOLCHAIN_EXTERNAL_HEADERS_$((code >> 16))_$((code >> 8 & 255))=y
BR2_TOOLCHAIN_EXTERNAL_CUSTOM_GLIBC=y
# BR2_TOOLCHAIN_EXTERNAL_INET_RPC is not set
BR2_TOOLCHAIN_EXTERNAL_CXX=y
BR2_TOOLCHAIN_EXTERNAL_OPENMP=y
EOF
