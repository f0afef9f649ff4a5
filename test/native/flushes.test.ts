import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmdirSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Bench, pattern } from "./bench.ts";
import { cdb } from "./cdb.ts";

const MEBI = 1048576;
const GOOD = { status: 0, sense: "" };
const isRoot = process.getuid?.() === 0;
/** More than may wait for a disk at once in one ring. */
const DISKS = 80;

let bench: Bench;
beforeEach(() => {
  bench = new Bench({ threads: 1 });
});
afterEach(() => bench.close());

describe("a rack that flushes all its disks at once", () => {
  it("hears of every flush, and finds what it wrote in every file", async () => {
    const volumes = Array.from({ length: DISKS }, () => bench.volume(MEBI));
    const session = await bench.login(volumes.map(({ id }) => id));
    for (let round = 0; round < 3; round++) {
      const data = volumes.map((_, lun) => pattern(16_384, round * DISKS + lun));
      const answers = await Promise.all(
        volumes.map(async (_, lun) => {
          await session.execute(cdb.write10(round * 32, 32), { lun, write: data[lun] ?? Buffer.alloc(0) });
          return await session.execute(cdb.synchronizeCache10(), { lun });
        }),
      );
      for (const answer of answers) expect(answer).toMatchObject(GOOD);
      for (const [lun, { path }] of volumes.entries()) {
        const written = readFileSync(path).subarray(round * 16_384, (round + 1) * 16_384);
        expect(data[lun]?.equals(written)).toBe(true);
      }
    }
  });

  // A loop device over a file in a memory that is full: a thin disk without room, below a page cache that takes every write.
  it.skipIf(!isRoot)("is told of the one disk that lost a page, and of no other", async () => {
    const folder = mkdtempSync(join(tmpdir(), "rackboot-thin-"));
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=2m", "none", folder]);
    const backing = join(folder, "backing");
    writeFileSync(backing, "");
    truncateSync(backing, 16 * MEBI);
    const device = execFileSync("losetup", ["-f", "--show", backing], { encoding: "utf8" }).trim();
    try {
      const sound = Array.from({ length: DISKS }, () => bench.volume(MEBI));
      const thin = bench.volume(0, { path: device });
      const session = await bench.login([...sound, thin].map(({ id }) => id));
      for (let n = 0; n < 16; n++) await session.execute(cdb.write10(n * 1024, 1024), { lun: DISKS, write: pattern(512 * 1024, n) });
      const flushes = [...sound, thin].map(async (_, lun) => {
        if (lun < DISKS) await session.execute(cdb.write10(0, 32), { lun, write: pattern(16_384, lun) });
        return await session.execute(cdb.synchronizeCache10(), { lun });
      });
      const answers = await Promise.all(flushes);
      expect(answers.pop()).toMatchObject({ status: 2 });
      for (const answer of answers) expect(answer).toMatchObject(GOOD);
      expect(bench.events.filter(({ type }) => type === "volume-failed")).toMatchObject([{ volume: thin.id }]);
      await bench.plane.closeVolume(thin.id);
    } finally {
      execFileSync("losetup", ["-d", device]);
      execFileSync("umount", [folder]);
      rmdirSync(folder);
    }
  });
});
