import { readFileSync } from "node:fs";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { measureExtents } from "../../src/native/extents.ts";
import { Resources } from "../harness/resources.ts";
import { type FileSystem, mayMount, mountFileSystem } from "../volume/file-systems.ts";
import { Bench, pattern } from "./bench.ts";
import { cdb } from "./cdb.ts";

const KIBI = 1024;
const MEBI = 1024 * KIBI;
const SIZE = 16 * MEBI;

// Mounting takes root.
describe.skipIf(!mayMount).each<FileSystem>(["xfs", "btrfs", "ext4"])("ranges copied between disks on %s", (fileSystem) => {
  const resources = new Resources();
  let mounted: string;
  let bench: Bench;

  beforeAll(async () => {
    mounted = await mountFileSystem(resources, fileSystem, 512);
  });
  afterAll(() => resources.close());
  beforeEach(() => {
    bench = new Bench({ folder: mounted });
  });
  afterEach(() => bench.close());

  async function disk(seed: number, thin = true) {
    const volume = bench.volume(SIZE, { thin });
    const session = await bench.login([volume.id]);
    for (let at = 0; at < SIZE; at += MEBI) {
      const write = pattern(MEBI, seed + at / MEBI);
      expect((await session.execute(cdb.write10(at / 512, MEBI / 512), { write })).status).toBe(0);
    }
    return { ...volume, session };
  }

  const sharedBytes = async (path: string): Promise<number> => (await measureExtents([path]))[0]?.sharedBytes ?? 0;

  it.each([
    { what: "whole blocks", at: 2 * MEBI, from: 5 * MEBI, length: 4 * MEBI, shares: 4 * MEBI },
    { what: "blocks in part", at: 2 * MEBI + 512, from: 5 * MEBI + 512, length: 4 * MEBI, shares: 4 * MEBI - 4 * KIBI },
    { what: "blocks that lie otherwise", at: 2 * MEBI, from: 5 * MEBI + 512, length: 4 * MEBI, shares: 0 },
  ])("hold what they were copied from, and go ways of their own after that: $what", async ({ at, from, length, shares }) => {
    const [source, target] = [await disk(1), await disk(100)];
    const expected = readFileSync(target.path);
    readFileSync(source.path).copy(expected, at, from, from + length);
    await bench.plane.workRange(target.id, { offset: at, length, source: source.id, sourceOffset: from });
    await bench.plane.flush(target.id);
    expect(readFileSync(target.path).equals(expected)).toBe(true);
    expect(await sharedBytes(target.path)).toBe(fileSystem === "ext4" ? 0 : shares);
    expect((await source.session.execute(cdb.write10(from / 512, 64), { write: pattern(32 * KIBI, 77) })).status).toBe(0);
    const { data } = await target.session.execute(cdb.read10(at / 512, 64), { read: 32 * KIBI });
    expect(data.equals(expected.subarray(at, at + 32 * KIBI))).toBe(true);
  });

  it("have storage of their own on a disk that was promised its own", async () => {
    const [source, target] = [await disk(1), await disk(100, false)];
    await bench.plane.workRange(target.id, { offset: 0, length: SIZE, source: source.id, sourceOffset: 0 });
    expect(readFileSync(target.path).equals(readFileSync(source.path))).toBe(true);
    expect(await sharedBytes(target.path)).toBe(0);
  });
});
