/** A part of a disk as GRUB names it, with what it found there. */
export interface DiskDevice {
  /** `loop0` for the whole disk, `loop0,gpt2`, `loop0,msdos1`, `lvm/rhel-root`, `md/0`. */
  readonly name: string;
  /** GRUB's name of the file system: `xfs`, `ext*`, `fat`, `btrfs`...; absent where there is none that it knows. */
  readonly fileSystem?: string;
  readonly uuid?: string;
  readonly label?: string;
  readonly sizeBytes: number;
}

/** An entry of a folder. */
export interface DirectoryEntry {
  readonly name: string;
  readonly kind: "file" | "directory" | "other";
  /** Of a file, in octets; 0 otherwise. */
  readonly sizeBytes: number;
}

/** Most partitions and logical volumes of one disk that are looked at. */
export const MAX_DEVICES = 128;
/** Most entries of one folder; what a hostile folder has beyond them is not seen. */
export const MAX_DIRECTORY_ENTRIES = 4096;
const MAX_NAME_LENGTH = 255;

/**
 * The devices that come from the disk itself. `host` and `proc`, which GRUB's tools have besides, are what must never get
 * through here: a label may hold a line that looks like a device.
 */
const DEVICE = /^(loop0(,(gpt|msdos|apple|bsd|sun|dfly|plan)[0-9]{1,4}){0,3}|(lvm|lvmid|md|mduuid|ldm)\/[A-Za-z0-9_.+/-]{1,250})$/;

export function isDeviceName(name: string): boolean {
  return DEVICE.test(name);
}

/**
 * What `ls -l` without a path prints: one line a device.
 *
 *   Device loop0: No known filesystem detected - Sector size 512B - Total size 1048576KiB
 *     Partition loop0,gpt2: Filesystem type xfs - Label `boot', UUID 9f47bb7d-... - Partition start at 66560KiB - Total size 307200KiB
 */
export function parseDevices(text: string): readonly DiskDevice[] {
  const devices = new Map<string, DiskDevice>();
  for (const line of text.split("\n")) {
    const [, name, rest] = /^\t?(?:Device|Partition) ([^:]+):(.*)$/.exec(line) ?? [];
    if (name === undefined || rest === undefined || !isDeviceName(name) || devices.has(name)) continue;
    if (devices.size >= MAX_DEVICES) break;
    // A label may hold anything, so what follows it is taken from the end of the line, and what precedes it from the start.
    const fileSystem = /^ Filesystem type ([A-Za-z0-9*_+.-]+)/.exec(rest)?.[1];
    const uuid = /, UUID ([0-9A-Fa-f-]{4,40})(?: - [^']*)?$/.exec(rest)?.[1];
    const label = / - Label `(.*)'/.exec(rest)?.[1];
    const size = / - Total size ([0-9]+(?:\.5)?)(KiB|B)[^']*$/.exec(rest);
    devices.set(name, {
      name,
      ...(fileSystem === undefined ? {} : { fileSystem }),
      ...(uuid === undefined ? {} : { uuid }),
      ...(label === undefined ? {} : { label }),
      sizeBytes: size === null ? 0 : Number(size[1]) * (size[2] === "B" ? 1 : 1024),
    });
  }
  return [...devices.values()];
}

/**
 * What `ls -l FOLDER` prints: `DIR` or the size in twelve columns, the time where the file system has one, the name. A
 * folder is followed by an empty line; nothing at all is printed for what is no folder, for which this is `undefined`.
 */
export function parseListing(text: string): readonly DirectoryEntry[] | undefined {
  if (text === "") return undefined;
  const entries: DirectoryEntry[] = [];
  for (const line of text.split("\n")) {
    const [, size, name] = /^(DIR|[0-9]+|\?{12})\s+(?:[0-9]{14,} )?(.+)$/.exec(line) ?? [];
    if (size === undefined || name === undefined) continue;
    const directory = size === "DIR" && name.endsWith("/");
    const bare = directory ? name.slice(0, -1) : name;
    if (!isFileName(bare)) continue;
    if (entries.length >= MAX_DIRECTORY_ENTRIES) break;
    // A link to a folder, or to nowhere, has question marks for a size.
    const kind = directory ? "directory" : /^[0-9]/.test(size) ? "file" : "other";
    entries.push({ name: bare, kind, sizeBytes: kind === "file" ? Number(size) : 0 });
  }
  return entries;
}

function isFileName(name: string): boolean {
  return name.length > 0 && name.length <= MAX_NAME_LENGTH && name !== "." && name !== ".." && !name.includes("/") && !hasControl(name);
}

/** A path on a disk as its reader is given it, or undefined where there can be no such file. */
export function diskPath(path: string): string | undefined {
  const segments = path.split("/").filter((segment) => segment !== "" && segment !== ".");
  if (path.length > 1024 || segments.some((segment) => segment === ".." || !isFileName(segment))) return undefined;
  return `/${segments.join("/")}`;
}

function hasControl(text: string): boolean {
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code < 0x20 || code === 0x7f) return true;
  }
  return false;
}

/** The helper's report: which octets of the disk were read, and how the reader ended. */
export interface ReaderReport {
  readonly ranges: readonly { readonly offset: number; readonly length: number }[];
  readonly ended: { readonly kind: "exit" | "signal"; readonly value: number } | undefined;
}

export function parseReport(text: string): ReaderReport {
  const ranges: { offset: number; length: number }[] = [];
  let ended: ReaderReport["ended"];
  for (const line of text.split("\n")) {
    const [, word, first, second] = /^(read|exit|signal) ([0-9]{1,16})(?: ([0-9]{1,16}))?$/.exec(line) ?? [];
    if (word === "read" && second !== undefined) ranges.push({ offset: Number(first), length: Number(second) });
    else if (word === "exit" || word === "signal") ended = { kind: word, value: Number(first) };
  }
  return { ranges, ended };
}
