import { join } from "node:path";
import { runMaker } from "./maker.ts";
import { runOrThrow } from "./process.ts";
import { Resources } from "./resources.ts";

const SCRIPT = join(import.meta.dirname, "..", "setup", "guest.sh");

/** Absolute paths of what test/setup/guest.sh made. */
export interface Guest {
  readonly disk: string;
  /** The same with one xfs instead, /boot inside and no partition table: a disk that grew up on a target. */
  readonly seed: string;
  /** File systems of a disk as RHEL lays it out; {@link "./layouts.ts"} makes a disk of them. */
  readonly rhel: { readonly esp: string; readonly boot: string; readonly root: string };
  readonly kernel: string;
  /** dracut's own network scripts with dhclient, as RHEL 8 has it. */
  readonly initrd: string;
  /** As RHEL 9 has it. */
  readonly initrdNetworkManager: string;
}

/** What its kernel line needs besides what the server adds. */
export const GUEST_ARGUMENTS = "root=LABEL=rackboot-guest rw console=ttyS0";

/** Makes the guest where it is missing, which takes some minutes once; `tell` gets its progress, line by line. */
export async function ensureGuest(tell: (line: string) => void = () => undefined): Promise<Guest> {
  const resources = new Resources();
  try {
    const folder = await runMaker(resources, [SCRIPT], tell);
    return {
      disk: join(folder, "disk.raw"),
      seed: join(folder, "seed.raw"),
      rhel: { esp: join(folder, "rhel-esp.vfat"), boot: join(folder, "rhel-boot.xfs"), root: join(folder, "rhel-root.xfs") },
      kernel: join(folder, "vmlinuz"),
      initrd: join(folder, "initrd.img"),
      initrdNetworkManager: join(folder, "initrd-networkmanager.img"),
    };
  } finally {
    await resources.close();
  }
}

/** A disk of its own for one machine: shared with the original until written where the file system can do that. */
export async function copyDisk(guest: Guest, to: string, layout: "disk" | "seed" = "disk"): Promise<void> {
  await runOrThrow(["cp", "--reflink=auto", "--sparse=always", "--", guest[layout], to], { timeoutMs: 300_000 });
}
