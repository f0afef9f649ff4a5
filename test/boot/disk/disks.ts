import { ext4, gpt, MIB, physicalVolume, type Tree, vfat, xfs } from "../../volume/look/images.ts";
import { blsFile, DEBIAN_STUB, debianGrubCfg, grubenv, MACHINE_ID, RHEL_GRUB_CFG, RHEL_STUB, UUID } from "./examples.ts";

export const NEW = "5.14.0-427.13.1.el9_4.x86_64";
export const OLD = "5.14.0-427.el9.x86_64";
export const ARGUMENTS = "root=/dev/mapper/rhel-root ro rd.lvm.lv=rhel/root";

type Place = (name: string) => string;

/** A boot loader as far as its traits are told by its octets. */
export const SHIM: Buffer = Buffer.from("MZ UEFI shim,shim,1,rackboot test");
export const RHEL_GRUB: Buffer = Buffer.concat([Buffer.from("MZ grub blksize HTTP/1.1"), Buffer.alloc(2 * MIB, 0x5a)]);
const DEBIAN_GRUB = Buffer.concat([Buffer.from("MZ grub Debian Secure Boot CA"), Buffer.alloc(MIB, 0x5a)]);

/** What /boot of RHEL 9 holds; `kernels` newest last, `at` is where the folder is in its file system. */
export function rhelBoot(at: string, kernels: readonly string[], environment: Readonly<Record<string, string>>): Tree {
  const tree: Record<string, string | Uint8Array> = {
    [`${at}grub2/grub.cfg`]: RHEL_GRUB_CFG,
    [`${at}grub2/grubenv`]: grubenv(environment),
    [`${at}vmlinuz-0-rescue-${MACHINE_ID}`]: "rescue kernel",
    [`${at}initramfs-0-rescue-${MACHINE_ID}.img`]: "rescue initramfs",
    [`${at}loader/entries/${MACHINE_ID}-0-rescue.conf`]: blsFile(`0-rescue-${MACHINE_ID}`, ARGUMENTS),
  };
  for (const kernel of kernels) {
    tree[`${at}vmlinuz-${kernel}`] = `kernel ${kernel}`;
    tree[`${at}initramfs-${kernel}.img`] = Buffer.alloc(5 * MIB, kernel);
    tree[`${at}loader/entries/${MACHINE_ID}-${kernel}.conf`] = blsFile(kernel, `${ARGUMENTS} $tuned_params`);
  }
  return tree;
}

const ROOT_TREE: Tree = { "etc/hostname": "uqbar\n", "usr/bin/true": "" };

/** As RHEL installs by default: ESP, xfs /boot, xfs root on LVM. On a terabyte. */
export async function rhelDisk(
  place: Place,
  name: string,
  environment: Readonly<Record<string, string>> = {},
  kernels: readonly string[] = [OLD, NEW],
): Promise<string> {
  const esp = vfat(place(`${name}.esp`), {
    "EFI/redhat/grub.cfg": RHEL_STUB,
    "EFI/redhat/shimx64.efi": SHIM,
    "EFI/redhat/grubx64.efi": RHEL_GRUB,
    "EFI/redhat/mmx64.efi": "MZ",
    "EFI/BOOT/BOOTX64.EFI": SHIM,
  });
  const boot = xfs(place(`${name}.boot`), rhelBoot("", kernels, environment), { uuid: UUID.boot });
  const root = xfs(place(`${name}.root`), ROOT_TREE, { uuid: UUID.root });
  return gpt(place(name), 2 ** 40, [
    { image: esp, sizeBytes: 64 * MIB, type: "esp" },
    { image: boot, sizeBytes: 320 * MIB, type: "linux" },
    { image: await physicalVolume(place(`${name}.pv`), root), sizeBytes: 512 * MIB, type: "lvm" },
  ]);
}

/** One xfs without partitions; /boot was a partition once and was copied into it, so the entries' paths lack it. */
export function seedDisk(place: Place, name: string): string {
  return xfs(place(name), { ...ROOT_TREE, ...rhelBoot("boot/", [OLD, NEW], { kernelopts: ARGUMENTS }) }, { uuid: UUID.root });
}

/** ESP and ext4 root, as Debian's installer makes it. */
export async function debianDisk(place: Place, name: string, defaultEntry?: string): Promise<string> {
  const esp = vfat(place(`${name}.esp`), {
    "EFI/debian/grub.cfg": DEBIAN_STUB,
    "EFI/debian/shimx64.efi": SHIM,
    "EFI/debian/grubx64.efi": DEBIAN_GRUB,
  });
  const versions = ["6.1.0-30-amd64", "6.1.0-25-amd64"];
  const kernels = Object.fromEntries(
    versions.flatMap((version) => [
      [`boot/vmlinuz-${version}`, `kernel ${version}`],
      [`boot/initrd.img-${version}`, `initrd ${version}`],
    ]),
  );
  const root = ext4(
    place(`${name}.root`),
    { ...ROOT_TREE, ...kernels, "boot/grub/grub.cfg": debianGrubCfg(versions, defaultEntry) },
    { uuid: UUID.root },
  );
  return gpt(place(name), 256 * MIB, [
    { image: esp, sizeBytes: 64 * MIB, type: "esp" },
    { image: root, sizeBytes: 64 * MIB, type: "linux" },
  ]);
}
