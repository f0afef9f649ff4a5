import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { type DiskLook, openDisk } from "../../../src/volume/look/disk.ts";
import { touches } from "../../../src/volume/look/ranges.ts";
import { findReader } from "../../../src/volume/look/reader.ts";
import { ext4, gpt, MIB, mbr, physicalVolume, put, readerPrograms, scratch, vfat, xfs } from "./images.ts";

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const programs = readerPrograms();
const place = scratch();
const KERNEL = Buffer.alloc(9 * MIB + 12345);
for (let at = 0; at < KERNEL.length; at += 4)
  KERNEL.writeUInt32LE((at * 2654435761) >>> 0, at - (at % 4) > KERNEL.length - 4 ? KERNEL.length - 4 : at);
const TREE = {
  "boot/vmlinuz": KERNEL,
  "boot/loader/entries/a.conf": "title a\n",
  "etc/hostname": "uqbar\n",
  "boot/link": { link: "vmlinuz" },
};

async function on<T>(image: string, use: (look: DiskLook) => Promise<T>): Promise<T> {
  const look = await openDisk(image, { programs });
  try {
    return await use(look);
  } finally {
    await look.close();
  }
}

async function hashOf(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest("hex");
}

afterAll(() => place.remove());

describe.each([
  ["ext4", (): string => ext4(place.path("ext4"), TREE)],
  ["xfs", (): string => xfs(place.path("xfs"), TREE)],
] as const)("%s without partitions", (_name, make) => {
  let image = "";
  beforeAll(() => {
    image = make();
  });

  test("files are read as they are, links included", async () => {
    await on(image, async (look) => {
      expect(Buffer.from(await look.read("loop0", "/etc/hostname")).toString()).toBe("uqbar\n");
      expect(Buffer.from(await look.read("loop0", "/boot/link", { limitBytes: 10 * MIB })).equals(KERNEL)).toBe(true);
      expect((await look.list("loop0", "/boot")).find((each) => each.name === "vmlinuz")).toEqual({
        name: "vmlinuz",
        kind: "file",
        sizeBytes: KERNEL.length,
      });
    });
  });

  test("a kernel is streamed whole, and from any place in it", async () => {
    await on(image, async (look) => {
      const pieces: Uint8Array[] = [];
      for await (const piece of look.stream("loop0", "/boot/vmlinuz")) pieces.push(piece);
      expect(Buffer.concat(pieces).equals(KERNEL)).toBe(true);
      for (const [offset, length] of [
        [0, 1],
        [4095, 8193],
        [KERNEL.length - 3, 100],
        [KERNEL.length, 10],
        [KERNEL.length + 1, 10],
        [5, 0],
      ] as const) {
        expect(
          Buffer.from(await look.readAt("loop0", "/boot/vmlinuz", offset, length)).equals(KERNEL.subarray(offset, offset + length)),
        ).toBe(true);
      }
      const part: Uint8Array[] = [];
      for await (const piece of look.stream("loop0", "/boot/vmlinuz", { offset: 3, length: 5 * MIB })) part.push(piece);
      expect(Buffer.concat(part).equals(KERNEL.subarray(3, 3 + 5 * MIB))).toBe(true);
    });
  });

  test("a look leaves the image as it was, octet for octet", async () => {
    const before = await hashOf(image);
    await on(image, async (look) => {
      await look.devices();
      await look.list("loop0", "/boot");
      await look.read("loop0", "/etc/hostname");
    });
    expect(await hashOf(image)).toBe(before);
  });
});

test("an ext4 with a dirty journal is read as it stands, and stays dirty", async () => {
  const image = ext4(place.path("dirty.ext4"), TREE);
  execFileSync("/usr/sbin/debugfs", ["-w", "-R", "feature needs_recovery", image], { stdio: "ignore" });
  const before = await hashOf(image);
  await on(image, async (look) => {
    expect((await look.devices())[0]).toMatchObject({ fileSystem: "ext*" });
    expect(Buffer.from(await look.read("loop0", "/etc/hostname")).toString()).toBe("uqbar\n");
  });
  expect(await hashOf(image)).toBe(before);
});

const mountable = process.getuid?.() === 0 && existsSync("/dev/loop-control");

test.runIf(mountable)("an xfs whose machine lost its power is read as it stands, and its log stays dirty", async () => {
  const image = xfs(place.path("dirty.xfs"), TREE);
  const mounted = place.path("mounted");
  mkdirSync(mounted);
  execFileSync("mount", ["-o", "loop", image, mounted]);
  try {
    for (let index = 0; index < 50; index++) writeFileSync(`${mounted}/boot/new-${index}`, "new");
    execFileSync("xfs_io", ["-x", "-c", "shutdown -f", mounted]);
  } finally {
    execFileSync("umount", [mounted]);
  }
  expect(spawnSync("xfs_repair", ["-n", image]).stderr.toString()).toContain("log");
  const before = await hashOf(image);
  await on(image, async (look) => {
    expect(Buffer.from(await look.read("loop0", "/etc/hostname")).toString()).toBe("uqbar\n");
    expect((await look.list("loop0", "/boot")).map((each) => each.name)).toContain("vmlinuz");
  });
  expect(await hashOf(image)).toBe(before);
});

test("FAT is read whatever the case", async () => {
  const image = vfat(place.path("vfat"), { "EFI/redhat/grub.cfg": "x\n" });
  await on(image, async (look) => {
    expect(await look.devices()).toMatchObject([{ name: "loop0", fileSystem: "fat", uuid: "7B77-95E7" }]);
    expect(Buffer.from(await look.read("loop0", "/efi/REDHAT/grub.cfg")).toString()).toBe("x\n");
  });
});

test("partitions of both kinds and logical volumes are found, on a terabyte in well under two seconds", async () => {
  const root = xfs(place.path("root"), { "etc/hostname": "lvm\n" });
  const esp = vfat(place.path("esp"), { "EFI/BOOT/x": "x" });
  const lvm = await physicalVolume(place.path("pv"), root);
  const parts = [
    { image: esp, sizeBytes: 64 * MIB, type: "esp" },
    { image: lvm, sizeBytes: 512 * MIB, type: "lvm" },
  ] as const;
  for (const disk of [await gpt(place.path("gpt"), 2 ** 40, parts), await mbr(place.path("mbr"), 2 ** 40, parts)]) {
    await on(disk, async (look) => {
      const started = performance.now();
      const names = (await look.devices()).map((device) => device.name);
      expect(Buffer.from(await look.read("lvm/rhel-root", "/etc/hostname")).toString()).toBe("lvm\n");
      expect(performance.now() - started).toBeLessThan(2000);
      expect(names).toContain("lvm/rhel-root");
      expect(names).toContain(disk.endsWith("gpt") ? "loop0,gpt1" : "loop0,msdos1");
    });
  }
});

describe("what is not there is said, and nothing else happens", () => {
  let look: DiskLook;
  beforeAll(async () => {
    look = await openDisk(ext4(place.path("small"), TREE), { programs });
  });
  afterAll(() => look.close());

  test.each([
    ["loop0", "/nope"],
    ["loop0", "/etc/nope"],
    ["loop0", "/etc"],
    ["loop0,gpt1", "/etc/hostname"],
    ["host", "/etc/passwd"],
    ["loop0)/x(host", "/etc/passwd"],
    ["proc", "/luks_script"],
    ["loop0", "/../etc/passwd"],
    ["loop0", "/a\0b"],
    ["loop0", "(host)/etc/passwd"],
  ])("(%s)%s", async (device, path) => {
    await expect(look.read(device, path)).rejects.toMatchObject({ failure: "not-found" });
    await expect(look.list(device, `${path}/`))
      .rejects.toMatchObject({ failure: "not-found" })
      .catch((cause: unknown) => {
        // /etc is a folder.
        if (path !== "/etc") throw cause;
      });
  });

  test("a longer file than wanted", () => expect(look.read("loop0", "/boot/vmlinuz")).rejects.toMatchObject({ failure: "too-large" }));
});

test("a link that leads out of the disk leads nowhere", async () => {
  const image = ext4(place.path("links"), {
    "etc/passwd": "disk\n",
    a: { link: "/etc/passwd" },
    b: { link: "../../../../etc/shadow" },
    c: { link: "(host)/etc/passwd" },
    d: { link: "d" },
  });
  await on(image, async (look) => {
    expect(Buffer.from(await look.read("loop0", "/a")).toString()).toBe("disk\n");
    for (const name of ["/b", "/c", "/d"]) await expect(look.read("loop0", name)).rejects.toMatchObject({ code: "ERR_LOOK" });
  });
});

test("closing a disk ends what is under way", async () => {
  const look = await openDisk(place.path("gpt"), { programs });
  const pending = [look.devices(), look.devices(), look.devices(), look.devices()].map((each) =>
    expect(each).rejects.toMatchObject({ failure: "cancelled" }),
  );
  await look.close();
  await Promise.all(pending);
});

test("what a look has read is known, so that a write elsewhere does not count", async () => {
  const image = place.path("small");
  await on(image, async (look) => {
    await look.list("loop0", "/boot");
    const [first] = look.touched;
    expect(first?.offset).toBe(0);
    const before = await look.fingerprint();
    const untouched = Array.from({ length: 64 }, (_, index) => ({ offset: index * MIB + 4096, length: 512 })).find(
      (each) => !touches(look.touched, each),
    );
    expect(untouched).toBeDefined();
    await put(image, untouched?.offset ?? 0, Buffer.alloc(512, 7));
    expect(await look.fingerprint()).toBe(before);
    // The superblock's free block count.
    await put(image, 1024 + 12, Buffer.from([1, 2, 3, 4]));
    expect(await look.fingerprint()).not.toBe(before);
  });
});

describe("without its programs, looking says what to install", () => {
  test.each([
    ["the helper", { confine: "/nowhere/rackboot-confine" }, { failure: "no-reader" }],
    ["GRUB's reader", { fstest: "/nowhere/grub-fstest" }, { code: "ERR_LOOK" }],
  ])("%s", async (_which, missing, error) => {
    const look = await openDisk(place.path("small"), { programs: { ...programs, ...missing } });
    await expect(look.devices()).rejects.toMatchObject(error);
    await look.close();
  });
  test("neither", () => expect(() => findReader(() => false)).toThrow(/grub-common/));
});

test("a disk that is not there is said so", () =>
  expect(openDisk("/nowhere/disk", { programs })).rejects.toMatchObject({ failure: "not-found" }));
