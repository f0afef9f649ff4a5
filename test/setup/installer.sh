#!/usr/bin/env bash
# Makes the medium that Debian is installed from in tests, once, and prints its folder, which is laid out as Debian's own:
#   debian-installer/amd64/   linux, initrd.gz, bootnetx64.efi (shim), grubx64.efi: of Debian's package of the installer
#   version.info              which release and build that is
#   live/filesystem.squashfs  a small system, as Debian's live media have one for their installer (live-installer)
#   dists/ pool/              an archive of the components of that installer
# An emulated processor takes more than an hour for what debootstrap and two hundred maintainer scripts do, and minutes for a
# copy: so the system is put together here, by mmdebstrap, and the installer has its components in its initramfs, as its own
# build would put them there. Partitions, file systems, initramfs, boot loader and accounts are the installer's to make.
# The packages come from the archive that this machine's apt uses, whatever release the machine itself runs.
# Kept in ${XDG_CACHE_HOME:-~/.cache}/rackboot, by a hash of what makes it. Root, or user namespaces, will do.
# Usage: installer.sh [--path]     --path: say where it would be, make nothing
set -euo pipefail
[[ ${1:-} == --help ]] && { sed -n '2,12p' "$0" | cut -c3-; exit 0; }

release=13 codename=trixie
# Into the installer itself, beside what those depend on.
udebs=(disk-detect partman-base partman-auto partman-ext3 partman-basicfilesystems partman-basicmethods partman-partitioning
  partman-target partman-efi partman-iscsi open-iscsi-udeb base-installer live-installer attr-udeb user-setup-udeb grub-installer
  finish-install di-utils-mapdevfs)
# The small system, beside what every Debian has and what those depend on.
debs=(systemd-sysv udev dbus linux-image-cloud-amd64 initramfs-tools busybox zstd open-iscsi grub-efi-amd64 grub-efi-amd64-signed
  shim-signed efibootmgr os-prober ifupdown dhcpcd-base iproute2 e2fsprogs dosfstools kmod login passwd)
# Modules that the installer needs beside those that its initramfs has. What they need comes along.
modules=(sd_mod iscsi_tcp ext4 vfat nls_cp437 nls_ascii nls_iso8859-1 nls_utf8 efivarfs loop squashfs crc32c-intel)
# What is in its initramfs for other machines than the test's: drivers, Braille, speech, sound, radio.
without='/(wireless|usb|pcmcia|mmc|mtd|bluetooth|media|gpu|video|input/touchscreen|net/ethernet|net/wireless|net/usb|sound|hid)(/|$)'

hash=$(sha256sum <"$0" | cut -c1-12)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/rackboot
medium=$cache/installer-$hash
found() { touch "$medium" && echo "$medium"; }
[[ ${1:-} == --path ]] && { echo "$medium"; exit 0; }
[[ -d $medium ]] && { found; exit 0; }

say() { printf 'installer: %s\n' "$*" >&2; }

mkdir -p "$cache"
exec 9>"$cache/installer.lock"
flock 9
[[ -d $medium ]] && { found; exit 0; }
find "$cache" -maxdepth 1 \( -name 'installer-making.*' -o -name 'installer-*' -mtime +30 -type d \) -exec rm -rf {} +
work=$(mktemp -d "$cache/installer-making.XXXXXX")
chmod 755 "$work"
trap 'rm -rf "$work"' EXIT
cd "$work"

archive=$(apt-get indextargets --format "\$(ORIGIN) \$(COMPONENT) \$(REPO_URI)" 'Created-By: Packages' | sed -n 's/^Debian main //p' |
  grep -v security | head -n1)
[[ $archive ]] || { say "this machine's apt knows no Debian archive; run apt-get update first"; exit 1; }

# An apt of its own for one component of that release, which takes what the file $3 says for installed.
make_apt() {
  mkdir -p "apt-$1"/{lists,cache/archives}/partial "apt-$1/sources" && : >"apt-$1/none"
  cat >"apt-$1/sources/archive.sources" <<END
Types: deb
URIs: $archive
Suites: $codename
Components: $2
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
END
  cat >"apt-$1/apt.conf" <<END
Dir::State "$PWD/apt-$1"; Dir::State::lists "$PWD/apt-$1/lists"; Dir::State::status "$PWD/${3:-apt-$1/none}";
Dir::Cache "$PWD/apt-$1/cache"; Dir::Etc::sourcelist "/dev/null"; Dir::Etc::sourceparts "$PWD/apt-$1/sources";
Dir::Etc::preferencesparts "/dev/null"; APT::Architecture "amd64"; APT::Architectures "amd64"; APT::Install-Recommends "false";
APT::Sandbox::User "";
END
  APT_CONFIG=$PWD/apt-$1/apt.conf apt-get update -qq
}

say "Debian $release and its installer: some minutes, once (kept in $medium)"
make_apt system main
of_system() { APT_CONFIG=$work/apt-system/apt.conf "$@"; }

of_system apt-get download -qq "debian-installer-$release-netboot-amd64"
dpkg-deb -x debian-installer-*.deb netboot
mkdir -p out/{live,pool/installer}
cp -rL "netboot/usr/lib/debian-installer/images/$release/amd64/text/"{debian-installer,version.info} out/

mkdir initrd
zcat out/debian-installer/amd64/initrd.gz | (cd initrd && busybox cpio -id 2>/dev/null) || true
kernel=$(ls initrd/usr/lib/modules)
cp initrd/var/lib/dpkg/status installed

# Archives drop the installer's packages of a kernel sooner than the kernel, and its tools when they are rebuilt: so these
# are made of the packages of the system.
mkdir parts
of_system apt-get install -qq --download-only "linux-image-$kernel" e2fsprogs libmount1
for package in "linux-image-$kernel" e2fsprogs libext2fs2t64 libcom-err2 libss2 libmount1 libselinux1 libpcre2-8-0; do
  dpkg-deb -x apt-system/cache/archives/"$package"_*.deb parts
done

# make_udeb NAME FIELD...: of what is in ./udeb
make_udeb() {
  mkdir udeb/DEBIAN
  printf '%s\n' "Package: $1" "Version: 1" "Architecture: amd64" "Maintainer: nobody <root@localhost>" "Section: debian-installer" \
    "Priority: standard" "${@:2}" "Description: made for the tests of rackboot" >udeb/DEBIAN/control
  dpkg-deb --root-owner-group -Znone -b udeb "out/pool/installer/$1_1_amd64.udeb" >/dev/null
  rm -rf udeb
}

depmod -b parts/usr "$kernel"
for module in "${modules[@]}"; do
  modprobe -d "$work/parts/usr" -S "$kernel" --show-depends "$module" 2>/dev/null | sed -nE 's/^insmod ([^ ]+).*/\1/p'
done | sort -u | while IFS= read -r file; do install -D "$file" "udeb/${file#"$work/parts/"}"; done
find udeb -name '*.ko.xz' -exec xz -d {} +
make_udeb "disk-modules-$kernel-di" "Kernel-Version: $kernel" \
  "Provides: scsi-modules, ext4-modules, fat-modules, efi-modules, loop-modules, squashfs-modules"

mkdir -p udeb/usr/{sbin,lib/x86_64-linux-gnu} udeb/etc
cp -a parts/usr/sbin/{mke2fs,mkfs.ext[234],e2fsck,fsck.ext[234],tune2fs,resize2fs,badblocks} udeb/usr/sbin/
cp -a parts/etc/mke2fs.conf udeb/etc/
cp -a parts/usr/lib/x86_64-linux-gnu/*.so.* udeb/usr/lib/x86_64-linux-gnu/
for file in udeb/usr/lib/x86_64-linux-gnu/*; do [[ -e initrd/${file#udeb/} ]] && rm -f "$file"; done
make_udeb disk-tools-udeb "Provides: e2fsprogs-udeb, libmount1-udeb"

# A live system has its file system on the drive that it started from; this one has it beside the packages.
mkdir -p udeb/lib/partman/finish.d
cat >udeb/lib/partman/finish.d/90live-medium <<'END'
#!/bin/sh
. /usr/share/debconf/confmodule
db_get mirror/http/hostname && host=$RET
db_get mirror/http/directory && folder=$RET
mkdir -p /cdrom/live
wget -q -O /cdrom/live/filesystem.squashfs "http://$host$folder/live/filesystem.squashfs"
END
chmod 755 udeb/lib/partman/finish.d/90live-medium
make_udeb live-medium "Depends: live-installer"

# What is missing in the archive now is what was made above, or what the installer does without.
make_apt installer main/debian-installer installed
of_installer() { APT_CONFIG=$work/apt-installer/apt.conf "$@"; }
of_installer apt-get install -qq --download-only --fix-missing "${udebs[@]}" 2>/dev/null || true
mv -n apt-installer/cache/archives/*.udeb out/pool/installer/
# Modules of other kernels, what the installer begins with, and what nobody here needs.
rm -f out/pool/installer/{*-modules-[0-9]*-di_[!1]*,kernel-image-*,bootstrap-base_*,ppp-udeb_*,rdate-udeb_*}
sed -n 's/^Package: //p' installed | while IFS= read -r name; do rm -f "out/pool/installer/${name}_"*; done
for name in "${udebs[@]}"; do
  compgen -G "out/pool/installer/${name}_*" >/dev/null || { say "the archive at $archive has no $name"; exit 1; }
done

# The initramfs with those components in it.
find initrd -type d -regextype posix-extended -regex ".*/modules/.*$without" -prune -exec rm -rf {} +
rm -rf initrd/usr/{bin/brltty,bin/screen,lib/brltty,share/brltty-udeb,share/alsa,share/screen,lib/libasound.so*}
rm -f initrd/usr/lib/debian-installer{,-startup}.d/*{brltty,speakup}
for udeb in out/pool/installer/*.udeb; do
  name=$(dpkg-deb -f "$udeb" Package)
  dpkg-deb --fsys-tarfile "$udeb" | tar -x --keep-directory-symlink -C initrd
  dpkg-deb -e "$udeb" control
  { sed -e '/^Description/,$d' -e '/^$/d' control/control; printf '%s\n' 'Status: install ok unpacked' ''; } >>initrd/var/lib/dpkg/status
  rm control/control
  for file in control/*; do [[ -e $file ]] && mv "$file" "initrd/var/lib/dpkg/info/$name.${file##*/}"; done
  rm -rf control
done
# English alone: the rest is two megabytes for a parser that is slow.
sed -i -E '/^[A-Za-z]+-[a-z]{2,3}(_[A-Z]{2})?(@[a-z]+)?\.UTF-8:/d' initrd/var/lib/dpkg/info/*.templates
# Unpacked once here, and not whenever one is loaded.
find initrd -name '*.ko' -exec sh -c 'rm -f "$1.xz"' - {} \;
find initrd -name '*.ko.xz' -exec xz -d {} +
depmod -b initrd/usr "$kernel"
(cd initrd && find . | busybox cpio -o -H newc 2>/dev/null) | zstd -q -12 >out/debian-installer/amd64/initrd.gz

say "the system that it copies"
list=$(IFS=,; echo "${debs[*]}")
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $archive $codename main" |
  TMPDIR=${TMPDIR:-/var/tmp} mmdebstrap --quiet --variant=minbase --format=tar --include="$list" --architectures=amd64 \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --aptopt='APT::Install-Recommends "false"' "$codename" root.tar - >&2
# sqfstar's other compressors cost an emulated processor more than they save.
sqfstar -quiet -no-progress -comp lz4 out/live/filesystem.squashfs <root.tar >&2

# index POOL FOLDER: the list of packages (Debian policy, deb822) that apt and the installer read
index() {
  mkdir -p "dists/$codename/$2"
  for file in pool/"$1"/*; do
    [[ -e $file ]] || continue
    dpkg-deb -f "$file"
    printf 'Filename: %s\nSize: %s\nSHA256: %s\n\n' "$file" "$(stat -c %s "$file")" "$(sha256sum "$file" | cut -d' ' -f1)"
  done >"dists/$codename/$2/Packages"
  gzip -9nk "dists/$codename/$2/Packages"
  # By this one the installer tells whether an archive is for its architecture.
  printf '%s\n' "Archive: stable" "Origin: Debian" "Label: Debian" "Version: $release" "Component: main" "Architecture: amd64" \
    >"dists/$codename/$2/Release"
}
cd out
# apt writes the colon of an epoch as %3a into names of files, which a URL would take for the colon.
for file in pool/*/*%3a*; do [[ -e $file ]] && mv "$file" "${file//%3a/.}"; done
index system main/binary-amd64
index installer main/debian-installer/binary-amd64
cd "dists/$codename"
{
  printf '%s\n' "Origin: Debian" "Label: Debian" "Suite: stable" "Version: $release" "Codename: $codename" \
    "Date: $(date -Ru)" "Architectures: amd64" "Components: main" "SHA256:"
  find . -mindepth 2 -type f -printf '%P\n' | while IFS= read -r file; do
    printf ' %s %s %s\n' "$(sha256sum "$file" | cut -d' ' -f1)" "$(stat -c %s "$file")" "$file"
  done
} >Release
cd "$work"

mv -T out "$medium"
say "made: $(du -sh "$medium" | cut -f1)"
echo "$medium"
