import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmdirSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { LIMITS } from "../../src/scsi/vpd.ts";
import { Bench, pattern } from "./bench.ts";
import { cdb, unmapList } from "./cdb.ts";
import type { CommandAnswer, Initiator } from "./initiator.ts";

const MEBI = 1048576;
const BLOCK = 512;
const GOOD = { status: 0, sense: "" };
const failed = (sense: string): { status: number; sense: string } => ({ status: 2, sense });
const isRoot = process.getuid?.() === 0;

let bench: Bench;
beforeEach(() => {
  bench = new Bench();
});
afterEach(() => bench.close());

/** A disk that is full of data, and a session that sees it. */
async function fullDisk(bytes = 4 * MEBI, changes: Parameters<Bench["volume"]>[1] = {}) {
  const volume = bench.volume(bytes, changes);
  writeFileSync(volume.path, pattern(bytes, 1));
  return { ...volume, session: await bench.login([volume.id]), storage: () => statSync(volume.path).blocks * 512 };
}

function unmap(session: Initiator, ranges: Parameters<typeof unmapList>[0]): Promise<CommandAnswer> {
  const list = unmapList(ranges);
  return session.execute(cdb.unmap(list.length), { write: list, immediate: list.length });
}

describe("UNMAP", () => {
  it("gives storage back, reads as zeroes, and leaves what is beside it", async () => {
    const { path, session, storage } = await fullDisk();
    const before = storage();
    const ranges = [
      [8, 4096],
      [5001, 3],
      [6000, 0],
    ] as const;
    expect(await unmap(session, ranges)).toMatchObject(GOOD);
    expect(before - storage()).toBe(4096 * BLOCK);
    const expected = pattern(4 * MEBI, 1);
    for (const [lba, blocks] of ranges) expected.fill(0, lba * BLOCK, (lba + blocks) * BLOCK);
    expect(readFileSync(path).equals(expected)).toBe(true);
    expect((await session.execute(cdb.read10(8, 64), { read: 32_768 })).data.equals(Buffer.alloc(32_768))).toBe(true);
  });

  it("does nothing where one range is bad, and says why", async () => {
    const { path, session } = await fullDisk(MEBI);
    expect(
      await unmap(session, [
        [0, 8],
        [2047, 2],
      ]),
    ).toMatchObject(failed("05/21/00"));
    const many = Array.from({ length: LIMITS.unmapDescriptors + 1 }, () => [0, 1] as const);
    expect(await unmap(session, many)).toMatchObject(failed("05/26/00"));
    expect(await session.execute(cdb.unmap(4), { write: Buffer.alloc(4), immediate: 4 })).toMatchObject(failed("05/1a/00"));
    expect(await session.execute(cdb.unmap(24), { write: Buffer.alloc(8), immediate: 8 })).toMatchObject(failed("05/1a/00"));
    expect(await session.execute([0x42, 1, 0, 0, 0, 0, 0, 0, 0, 0])).toMatchObject(failed("05/24/00"));
    expect(await session.execute(cdb.unmap(0))).toMatchObject(GOOD);
    expect(readFileSync(path).equals(pattern(MEBI, 1))).toBe(true);
  });

  it("keeps to the limits that the Block Limits page tells", async () => {
    const volume = bench.volume(2 * LIMITS.writeSameBytes);
    const session = await bench.login([volume.id]);
    const most = LIMITS.unmapBytes / BLOCK;
    const same = LIMITS.writeSameBytes / BLOCK;
    expect(await unmap(session, [[8, most]])).toMatchObject(GOOD);
    expect(await unmap(session, [[8, most + 1]])).toMatchObject(failed("05/26/00"));
    expect(await session.execute(cdb.writeSame16(8, same, 9))).toMatchObject(GOOD);
    expect(await session.execute(cdb.writeSame16(8, same + 1, 9))).toMatchObject(failed("05/24/00"));
    const blocks = LIMITS.compareAndWriteBlocks;
    const pair = Buffer.alloc(2 * blocks * BLOCK);
    expect(await session.execute(cdb.compareAndWrite(0, blocks), { write: pair })).toMatchObject(GOOD);
    expect(await session.execute(cdb.compareAndWrite(0, blocks + 1), { write: pair })).toMatchObject(failed("05/24/00"));
  });

  it("is not there on a thick disk, and not allowed on one that is read-only", async () => {
    const thick = await fullDisk(MEBI, { thin: false });
    expect(await unmap(thick.session, [[0, 8]])).toMatchObject(failed("05/20/00"));
    expect(await thick.session.execute(cdb.writeSame16(0, 8, 9))).toMatchObject(failed("05/24/00"));
    const { session } = await fullDisk(MEBI, { readOnly: true });
    expect(await unmap(session, [[0, 8]])).toMatchObject(failed("07/27/00"));
    expect(await session.execute(cdb.writeSame16(0, 8, 1))).toMatchObject(failed("07/27/00"));
    expect(await session.execute(cdb.writeVerify10(0, 1), { write: pattern(512) })).toMatchObject(failed("07/27/00"));
    expect(await session.execute(cdb.compareAndWrite(0, 1), { write: pattern(1024) })).toMatchObject(failed("07/27/00"));
    expect(await session.execute(cdb.verify10(0, 8))).toMatchObject(GOOD);
  });
});

// Mounting takes root. What a rack's disks really lie on, and what does it with other calls than a file system in memory.
it.skipIf(!isRoot)("on XFS too, space comes back and zeroes are zeroes", async () => {
  const folder = mkdtempSync(join(tmpdir(), "rackboot-xfs-"));
  const image = `${folder}.img`;
  execFileSync("truncate", ["-s", "400M", image]);
  execFileSync("mkfs.xfs", ["-q", image]);
  execFileSync("mount", ["-o", "loop", image, folder]);
  const outer = bench;
  bench = new Bench({ folder });
  try {
    const { path, session, storage } = await fullDisk();
    expect(await unmap(session, [[0, 4096]])).toMatchObject(GOOD);
    expect(storage()).toBeLessThanOrEqual(2 * MEBI);
    expect(await session.execute(cdb.writeSame16(4097, 2048, 1))).toMatchObject(GOOD);
    expect(await session.execute(cdb.writeSame16(0, 512, 0), { write: pattern(BLOCK, 3) })).toMatchObject(GOOD);
    const expected = pattern(4 * MEBI, 1);
    expected
      .fill(0, 0, 4096 * BLOCK)
      .fill(0, 4097 * BLOCK, 6145 * BLOCK)
      .fill(pattern(BLOCK, 3), 0, 512 * BLOCK);
    expect((await session.execute(cdb.synchronizeCache10())).status).toBe(0);
    expect(readFileSync(path).equals(expected)).toBe(true);
  } finally {
    await bench.close();
    bench = outer;
    execFileSync("umount", [folder]);
    rmdirSync(folder);
    execFileSync("rm", [image]);
  }
});

describe("WRITE SAME", () => {
  it("repeats a block, however long the range, without touching its neighbours", async () => {
    const { path, session } = await fullDisk();
    const block = pattern(BLOCK, 9);
    expect(await session.execute(cdb.writeSame10(1, 1000), { write: block, immediate: BLOCK })).toMatchObject(GOOD);
    expect(await session.execute(cdb.writeSame16(2000, 300, 8), { write: block })).toMatchObject(GOOD);
    const expected = pattern(4 * MEBI, 1)
      .fill(block, BLOCK, 1001 * BLOCK)
      .fill(block, 2000 * BLOCK, 2300 * BLOCK);
    expect(readFileSync(path).equals(expected)).toBe(true);
  });

  it("of zeroes gives storage back with UNMAP, and keeps it without", async () => {
    const { path, session, storage } = await fullDisk();
    const before = storage();
    expect(await session.execute(cdb.writeSame10(0, 1024), { write: Buffer.alloc(BLOCK) })).toMatchObject(GOOD);
    expect(await session.execute(cdb.writeSame16(1024, 1024, 1))).toMatchObject(GOOD);
    expect(storage()).toBe(before);
    expect(await session.execute(cdb.writeSame10(2048, 1024, 8), { write: Buffer.alloc(BLOCK) })).toMatchObject(GOOD);
    expect(await session.execute(cdb.writeSame16(3072, 1024, 9))).toMatchObject(GOOD);
    expect(before - storage()).toBe(MEBI);
    expect(readFileSync(path).equals(pattern(4 * MEBI, 1).fill(0, 0, 2 * MEBI))).toBe(true);
  });

  it("of 0 blocks goes to the end of the disk", async () => {
    const { path, session } = await fullDisk(MEBI);
    expect(await session.execute(cdb.writeSame16(2000, 0, 1))).toMatchObject(GOOD);
    expect(readFileSync(path).equals(pattern(MEBI, 1).fill(0, 2000 * BLOCK))).toBe(true);
  });

  it("refuses what it cannot mean", async () => {
    const { session } = await fullDisk(MEBI);
    const block = { write: pattern(BLOCK) };
    expect(await session.execute(cdb.writeSame16(2040, 9), block)).toMatchObject(failed("05/21/00"));
    expect(await session.execute(cdb.writeSame16(0, 8, 0x18), block)).toMatchObject(failed("05/24/00"));
    expect(await session.execute(cdb.writeSame16(0, 8, 0x10), block)).toMatchObject(failed("05/24/00"));
    expect(await session.execute(cdb.writeSame10(0, 8, 1))).toMatchObject(failed("05/24/00"));
    expect(await session.execute(cdb.writeSame16(0, 8))).toMatchObject(failed("05/24/00"));
    expect(await session.execute(cdb.writeSame16(0, 8), { write: pattern(100) })).toMatchObject(failed("05/24/00"));
  });
});

describe("VERIFY", () => {
  const lengths = [
    { name: "10", verify: cdb.verify10, writeVerify: cdb.writeVerify10 },
    { name: "12", verify: cdb.verify12, writeVerify: cdb.writeVerify12 },
    { name: "16", verify: cdb.verify16, writeVerify: cdb.writeVerify16 },
  ];
  it.each(lengths)("($name) tells whether the disk has what it should", async ({ verify, writeVerify }) => {
    const { path, session } = await fullDisk();
    const whole = pattern(4 * MEBI, 1).subarray(7 * BLOCK, 4007 * BLOCK);
    expect(await session.execute(verify(0, 8192))).toMatchObject(GOOD);
    expect(await session.execute(verify(7, 4000, 1), { write: whole, immediate: 4096 })).toMatchObject(GOOD);
    const other = Buffer.from(whole);
    other.writeUInt8(other.readUInt8(other.length - 1) ^ 1, other.length - 1);
    expect(await session.execute(verify(7, 4000, 1), { write: other })).toMatchObject(failed("0e/1d/00"));
    expect(await session.execute(verify(0, 8, 2))).toMatchObject(failed("05/24/00"));
    expect(await session.execute(verify(8191, 2))).toMatchObject(failed("05/21/00"));
    for (const check of [0, 1]) {
      const fresh = pattern(3000 * BLOCK, 5 + check);
      expect(await session.execute(writeVerify(100, 3000, check), { write: fresh, immediate: 8192 })).toMatchObject(GOOD);
      expect(
        readFileSync(path)
          .subarray(100 * BLOCK, 3100 * BLOCK)
          .equals(fresh),
      ).toBe(true);
    }
    expect(await session.execute(writeVerify(0, 1, 3), { write: pattern(BLOCK) })).toMatchObject(failed("05/24/00"));
  });

  it("compares every block with one", async () => {
    const { session } = await fullDisk();
    const block = { write: pattern(BLOCK, 4) };
    expect(await session.execute(cdb.writeSame10(10, 500), block)).toMatchObject(GOOD);
    expect(await session.execute(cdb.verify10(10, 500, 3), block)).toMatchObject(GOOD);
    expect(await session.execute(cdb.verify10(10, 501, 3), block)).toMatchObject(failed("0e/1d/00"));
    expect(await session.execute(cdb.verify16(10, 0, 3))).toMatchObject(GOOD);
  });

  it("says that a file which ends too early is broken", async () => {
    const { path, session } = await fullDisk();
    truncateSync(path, MEBI);
    expect(await session.execute(cdb.verify10(0, 8192))).toMatchObject(failed("04/3e/01"));
  });
});

describe("COMPARE AND WRITE", () => {
  it("writes what was expected to be there, and tells where it was not", async () => {
    const { path, session } = await fullDisk(MEBI);
    const old = pattern(MEBI, 1).subarray(3 * BLOCK, 4 * BLOCK);
    const fresh = pattern(BLOCK, 8);
    const pair = Buffer.concat([old, fresh]);
    expect(await session.execute(cdb.compareAndWrite(3, 1), { write: pair, immediate: 512 })).toMatchObject(GOOD);
    expect(
      readFileSync(path)
        .subarray(3 * BLOCK, 4 * BLOCK)
        .equals(fresh),
    ).toBe(true);
    const nearly = Buffer.concat([fresh, old]);
    nearly.writeUInt8(nearly.readUInt8(300) ^ 0x80, 300);
    const answer = await session.execute(cdb.compareAndWrite(3, 1), { write: nearly });
    expect(answer).toMatchObject(failed("0e/1d/00"));
    const sense = answer.pdus.at(-1)?.data.subarray(2) ?? Buffer.alloc(18);
    expect([sense.readUInt8(0), sense.readUInt32BE(3)]).toEqual([0xf0, 300]);
    expect(
      readFileSync(path)
        .subarray(3 * BLOCK, 4 * BLOCK)
        .equals(fresh),
    ).toBe(true);
    expect(await session.execute(cdb.compareAndWrite(3, 0))).toMatchObject(GOOD);
    expect(await session.execute(cdb.compareAndWrite(3, 1), { write: old })).toMatchObject(failed("05/24/00"));
    expect(await session.execute(cdb.compareAndWrite(2048, 1), { write: pair })).toMatchObject(failed("05/21/00"));
  });

  it("loses no step of a counter that sessions of all threads raise, while others write beside it", async () => {
    const volume = bench.volume(MEBI);
    const sessions = await Promise.all([0, 1, 2, 3].map(() => bench.login([volume.id])));
    const of = (value: number): Buffer => {
      const block = Buffer.alloc(BLOCK);
      block.writeUInt32BE(value);
      return block;
    };
    const STEPS = 25;
    let more = true;
    const noise = sessions.map(async (session, n) => {
      while (more) await session.execute(cdb.write10(8 + n * 8, 8), { write: pattern(4096, n), immediate: 4096 });
    });
    const raise = async (session: Initiator): Promise<void> => {
      for (let done = 0; done < STEPS; ) {
        const { data } = await session.execute(cdb.read10(0, 1), { read: BLOCK });
        const value = data.readUInt32BE();
        const pair = Buffer.concat([of(value), of(value + 1)]);
        const { status, sense } = await session.execute(cdb.compareAndWrite(0, 1), { write: pair, immediate: pair.length });
        if (status === 0) done++;
        else expect(sense).toBe("0e/1d/00");
      }
    };
    await Promise.all(sessions.map(raise));
    more = false;
    await Promise.all(noise);
    expect(readFileSync(volume.path).readUInt32BE()).toBe(STEPS * sessions.length);
  });

  it("is forgotten, and stops nobody, when its session goes or its volume is frozen or closed", async () => {
    const volume = bench.volume(MEBI);
    const [first, second] = [await bench.login([volume.id]), await bench.login([volume.id])];
    const pair = Buffer.concat([Buffer.alloc(BLOCK), pattern(BLOCK)]);
    await bench.plane.freeze(volume.id);
    for (let n = 0; n < 4; n++) first.send(cdb.compareAndWrite(n, 1), { write: pair, immediate: pair.length });
    // The sessions are on threads of their own: whoever has the volume first holds it until the thaw.
    await first.ping();
    const waiting = second.send(cdb.compareAndWrite(9, 1), { write: pair, immediate: pair.length });
    await second.ping();
    bench.plane.drop(first.connection, "reinstated");
    await bench.event("closed");
    bench.plane.thaw(volume.id);
    expect(await second.finish(waiting)).toMatchObject(GOOD);
    expect(await second.execute(cdb.read10(0, 1), { read: BLOCK })).toMatchObject({ data: Buffer.alloc(BLOCK) });
    await bench.plane.freeze(volume.id);
    const late = second.send(cdb.compareAndWrite(10, 1), { write: pair, immediate: pair.length });
    await second.ping();
    await bench.plane.closeVolume(volume.id);
    expect(await second.finish(late)).toMatchObject(failed("05/25/00"));
  });
});

describe("ORWRITE", () => {
  it("sets the bits that it is sent, over as many bursts as it takes, and leaves the others", async () => {
    const { path, session } = await fullDisk();
    const sent = pattern(2 * MEBI, 7);
    expect(await session.execute(cdb.orWrite(3, sent.length / BLOCK), { write: sent })).toMatchObject(GOOD);
    const expected = pattern(4 * MEBI, 1);
    for (const [at, octet] of sent.entries()) expected[3 * BLOCK + at] = (expected[3 * BLOCK + at] ?? 0) | octet;
    expect(readFileSync(path).equals(expected)).toBe(true);
  });

  it("loses no bit that sessions of all threads set at once", async () => {
    const volume = bench.volume(MEBI);
    const sessions = await Promise.all([0, 1, 2, 3].map(() => bench.login([volume.id])));
    const bits = Array.from({ length: 64 }, (_, bit) => bit);
    const set = (bit: number): Buffer => Buffer.from(Buffer.alloc(BLOCK).map((_, at) => (at === bit ? 1 : 0)));
    await Promise.all(bits.map((bit) => sessions[bit % 4]?.execute(cdb.orWrite(0, 1), { write: set(bit), immediate: BLOCK })));
    expect([...readFileSync(volume.path).subarray(0, 65)]).toEqual([...bits.map(() => 1), 0]);
  });
});

describe("ranges that TypeScript steers", () => {
  it("are copied, filled with a pattern that is counted from the first octet, or given back", async () => {
    const from = await fullDisk();
    const to = await fullDisk(4 * MEBI, {});
    const expected = pattern(4 * MEBI, 1);
    await bench.plane.workRange(to.id, { offset: 5 * BLOCK, length: 2 * MEBI, source: from.id, sourceOffset: 64 * BLOCK });
    pattern(4 * MEBI, 1).copy(expected, 5 * BLOCK, 64 * BLOCK, 64 * BLOCK + 2 * MEBI);
    await bench.plane.workRange(to.id, { offset: 6001 * BLOCK, length: 3 * BLOCK, pattern: Uint8Array.of(1, 2, 3) });
    for (let at = 6001 * BLOCK; at < 6004 * BLOCK; at++) expected[at] = 1 + (at % 3);
    const before = to.storage();
    await bench.plane.workRange(to.id, { offset: 3 * MEBI + 512 * 1024, length: 512 * 1024 });
    expected.fill(0, 3 * MEBI + 512 * 1024);
    await bench.plane.flush(to.id);
    expect(readFileSync(to.path).equals(expected)).toBe(true);
    expect(before - to.storage()).toBe(512 * 1024);
  });

  it("are refused where there is no such volume, or too much is asked for at once", async () => {
    const { id } = bench.volume(MEBI);
    await expect(bench.plane.workRange(id, { offset: 0, length: 65 * MEBI })).rejects.toMatchObject({ code: "EINVAL" });
    await expect(bench.plane.workRange(id, { offset: 0, length: 512, source: 999, sourceOffset: 0 })).rejects.toMatchObject({
      code: "EINVAL",
    });
    await expect(bench.plane.workRange(999, { offset: 0, length: 512 })).rejects.toMatchObject({ code: "ENOENT" });
  });
});

it("a medium that cannot be used says why, and can be used again", async () => {
  const { id, session } = await fullDisk(MEBI);
  await bench.plane.updateVolume(id, { notReady: { key: 2, asc: 0x3a, ascq: 0 } });
  expect(await session.execute(cdb.read10(0, 1), { read: BLOCK })).toMatchObject(failed("02/3a/00"));
  await bench.plane.updateVolume(id, { notReady: { key: 2, asc: 0x04, ascq: 0x1b, progress: 0.5 } });
  const progressOf = async (): Promise<Buffer> =>
    (await session.execute(cdb.testUnitReady())).pdus.at(-1)?.data.subarray(2) ?? Buffer.alloc(0);
  expect((await progressOf()).subarray(12).toString("hex")).toBe("041b00807fff");
  await bench.plane.updateVolume(id, { descriptorSense: true });
  expect((await progressOf()).toString("hex")).toBe("72 02 04 1b 000000 08 02 06 0000 80 7fff 00".replaceAll(" ", ""));
  await bench.plane.updateVolume(id, { notReady: null });
  expect(await session.execute(cdb.read10(0, 1), { read: BLOCK })).toMatchObject(GOOD);
});

it("PRE-FETCH takes a range, and refuses one that is not there", async () => {
  const { session } = await fullDisk(MEBI);
  for (const prefetch of [cdb.prefetch10, cdb.prefetch16]) {
    expect(await session.execute(prefetch(0, 2048))).toMatchObject(GOOD);
    expect(await session.execute(prefetch(5, 0))).toMatchObject(GOOD);
    expect(await session.execute(prefetch(2047, 2))).toMatchObject(failed("05/21/00"));
  }
});

it("a session that goes in the middle of long work takes nothing down", async () => {
  const { session, id } = await fullDisk(32 * MEBI);
  const block = { write: pattern(BLOCK, 2), immediate: BLOCK };
  for (let n = 0; n < 16; n++) session.send(cdb.writeSame16(n, 65_000), block);
  for (let n = 0; n < 16; n++) session.send(cdb.verify16(n, 65_000));
  await session.ping();
  session.destroy();
  await bench.event("closed");
  const other = await bench.login([id]);
  expect(await other.execute(cdb.verify16(0, 0))).toMatchObject(GOOD);
});

it("a VERIFY of a whole disk keeps no other work of its session waiting", async () => {
  const { id } = bench.volume(1024 * 1024 * MEBI);
  const session = await bench.login([id]);
  const whole = session.send(cdb.verify16(0, 0x7fffffff));
  const erased = session.send(cdb.writeSame16(0, 8192), { write: pattern(BLOCK, 2), immediate: BLOCK });
  expect(await session.finish(erased)).toMatchObject(GOOD);
  expect(await session.execute(cdb.compareAndWrite(8, 1), { write: Buffer.concat([pattern(BLOCK, 2), pattern(BLOCK, 3)]) })).toMatchObject(
    GOOD,
  );
  expect(await unmap(session, [[0, 8192]])).toMatchObject(GOOD);
  expect(session.inbox(whole).waiting).toBe(0);
  expect(await session.manage(1, { tag: whole })).toBe(0);
});

it.skipIf(!isRoot)("a full file system refuses durable writes and WRITE SAME, and breaks no disk", async () => {
  const folder = mkdtempSync(join(tmpdir(), "rackboot-full-"));
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=2m", "none", folder]);
  const small = new Bench({ folder });
  try {
    const session = await small.login([small.volume(16 * MEBI, { writeCache: false }).id]);
    const answers = [];
    for (let n = 0; n < 8; n++) answers.push(await session.execute(cdb.write10(n * 1024, 1024), { write: pattern(512 * 1024, n) }));
    expect(answers[0]).toMatchObject(GOOD);
    expect(answers.at(-1)).toMatchObject(failed("07/27/07"));
    expect(await session.execute(cdb.writeSame10(16_384, 8192), { write: pattern(BLOCK) })).toMatchObject(failed("07/27/07"));
    expect(await unmap(session, [[0, 8192]])).toMatchObject(GOOD);
    expect(await session.execute(cdb.write10(16_384, 1024), { write: pattern(512 * 1024) })).toMatchObject(GOOD);
  } finally {
    await small.close();
    execFileSync("umount", [folder]);
    rmdirSync(folder);
  }
});

// A loop device over a file in a memory that is full: a thin disk without room, below a page cache that takes every write.
it.skipIf(!isRoot)("a disk without a write cache goes offline where a thin device below it loses an acknowledged page", async () => {
  const folder = mkdtempSync(join(tmpdir(), "rackboot-thin-"));
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=2m", "none", folder]);
  const backing = join(folder, "backing");
  writeFileSync(backing, "");
  truncateSync(backing, 16 * MEBI);
  const device = execFileSync("losetup", ["-f", "--show", backing], { encoding: "utf8" }).trim();
  try {
    const volume = bench.volume(0, { path: device, writeCache: false });
    const session = await bench.login([volume.id]);
    const answers = [];
    for (let n = 0; n < 8; n++) answers.push(await session.execute(cdb.write10(n * 1024, 1024), { write: pattern(512 * 1024, n) }));
    expect(answers[0]).toMatchObject(GOOD);
    expect(answers.at(-1)).toMatchObject(failed("04/3e/01"));
    await bench.event("volume-failed");
    await bench.plane.closeVolume(volume.id);
  } finally {
    execFileSync("losetup", ["-d", device]);
    execFileSync("umount", [folder]);
    rmdirSync(folder);
  }
});

// The kernel tells an open file of lost pages once: of flushes of several threads at once, one hears of it.
it.skipIf(!isRoot)("no flush of any thread succeeds once acknowledged pages are lost", async () => {
  const folder = mkdtempSync(join(tmpdir(), "rackboot-thin-"));
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=2m", "none", folder]);
  const backing = join(folder, "backing");
  writeFileSync(backing, "");
  truncateSync(backing, 16 * MEBI);
  const device = execFileSync("losetup", ["-f", "--show", backing], { encoding: "utf8" }).trim();
  try {
    const volume = bench.volume(0, { path: device });
    const sessions = await Promise.all([1, 2, 3, 4].map(() => bench.login([volume.id])));
    const [first] = sessions;
    for (let n = 0; n < 16; n++) await first?.execute(cdb.write10(n * 1024, 1024), { write: pattern(512 * 1024, n) });
    const flushes = sessions.flatMap((session, n) => [
      session.execute(cdb.synchronizeCache10()),
      session.execute(cdb.write10(n, 1, true), { write: pattern(BLOCK, n), immediate: BLOCK }),
    ]);
    for (const answer of await Promise.all(flushes)) expect(answer.status).toBe(2);
    expect(bench.events.filter(({ type }) => type === "volume-failed")).toHaveLength(1);
    await bench.plane.closeVolume(volume.id);
  } finally {
    execFileSync("losetup", ["-d", device]);
    execFileSync("umount", [folder]);
    rmdirSync(folder);
  }
});
