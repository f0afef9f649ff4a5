import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ImageError } from "../../src/image/error.ts";
import { type IsoIndex, type ReadAt, readIso } from "../../src/image/iso9660.ts";
import { contentOf, resolveLinks } from "../../src/image/tree.ts";
import { Resources } from "../harness/resources.ts";
import { handMadeIso } from "./hand-made-iso.ts";
import { makeIso, ownFolder, rhelFiles, writeTree } from "./media.ts";

const resources = new Resources();
const files = rhelFiles("8.10");
const DEEP = "a/b/c/d/e/f/g/h/i/j/deep file with a name.txt";
const LONG = `${"long name ".repeat(20)}é.txt`;
let folder: string;
let rockRidge: string;

beforeAll(async () => {
  folder = ownFolder(resources);
  const tree = join(folder, "tree");
  const extra = new Map(files).set(DEEP, Buffer.from("deep")).set(LONG, Buffer.from("long"));
  writeTree(tree, extra, {
    "EFI/BOOT/shim": "BOOTX64.EFI",
    Packages: "BaseOS/Packages",
    up: "../outside",
    loop: "loop",
    a1: "/etc/passwd",
  });
  rockRidge = join(folder, "rock-ridge.iso");
  await makeIso(tree, rockRidge);
});
afterAll(() => resources.close());

function inMemory(octets: Uint8Array): ReadAt {
  return async (offset, length) => {
    if (offset + length > octets.length) throw new ImageError("short");
    return octets.subarray(offset, offset + length);
  };
}
const index = (octets: Uint8Array): Promise<IsoIndex> => readIso(inMemory(octets), octets.length);

async function read(iso: string, found: IsoIndex, path: string): Promise<Buffer | undefined> {
  const file = resolveLinks(found, iso, path);
  if (file === undefined) return undefined;
  const pieces: Uint8Array[] = [];
  for await (const piece of contentOf(file, 1 << 20)) pieces.push(piece);
  return Buffer.concat(pieces);
}

describe("a medium as distributions make it", () => {
  test("gives every file octet by octet by the name that it had", async () => {
    const found = await index(readFileSync(rockRidge));
    for (const [path, content] of files) expect((await read(rockRidge, found, path))?.equals(content), path).toBe(true);
    expect((await read(rockRidge, found, LONG))?.toString()).toBe("long");
  });

  test("has folders deeper than ISO 9660 allows where they belong, and not where they were put instead", async () => {
    const found = await index(readFileSync(rockRidge));
    expect((await read(rockRidge, found, DEEP))?.toString()).toBe("deep");
    expect([...found.keys()].filter((path) => path.endsWith("with a name.txt"))).toEqual([DEEP]);
  });

  test("has links that lead somewhere on it, and none that lead out of it or nowhere", async () => {
    const found = await index(readFileSync(rockRidge));
    expect((await read(rockRidge, found, "EFI/BOOT/shim"))?.toString()).toContain("shim of the medium");
    expect((await read(rockRidge, found, "Packages/g/glibc-2.28-251.el8_10.2.x86_64.rpm"))?.length).toBe(2_100_000);
    for (const path of ["up", "loop", "a1", "loop/x", "up/etc/passwd", "images", "", "nothing"])
      expect(await read(rockRidge, found, path)).toBeUndefined();
  });

  test.each([
    ["Joliet, whose names are UCS-2", ["-J", "-joliet-long", "--norock"], "images/pxeboot/vmlinuz"],
    ["neither, in lower case", ["--norock"], "images/pxeboot/vmlinuz."],
  ])("without Rock Ridge has the names of %s", async (_, options, path) => {
    const iso = join(folder, "other.iso");
    await makeIso(join(folder, "tree"), iso, options);
    const found = await index(readFileSync(iso));
    expect((await read(iso, found, path.replace(/\.$/, "")))?.equals(files.get("images/pxeboot/vmlinuz") ?? Buffer.alloc(0))).toBe(true);
  });
});

test("a file over 4 GiB, which lies in several extents, comes out whole", async () => {
  const part = 0xffff_f800;
  const iso = handMadeIso([
    { name: "BIG.IMG;1", lba: 100, length: part, more: true },
    { name: "BIG.IMG;1", lba: 100 + part / 2048, length: 5000, more: false },
    { name: "NEXT.TXT;1", lba: 30, length: 7, more: false },
  ]);
  const sizeBytes = 5 * 1024 ** 3;
  const found = await readIso(inMemory(iso), sizeBytes);
  expect(found.get("big.img")).toEqual({
    kind: "file",
    sizeBytes: part + 5000,
    extents: [
      { offset: 100 * 2048, length: part },
      { offset: 100 * 2048 + part, length: 5000 },
    ],
  });
  expect(found.get("next.txt")).toMatchObject({ sizeBytes: 7 });
  await expect(readIso(inMemory(iso), 1024 ** 3)).rejects.toThrow("it ends before its file big.img does: it was cut short");
});

test("what is no such image is refused with what to name instead", async () => {
  await expect(index(Buffer.alloc(100_000))).rejects.toThrow("it is no ISO 9660 image");
  await expect(index(Buffer.alloc(0))).rejects.toThrow(ImageError);
});

test.each([
  [{ name: "..;1", lba: 30, length: 1, more: false }, 'a file called "."'],
  [{ name: "A/B;1", lba: 30, length: 1, more: false }, 'a file called "a/b"'],
  [{ name: "SELF", lba: 20, length: 2048, more: false, folder: true }, "lies inside of itself"],
  [{ name: "FAR", lba: 0x7fff_ffff, length: 2048, more: false, folder: true }, "it ends before its folders do"],
  [{ name: "WIDE", lba: 21, length: 0x7fff_ffff, more: false, folder: true }, "its folders take more than"],
])("a hostile image is refused with a reason (%#)", async (entry, reason) => {
  await expect(index(handMadeIso([entry]))).rejects.toThrow(reason);
});

describe("fuzz", () => {
  test("an image that was cut short anywhere is refused, and never read beyond its end", async () => {
    const whole = readFileSync(rockRidge);
    for (let size = 0; size < whole.length; size += 2048 * 97) {
      await index(whole.subarray(0, size)).then(
        (found) => {
          for (const entry of found.values()) {
            if (entry.kind === "file") for (const { offset, length } of entry.extents) expect(offset + length).toBeLessThanOrEqual(size);
          }
        },
        (cause: unknown) => expect(cause).toBeInstanceOf(ImageError),
      );
    }
  });

  test("directories with any octets changed are an index or a reason", async () => {
    // Descriptors and directories lie in front, with nothing between them for the most part.
    const whole = readFileSync(rockRidge);
    const filled = [...whole.subarray(0, 120 * 2048).keys()].filter((at) => at >= 16 * 2048 && whole[at] !== 0);
    const flips = fc.array(fc.tuple(fc.constantFrom(...filled), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(flips, async (changes) => {
        const saved = changes.map(([at]) => whole[at] ?? 0);
        for (const [at, value] of changes) whole[at] = value;
        try {
          await index(whole);
        } catch (cause) {
          expect(cause).toBeInstanceOf(ImageError);
        } finally {
          for (const [each, [at]] of [...changes.entries()].reverse()) whole[at] = saved[each] ?? 0;
        }
      }),
      { numRuns: 10_000 },
    );
  }, 60_000);
});
