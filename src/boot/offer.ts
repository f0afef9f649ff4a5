import type { BootOffer, FirmwareKind } from "../machine/firmware.ts";
import type { Machine } from "../machine/machine.ts";
import { httpUrl, type ServerFacts } from "./facts.ts";
import { type FoundLoaders, loaderName } from "./loaders.ts";
import { needsFirmwareTable, rootPath } from "./plan.ts";

/** The name under which a machine's iPXE script is served. */
export const IPXE_SCRIPT = "boot.ipxe";

/**
 * What DHCP tells the firmware of `machine`: where its loader is, in the form that this kind of firmware reads. `undefined`
 * where the machine boots from its own disk, or where this system has no loader for such firmware.
 */
export function bootOffer(kind: FirmwareKind, machine: Machine, facts: ServerFacts, found: FoundLoaders): BootOffer | undefined {
  if (machine.boot.kind === "local") return undefined;
  if (kind.startsWith("ipxe-")) return ipxeOffer(machine, facts);
  // Whatever it is told, it asks for files by names of its own.
  if (kind === "raspberry-pi") return { file: "bootcode.bin" };
  // U-Boot looks for its menu beside whatever the name is, and its EFI half starts the loader.
  const loader =
    kind === "uboot-arm64"
      ? (loaderName("uefi-arm64-pxe", machine, found) ?? "pxelinux.0")
      : loaderName(kind, machine, found, facts.isProxy === true);
  if (loader === undefined) return undefined;
  const path = `${machine.name}/${loader}`;
  return { file: kind.endsWith("-http") ? httpUrl(facts, `/${path}`) : path };
}

/**
 * iPXE has HTTP in every build that is in use, and unlike its TFTP it takes any port. A root path makes it log in to the
 * disk before it asks for the script, and leave that session half open: so it is told only where an iBFT is wanted.
 */
function ipxeOffer(machine: Machine, facts: ServerFacts): BootOffer {
  return {
    file: httpUrl(facts, `/${machine.name}/${IPXE_SCRIPT}`),
    ...(needsFirmwareTable(machine) ? { rootPath: rootPath(machine, facts.portals[0], facts.iscsiPort) } : {}),
    initiatorName: machine.initiators[0],
  };
}
