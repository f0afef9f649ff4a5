import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { type CpioEntry, readCpio } from "../../../src/boot/disk/cpio.ts";
import { examineInitramfs, type InitramfsContents } from "../../../src/boot/disk/initramfs.ts";
import { portability } from "../../../src/boot/disk/portable.ts";
import { unpack } from "../../../src/volume/look/unpack.ts";
import { Pull } from "../../../src/wire/pull.ts";

const folder = mkdtempSync(join(tmpdir(), "rackboot-initramfs-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** An archive by cpio itself. */
function archive(name: string, files: Readonly<Record<string, string>>): Buffer {
  const root = join(folder, name);
  for (const [path, contents] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), contents);
  }
  return execFileSync("sh", ["-c", "find . | cpio --quiet -o -H newc"], { cwd: root });
}

const EARLY = archive("early", { early_cpio: "1\n", "kernel/x86/microcode/GenuineIntel.bin": "m".repeat(5000) });
const MODULES = "usr/lib/modules/4.18.0-553.el8.x86_64";
const MAIN = archive("main", {
  [`${MODULES}/kernel/drivers/scsi/iscsi_tcp.ko.xz`]: "module",
  [`${MODULES}/kernel/drivers/net/ethernet/intel/e1000e/e1000e.ko.xz`]: "module",
  [`${MODULES}/modules.alias`]:
    "# Aliases\nalias pci:v00008086d000010D3sv*sd*bc*sc*i* e1000e\nalias pci:v000015ADd000007B0sv*sd*bc*sc*i* vmxnet3\n",
  [`${MODULES}/modules.builtin`]: "kernel/drivers/virtio/virtio-pci.ko\n",
  "usr/lib/dracut/modules.txt": "bash\nsystemd\nnetwork\niscsi\n",
});
const HOSTONLY = archive("hostonly", { [`${MODULES}/kernel/fs/xfs/xfs.ko.xz`]: "module", "usr/lib/dracut/modules.txt": "bash\nsystemd\n" });
const FOREIGN = archive("foreign", { "scripts/local": "#!/bin/sh\n", [`${MODULES}/kernel/drivers/scsi/iscsi_tcp.ko`]: "module" });

/** In pieces, as a disk gives it. */
async function* pieces(octets: Uint8Array, length = 1000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < octets.length; at += length) yield octets.subarray(at, at + length);
}
const examine = (...files: readonly Uint8Array[]): Promise<InitramfsContents> =>
  examineInitramfs(
    files.map((file) => pieces(file)),
    unpack,
  );

function compressed(program: string, ...words: readonly string[]): Buffer {
  return execFileSync(program, [...words, "-c"], { input: MAIN, maxBuffer: 2 ** 26 });
}

describe("an initramfs", () => {
  it.each<[string, () => Buffer]>([
    ["none", () => MAIN],
    ["gzip", () => compressed("gzip", "-9")],
    ["zstd", () => compressed("zstd", "-q", "-15")],
    ["xz", () => compressed("xz", "--check=crc32", "--lzma2=dict=1MiB")],
    ["lzma", () => compressed("xz", "--format=lzma")],
    ["bzip2", () => compressed("bzip2")],
    ["lz4", () => compressed("lz4", "-l")],
  ])(
    "is read behind its microcode, compressed with %s as dracut does it",
    async (compression, pack) => {
      const contents = await examine(Buffer.concat([EARLY, Buffer.alloc(512), pack()]));
      expect(contents.compressions).toEqual(["none", compression]);
      expect([...contents.kernelModules]).toEqual(expect.arrayContaining(["iscsi_tcp", "e1000e", "virtio_pci"]));
      expect([...(contents.dracutModules ?? [])]).toEqual(["bash", "systemd", "network", "iscsi"]);
      expect(contents.kernelVersion).toBe("4.18.0-553.el8.x86_64");
    },
    30_000,
  );

  it("of several files is all of them, one laid over the other", async () => {
    const contents = await examine(EARLY, compressed("gzip"));
    expect(contents.compressions).toEqual(["none", "gzip"]);
    expect(contents.kernelModules.has("e1000e")).toBe(true);
  });

  it("is read to its end where padding follows what is compressed", async () => {
    const contents = await examine(Buffer.concat([compressed("zstd", "-q"), Buffer.alloc(300)]));
    expect(contents.kernelModules.has("e1000e")).toBe(true);
  });

  it("that is compressed with what nothing here unpacks says so", async () => {
    const lzo = Buffer.from("894c5a4f000d0a1a0a", "hex");
    await expect(examine(lzo)).rejects.toThrow("it is compressed with lzo, and nothing here can unpack that");
  });

  it.each<[string, Uint8Array]>([
    ["ends in the middle", MAIN.subarray(0, MAIN.length / 2)],
    ["ends in the middle of what is compressed", compressed("gzip").subarray(0, 300)],
    ["is none", Buffer.from("something else altogether")],
    ["is empty", new Uint8Array(0)],
    ["unpacks to no archive", execFileSync("gzip", ["-c"], { input: "no archive" })],
  ])("that %s is a sentence, not the end", async (_, octets) => {
    await expect(examine(octets)).rejects.toThrow(/ends in the middle|no archive|unexpected end/);
  });

  it("that unpacks without end is given up", async () => {
    const header = Buffer.from(MAIN.subarray(0, 110));
    header.write("FFFFFFFF", 6 + 8 * 6, "latin1");
    async function* endless(): AsyncGenerator<Uint8Array> {
      yield Buffer.concat([header, Buffer.alloc(2048)]);
      for (;;) yield Buffer.alloc(2 ** 24);
    }
    await expect(examineInitramfs([endless()], unpack)).rejects.toThrow(/more than 1073741824 octets/);
  });
});

describe("whether it boots on other hardware", () => {
  it("is a plain yes where everything is there, by the driver's name and by the card's identifier", async () => {
    const report = portability(await examine(MAIN), ["e1000e", "8086:10d3", "virtio-pci"]);
    expect(report.problems).toEqual([]);
    expect(report.drivers).toEqual(["8086:10d3 is driven by e1000e"]);
    expect(report.mend).toBeUndefined();
  });

  it("names what a hostonly initramfs lacks, and the line that mends it", async () => {
    const report = portability(await examine(HOSTONLY), ["igb"]);
    expect(report.problems).toEqual([
      "dracut's module network is missing: it cannot find its root over iSCSI",
      "dracut's module iscsi is missing: it cannot find its root over iSCSI",
      "the kernel module iscsi_tcp is missing: it cannot log in to its disk",
      "the kernel module igb is missing: the network card has no driver",
    ]);
    expect(report.mend).toBe('dracut -f --no-hostonly --add "network iscsi" --add-drivers "iscsi_tcp igb" --kver 4.18.0-553.el8.x86_64');
  });

  it("takes no alias for a driver that is not there", async () => {
    const { problems } = portability(await examine(MAIN), ["15ad:07b0", "10ec:8168"]);
    expect(problems).toEqual(["no driver for the network card 15ad:07b0 is in it", "no driver for the network card 10ec:8168 is in it"]);
  });

  it("names the driver that the kernel has for the card, and its initramfs lacks", async () => {
    const installed = [
      ["pci:v000015ADd000007B0sv*sd*bc01sc06i*", "no_network"],
      ["pci:v000015ADd000007B0sv*sd*bc*sc*i*", "vmxnet3"],
    ] as const;
    const { problems, mend } = portability(await examine(MAIN), ["15ad:07b0"], installed);
    expect(problems).toEqual(["the kernel module vmxnet3 is missing: it drives the network card 15ad:07b0"]);
    expect(mend).toContain('--add-drivers "vmxnet3"');
  });

  it("knows that a virtual card takes two drivers: one for its bus, and one for itself", async () => {
    const contents = await examine(MAIN);
    const aliases = [["pci:v00001AF4d*sv*sd*bc*sc*i*", "virtio_pci"]] as const;
    const lacking = portability({ ...contents, aliases, kernelModules: new Set(["iscsi_tcp", "virtio_pci"]) }, ["1af4:1000"]);
    expect(lacking.drivers).toEqual(["1af4:1000 is driven by virtio_pci"]);
    expect(lacking.problems).toEqual(["the kernel module virtio_net is missing: it drives the network card 1af4:1000"]);
  });

  it("says where something else than dracut made it", async () => {
    const { problems } = portability(await examine(FOREIGN), []);
    expect(problems).toEqual([expect.stringContaining("it was not made by dracut")]);
  });
});

describe("cpio", () => {
  async function entries(octets: Uint8Array, piece?: number): Promise<readonly (CpioEntry & { readonly text: string })[]> {
    const found: (CpioEntry & { readonly text: string })[] = [];
    const keep = (): number => 16;
    await readCpio(new Pull(pieces(octets, piece)), keep, (entry, contents) =>
      found.push({ ...entry, text: Buffer.from(contents).toString() }),
    );
    return found;
  }

  it("is read as cpio wrote it, whatever the pieces it comes in", async () => {
    const whole = await entries(EARLY);
    expect(whole.map(({ name, isFile, sizeBytes, text }) => [name, isFile, sizeBytes, text]).toSorted()).toEqual([
      [".", false, 0, ""],
      ["early_cpio", true, 2, "1\n"],
      ["kernel", false, 0, ""],
      ["kernel/x86", false, 0, ""],
      ["kernel/x86/microcode", false, 0, ""],
      ["kernel/x86/microcode/GenuineIntel.bin", true, 5000, "m".repeat(16)],
    ]);
    for (const piece of [1, 3, 110, 4096]) expect(await entries(EARLY, piece)).toEqual(whole);
  });

  it("that was cut short anywhere is an error, never less than it was", async () => {
    const end = EARLY.indexOf("TRAILER!!!") + 10;
    for (let length = 0; length < end; length += 7)
      await expect(entries(EARLY.subarray(0, length), 4096)).rejects.toThrow("ends in the middle");
  });

  it("of whatever octets ends in entries or an error, and keeps no more than was asked for", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(EARLY.length - 1), fc.integer({ min: 0, max: 255 })), { maxLength: 6 }),
        async (changes) => {
          const octets = Buffer.from(EARLY);
          for (const [at, octet] of changes) octets[at] = octet;
          try {
            for (const { text } of await entries(octets, 512)) expect(text.length).toBeLessThanOrEqual(16);
          } catch (error) {
            expect(error).toMatchObject({ code: "ERR_CPIO" });
          }
        },
      ),
      { numRuns: 300 },
    );
  });
});
