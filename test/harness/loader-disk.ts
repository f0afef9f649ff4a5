import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { MIB, mbr, put } from "../volume/look/images.ts";
import type { Guest } from "./guest.ts";
import { runOrThrow } from "./process.ts";

const SIGNED_GRUB = "/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed";
const BIOS_GRUB = "/usr/lib/grub/i386-pc";
/** Where Debian's signed GRUB looks for its configuration. */
const GRUB_FOLDER = "/EFI/debian";
/** Of a master boot record, before the table of partitions. */
const BOOT_CODE_BYTES = 440;
const SECTOR = 512;
const PARTITION_BYTES = 128 * MIB;

/**
 * A disk that boots by itself, on UEFI and on BIOS, as a distribution lays it out: a system partition with GRUB, its menu, the
 * guest's kernel and initramfs; GRUB for BIOS in the master boot record and behind it. Returns its path.
 */
export async function loaderDisk(directory: string, guest: Guest, kernelLine: string): Promise<string> {
  const at = (name: string): string => join(directory, name);
  const [disk, partition, config, core] = [at("loader.raw"), at("loader.vfat"), at("grub.cfg"), at("core.img")];
  const lines = ['echo "the loader on the disk runs"', `linux /vmlinuz ${kernelLine}`, "initrd /initrd.img", "boot"];
  writeFileSync(config, `${lines.join("\n")}\n`);
  await runOrThrow(["mkfs.vfat", "-F", "32", "-C", partition, String(PARTITION_BYTES / 1024)]);
  await runOrThrow(["mmd", "-i", partition, "::EFI", "::EFI/BOOT", `::${GRUB_FOLDER}`]);
  const copies = [
    [SIGNED_GRUB, "::EFI/BOOT/BOOTX64.EFI"],
    [config, `::${GRUB_FOLDER}/grub.cfg`],
    [guest.kernel, "::vmlinuz"],
    [guest.initrd, "::initrd.img"],
  ] as const;
  for (const [from, to] of copies) await runOrThrow(["mcopy", "-i", partition, from, to]);
  await mbr(disk, PARTITION_BYTES + 2 * MIB, [{ image: partition, sizeBytes: PARTITION_BYTES, type: "esp" }]);
  const modules = ["biosdisk", "part_msdos", "fat", "normal", "echo", "linux"];
  const place = ["-p", `(hd0,msdos1)${GRUB_FOLDER}`];
  await runOrThrow(["grub-mkimage", "-O", "i386-pc", "-d", BIOS_GRUB, ...place, "-o", core, ...modules]);
  // boot.img loads the sector behind it, and that the sectors behind itself: nobody has to tell them where they are.
  await put(disk, 0, readFileSync(join(BIOS_GRUB, "boot.img")).subarray(0, BOOT_CODE_BYTES));
  await put(disk, SECTOR, readFileSync(core));
  return disk;
}
