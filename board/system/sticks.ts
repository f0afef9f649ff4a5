import { type Dirent, mkdirSync, readdirSync, readFileSync, realpathSync, statSync } from "node:fs";
import { basename, join, relative } from "node:path";
import type { StickFile } from "../../src/control/system-operations.ts";
import { run, SystemError } from "./run.ts";

/** What people's sticks have; anything else is not tried. */
const FILE_SYSTEMS: ReadonlySet<string> = new Set(["vfat", "exfat", "ext2", "ext3", "ext4"]);
/** Nothing of a stranger's stick is run or obeyed, and pulling it out loses nothing. */
const MOUNT_OPTIONS = "ro,nosuid,nodev,noexec";
const MAX_STICKS = 8;
const MAX_DEPTH = 3;
const MAX_FILES = 200;
const MAX_LOOKED_AT = 5000;

export interface SticksOptions {
  /** Where sticks are mounted, each in a folder of its own. */
  readonly folder: string;
  /** The data disk's label: that one is no stick. */
  readonly dataLabel: string;
  /** Other places than the kernel's, for tests. */
  readonly sys?: string;
  readonly mounts?: string;
  readonly run?: typeof run;
}

/** USB sticks that somebody plugged in to bring a file: an update, or an installation medium. */
export class Sticks {
  readonly #options: SticksOptions;
  readonly #run: typeof run;
  #looking: Promise<unknown> = Promise.resolve();

  constructor(options: SticksOptions) {
    this.#options = options;
    this.#run = options.run ?? run;
  }

  /** Files whose names end so, whatever their case. Sticks are mounted for it, and stay until the next look after they were pulled out. Throws SystemError. */
  files(ending: string): Promise<readonly StickFile[]> {
    const found = this.#looking.then(() => this.#look(ending.toLowerCase()));
    this.#looking = found.catch(() => undefined);
    return found;
  }

  async #look(ending: string): Promise<readonly StickFile[]> {
    const sticks = (await this.#present()).slice(0, MAX_STICKS);
    await this.#letGo(new Set(sticks.map(({ device }) => basename(device))));
    const files: StickFile[] = [];
    for (const { device, label } of sticks) {
      const place = join(this.#options.folder, basename(device));
      if (!this.#isMounted(place)) {
        mkdirSync(place, { recursive: true });
        await this.#run("mount", ["-o", MOUNT_OPTIONS, device, place]);
      }
      for (const path of filesBelow(place, ending)) {
        files.push({ path, name: relative(place, path), stick: label === "" ? basename(device) : label, sizeBytes: statSync(path).size });
      }
    }
    return files.slice(0, MAX_FILES);
  }

  /** Partitions, and disks without any, on USB that nothing of ours is on. */
  async #present(): Promise<readonly { readonly device: string; readonly label: string }[]> {
    // blkid ends with 2 where it finds nothing at all.
    const output = await this.#run("blkid", ["-c", "/dev/null", "-o", "export"]).catch(() => "");
    return output.split(/\n\n+/).flatMap((block) => {
      const facts = new Map(block.split("\n").map((line) => [line.split("=", 1)[0] ?? "", line.slice(line.indexOf("=") + 1)]));
      const device = facts.get("DEVNAME") ?? "";
      const label = (facts.get("LABEL") ?? "").replace(/\\(.)/g, "$1");
      const isStick = FILE_SYSTEMS.has(facts.get("TYPE") ?? "") && label !== this.#options.dataLabel && this.#isUsb(basename(device));
      return isStick && !this.#isMountedElsewhere(device) ? [{ device, label }] : [];
    });
  }

  #isUsb(name: string): boolean {
    try {
      return realpathSync(join(this.#options.sys ?? "/sys", "class/block", name)).includes("/usb");
    } catch {
      return false;
    }
  }

  async #letGo(present: ReadonlySet<string>): Promise<void> {
    for (const [, place] of this.#mounted()) {
      if (!place.startsWith(`${this.#options.folder}/`) || present.has(basename(place))) continue;
      await this.#run("umount", ["-l", place]).catch(() => undefined);
    }
  }

  #isMounted(place: string): boolean {
    return this.#mounted().some(([, other]) => other === place);
  }

  #isMountedElsewhere(device: string): boolean {
    return this.#mounted().some(([source, place]) => source === device && !place.startsWith(`${this.#options.folder}/`));
  }

  #mounted(): readonly (readonly [source: string, place: string])[] {
    const text = readFileSync(this.#options.mounts ?? "/proc/mounts", "utf8");
    return text.split("\n").flatMap((line) => {
      const [source, place] = line.split(" ");
      return source === undefined || place === undefined ? [] : [[source, place] as const];
    });
  }
}

/** A stick may be deep, full or broken: a look ends. */
function filesBelow(folder: string, ending: string): readonly string[] {
  const found: string[] = [];
  let looked = 0;
  const walk = (place: string, depth: number): void => {
    for (const entry of entriesOf(place)) {
      if (++looked > MAX_LOOKED_AT || found.length >= MAX_FILES) return;
      // Hidden files are what other systems keep beside the real ones ("._update.raucb").
      if (entry.name.startsWith(".")) continue;
      if (entry.isDirectory() && depth < MAX_DEPTH) walk(join(place, entry.name), depth + 1);
      else if (entry.isFile() && entry.name.toLowerCase().endsWith(ending)) found.push(join(place, entry.name));
    }
  };
  walk(folder, 1);
  return found.toSorted();
}

function entriesOf(folder: string): readonly Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch (cause) {
    throw new SystemError(`the stick cannot be read: ${(cause as Error).message}; try another one`, { cause });
  }
}
