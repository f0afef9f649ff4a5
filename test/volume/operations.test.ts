import { copyFileSync, existsSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import type { VolumeName } from "../../src/machine/identifiers.ts";
import { runOrThrow } from "../harness/process.ts";
import { Resources } from "../harness/resources.ts";
import { FILE_SYSTEMS, mayMount, mountFileSystem, sharesBlocks } from "./file-systems.ts";
import { allocated, cloneOf, MIB, refusal, sparse, TestDisks, writeAt } from "./support.ts";

const SIZE_MIB = 320;
/** Real file systems, on a machine that has other things to do. */
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

describe.skipIf(!mayMount).each(FILE_SYSTEMS)("on %s", (fileSystem) => {
  const shares = sharesBlocks(fileSystem);
  const resources = new Resources();
  let mounted: string;
  let test: TestDisks;
  let number = 0;

  beforeAll(async () => {
    mounted = await mountFileSystem(resources, fileSystem, SIZE_MIB);
  });
  afterAll(() => resources.close());
  beforeEach(async () => {
    test = new TestDisks(join(mounted, `data${number++}`));
    await test.configure();
  });
  afterEach(async () => {
    test.stop();
    await runOrThrow(["rm", "-rf", test.storage]);
  });

  const operations = (): TestDisks["disks"]["operations"] => test.disks.operations;
  const transfers = (): TestDisks["disks"]["transfers"] => test.disks.transfers;

  it("says whether clones share blocks", () => {
    expect(operations().pool()).toMatchObject({ fileSystem, reflink: shares });
  });

  it("a volume takes no room until it is written", async () => {
    // ext4 with blocks of 1 KiB, which it has on a device this small, ends at 4 TiB.
    const sizeBytes = fileSystem === "ext4" ? 2 ** 41 : 2 ** 46;
    const report = await operations().create("scratch", sizeBytes);
    expect(report).toMatchObject({ name: "scratch", sizeBytes, machines: [], snapshots: [] });
    expect(report.usedBytes).toBeLessThan(MIB);
  });

  it("a clone has what its origin had, and neither sees what the other writes", async () => {
    await operations().create("golden", 16 * MIB);
    const before = test.write("golden", MIB);
    const clone = await operations().clone("golden", "copy", { sizeBytes: 32 * MIB });
    expect(clone.sizeBytes).toBe(32 * MIB);
    const after = test.write("golden", MIB);
    const own = test.write("copy", 2 * MIB);
    expect(test.read("copy", MIB)).toEqual(before);
    expect(test.read("golden", MIB)).toEqual(after);
    expect(test.read("golden", 2 * MIB).equals(own)).toBe(false);
    expect(allocated(test.path("copy"))).toBeLessThan(4 * MIB);
    expect(clone.origin).toMatch(shares ? /^golden@auto-/ : /^golden$/);
  });

  it("a volume that was not written since needs no second snapshot for its second clone", async () => {
    await operations().create("golden", 16 * MIB);
    test.write("golden");
    await runOrThrow(["sleep", "0.1"]);
    for (const name of ["one", "two"]) await operations().clone("golden", name);
    expect((await operations().show("golden")).snapshots.map(({ clones }) => clones)).toEqual(shares ? [["one", "two"]] : []);
    test.write("golden");
    await operations().clone("golden", "three");
    expect((await operations().show("golden")).snapshots.map(({ clones }) => clones)).toEqual(shares ? [["one", "two"], ["three"]] : []);
    for (const name of ["one", "two", "three"]) await operations().delete(name);
    expect((await operations().show("golden")).snapshots).toEqual([]);
  });

  it("a snapshot keeps what was, and rolling back brings it again with the same identity", async () => {
    await operations().create("root", 16 * MIB);
    const before = test.write("root");
    const { uuid } = await operations().show("root");
    await operations().snapshot("root", "monday");
    test.write("root");
    const rolled = await operations().rollback("root@monday");
    expect(test.read("root")).toEqual(before);
    expect(rolled.uuid).toBe(uuid);
    expect(rolled.snapshots.map(({ name }) => name)).toEqual(["monday"]);
    test.write("root");
    await operations().rollback("root@monday");
    expect(test.read("root")).toEqual(before);
  });

  it("shows what is shared, and what a snapshot holds alone", async () => {
    await operations().create("root", 16 * MIB);
    test.write("root", 0, 4 * MIB);
    await operations().snapshot("root", "monday");
    const fresh = (await operations().list())[0];
    expect(fresh?.usedBytes).toBeGreaterThanOrEqual(4 * MIB);
    if (!shares) return;
    expect(fresh).toMatchObject({ sharedBytes: 4 * MIB, snapshots: [{ name: "monday", aloneBytes: 0 }] });
    test.write("root", 0, MIB);
    await runOrThrow(["sync", "-f", test.path("root")]);
    // btrfs holds an extent whole as long as any part of it is used.
    const aloneBytes = fileSystem === "xfs" ? MIB : 0;
    expect((await operations().list())[0]?.snapshots).toMatchObject([{ name: "monday", aloneBytes }]);
    await operations().delete("root@monday");
    // Blocks come back in the background.
    await expect.poll(async () => (await operations().list())[0], { timeout: 15_000 }).toMatchObject({ sharedBytes: 0, snapshots: [] });
  });

  it("a volume grows while its machine uses it, and the machine is told", async () => {
    await test.configure({}, { uqbar: ["root"] });
    await operations().create("root", 16 * MIB);
    test.connected.add(test.boot("uqbar", 1));
    const { id } = test.disks.store.get("root" as VolumeName) ?? { id: 0 };
    await operations().resize("root", 64 * MIB);
    expect(statSync(test.path("root")).size).toBe(64 * MIB);
    expect(test.plane.volumes.get(id)).toMatchObject({ sizeBytes: 64 * MIB });
    expect(test.plane.attentions).toEqual([{ volume: id, asc: 0x2a, ascq: 0x09 }]);
    expect(test.disks.store.byId(id)?.sizeBytes).toBe(64 * MIB);
  });

  it("a renamed volume keeps its clones, and a clone knows its origin's name of today", async () => {
    await operations().create("old", 16 * MIB);
    await operations().snapshot("old", "v1");
    await operations().clone("old@v1", "copy");
    await operations().rename("old", "new");
    expect((await operations().show("copy")).origin).toBe("new@v1");
    expect((await operations().show("new")).snapshots[0]?.clones).toEqual(["copy"]);
    expect(await refusal(operations().show("old"))).toContain("there is no volume old");
  });

  it("a clone is opened with all that it may share blocks with, and what is deleted is let go first", async () => {
    const snapshot = (volume: string, name: string): string => join(test.storage, "volumes", volume, "snapshots", name, "disk.raw");
    const origins = (name: string) => test.plane.volumes.get(test.disks.store.get(name as VolumeName)?.id ?? 0)?.origins;
    await test.configure({}, { uqbar: ["one"], tlon: ["two"], orbis: ["golden"] });
    await operations().create("golden", 16 * MIB);
    for (const name of ["v1", "v2", "v3"]) await operations().snapshot("golden", name);
    await operations().clone("golden@v2", "one");
    await operations().snapshot("one", "later");
    await operations().clone("one@later", "two");
    const ancestors = [snapshot("golden", "v1"), snapshot("golden", "v2")];
    expect(origins("one")).toEqual(ancestors);
    expect(origins("two")).toEqual([...ancestors, snapshot("one", "later")]);
    expect(origins("golden")).toBeUndefined();
    await operations().delete("golden@v1");
    expect(test.plane.withdrawn).toEqual([snapshot("golden", "v1")]);
  });

  it("an image comes in with its holes, and goes out with them", async () => {
    const image = join(mounted, "image.raw");
    writeFileSync(image, "");
    truncateSync(image, 64 * MIB);
    const data = writeAt(image, 32 * MIB, MIB);
    writeAt(image, 40 * MIB, 0);
    await transfers().importFile(image, "raw");
    expect(test.read("raw", 32 * MIB, MIB)).toEqual(data);
    expect(allocated(test.path("raw"))).toBeLessThan(4 * MIB);
    const out = join(mounted, "out.raw");
    await transfers().exportFile("raw", out);
    expect(readFileSync(out).equals(readFileSync(image))).toBe(true);
    expect(allocated(out)).toBeLessThan(4 * MIB);
    await runOrThrow(["rm", image, out]);
  });

  it("zeroes that were written out become holes", async () => {
    const image = join(mounted, "zeroes.raw");
    writeFileSync(image, Buffer.alloc(32 * MIB));
    const data = writeAt(image, 5 * MIB, 4096);
    async function* stream(): AsyncGenerator<Uint8Array> {
      const all = readFileSync(image);
      for (let at = 0; at < all.length; at += 100_003) yield all.subarray(at, at + 100_003);
    }
    await transfers().importStream(stream(), "streamed");
    expect(test.read("streamed", 5 * MIB, 4096)).toEqual(data);
    expect(statSync(test.path("streamed")).size).toBe(32 * MIB);
    expect(allocated(test.path("streamed"))).toBeLessThan(MIB);
    await runOrThrow(["rm", image]);
  });

  it("a whole disk comes in, such as one on USB that somebody brings: it tells of no holes, and its zeroes become some", async () => {
    const image = join(mounted, "disk.img");
    writeFileSync(image, "");
    truncateSync(image, 32 * MIB);
    const data = writeAt(image, 5 * MIB, 4096);
    const device = (await runOrThrow(["losetup", "--find", "--show", "--read-only", image])).trim();
    try {
      await transfers().importFile(device, "brought");
      expect(test.read("brought", 5 * MIB, 4096)).toEqual(data);
      expect(statSync(test.path("brought")).size).toBe(32 * MIB);
      expect(allocated(test.path("brought"))).toBeLessThan(MIB);
    } finally {
      await runOrThrow(["losetup", "--detach", device]);
      await runOrThrow(["rm", image]);
    }
  });

  it("an image of another format comes in through qemu-img, and one that leans on other files does not", async () => {
    const [raw, image, leaning] = ["q.raw", "q.qcow2", "leaning.qcow2"].map((name) => join(mounted, name));
    if (raw === undefined || image === undefined || leaning === undefined) throw new Error("three names");
    writeFileSync(raw, "");
    truncateSync(raw, 16 * MIB);
    const data = writeAt(raw, 3 * MIB, 65_536);
    await runOrThrow(["qemu-img", "convert", "-O", "qcow2", raw, image]);
    await runOrThrow(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", raw, leaning]);
    const progress: number[] = [];
    const report = await transfers().importFile(image, "q", {
      sizeBytes: 20 * MIB,
      onProgress: ({ doneBytes }) => progress.push(doneBytes),
    });
    expect(report.sizeBytes).toBe(20 * MIB);
    expect(test.read("q", 3 * MIB)).toEqual(data);
    expect(allocated(test.path("q"))).toBeLessThan(MIB);
    expect(await refusal(transfers().importFile(leaning, "l"))).toContain("it needs another file beside it");
    await runOrThrow(["rm", raw, image, leaning]);
  });

  it("an import larger than the pool changes nothing", async () => {
    async function* stream(): AsyncGenerator<Uint8Array> {
      const piece = Buffer.alloc(MIB, 1);
      for (let count = 0; count < SIZE_MIB * 2; count++) yield piece;
    }
    expect(await refusal(transfers().importStream(stream(), "large"))).toMatch(/free in the pool|no room left/);
    expect(readdirSync(join(test.storage, "volumes"))).toEqual([]);
    expect(await operations().list()).toEqual([]);
  });

  it("a snapshot of a disk in use is taken while it is frozen, and thawed again", async () => {
    await test.configure({}, { uqbar: ["root"] });
    await operations().create("root", 16 * MIB);
    test.connected.add(test.boot("uqbar", 1));
    const { id } = test.disks.store.get("root" as VolumeName) ?? { id: 0 };
    let frozen = false;
    test.plane.freeze = async (volume) => {
      frozen = true;
      test.plane.frozen.add(volume);
    };
    if (!shares) {
      expect(await refusal(operations().snapshot("root", "now"))).toContain("root is in use, and a snapshot is a full copy here");
      expect(frozen).toBe(false);
    }
    const { pauseMs } = await operations().snapshot("root", "now", { force: true });
    expect(frozen).toBe(true);
    expect(test.plane.frozen.has(id)).toBe(false);
    expect(pauseMs).toBeGreaterThan(0);
  });

  it("refuses with one sentence that says why and what to do, and changes nothing", async () => {
    await test.configure({ named: sparse(16 * MIB), child: cloneOf("named") }, { uqbar: ["root"], tlon: ["named"] });
    await operations().create("root", 16 * MIB);
    await operations().snapshot("root", "v1");
    await operations().clone("root@v1", "copy");
    test.connected.add(test.boot("uqbar", 1));
    const before = JSON.stringify(await operations().list());
    const refusals = [
      operations().create("a/b", MIB),
      operations().create("root", MIB),
      operations().create("tiny", 1024),
      operations().create("huge", 2 ** 46 + MIB),
      operations().create("odd", MIB + 512, { blockSize: 4096 }),
      operations().clone("nothing", "x"),
      operations().clone("root@v2", "x"),
      operations().clone("root", "x/y"),
      operations().clone("root@v1", "copy"),
      operations().clone("root@v1", "x", { sizeBytes: 8 * MIB }),
      operations().snapshot("root", "v1"),
      operations().snapshot("root", "../v1"),
      operations().rollback("root@v1"),
      operations().rollback("root"),
      operations().resize("root", 8 * MIB),
      operations().rename("root", "y"),
      operations().rename("copy", "root"),
      operations().rename("copy", "y/z"),
      operations().delete("root"),
      operations().delete("named"),
      operations().delete("root@v1"),
      operations().delete("nothing"),
      transfers().importFile("/nowhere", "x"),
      transfers().importFile("relative", "x"),
      transfers().exportFile("root@v1", test.path("root")),
    ];
    const sentences: string[] = [];
    for (const attempt of refusals.map(refusal)) sentences.push(await attempt);
    expect(sentences.map((each) => each.replaceAll(test.storage, ""))).toMatchSnapshot();
    expect(JSON.stringify(await operations().list())).toBe(before);
  });

  it("a machine that is in the way of a rollback is cut off only when asked", async () => {
    await test.configure({}, { uqbar: ["root"] });
    await operations().create("root", 16 * MIB);
    const before = test.write("root");
    await operations().snapshot("root", "v1");
    test.write("root");
    test.connected.add(test.boot("uqbar", 1));
    const old = test.disks.store.get("root" as VolumeName)?.id;
    await operations().rollback("root@v1", { force: true });
    expect(test.fenced).toEqual(["uqbar: its disk root is being rolled back"]);
    expect(test.read("root")).toEqual(before);
    expect(test.disks.store.get("root" as VolumeName)?.id).not.toBe(old);
    expect([...test.plane.volumes.values()].map(({ path }) => path)).toEqual([test.path("root")]);
  });

  it("a store that another board made is read whole", async () => {
    await operations().create("root", 16 * MIB, { blockSize: 4096, thin: false });
    const data = test.write("root");
    await operations().snapshot("root", "v1");
    await operations().clone("root@v1", "copy");
    const before = await operations().list();
    test.stop();
    const again = new TestDisks(test.storage);
    await again.configure();
    expect(await again.disks.operations.list()).toEqual(before);
    expect(before.map(({ settings }) => settings.blockSize)).toEqual([4096, 4096]);
    expect(again.read("copy")).toEqual(data);
    again.stop();
  });

  it("a record that was damaged costs one volume", async () => {
    await operations().create("good", MIB);
    await operations().create("bad", MIB);
    writeFileSync(join(test.storage, "volumes", "bad", "volume.json"), "{");
    copyFileSync(join(test.storage, "volumes", "good", "volume.json"), join(test.storage, "volumes", "stray"));
    test.stop();
    const again = new TestDisks(test.storage);
    await again.configure();
    expect((await again.disks.operations.list()).map(({ name }) => name)).toEqual(["good"]);
    expect(again.told("volume.failed")).toMatchObject([{ volume: "bad" }]);
    expect(existsSync(join(test.storage, "volumes", "bad", "disk.raw"))).toBe(true);
    again.stop();
  });
});
