import type { DiskLook } from "../../volume/look/disk.ts";
import { LookError } from "../../volume/look/error.ts";
import type { DirectoryEntry, DiskDevice } from "../../volume/look/output.ts";
import { type DiskFile, MAX_NOTES } from "./disk-boot.ts";

/** Readers that one search may start: some 20 for an ordinary disk. */
const MAX_LOOKS = 256;

/**
 * A disk during one search: each folder is listed once, what is not there is `undefined`, and what is wrong becomes a note
 * for people. Rejects only where looking itself is impossible or cancelled.
 */
export class DiskView {
  readonly #look: DiskLook;
  readonly #folders = new Map<string, Promise<readonly DirectoryEntry[] | undefined>>();
  readonly #notes: string[] = [];
  #devices: readonly DiskDevice[] = [];
  #looks = 0;

  constructor(look: DiskLook) {
    this.#look = look;
  }

  get notes(): readonly string[] {
    return this.#notes;
  }

  note(sentence: string): void {
    const line = printable(sentence);
    if (this.#notes.length < MAX_NOTES && !this.#notes.includes(line)) this.#notes.push(line);
  }

  /** The parts of the disk that hold a file system. To be called first. */
  async fileSystems(): Promise<readonly DiskDevice[]> {
    const all = (await this.#attempt("the partition table", () => this.#look.devices())) ?? [];
    this.#devices = all;
    const found = all.filter((device) => device.fileSystem !== undefined);
    const parts = all.filter((device) => device.name !== "loop0");
    if (found.length === 0) {
      this.note(
        parts.length === 0
          ? "there is no partition table (GPT or MBR) on the disk and no file system that GRUB can read"
          : `none of these has a file system that GRUB can read: ${parts.map((device) => this.describe(device.name)).join(", ")}`,
      );
    }
    return found;
  }

  withUuid(uuid: string): DiskDevice | undefined {
    return this.#devices.find((device) => device.uuid?.toLowerCase() === uuid.toLowerCase());
  }

  /** For people: `partition 2 (xfs "boot")`, `logical volume rhel-root (ext*)`, `the disk without partitions (fat)`. */
  describe(name: string): string {
    const device = this.#devices.find((each) => each.name === name);
    const label = device?.label === undefined ? "" : ` "${device.label}"`;
    const contents = device?.fileSystem === undefined ? "no known file system" : `${device.fileSystem.replace("*", "4")}${label}`;
    const [, number] = /^loop0,(?:[a-z]+)([0-9,a-z]+)$/.exec(name) ?? [];
    const what =
      number !== undefined
        ? `partition ${number}`
        : name === "loop0"
          ? "the disk without partitions"
          : name.replace(/^lvm\//, "logical volume ");
    return `${what} (${contents})`;
  }

  /** The folder's entries, `undefined` where there is no such folder. */
  list(device: string, folder: string): Promise<readonly DirectoryEntry[] | undefined> {
    const key = `${device}:${folder}`;
    let listing = this.#folders.get(key);
    if (listing === undefined) {
      listing = this.#attempt(`${folder} on ${this.describe(device)}`, () => this.#look.list(device, folder));
      this.#folders.set(key, listing);
    }
    return listing;
  }

  /** A regular file by its path; on FAT whatever the case. */
  async file(device: string, path: string): Promise<DiskFile | undefined> {
    const slash = path.lastIndexOf("/");
    const found = await this.#entry(device, path.slice(0, slash), path.slice(slash + 1));
    if (found?.entry.kind !== "file") return undefined;
    return { device, path: `${found.folder}/${found.entry.name}`, sizeBytes: found.entry.sizeBytes };
  }

  /** The path in the disk's spelling where it is a folder. Parents first, so that what is not there costs one listing at most. */
  async folder(device: string, path: string): Promise<string | undefined> {
    let at = "";
    for (const segment of path.split("/").filter((each) => each !== "")) {
      const found = await this.#entry(device, at, segment);
      // A symbolic link to a folder is listed as something else; GRUB follows it.
      if (found === undefined || found.entry.kind === "file") return undefined;
      at = `${at}/${found.entry.name}`;
    }
    return at;
  }

  async read(file: DiskFile, limitBytes: number): Promise<Uint8Array | undefined> {
    return this.#attempt(`${file.path} on ${this.describe(file.device)}`, () => this.#look.read(file.device, file.path, { limitBytes }));
  }

  async text(device: string, path: string, limitBytes: number): Promise<string | undefined> {
    const file = await this.file(device, path);
    const octets = file === undefined ? undefined : await this.read(file, limitBytes);
    return octets === undefined ? undefined : new TextDecoder().decode(octets);
  }

  async #entry(device: string, folder: string, name: string): Promise<{ entry: DirectoryEntry; folder: string } | undefined> {
    const entries = await this.list(device, folder === "" ? "/" : folder);
    const anyCase = this.#devices.find((each) => each.name === device)?.fileSystem === "fat";
    const entry = entries?.find((each) => each.name === name || (anyCase && each.name.toLowerCase() === name.toLowerCase()));
    return entry === undefined ? undefined : { entry, folder };
  }

  async #attempt<T>(what: string, look: () => Promise<T>): Promise<T | undefined> {
    if (this.#looks >= MAX_LOOKS) {
      this.note(`after ${MAX_LOOKS} looks the search was ended`);
      return undefined;
    }
    this.#looks++;
    try {
      return await look();
    } catch (cause) {
      if (!(cause instanceof LookError)) throw cause;
      if (cause.failure === "not-found") return undefined;
      if (cause.failure === "cancelled" || cause.failure === "busy" || cause.failure === "no-reader") throw cause;
      this.note(`${what} could not be read: ${cause.message}`);
      return undefined;
    }
  }
}

/** Longer text than this is for no screen. */
const MAX_SHOWN = 256;

/** What a disk holds, as it may be shown: one line, no control characters. */
export function printable(text: string): string {
  return text.replaceAll(/[^\x20-\x7e\u00a0-\uffff]/g, "?").slice(0, MAX_SHOWN);
}
