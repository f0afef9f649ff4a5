import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseEnv } from "node:util";
import { bootPartition } from "../../board/update/autoboot.ts";
import type { SlotName } from "../../board/update/slots.ts";
import { runOrThrow } from "./process.ts";

const FIRMWARE = join(import.meta.dirname, "..", "..", "firmware");
const LAYOUT_FILE = join(FIRMWARE, "layout.env");
/** QEMU's SD card wants a power of two, and the layout needs 1.4 GiB of it. */
const CARD_SIZE = "2G";
const SECTOR = 512;
const BOOT_PARTITIONS = { a: "PARTITION_BOOT_A", b: "PARTITION_BOOT_B" } as const;

/** firmware/layout.env, as a program sees it. */
export function cardLayout(): Readonly<Record<string, string | undefined>> {
  return parseEnv(readFileSync(LAYOUT_FILE, "utf8"));
}

/** Both images of a half of the card, as test/setup/board-image.sh made them. */
export interface CardImages {
  /** A vfat with kernel, initramfs, and a kernel line for each half. */
  readonly boot: string;
  /** A squashfs. */
  readonly root: string;
}

/** What a boot loader takes from a half of the card. */
export interface BootFiles {
  readonly kernel: string;
  readonly initrd: string;
  readonly arguments: string;
}

/** A card as it comes out of the flashing, with one system in its first half. */
export class Card {
  readonly file: string;
  readonly #directory: string;
  readonly #starts: ReadonlyMap<number, number>;

  private constructor(file: string, directory: string, starts: ReadonlyMap<number, number>) {
    this.file = file;
    this.#directory = directory;
    this.#starts = starts;
  }

  /** The layout is the image's. */
  static async flash(directory: string, { boot, root }: CardImages): Promise<Card> {
    rmSync(directory, { recursive: true, force: true });
    mkdirSync(directory, { recursive: true });
    const layout = cardLayout();
    const file = join(directory, "card.img");
    await runOrThrow(["truncate", "-s", CARD_SIZE, file]);
    const script = [
      `label: dos`,
      `label-id: 0x${layout["DISK_SIGNATURE"]}`,
      `start=2048, size=${layout["SIZE_BOOT_CONFIG"]}, type=c`,
      `size=${layout["SIZE_BOOT"]}, type=c`,
      `size=${layout["SIZE_BOOT"]}, type=c`,
      `type=f`,
      `size=${layout["SIZE_ROOT"]}, type=83`,
      `size=${layout["SIZE_ROOT"]}, type=83`,
      `size=${layout["SIZE_STATE"]}, type=83`,
    ];
    writeFileSync(join(directory, "card.sfdisk"), `${script.join("\n")}\n`);
    await runOrThrow(["sh", "-c", `sfdisk --quiet ${file} < ${join(directory, "card.sfdisk")}`]);
    const table = JSON.parse(await runOrThrow(["sfdisk", "--json", file])) as {
      readonly partitiontable: { readonly partitions: readonly { readonly node: string; readonly start: number }[] };
    };
    const starts = new Map(table.partitiontable.partitions.map(({ node, start }) => [Number(/\d+$/.exec(node)?.[0]), start]));
    const card = new Card(file, directory, starts);
    await card.#put(boot, Number(layout["PARTITION_BOOT_A"]));
    await card.#put(root, Number(layout["PARTITION_ROOT_A"]));
    await card.#format("boot-config", Number(layout["PARTITION_BOOT_CONFIG"]), "32M", (image) => [
      ...["mkfs.vfat", "-n", layout["LABEL_BOOT_CONFIG"] ?? "", image],
    ]);
    await card.#format("state", Number(layout["PARTITION_STATE"]), "128M", (image) => [
      ...["mke2fs", "-q", "-t", "ext4", "-L", layout["LABEL_STATE"] ?? "", image],
    ]);
    await card.write("autoboot.txt", readFileSync(join(FIRMWARE, "board", "boot-config", "autoboot.txt"), "utf8"));
    return card;
  }

  /** What a Pi's boot loader would start; it reads autoboot.txt, and nothing else decides. */
  async slotToStart(tryboot: boolean): Promise<SlotName> {
    const layout = cardLayout();
    const partition = bootPartition(await this.read("autoboot.txt"), tryboot);
    const slot = (["a", "b"] as const).find((each) => Number(layout[BOOT_PARTITIONS[each]]) === partition);
    if (slot === undefined) throw new Error(`autoboot.txt names partition ${partition}, which holds no system`);
    return slot;
  }

  /** What the boot loader loads of it. */
  async bootFiles(slot: SlotName): Promise<BootFiles> {
    const from = this.#partition(Number(cardLayout()[BOOT_PARTITIONS[slot]]));
    const load = async (name: string): Promise<string> => {
      await runOrThrow(["mcopy", "-o", "-i", from, `::${name}`, join(this.#directory, name)]);
      return join(this.#directory, name);
    };
    const kernelLine = await load(`cmdline_${slot}.txt`);
    return { kernel: await load("vmlinuz"), initrd: await load("initrd.img"), arguments: readFileSync(kernelLine, "utf8").trim() };
  }

  /** What a person does with a laptop: puts a file on the first partition, which every system can read. */
  async write(name: string, text: string): Promise<void> {
    const file = join(this.#directory, "from-laptop");
    writeFileSync(file, text);
    await runOrThrow(["mcopy", "-o", "-i", this.#partition(1), file, `::${name}`]);
  }

  read(name: string): Promise<string> {
    return runOrThrow(["mtype", "-i", this.#partition(1), `::${name}`]);
  }

  /** For mtools. */
  #partition(number: number): string {
    return `${this.file}@@${(this.#starts.get(number) ?? 0) * SECTOR}`;
  }

  async #format(name: string, partition: number, size: string, command: (image: string) => readonly string[]): Promise<void> {
    const image = join(this.#directory, `${name}.img`);
    await runOrThrow(["truncate", "-s", size, image]);
    await runOrThrow(command(image));
    await this.#put(image, partition);
    rmSync(image);
  }

  async #put(image: string, partition: number): Promise<void> {
    const start = this.#starts.get(partition);
    if (start === undefined) throw new Error(`the card has no partition ${partition}`);
    await runOrThrow(
      ["dd", `if=${image}`, `of=${this.file}`, `bs=1M`, `seek=${start * SECTOR}`, "oflag=seek_bytes", "conv=notrunc,sparse", "status=none"],
      { timeoutMs: 300_000 },
    );
  }
}
