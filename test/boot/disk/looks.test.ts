import { copyFileSync, utimesSync } from "node:fs";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { decide } from "../../../src/boot/disk/decide.ts";
import { DiskLooks } from "../../../src/boot/disk/looks.ts";
import { parseVolumeName } from "../../../src/machine/identifiers.ts";
import { openDisk } from "../../../src/volume/look/disk.ts";
import { ext4, MIB, put, readerPrograms, scratch } from "../../volume/look/images.ts";
import { rhelBoot, rhelDisk } from "./disks.ts";
import { UUID } from "./examples.ts";

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const programs = readerPrograms();
const place = scratch();
const VOLUME = parseVolumeName("uqbar-root");
let disk = "";

beforeAll(async () => {
  disk = await rhelDisk(place.path, "disk");
});
afterAll(() => place.remove());

async function timed<T>(work: () => Promise<T>): Promise<{ readonly result: T; readonly elapsedMs: number }> {
  const started = performance.now();
  const result = await work();
  return { result, elapsedMs: performance.now() - started };
}

test("a terabyte is looked into in under two seconds, and known at once until it is written", async () => {
  const looks = new DiskLooks({ programs });
  const cold = await timed(() => looks.find(VOLUME, disk));
  const warm = await timed(() => looks.find(VOLUME, disk));
  // Written, but nowhere where the look has read: the middle of the terabyte.
  await put(disk, 2 ** 39, Buffer.alloc(4096, 1));
  const elsewhere = await timed(() => looks.find(VOLUME, disk));
  console.log(
    `cold ${cold.elapsedMs.toFixed(0)} ms, unwritten ${warm.elapsedMs.toFixed(1)} ms, written elsewhere ${elsewhere.elapsedMs.toFixed(1)} ms`,
  );
  expect(cold.elapsedMs).toBeLessThan(2000);
  // The same object: nothing was searched.
  expect(warm.result).toBe(cold.result);
  expect(elsewhere.result).toBe(cold.result);
});

test("a kernel that was installed since is seen, and one search serves all who ask", async () => {
  const image = place.path("updated");
  const looks = new DiskLooks({ programs });
  copyFileSync(ext4(place.path("one"), rhelBoot("", ["5.14.0-1.el9"], {}), { uuid: UUID.boot }), image);
  const before = await looks.find(VOLUME, image);
  expect(decide(before)?.entry.kernel.path).toBe("/vmlinuz-5.14.0-1.el9");
  // Over the same file, as a running machine writes it.
  const after = ext4(place.path("two"), rhelBoot("", ["5.14.0-1.el9", "5.14.0-2.el9"], {}), { uuid: UUID.boot });
  copyFileSync(after, image);
  const [one, two] = await Promise.all([looks.find(VOLUME, image), looks.find(VOLUME, image)]);
  expect(decide(one)?.entry.kernel.path).toBe("/vmlinuz-5.14.0-2.el9");
  expect(two).toBe(one);
});

test("a change of one octet in grubenv is seen even where the file's times lie", async () => {
  const image = ext4(place.path("env"), rhelBoot("", ["5.14.0-1.el9"], { saved_entry: "0" }), { uuid: UUID.boot });
  const looks = new DiskLooks({ programs });
  const before = await looks.find(VOLUME, image);
  expect(before.variables.get("saved_entry")).toBe("0");
  const look = await openDisk(image, { programs });
  await look.read("loop0", "/grub2/grubenv");
  const octets = Buffer.alloc(64 * MIB);
  const { readFileSync } = await import("node:fs");
  readFileSync(image).copy(octets);
  await look.close();
  const at = octets.indexOf("saved_entry=0\n") + "saved_entry=".length;
  await put(image, at, Buffer.from("1"));
  utimesSync(image, 1, 1);
  expect((await looks.find(VOLUME, image, "generation 2")).variables.get("saved_entry")).toBe("1");
});

test("a volume that was rolled back as a whole is looked into anew when that is told", async () => {
  const looks = new DiskLooks({ programs });
  const first = await looks.find(VOLUME, disk);
  looks.forget(VOLUME);
  const second = await looks.find(VOLUME, disk);
  expect(second).not.toBe(first);
  expect(second).toEqual(first);
});

test("a disk that cannot be opened is an answer, and not remembered", async () => {
  const looks = new DiskLooks({ programs });
  await expect(looks.find(VOLUME, place.path("nothing"))).rejects.toMatchObject({ failure: "not-found" });
  expect((await looks.find(VOLUME, disk)).entries.length).toBe(3);
});
