import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { type ByteSource, OpenFiles } from "../../src/boot/open-files.ts";
import { folderWith } from "./support.ts";

const SIZE = 700_001;
const CONTENT: Buffer = Buffer.from(Uint8Array.from({ length: SIZE }, (_, index) => (index * 7 + (index >> 8)) % 256));

function file(): string {
  const path = join(folderWith({}), "initrd");
  writeFileSync(path, CONTENT);
  return path;
}

async function octets(source: ByteSource, offset: number, length: number): Promise<Buffer> {
  return Buffer.concat(source.peek(offset, length) ?? (await source.read(offset, length)));
}

test("every part of a file is what is on the disk, across pieces and at the end, for many readers at once", async () => {
  const files = new OpenFiles();
  const path = file();
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(fc.nat(SIZE), fc.nat(70_000)), { minLength: 1, maxLength: 40 }), async (parts) => {
      await Promise.all(
        parts.map(async ([offset, length]) => {
          const source = await files.open(path);
          expect((await octets(source, offset, length)).equals(CONTENT.subarray(offset, offset + length))).toBe(true);
          source.release();
        }),
      );
    }),
    { numRuns: 50 },
  );
  expect(files.size).toBe(0);
});

test("machines that boot together share one open file", async () => {
  const files = new OpenFiles();
  const path = file();
  const sources = await Promise.all(Array.from({ length: 40 }, () => files.open(path)));
  expect(files.size).toBe(1);
  await sources[0]?.read(0, 1000);
  expect(sources[39]?.peek(0, 1000)).toBeDefined();
  for (const source of sources) source.release();
  expect(files.size).toBe(0);
});

test("releasing twice takes the file from nobody else", async () => {
  const files = new OpenFiles();
  const path = file();
  const [first, second] = [await files.open(path), await files.open(path)];
  first.release();
  first.release();
  expect((await octets(second, 0, 10)).equals(CONTENT.subarray(0, 10))).toBe(true);
});

test("a kernel that is replaced while it is sent arrives as the one it began as, and the next one is new", async () => {
  const files = new OpenFiles();
  const path = file();
  const old = await files.open(path);
  await old.read(0, 10);
  writeFileSync(`${path}.new`, "new");
  renameSync(`${path}.new`, path);
  const next = await files.open(path);
  expect((await octets(old, 600_000, 1000)).equals(CONTENT.subarray(600_000, 601_000))).toBe(true);
  expect((await octets(next, 0, 10)).toString()).toBe("new");
});

test("the piece after the one that is read is fetched meanwhile", async () => {
  const source = await new OpenFiles().open(file());
  await source.read(0, 1468);
  await expect.poll(() => source.peek(131_072, 1468)).toBeDefined();
});

test("a file that is cut is an error with a reason", async () => {
  const path = file();
  const source = await new OpenFiles().open(path);
  writeFileSync(path, "short");
  await expect(source.read(500_000, 10)).rejects.toThrow("shortened");
});
