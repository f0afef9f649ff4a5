#!/usr/bin/env bash
# Installs the Debian packages of the named groups that are missing; without root it prints the one command that does.
# Usage: packages.sh GROUP...      groups: build test demo
set -euo pipefail

declare -A GROUPS_OF=(
  [build]="g++ make pkg-config python3 liburing-dev grub-common"
  [demo]="iproute2 qemu-system-x86 ovmf ipxe-qemu mmdebstrap e2fsprogs xfsprogs dosfstools mtools grub-efi-amd64-signed shim-signed uidmap curl"
  [test]="
    clang libclang-rt-dev clang-format shellcheck
    libiscsi-bin grub-pc-bin systemd-boot-efi qemu-utils qemu-block-extra tgt istgt fio
    tftp-hpa atftp atftpd ipxe tcpdump dnsmasq-base isc-dhcp-client busybox openssl
    isc-dhcp-relay dhcpcd-base network-manager kea-admin kea-dhcp4-server
    rauc dbus genimage squashfs-tools lrzsz
    qemu-system-arm qemu-efi-aarch64 u-boot-qemu g++-aarch64-linux-gnu kmod python3-magic
    xfsprogs btrfs-progs dosfstools mtools socat xorriso cpio bzip2 lz4 xz-utils zstd
  "
)
[[ ${1:-} == --help ]] && { sed -n '2,3p' "$0" | cut -c3-; exit 0; }

wanted=()
for group in "$@"; do
  # shellcheck disable=SC2206 # the lists are words
  wanted+=(${GROUPS_OF[$group]:?no such group: $group})
done

missing=()
for package in "${wanted[@]}"; do
  [[ $(dpkg-query -W -f='${db:Status-Abbrev}' "$package" 2>/dev/null) == ii* ]] || missing+=("$package")
done
((${#missing[@]})) || exit 0

install="apt-get install -y --no-install-recommends ${missing[*]}"
if ((EUID != 0)); then
  printf 'These Debian packages are missing. Please run:\n\n  sudo %s\n\n' "$install" >&2
  exit 1
fi
echo "setup: Debian packages: ${missing[*]}"

# Some of these packages start a daemon when they are installed; nobody asked for one.
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
  printf '#!/bin/sh\nexit 101\n' >$policy
  chmod +x $policy
  trap 'rm -f $policy' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
$install
