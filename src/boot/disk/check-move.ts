import type { MoveReport } from "../../machine/boot-entries.ts";
import type { DiskLook } from "../../volume/look/disk.ts";
import { LookError } from "../../volume/look/error.ts";
import { unpack } from "../../volume/look/unpack.ts";
import type { DiskEntry } from "./disk-boot.ts";
import { examineInitramfs } from "./initramfs.ts";
import { isNic, portability } from "./portable.ts";

/**
 * Looks into the initramfs of an entry: would it find its root over iSCSI on hardware with these network cards? Takes `look`
 * over. Rejects with a {@link LookError} where it cannot be read, which is not the disk's machine's fault alone.
 */
export async function checkMove(look: DiskLook, entry: DiskEntry, nics: readonly string[]): Promise<Omit<MoveReport, "volume" | "nics">> {
  try {
    const wrong = nics.find((nic) => !isNic(nic));
    if (wrong !== undefined)
      throw new LookError("not-found", `"${wrong}" is no network card: say its driver (e1000e) or its PCI identifier (8086:10d3)`);
    const files = entry.initrds.map(({ path }) => path);
    if (files.length === 0) throw new LookError("not-found", `${entry.title} has no initramfs to look into`);
    const contents = await examineInitramfs(
      entry.initrds.map(({ device, path }) => look.stream(device, path)),
      unpack,
    );
    return { title: entry.title, files, ...portability(contents, nics) };
  } catch (cause) {
    if (cause instanceof LookError) throw cause;
    throw new LookError("unreadable", `the initramfs of ${entry.title} cannot be read: ${(cause as Error).message}`);
  } finally {
    await look.close();
  }
}
