import { readFile } from "node:fs/promises";
import { join } from "node:path";

/** The largest packet of an interface in octets, its IP header included; undefined where sysfs does not tell. `folder` lists the interfaces. */
export async function mtuOf(device: string, folder = "/sys/class/net"): Promise<number | undefined> {
  try {
    const octets = Number(await readFile(join(folder, device, "mtu"), "utf8"));
    return Number.isInteger(octets) && octets > 0 ? octets : undefined;
  } catch {
    return undefined;
  }
}
