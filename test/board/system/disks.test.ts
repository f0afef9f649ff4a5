import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { DataDisks } from "../../../board/system/disks.ts";

const GIB_SECTORS = 2 * 1024 ** 2;

let folder: string;
let blkid: Record<string, string>;
let commands: string[];
let disks: DataDisks;

/** A disk as the kernel shows it in /sys/block. */
function disk(
  name: string,
  sectors: number,
  more: { readonly partitions?: readonly string[]; readonly serial?: string; readonly ro?: boolean } = {},
): void {
  const place = join(folder, "sys/block", name);
  mkdirSync(join(place, "device"), { recursive: true });
  writeFileSync(join(place, "size"), `${sectors}\n`);
  writeFileSync(join(place, "ro"), more.ro === true ? "1\n" : "0\n");
  writeFileSync(join(place, "device/model"), "Portable SSD\n");
  if (more.serial !== undefined) writeFileSync(join(place, "device/serial"), `${more.serial}\n`);
  for (const partition of more.partitions ?? []) {
    mkdirSync(join(place, partition));
    writeFileSync(join(place, partition, "partition"), "1\n");
  }
}

function mounted(...lines: readonly string[]): void {
  const text = lines.map((line) => `22 1 8:1 / ${line.split(" ")[1]} rw - xfs ${line.split(" ")[0]} rw\n`).join("");
  writeFileSync(join(folder, "mounts"), text);
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "rackboot-disks-"));
  blkid = {};
  commands = [];
  mounted();
  disks = new DataDisks({
    label: "RACKBOOT",
    folder: "/data",
    sys: join(folder, "sys"),
    mounts: join(folder, "mounts"),
    run: async (command, args) => {
      if (command === "blkid") return blkid[args.at(-1) ?? ""] ?? "";
      commands.push([command, ...args].join(" "));
      return "";
    },
  });
});
afterEach(() => rmSync(folder, { recursive: true }));

describe("the disks of a board", () => {
  it("are told apart: the card, the data disk, one with somebody's photos, an empty one", async () => {
    disk("mmcblk0", 64 * GIB_SECTORS, { partitions: ["mmcblk0p1"] });
    disk("sda", 500 * GIB_SECTORS, { serial: "S5TXNS0R" });
    disk("sdb", 500 * GIB_SECTORS, { partitions: ["sdb1"], serial: "PHOTOS" });
    disk("sdc", 500 * GIB_SECTORS);
    disk("loop0", 5);
    mounted("/dev/mmcblk0p1 /boot-config", "/dev/sda /data");
    blkid = { "/dev/sda": "TYPE=xfs\nLABEL=RACKBOOT\n", "/dev/sdb1": "TYPE=ext4\nLABEL=photos\n" };
    const found = await disks.list();
    expect(found.map(({ name, role, confirmation }) => [name, role, confirmation])).toEqual([
      ["mmcblk0", "card", "mmcblk0"],
      ["sda", "data", "S5TXNS0R"],
      ["sdb", "other", "PHOTOS"],
      ["sdc", "empty", "sdc"],
    ]);
    expect(found[2]?.contents).toEqual([{ type: "ext4", label: "photos" }]);
  });
});

describe("formatting", () => {
  const refused = async (name: string, typed: string, reason: string): Promise<void> => {
    await expect(disks.format(name, typed, {})).rejects.toThrow(reason);
    expect(commands).toEqual([]);
  };

  it("makes the data disk of a disk whose serial number was typed, and of no other", async () => {
    disk("sda", 500 * GIB_SECTORS, { serial: "S5TXNS0R" });
    await refused("sda", "s5txns0r", "what was typed is not S5TXNS0R; sda was not touched");
    await refused("sdb", "S5TXNS0R", "there is no disk sdb");
    await disks.format("sda", "S5TXNS0R", {});
    expect(commands).toEqual(["mkfs.xfs -q -f -K -m reflink=1 -L RACKBOOT /dev/sda"]);
  });

  it("never touches the card, the disk in use, a write-protected or a tiny one", async () => {
    disk("mmcblk0", 64 * GIB_SECTORS, { partitions: ["mmcblk0p1"], serial: "CARD" });
    disk("sda", 500 * GIB_SECTORS, { serial: "DATA" });
    disk("sdb", 500 * GIB_SECTORS, { serial: "LOCKED", ro: true });
    disk("sdc", 1000, { serial: "TINY" });
    mounted("/dev/mmcblk0p1 /boot-config", "/dev/sda /data");
    await refused("mmcblk0", "CARD", "is the card that this board runs from");
    await refused("sda", "DATA", "is the data disk and in use");
    await refused("sdb", "LOCKED", "is write-protected");
    await refused("sdc", "TINY", "is too small");
  });
});
