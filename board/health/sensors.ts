import { readdir, readFile, readlink, realpath, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { FaultCause } from "../../src/state/faults.ts";
import type { DiskHealth, Health, PowerHealth } from "../../src/state/health.ts";
import type { VlanTraffic } from "./alarms.ts";

/** Where the kernel shows itself; another folder in tests. */
export const SYSFS = "/sys";

/** The firmware's get_throttled, as hexadecimal digits: https://www.raspberrypi.com/documentation/computers/os.html#get_throttled */
const THROTTLED = "devices/platform/soc/soc:firmware/get_throttled";
const UNDER_VOLTAGE = 0x1;
/** Frequency capped, throttled, or at the soft temperature limit. */
const SLOWED_DOWN = 0x2 | 0x4 | 0x8;

async function text(path: string): Promise<string | undefined> {
  try {
    return (await readFile(path, "utf8")).trim();
  } catch {
    return undefined;
  }
}

async function list(folder: string): Promise<readonly string[]> {
  try {
    return await readdir(folder);
  } catch {
    return [];
  }
}

/** Of the processor: the thermal zone that names it, or else the first. In degrees, to the tenth. */
export async function readTemperature(sysfs: string = SYSFS): Promise<number | undefined> {
  const folder = join(sysfs, "class/thermal");
  const zones = (await list(folder)).filter((name) => name.startsWith("thermal_zone")).sort();
  const named = await Promise.all(zones.map(async (name) => ({ name, type: (await text(join(folder, name, "type"))) ?? "" })));
  const zone = named.find(({ type }) => /cpu|x86_pkg/i.test(type)) ?? named[0];
  const millidegrees = zone === undefined ? undefined : Number.parseInt((await text(join(folder, zone.name, "temp"))) ?? "", 10);
  return millidegrees === undefined || Number.isNaN(millidegrees) ? undefined : Math.round(millidegrees / 100) / 10;
}

/** What the board's firmware says of its supply; undefined where it says nothing. */
export async function readPower(sysfs: string = SYSFS): Promise<PowerHealth | undefined> {
  const bits = Number.parseInt((await text(join(sysfs, THROTTLED))) ?? "", 16);
  if (!Number.isNaN(bits)) return { underVoltage: (bits & UNDER_VOLTAGE) !== 0, throttled: (bits & SLOWED_DOWN) !== 0 };
  const folder = join(sysfs, "class/hwmon");
  for (const name of await list(folder)) {
    if ((await text(join(folder, name, "name"))) !== "rpi_volt") continue;
    const alarm = await text(join(folder, name, "in0_lcrit_alarm"));
    if (alarm !== undefined) return { underVoltage: alarm === "1", throttled: false };
  }
  return undefined;
}

/**
 * From /proc/meminfo, by systeminformation: its one call here that starts no program. It is loaded when it is first used, since it
 * is large.
 */
export async function readMemory(): Promise<Health["memory"]> {
  const { mem } = await import("systeminformation");
  const { total, available } = await mem();
  return { totalBytes: total, availableBytes: available };
}

/** The whole disk under the file system of `path`, and how it is connected; undefined where that is no disk (overlay, tmpfs, network). */
export async function readDisk(path: string, sysfs: string = SYSFS): Promise<DiskHealth | undefined> {
  try {
    const { dev } = await stat(path);
    return await diskOf(await realpath(join(sysfs, "dev/block", deviceNumbers(dev))));
  } catch {
    return undefined;
  }
}

/** `folder` is a disk's or a partition's. */
export async function diskOf(folder: string): Promise<DiskHealth> {
  const disk = (await text(join(folder, "partition"))) === undefined ? folder : dirname(folder);
  const device = basename(disk);
  let driver: string | undefined;
  // The way up leads through the SCSI device and the USB interface, which has the driver, to the USB device, which has the identifiers.
  for (let at = disk; at !== dirname(at); at = dirname(at)) {
    if ((await text(join(at, "bInterfaceClass"))) !== undefined) driver = basename(await readlink(join(at, "driver")).catch(() => ""));
    const vendor = await text(join(at, "idVendor"));
    if (vendor === undefined) continue;
    const product = await text(join(at, "idProduct"));
    const speedMbps = Number(await text(join(at, "speed")));
    return { device, usbId: `${vendor}:${product}`, ...(driver && { driver }), ...(speedMbps > 0 && { speedMbps }) };
  }
  return { device };
}

/** Undefined where the interface is no VLAN's. */
export async function readVlan(device: string, sysfs: string = SYSFS): Promise<VlanTraffic | undefined> {
  const folder = join(sysfs, "class/net", device);
  // The kernel links a VLAN's device to what is below it (Documentation/ABI/testing/sysfs-class-net, lower_*).
  const parent = (await list(folder)).find((name) => name.startsWith("lower_"))?.slice("lower_".length);
  if (parent === undefined || !device.includes(".")) return undefined;
  const frames = Number(await text(join(folder, "statistics/rx_packets")));
  const parentFrames = Number(await text(join(sysfs, "class/net", parent, "statistics/rx_packets")));
  return Number.isNaN(frames + parentFrames) ? undefined : { device, frames, parent, parentFrames };
}

/** As an init script leaves it: what is wrong with the data disk, and on the second line what to do; undefined where nothing is. */
export async function readTrouble(file: string): Promise<FaultCause | undefined> {
  const [reason = "", next = ""] = ((await text(file)) ?? "").split("\n");
  return reason === "" ? undefined : { reason, ...(next !== "" && { next }) };
}

/** As sysfs writes a device number, from stat(2)'s (makedev(3) of glibc). */
export function deviceNumbers(dev: number): string {
  const number = BigInt(dev);
  const major = ((number >> 8n) & 0xfffn) | ((number >> 32n) & ~0xfffn);
  const minor = (number & 0xffn) | ((number >> 12n) & ~0xffn);
  return `${major}:${minor}`;
}
