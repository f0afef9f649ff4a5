#!/usr/bin/env bash
# Makes the disks of the guest from FOLDER/root.tar, its root file system, as described in guest.sh. Run by guest.sh, as root or in
# a user namespace: nothing is mounted.
# Usage: guest-disks.sh FOLDER
set -euo pipefail
[[ ${1:-} == --help ]] && { sed -n '2,4p' "$0" | cut -c3-; exit 0; }
cd "$1"

# Fixed, so that /etc/fstab can name them.
seed_uuid=5eed0000-0000-4000-8000-000000000001
boot_uuid=b0070000-0000-4000-8000-000000000002

# A folder as mkfs.xfs(8) wants it described: name, mode, owner, and the contents of files. Sticky bits are lost.
prototype() {
  printf 'unused\n0 0\nd--755 0 0\n'
  (cd "$1" && find . -mindepth 1 -printf '%d\t%y\t%m\t%U\t%G\t%f\t%P\t%l\n') | awk -F'\t' -v top="$PWD/$1" '
    function leave(depth) { while (open > depth) { print "$"; open-- } }
    { leave($1 - 1)
      mode = ($2 == "f" ? "-" : $2) ($3 ~ /^[4567]...$/ ? "u" : "-") ($3 ~ /^[2367]...$/ ? "g" : "-") substr("00" $3, length("00" $3) - 2)
      printf "%s %s %s %s", $6, mode, $4, $5
      if ($2 == "f") printf " %s/%s", top, $7
      if ($2 == "l") printf " %s", $8
      print ""
      if ($2 == "d") open++ }
    END { leave(0); print "$" }'
}

# IMAGE SIZE UUID FOLDER
make_xfs() {
  prototype "$4" >"$1.prototype"
  truncate -s "$2" "$1"
  mkfs.xfs -q -f -m uuid="$3" -p "$1.prototype" "$1"
  rm "$1.prototype"
}

mkdir root
tar -xf root.tar -C root --numeric-owner --exclude="./dev/*"
cp root/boot/vmlinuz-* vmlinuz
cp root/boot/initrd.img-* initrd.img
mv root/initrd-networkmanager.img .
mke2fs -q -t ext4 -L rackboot-guest -E lazy_itable_init=0,lazy_journal_init=0 -d root disk.raw 4G

echo "UUID=$seed_uuid / xfs defaults 0 0" >root/etc/fstab
make_xfs seed.raw 4G $seed_uuid root

# RHEL's: /boot is a file system of its own with an entry for each kernel, and the root is a logical volume. The system partition
# is in nobody's way where there is none to be mounted.
printf '%s\n' "/dev/mapper/rhel-root / xfs defaults 0 0" "UUID=$boot_uuid /boot xfs defaults 0 0" >root/etc/fstab
mkdir -p root/boot/loader/entries root/boot/grub2
version=$(cd root/lib/modules && echo *)
chroot root /etc/kernel/postinst.d/zz-rackboot-entry "$version"
mv root/boot boot
mkdir root/boot
make_xfs rhel-boot.xfs 512M $boot_uuid boot
make_xfs rhel-root.xfs 3G 4007f000-0000-4000-8000-000000000003 root
rm -rf root boot root.tar

truncate -s 64M rhel-esp.vfat
mkfs.vfat -F 32 -n EFI rhel-esp.vfat >/dev/null
mmd -i rhel-esp.vfat ::EFI ::EFI/BOOT ::EFI/debian
mcopy -i rhel-esp.vfat /usr/lib/shim/shimx64.efi.signed ::EFI/BOOT/BOOTX64.EFI
mcopy -i rhel-esp.vfat /usr/lib/shim/shimx64.efi.signed ::EFI/debian/shimx64.efi
mcopy -i rhel-esp.vfat /usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed ::EFI/debian/grubx64.efi
