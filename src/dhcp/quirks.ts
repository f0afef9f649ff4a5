import type { DhcpQuirk } from "../machine/config.ts";
import type { Mac } from "../machine/identifiers.ts";

/**
 * What some clients need that no RFC says, and how they are told from others: by what their vendor class begins with, by what
 * their MAC address begins with (its maker's three octets, or all six). The configuration adds to the table (`dhcp.quirks`).
 */

/** IEEE registry of MA-L assignments, "Raspberry Pi". */
const RASPBERRY_PI_MACS: readonly string[] = ["28:cd:c1", "2c:cf:67", "b8:27:eb", "d8:3a:dd", "dc:a6:32", "e4:5f:01"];

export const BUILT_IN_QUIRKS: ReadonlyMap<string, DhcpQuirk> = new Map<string, DhcpQuirk>([
  [
    // The mask ROM of a Pi 2 and 3, the EEPROM of a Pi 4 and 5: no PC, though they say so, and not to be told of a PC's loader.
    // They read only the options field, and a Pi 3 takes its address from the offer.
    "raspberry-pi",
    { vendorClass: "PXEClient:Arch:00000", macs: RASPBERRY_PI_MACS, firmware: "raspberry-pi", plain: true, skipsRequest: true },
  ],
]);

const NO_QUIRK: DhcpQuirk = {};

/** In the order in which they are applied: what the configuration says stands last, and wins. */
export function quirksInForce(configured: ReadonlyMap<string, DhcpQuirk | null>): readonly DhcpQuirk[] {
  const builtIn = [...BUILT_IN_QUIRKS].filter(([name]) => !configured.has(name)).map(([, quirk]) => quirk);
  return [...builtIn, ...[...configured.values()].filter((quirk) => quirk !== null)];
}

/** All that is different with this client; options of several quirks are laid over each other. */
export function quirkOf(quirks: readonly DhcpQuirk[], mac: Mac, vendorClass: string | undefined): DhcpQuirk {
  let found = NO_QUIRK;
  for (const quirk of quirks) {
    if (!matches(quirk, mac, vendorClass)) continue;
    const options = found.options && quirk.options ? new Map([...found.options, ...quirk.options]) : (quirk.options ?? found.options);
    found = { ...found, ...quirk, ...(options && { options }) };
  }
  return found;
}

function matches({ vendorClass, macs }: DhcpQuirk, mac: Mac, said: string | undefined): boolean {
  if (vendorClass !== undefined && said?.startsWith(vendorClass) !== true) return false;
  return macs?.some((beginning) => mac.startsWith(beginning)) ?? true;
}
