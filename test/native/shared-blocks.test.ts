import { readdirSync, readFileSync, readlinkSync, rmSync, truncateSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { Resources } from "../harness/resources.ts";
import { type FileSystem, mayMount, mountFileSystem } from "../volume/file-systems.ts";
import { Bench, pattern } from "./bench.ts";
import { cdb } from "./cdb.ts";
import { GOLDEN_BYTES, GOLDEN_DATA_BYTES, goldenContent, KIBI, MEBI, makeGolden, reflink, steps, TestClone } from "./shared-disks.ts";

vi.setConfig({ testTimeout: 120_000, hookTimeout: 60_000 });
/** What one write takes away from what is shared. */
const GRANULE = 16 * KIBI;

// Mounting takes root.
describe.skipIf(!mayMount).each<FileSystem>(["xfs", "btrfs"])("clones on %s", (fileSystem) => {
  const resources = new Resources();
  const content = goldenContent();
  let mounted: string;
  let bench: Bench;
  let golden: string;
  let number = 0;

  beforeAll(async () => {
    mounted = await mountFileSystem(resources, fileSystem, 512);
  });
  afterAll(() => resources.close());
  beforeEach(() => {
    bench = new Bench({ folder: mounted });
    golden = makeGolden(bench.folder);
  });
  afterEach(() => bench.close());

  const clone = (from = golden, origins: readonly string[] = [golden], wanted = content): Promise<TestClone> =>
    TestClone.make(bench, from, join(bench.folder, `clone${number++}`), origins, wanted);

  it("are read through the pages of their origin, except for what they have written", async () => {
    const disk = await clone();
    expect(await disk.mapped()).toBe(GOLDEN_DATA_BYTES);
    await disk.check();
    expect(disk.borrowedBytes).toBe(GOLDEN_DATA_BYTES);
    await disk.execute(cdb.write16(4 * 64 + 1, 2), { write: pattern(1024, 9) });
    disk.content.fill(pattern(1024, 9), (4 * 64 + 1) * 512, (4 * 64 + 3) * 512);
    await disk.check();
    expect(disk.borrowedBytes).toBe(2 * GOLDEN_DATA_BYTES - GRANULE);
    expect(readFileSync(golden).equals(content)).toBe(true);
  });

  it("read zeroes where they discarded what their origin has, and what they have where it has nothing", async () => {
    const disk = await clone();
    await disk.mapped();
    await disk.take({ kind: "unmap", at: 0, length: 1, seed: 0 });
    await disk.take({ kind: "write", at: 0.9, length: 1, seed: 3 });
    await disk.take({ kind: "reopen", at: 0, length: 0, seed: 0 });
    await disk.mapped();
    await disk.check();
    expect(disk.content.subarray(0, 512).equals(Buffer.alloc(512))).toBe(true);
  });

  it("of a clone share the pages of the first origin with it, and have their own writes", async () => {
    const parent = await clone();
    await parent.mapped();
    await parent.take({ kind: "write", at: 0, length: 1, seed: 5 });
    await parent.take({ kind: "flush", at: 0, length: 0, seed: 0 });
    const snapshot = join(bench.folder, "snapshot");
    await bench.plane.freeze(parent.id);
    reflink(parent.path, snapshot);
    bench.plane.thaw(parent.id);
    const child = await clone(snapshot, [golden, snapshot], parent.content);
    expect(await child.mapped()).toBe(GOLDEN_DATA_BYTES);
    await child.take({ kind: "write", at: 0.7, length: 1, seed: 6 });
    // What the parent wrote is common to the snapshot and the child, and everything else to the first origin as well.
    rmSync(snapshot);
    bench.plane.withdrawOrigin(golden);
    for (const disk of [parent, child]) await disk.check();
    expect(readFileSync(golden).equals(content)).toBe(true);
  });

  it("hold what was written to them, whatever is done in whatever order", async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (taken) => {
        const disk = await clone();
        for (const step of taken) await disk.take(step);
        await disk.check();
        await disk.take({ kind: "reopen", at: 0, length: 0, seed: 0 });
        await disk.mapped();
        await disk.check();
        await disk.close();
      }),
      { numRuns: 40 },
    );
    expect(readFileSync(golden).equals(content)).toBe(true);
  });

  it("hold what was written to each of forty, all at once and while their maps are made", async () => {
    const disks = await Promise.all(Array.from({ length: 40 }, () => clone()));
    const scripts = fc.sample(steps, { numRuns: disks.length, seed: 1 });
    await Promise.all(
      disks.map(async (disk, index) => {
        for (const step of scripts[index] ?? []) await disk.take(step);
        await disk.check();
      }),
    );
    // As after a crash of the daemon: what was not flushed is in the page cache, and nothing else is known.
    await bench.plane.close();
    const next = new Bench({ folder: mounted });
    try {
      for (const { path, content: wanted } of disks) {
        const again = await TestClone.attach(next, path, [golden], wanted);
        await again.mapped();
        await again.check();
      }
    } finally {
      await next.close();
    }
    expect(readFileSync(golden).equals(content)).toBe(true);
  });

  it("see each other's writes where one file is open twice, as it is while a configuration changes", async () => {
    const disk = await clone();
    await disk.mapped();
    const second = bench.volume(0, { path: disk.path, origins: [golden] });
    const session = await bench.login([second.id]);
    await disk.take({ kind: "write", at: 0, length: 1, seed: 4 });
    const { data } = await session.execute(cdb.read10(0, 64), { read: 64 * 512 });
    expect(data.equals(disk.content.subarray(0, 64 * 512))).toBe(true);
    await session.execute(cdb.write10(100, 1), { write: pattern(512, 8) });
    disk.content.fill(pattern(512, 8), 100 * 512, 101 * 512);
    await bench.plane.closeVolume(second.id);
    await disk.check();
  });

  it("go on, and keep no storage, when their origin is deleted", async () => {
    const disk = await clone();
    await disk.mapped();
    bench.plane.withdrawOrigin(golden);
    rmSync(golden);
    await disk.check();
    const open = readdirSync("/proc/self/fd").flatMap((fd) => {
      try {
        return [readlinkSync(`/proc/self/fd/${fd}`)];
      } catch {
        return [];
      }
    });
    expect(open.filter((path) => path.startsWith(golden))).toEqual([]);
  });

  it("go on when somebody cuts their origin short", async () => {
    const disk = await clone();
    await disk.mapped();
    truncateSync(golden, MEBI);
    await disk.check();
    expect(bench.events.filter(({ type }) => type === "volume-failed")).toEqual([]);
  });

  it("that have nothing of a file do not read it", async () => {
    const disk = await clone(golden, [join(bench.folder, "gone"), makeStranger()]);
    expect(await disk.mapped()).toBe(0);
    await disk.check();
    expect(disk.borrowedBytes).toBe(0);
  });

  function makeStranger(): string {
    const path = join(bench.folder, "stranger");
    reflink(golden, path);
    truncateSync(path, 0);
    truncateSync(path, GOLDEN_BYTES);
    return path;
  }
});
