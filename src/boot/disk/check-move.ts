import type { MoveReport } from "../../machine/boot-entries.ts";
import type { DiskLook } from "../../volume/look/disk.ts";
import { LookError } from "../../volume/look/error.ts";
import { unpack } from "../../volume/look/unpack.ts";
import type { DiskEntry } from "./disk-boot.ts";
import { type Alias, aliasesOf, examineInitramfs } from "./initramfs.ts";
import { isNic, isPciId, portability } from "./portable.ts";

/** Debian's whole table has 1.2 MB. */
const MAX_ALIAS_BYTES = 8 * 2 ** 20;

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
    const installed = nics.some(isPciId) ? await installedAliases(look, contents.kernelVersion) : [];
    return { title: entry.title, files, ...portability(contents, nics, installed) };
  } catch (cause) {
    if (cause instanceof LookError) throw cause;
    throw new LookError("unreadable", `the initramfs of ${entry.title} cannot be read: ${(cause as Error).message}`);
  } finally {
    await look.close();
  }
}

/** Of all the modules that a kernel has, in whichever file system of the disk they are; none where they cannot be read. */
async function installedAliases(look: DiskLook, kernelVersion: string | undefined): Promise<readonly Alias[]> {
  if (kernelVersion === undefined) return [];
  const devices = (await look.devices()).filter((device) => device.fileSystem !== undefined);
  for (const { name } of devices) {
    for (const folder of ["/lib/modules", "/usr/lib/modules"]) {
      try {
        const octets = await look.read(name, `${folder}/${kernelVersion}/modules.alias`, { limitBytes: MAX_ALIAS_BYTES });
        return aliasesOf(Buffer.from(octets).toString("latin1").split("\n"));
      } catch (cause) {
        if (!(cause instanceof LookError) || cause.failure === "cancelled") throw cause;
      }
    }
  }
  return [];
}
