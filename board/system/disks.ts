import { existsSync, readdirSync, readFileSync, realpathSync } from "node:fs";
import { join } from "node:path";
import type { SystemDisk } from "../../src/control/system-operations.ts";
import type { CopyProgress } from "../../src/machine/volume.ts";
import { run, SystemError } from "./run.ts";

const SECTOR_OCTETS = 512; // Of /sys/block/*/size, whatever the disk's own are.
/** SCSI and USB disks, cards, NVMe, and the virtual ones of an emulator. */
const DISK_NAME = /^(sd[a-z]+|mmcblk\d+|nvme\d+n\d+|vd[a-z]+)$/;
/** Below this, XFS with its log leaves nothing to serve. */
const MIN_DATA_OCTETS = 1024 ** 3;
const FORMAT_TIMEOUT_MS = 600_000;
/** Offset of the serial number in its VPD page (SPC-4, 7.8.16). */
const VPD_HEADER_OCTETS = 4;

export interface DataDisksOptions {
  readonly label: string;
  /** Where the data disk is mounted. */
  readonly folder: string;
  /** Other places than the kernel's, for tests. */
  readonly sys?: string;
  readonly mounts?: string;
  readonly run?: typeof run;
}

/** The disks of the board, and the one way by which one of them is written to as a whole. */
export class DataDisks {
  readonly #options: DataDisksOptions;
  readonly #sys: string;
  readonly #run: typeof run;
  #formatting = false;

  constructor(options: DataDisksOptions) {
    this.#options = options;
    this.#sys = options.sys ?? "/sys";
    this.#run = options.run ?? run;
  }

  async list(): Promise<readonly SystemDisk[]> {
    const mounted = this.#mounted();
    const names = readdirSync(join(this.#sys, "block")).filter((name) => DISK_NAME.test(name));
    return await Promise.all(names.toSorted().map((name) => this.#look(name, mounted)));
  }

  /** Throws SystemError, and then nothing was written. */
  async format(
    name: string,
    confirmation: string,
    options: { readonly signal?: AbortSignal; readonly onProgress?: (progress: CopyProgress) => void },
  ): Promise<SystemDisk> {
    if (this.#formatting) throw new SystemError("a disk is being formatted already; wait until it is done");
    this.#formatting = true;
    try {
      const disk = (await this.list()).find((found) => found.name === name);
      if (disk === undefined) throw new SystemError(`there is no disk ${name}; look at the list again`);
      if (disk.role === "card") throw new SystemError(`${name} is the card that this board runs from; choose another disk`);
      if (disk.role === "data") throw new SystemError(`${name} is the data disk and in use; unplug it and start the board to let go of it`);
      if (disk.readOnly) throw new SystemError(`${name} is write-protected; choose another disk`);
      if (disk.sizeBytes < MIN_DATA_OCTETS) throw new SystemError(`${name} is too small: a data disk has 1 GiB or more`);
      if (confirmation !== disk.confirmation) throw new SystemError(`what was typed is not ${disk.confirmation}; ${name} was not touched`);
      options.onProgress?.({ doneBytes: 0, totalBytes: disk.sizeBytes });
      // -K: the blocks of an SSD are not discarded first, which takes minutes on some USB bridges. -f: it has been asked for by name.
      await this.#run("mkfs.xfs", ["-q", "-f", "-K", "-m", "reflink=1", "-L", this.#options.label, `/dev/${name}`], {
        timeoutMs: FORMAT_TIMEOUT_MS,
      });
      options.onProgress?.({ doneBytes: disk.sizeBytes, totalBytes: disk.sizeBytes });
      return await this.#look(name, this.#mounted());
    } finally {
      this.#formatting = false;
    }
  }

  async #look(name: string, mounted: ReadonlyMap<string, readonly string[]>): Promise<SystemDisk> {
    const folder = join(this.#sys, "block", name);
    const device = realpathSync(folder);
    const partitions = readdirSync(folder).filter((entry) => entry.startsWith(name) && existsSync(join(folder, entry, "partition")));
    const contents = (await Promise.all([name, ...partitions].map((part) => this.#contents(part)))).flat();
    const places = [name, ...partitions].flatMap((part) => mounted.get(part) ?? []);
    const serial = serialOf(folder, device);
    return {
      name,
      sizeBytes: Number(text(join(folder, "size"))) * SECTOR_OCTETS,
      model:
        [text(join(folder, "device/vendor")), text(join(folder, "device/model"))].join(" ").trim() || text(join(folder, "device/name")),
      serial,
      usb: device.includes("/usb"),
      readOnly: text(join(folder, "ro")) === "1",
      role: roleOf(places, this.#options.folder, contents.length > 0 || partitions.length > 0),
      contents,
      confirmation: serial === "" ? name : serial,
    };
  }

  /** By probing the device itself: no cache of what was there before. */
  async #contents(part: string): Promise<SystemDisk["contents"]> {
    const output = await this.#run("blkid", ["-c", "/dev/null", "-o", "export", `/dev/${part}`]).catch(() => "");
    const found = new Map(output.split("\n").map((line) => [line.split("=", 1)[0] ?? "", line.slice(line.indexOf("=") + 1)]));
    const type = found.get("TYPE");
    return type === undefined ? [] : [{ type, label: found.get("LABEL") ?? "" }];
  }

  /** Mount points by the kernel's name of the device. */
  #mounted(): ReadonlyMap<string, readonly string[]> {
    const places = new Map<string, string[]>();
    for (const line of readFileSync(this.#options.mounts ?? "/proc/self/mountinfo", "utf8").split("\n")) {
      // proc(5): the fifth field is the mount point, the second after " - " the source.
      const [before = "", after = ""] = line.split(" - ");
      const source = after.split(" ")[1] ?? "";
      const place = before.split(" ")[4];
      if (place === undefined || !source.startsWith("/dev/")) continue;
      const name = deviceName(source);
      places.set(name, [...(places.get(name) ?? []), place]);
    }
    return places;
  }
}

function roleOf(places: readonly string[], dataFolder: string, hasContents: boolean): SystemDisk["role"] {
  if (places.includes(dataFolder)) return "data";
  if (places.length > 0) return "card";
  return hasContents ? "other" : "empty";
}

/** A link such as /dev/rackboot/state leads to the kernel's name. */
function deviceName(source: string): string {
  try {
    return realpathSync(source).slice("/dev/".length);
  } catch {
    return source.slice("/dev/".length);
  }
}

/** The disk's own; of a USB bridge that hides it, the bridge's. */
function serialOf(folder: string, device: string): string {
  try {
    const page = readFileSync(join(folder, "device/vpd_pg80"));
    const own = page.subarray(VPD_HEADER_OCTETS).toString("latin1");
    if (isName(own)) return own.trim();
  } catch {
    // Not every bridge has the page.
  }
  const own = text(join(folder, "device/serial"));
  if (isName(own)) return own;
  // The USB device is some folders above; it is the one that has a serial number at all.
  for (let up = device; up.includes("/usb"); up = up.slice(0, up.lastIndexOf("/"))) {
    const serial = text(join(up, "serial"));
    if (isName(serial) && existsSync(join(up, "idVendor"))) return serial;
  }
  return "";
}

function isName(serial: string): boolean {
  return /^[\x21-\x7e][\x20-\x7e]*$/.test(serial.trim());
}

function text(path: string): string {
  try {
    return readFileSync(path, "latin1").trim();
  } catch {
    return "";
  }
}
