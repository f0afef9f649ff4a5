#!/usr/bin/env bash
# Makes the medium that Debian is installed from in tests, once, and prints its folder, which is laid out as Debian's own:
#   debian-installer/amd64/   linux, initrd.gz, bootnetx64.efi (shim), grubx64.efi: of Debian's package of the installer
#   version.info              which release and build that is
#   dists/ pool/              an archive with no more packages than that installer and a small system need
# The packages come from the archive that this machine's apt uses, whatever release the machine itself runs.
# Kept in ${XDG_CACHE_HOME:-~/.cache}/rackboot, by a hash of what makes it.
# Usage: installer.sh [--path]     --path: say where it would be, make nothing
set -euo pipefail
[[ ${1:-} == --help ]] && { sed -n '2,8p' "$0" | cut -c3-; exit 0; }

release=13 codename=trixie
# Into the installer itself, beside what those depend on.
udebs=(anna-install disk-detect partman-base partman-auto partman-ext3 partman-basicfilesystems partman-basicmethods
  partman-partitioning partman-target partman-efi partman-iscsi open-iscsi-udeb base-installer bootstrap-base apt-setup-udeb
  apt-mirror-setup clock-setup tzsetup-udeb user-setup-udeb pkgsel grub-installer finish-install di-utils-mapdevfs)
# Onto the disk, beside what every Debian has and what those depend on.
debs=(linux-image-cloud-amd64 initramfs-tools grub-efi-amd64 grub-efi-amd64-signed shim-signed efibootmgr mokutil open-iscsi
  e2fsprogs busybox zstd locales console-setup keyboard-configuration eject os-prober dmsetup)

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

# An apt of its own for one component of that release, which takes what the file $2 says for installed.
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

say "Debian $release and its installer: a minute or two, once (kept in $medium)"
make_apt system main
of_system() { APT_CONFIG=$work/apt-system/apt.conf "$@"; }

of_system apt-get download -qq "debian-installer-$release-netboot-amd64"
dpkg-deb -x debian-installer-*.deb netboot
mkdir -p out/pool/{system,installer}
cp -rL "netboot/usr/lib/debian-installer/images/$release/amd64/text/"{debian-installer,version.info} out/

mkdir initrd
zcat out/debian-installer/amd64/initrd.gz | (cd initrd && busybox cpio -id 2>/dev/null) || true
kernel=$(ls initrd/usr/lib/modules)
cp initrd/var/lib/dpkg/status installed

# A small system, with the installer's own kernel for the sake of its modules.
of_system apt-get install -qq --download-only '~prequired' '~pimportant' "${debs[@]}" "linux-image-$kernel"
mv apt-system/cache/archives/*.deb out/pool/system/

# unpack PACKAGE...: from that system, into ./unpacked
unpack() {
  rm -rf unpacked
  for package in "$@"; do dpkg-deb -x out/pool/system/"$package"_*.deb unpacked; done
}
# make_udeb NAME FIELD...: of what is in ./udeb
make_udeb() {
  mkdir udeb/DEBIAN
  printf '%s\n' "Package: $1" "Version: 1" "Architecture: amd64" "Maintainer: nobody <root@localhost>" "Section: debian-installer" \
    "Priority: standard" "${@:2}" "Description: made of the packages of the system" >udeb/DEBIAN/control
  dpkg-deb --root-owner-group -Znone -b udeb "out/pool/installer/$1_1_amd64.udeb" >/dev/null
  rm -rf udeb
}

# Archives drop the installer's packages of a kernel sooner than the kernel, and its tools when they are rebuilt: so these
# are made of the packages that the system itself has.
unpack "linux-image-$kernel"
for part in drivers/scsi fs/ext4 fs/jbd2 fs/fat fs/nls fs/efivarfs lib drivers/firmware/efi crypto; do
  [[ -d unpacked/usr/lib/modules/$kernel/kernel/$part ]] || continue
  mkdir -p "udeb/usr/lib/modules/$kernel/kernel/$part"
  cp -r "unpacked/usr/lib/modules/$kernel/kernel/$part/." "udeb/usr/lib/modules/$kernel/kernel/$part"
done
cp "unpacked/usr/lib/modules/$kernel/kernel/fs/"mbcache.ko* "udeb/usr/lib/modules/$kernel/kernel/fs/"
find udeb -name '*.ko.xz' -exec xz -d {} +
make_udeb "disk-modules-$kernel-di" "Kernel-Version: $kernel" "Provides: scsi-modules, ext4-modules, fat-modules, efi-modules"

unpack e2fsprogs libext2fs2t64 libcom-err2 libss2 libmount1 libselinux1 libpcre2-8-0
mkdir -p udeb/usr/{sbin,lib/x86_64-linux-gnu} udeb/etc
cp -a unpacked/usr/sbin/{mke2fs,mkfs.ext[234],e2fsck,fsck.ext[234],tune2fs,resize2fs,badblocks} udeb/usr/sbin/
cp -a unpacked/etc/mke2fs.conf udeb/etc/
cp -a unpacked/usr/lib/x86_64-linux-gnu/*.so.* udeb/usr/lib/x86_64-linux-gnu/
for file in udeb/usr/lib/x86_64-linux-gnu/*; do [[ -e initrd/${file#udeb/} ]] && rm -f "$file"; done
make_udeb disk-tools-udeb "Provides: e2fsprogs-udeb, libmount1-udeb"

# What is missing in the archive now is what was made above, or what the installer does without.
make_apt installer main/debian-installer installed
of_installer() { APT_CONFIG=$work/apt-installer/apt.conf "$@"; }
known=(); for name in "${udebs[@]}"; do of_installer apt-cache show "$name" >/dev/null 2>&1 && known+=("$name"); done
of_installer apt-get install -qq --download-only --fix-missing "${known[@]}" 2>/dev/null || true
mv -n apt-installer/cache/archives/*.udeb out/pool/installer/
# Modules of other kernels, and what the installer begins with.
rm -f out/pool/installer/*-modules-[0-9]*-di_[!1]* out/pool/installer/kernel-image-*
sed -n 's/^Package: //p' installed | while IFS= read -r name; do rm -f "out/pool/installer/${name}_"*; done
for name in partman-iscsi open-iscsi-udeb partman-base partman-ext3 base-installer grub-installer finish-install; do
  compgen -G "out/pool/installer/${name}_*" >/dev/null || { say "the archive at $archive has no $name"; exit 1; }
done

# index POOL FOLDER: the list of packages (Debian policy, deb822) that apt and the installer read
index() {
  mkdir -p "dists/$codename/$2"
  for file in pool/"$1"/*; do
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
for file in pool/*/*%3a*; do mv "$file" "${file//%3a/.}"; done
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
