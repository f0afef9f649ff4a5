import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bootPartition, decodeAutoboot } from "../../../board/update/autoboot.ts";
import { parseLayout } from "../../../board/update/layout.ts";
import { NEW_CARD } from "../../../board/update/slots.ts";

const FIRMWARE = new URL("../../../firmware/", import.meta.url).pathname;
const layout = parseLayout(readFileSync(join(FIRMWARE, "layout.env"), "utf8"));
const folder = mkdtempSync(join(tmpdir(), "rackboot-card-"));
const image = join(folder, "sdcard.img");
afterAll(() => rmSync(folder, { recursive: true }));

interface Partition {
  readonly node: string;
  readonly start: number;
  readonly size: number;
  readonly type: string;
}

/** Stand-ins for what a build of Buildroot leaves: the card is put together as that build does it. */
beforeAll(() => {
  for (const name of readFileSync(join(FIRMWARE, "board/rpi4/boot-files"), "utf8").trim().split("\n")) {
    const file = join(folder, name.endsWith("overlays") ? `${name}/disable-bt.dtbo` : name);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, `stand-in for ${name}\n`);
  }
  mkdirSync(join(folder, "small/etc"), { recursive: true });
  writeFileSync(join(folder, "small/etc/hostname"), "rackboot\n");
  execFileSync("mksquashfs", [join(folder, "small"), join(folder, "rootfs.squashfs"), "-noappend", "-quiet", "-no-progress"]);
  execFileSync(join(FIRMWARE, "board/card.sh"), ["rpi4", folder, join(folder, "work")], { stdio: "ignore" });
}, 120_000);

function partitions(): readonly Partition[] {
  const table = JSON.parse(execFileSync("sfdisk", ["--json", image], { encoding: "utf8" })) as {
    readonly partitiontable: { readonly id: string; readonly label: string; readonly partitions: readonly Partition[] };
  };
  expect(table.partitiontable).toMatchObject({ label: "dos", id: "0x7261636b" });
  return table.partitiontable.partitions;
}

async function octets(number: number, length: number): Promise<Buffer> {
  const { start } = partitions().find(({ node }) => node.endsWith(`sdcard.img${number}`)) ?? { start: -1 };
  const file = await open(image);
  const { buffer } = await file.read(Buffer.alloc(length), 0, length, start * 512);
  await file.close();
  return buffer;
}

/** A file of one of the card's vfat partitions, or the list of them. */
function fat(number: number, command: "mtype" | "mdir" | "mlabel", ...parameters: readonly string[]): string {
  const { start } = partitions()[number - 1] ?? { start: 0 };
  return execFileSync(command, ["-i", `${image}@@${start * 512}`, ...parameters], { encoding: "utf8" });
}

describe("a new card", () => {
  it("has the partitions that boot loader, kernel and updates look for", () => {
    const found = partitions().map(({ node, size, type }) => [node.slice(image.length), size / 2048, type]);
    expect(found).toEqual([
      ["1", 32, "c"],
      ["2", 128, "c"],
      ["3", 128, "c"],
      ["4", expect.any(Number), "f"],
      ["5", 512, "83"],
      ["6", 512, "83"],
      ["7", 128, "83"],
    ]);
  });

  it("is started from slot a by a loader that reads autoboot.txt, tried or not", () => {
    const text = fat(1, "mtype", "::autoboot.txt");
    expect(decodeAutoboot(text, layout.bootPartitions)).toEqual({ ok: true, slots: NEW_CARD });
    expect([bootPartition(text), bootPartition(text, true)]).toEqual([layout.bootPartitions.a, layout.bootPartitions.a]);
  });

  it("keeps autoboot.txt in one sector, so that a write of it is one write", async () => {
    const first = await octets(1, 512 * 2048);
    const at = first.indexOf("[all]\ntryboot_a_b=1\n");
    expect(at % 512).toBe(0);
    expect(first.indexOf("[all]\ntryboot_a_b=1\n", at + 1)).toBe(-1);
  });

  it("has a boot partition with all that the board needs, and a kernel line for each half", () => {
    expect(fat(2, "mtype", "::cmdline_a.txt")).toMatch(/^root=PARTUUID=7261636b-05 rootfstype=squashfs ro rootwait rauc\.slot=a /);
    expect(fat(2, "mtype", "::cmdline_b.txt")).toMatch(/^root=PARTUUID=7261636b-06 .* rauc\.slot=b /);
    expect(fat(2, "mtype", "::overlays/disable-bt.dtbo")).toContain("stand-in");
    expect(fat(2, "mtype", "::start4.elf")).toContain("stand-in");
    expect(fat(2, "mtype", "::config.txt")).toContain("kernel=Image\n");
  });

  it("can be found by what it is called on a laptop", () => {
    expect(fat(1, "mlabel", "-s", "::")).toContain("BOOT-CONFIG");
    expect(fat(1, "mdir", "::")).toContain("rackboot.example.yaml");
  });

  it("has the root file system in slot a, nothing in slot b, and an empty state", async () => {
    const squashfs = readFileSync(join(folder, "rootfs.squashfs"));
    expect((await octets(5, squashfs.length)).equals(squashfs)).toBe(true);
    expect((await octets(6, 4096)).every((octet) => octet === 0)).toBe(true);
    expect((await octets(3, 4096)).every((octet) => octet === 0)).toBe(true);
    // ext4: magic at 0x438, label at 0x478 (kernel documentation, "ext4 super block").
    const state = await octets(7, 4096);
    expect(state.readUInt16LE(0x438)).toBe(0xef53);
    expect(state.toString("latin1", 0x478, 0x47d)).toBe("state");
  });

  it("comes with its SHA-256", () => {
    const [hash] = readFileSync(join(folder, "sdcard.img.sha256"), "utf8").split(" ");
    expect(createHash("sha256").update(readFileSync(image)).digest("hex")).toBe(hash);
  });
});
