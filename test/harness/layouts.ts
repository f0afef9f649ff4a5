import { rmSync } from "node:fs";
import { gpt, MIB, physicalVolume } from "../volume/look/images.ts";
import type { Guest } from "./guest.ts";

const ESP_BYTES = 64 * MIB;
const BOOT_BYTES = 512 * MIB;

/** A GUID partition table with a system partition, an xfs for /boot, and a volume group `rhel` with the root in it; sparse. */
export async function rhelDisk(guest: Guest, path: string, sizeBytes: number = 2 ** 40): Promise<string> {
  const volume = `${path}.lvm`;
  // The table and its copy have the first and the last mebibyte.
  const lvmBytes = sizeBytes - ESP_BYTES - BOOT_BYTES - 2 * MIB;
  await physicalVolume(volume, guest.rhel.root, { sizeBytes: lvmBytes, fileBytes: 3 * 1024 * MIB + MIB });
  await gpt(path, sizeBytes, [
    { image: guest.rhel.esp, sizeBytes: ESP_BYTES, type: "esp" },
    { image: guest.rhel.boot, sizeBytes: BOOT_BYTES, type: "linux" },
    { image: volume, sizeBytes: lvmBytes, type: "lvm" },
  ]);
  rmSync(volume);
  return path;
}
