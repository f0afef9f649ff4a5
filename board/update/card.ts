import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { open, readFile, rename, stat } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { decodeAutoboot, encodeAutoboot, runningSlot } from "./autoboot.ts";
import { type CardLayout, LAYOUT_FILE, parseLayout } from "./layout.ts";
import { NEW_CARD, SlotError, type SlotName, type Slots } from "./slots.ts";

const run = promisify(execFile);

/** The card's first partition as the keeper of the slots' state. */
export interface SlotCard {
  readonly running: SlotName;
  read(): Promise<Slots>;
  write(slots: Slots): Promise<void>;
}

/** Undefined where the system was not started from a card of ours. */
export function openCard(layoutFile: string = LAYOUT_FILE, kernelLine = "/proc/cmdline"): Card | undefined {
  if (!existsSync(layoutFile)) return undefined;
  const running = runningSlot(readFileSync(kernelLine, "utf8"));
  return running === undefined ? undefined : new Card(parseLayout(readFileSync(layoutFile, "utf8")), running);
}

/**
 * autoboot.txt on a vfat, which has no journal: a file that is replaced can be lost to a power cut, new name and old. So the file is
 * never replaced: it lies in one sector, is always as long, and is written over in place. Of one sector a card writes all or nothing;
 * the FAT is not touched, and the directory entry only gets another time. The mount itself writes but the "in use" mark of the volume,
 * which the boot loader does not look at.
 */
export class Card implements SlotCard {
  readonly running: SlotName;
  readonly layout: CardLayout;
  readonly #file: string;

  constructor(layout: CardLayout, running: SlotName) {
    this.running = running;
    this.layout = layout;
    this.#file = join(layout.bootConfigFolder, "autoboot.txt");
  }

  /** Throws {@link SlotError} where the file is there and makes no sense. Without it the loader takes the first slot that it finds. */
  async read(): Promise<Slots> {
    let text: string;
    try {
      text = await readFile(this.#file, "latin1");
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== "ENOENT")
        throw new SlotError(`${this.#file} cannot be read: ${words(cause)}`, { cause });
      return { ...NEW_CARD, primary: this.running };
    }
    const reading = decodeAutoboot(text, this.layout.bootPartitions);
    if (reading.ok) return reading.slots;
    throw new SlotError(`${this.#file} makes no sense (${reading.reason}); copy it anew from the image that the card was flashed with`);
  }

  /** Resolves when the card has it. */
  async write(slots: Slots): Promise<void> {
    const text = encodeAutoboot(slots, this.layout.bootPartitions);
    try {
      await this.#whileWritable(() => this.#put(text));
    } catch (cause) {
      throw new SlotError(`${this.#file} cannot be written: ${words(cause)}; the card may be worn out`, { cause });
    }
  }

  async #put(text: string): Promise<void> {
    const size = await stat(this.#file).then(
      (found) => found.size,
      () => -1,
    );
    // A person's editor has replaced the file, or it is gone: the one time it has to be made, it is made beside and renamed.
    const inPlace = size === text.length;
    const target = inPlace ? this.#file : `${this.#file}.new`;
    const file = await open(target, inPlace ? "r+" : "w");
    try {
      await file.write(text, 0, "latin1");
      await file.sync();
    } finally {
      await file.close();
    }
    if (inPlace) return;
    await rename(target, this.#file);
    const folder = await open(this.layout.bootConfigFolder, "r");
    await folder.sync().finally(() => folder.close());
  }

  /** The partition is mounted read-only but for this moment. */
  async #whileWritable(work: () => Promise<void>): Promise<void> {
    const { bootConfigFolder } = this.layout;
    if (!(await isReadOnlyMount(bootConfigFolder))) return await work();
    await run("mount", ["-o", "remount,rw", bootConfigFolder]);
    try {
      await work();
    } finally {
      await run("mount", ["-o", "remount,ro", bootConfigFolder]);
    }
  }
}

async function isReadOnlyMount(folder: string): Promise<boolean> {
  const mounts = (await readFile("/proc/mounts", "utf8")).split("\n").map((line) => line.split(" "));
  return mounts.some(([, place, , options]) => place === folder && options?.split(",").includes("ro") === true);
}

function words(cause: unknown): string {
  return cause instanceof Error ? cause.message.trim() : String(cause);
}
