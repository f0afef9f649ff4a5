import type { MoveReport } from "../../machine/boot-entries.ts";
import { type Alias, type InitramfsContents, moduleName } from "./initramfs.ts";

/** What a machine's root over iSCSI needs of dracut, whatever its hardware. */
const DRACUT_MODULES = ["network", "iscsi"] as const;
const KERNEL_MODULES = ["iscsi_tcp"] as const;

/** `8086:100e`: vendor and device of a PCI card, as lspci -n prints it. */
const PCI_ID = /^([0-9a-f]{4}):([0-9a-f]{4})$/i;

/** Cards whose driver has to be looked for by an alias. */
export function isPciId(nic: string): boolean {
  return PCI_ID.test(nic);
}

/** The network cards that the hardware has: drivers (`e1000e`) or PCI identifiers (`8086:100e`). */
export function isNic(text: string): boolean {
  return PCI_ID.test(text) || /^[A-Za-z0-9_-]{1,64}$/.test(text);
}

type Portability = Pick<MoveReport, "kernelVersion" | "compressions" | "drivers" | "problems" | "mend">;

/**
 * Whether an initramfs can find a root over iSCSI on hardware with these network cards, and the line that mends it where it
 * cannot. `installed` are the aliases of all modules that the kernel has, so that what is missing has a name.
 */
export function portability(contents: InitramfsContents, nics: readonly string[], installed: readonly Alias[] = []): Portability {
  const { kernelModules, dracutModules, kernelVersion } = contents;
  const problems: string[] = [];
  const missing: string[] = [];
  const drivers: string[] = [];
  const needed = (name: string, why: string): void => {
    if (kernelModules.has(name)) return;
    problems.push(`the kernel module ${name} is missing: ${why}`);
    missing.push(name);
  };
  if (dracutModules === undefined) problems.push("it was not made by dracut, whose way to a root over iSCSI is the one that is known here");
  for (const name of dracutModules === undefined ? [] : DRACUT_MODULES) {
    if (!dracutModules?.has(name)) problems.push(`dracut's module ${name} is missing: it cannot find its root over iSCSI`);
  }
  for (const name of KERNEL_MODULES) needed(name, "it cannot log in to its disk");
  for (const nic of nics) {
    const [, vendor, device] = PCI_ID.exec(nic) ?? [];
    if (vendor === undefined || device === undefined) {
      needed(moduleName(nic), "the network card has no driver");
      continue;
    }
    const present = contents.aliases.filter(([, module]) => kernelModules.has(module));
    const driver = driverOf(present, vendor, device);
    const absent = driver === undefined ? driverOf(installed, vendor, device) : undefined;
    if (driver !== undefined) drivers.push(`${nic} is driven by ${driver}`);
    else if (absent !== undefined) needed(absent, `it drives the network card ${nic}`);
    else problems.push(`no driver for the network card ${nic} is in it`);
    // The bus of a virtual card is driven by the one, and the card on it by the other.
    if ((driver ?? absent) === "virtio_pci") needed("virtio_net", `it drives the network card ${nic}`);
  }
  const version = kernelVersion === undefined ? {} : { kernelVersion };
  const found = { ...version, compressions: contents.compressions, drivers, problems };
  return problems.length === 0 ? found : { ...found, mend: mendingLine(missing, kernelVersion) };
}

/** dracut(8): everything that any hardware may need, and what was missed by name. */
function mendingLine(drivers: readonly string[], kernelVersion: string | undefined): string {
  return [
    `dracut -f --no-hostonly --add "${DRACUT_MODULES.join(" ")}"`,
    ...(drivers.length === 0 ? [] : [`--add-drivers "${drivers.join(" ")}"`]),
    ...(kernelVersion === undefined ? [] : [`--kver ${kernelVersion}`]),
  ].join(" ");
}

/** A PCI card by vendor, device where only some are meant, and class where only some are (linux/scripts/mod/file2alias.c). */
const PCI_ALIAS = /^pci:v0000([0-9A-F]{4})d(?:\*|0000([0-9A-F]{4}))sv\S*bc(\*|[0-9A-F]{2})sc/;
/** Class 02 of PCI: network controllers. */
const NETWORK = ["*", "02"];

/** Which of these aliases' modules drives the card. */
function driverOf(aliases: readonly Alias[], vendor: string, device: string): string | undefined {
  const [wantedVendor, wantedDevice] = [vendor.toUpperCase(), device.toUpperCase()];
  return aliases.find(([pattern]) => {
    const [, ofVendor, ofDevice = wantedDevice, ofClass = ""] = PCI_ALIAS.exec(pattern) ?? [];
    return ofVendor === wantedVendor && ofDevice === wantedDevice && NETWORK.includes(ofClass);
  })?.[1];
}
