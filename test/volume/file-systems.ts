import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runOrThrow } from "../harness/process.ts";
import type { Resources } from "../harness/resources.ts";

export type FileSystem = "xfs" | "btrfs" | "ext4" | "tmpfs";

/** With reflink, and without. */
export const FILE_SYSTEMS: readonly FileSystem[] = ["xfs", "btrfs", "ext4", "tmpfs"];
export const sharesBlocks = (fileSystem: FileSystem): boolean => fileSystem === "xfs" || fileSystem === "btrfs";

/** Mounting takes root. */
export const mayMount: boolean = process.getuid?.() === 0;

/** A file system of its own on a loop device (or in memory), gone when the resources close. Returns where it is mounted. */
export async function mountFileSystem(resources: Resources, kind: FileSystem, sizeMib: number, parent: string = tmpdir()): Promise<string> {
  const folder = mkdtempSync(join(parent, `rackboot-${kind}-`));
  resources.defer(folder, () => rmSync(folder, { recursive: true, force: true }));
  const mountPoint = join(folder, "mounted");
  mkdirSync(mountPoint);
  if (kind === "tmpfs") await runOrThrow(["mount", "-t", "tmpfs", "-o", `size=${sizeMib}m`, "tmpfs", mountPoint]);
  else {
    const image = join(folder, "image");
    await runOrThrow(["truncate", "-s", `${sizeMib}M`, image]);
    await runOrThrow([`mkfs.${kind}`, "-q", ...(kind === "ext4" ? ["-m", "0"] : []), image]);
    await runOrThrow(["mount", "-o", "loop", image, mountPoint]);
  }
  resources.defer(mountPoint, async () => {
    await runOrThrow(["umount", mountPoint]);
  });
  return mountPoint;
}
