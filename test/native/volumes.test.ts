import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmdirSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Bench, pattern, until } from "./bench.ts";
import { cdb } from "./cdb.ts";

const MEBI = 1048576;

let bench: Bench;
beforeEach(() => {
  bench = new Bench();
});
afterEach(() => bench.close());

describe("a volume's edges", () => {
  it("refuse blocks beyond the end, however they are counted", async () => {
    const session = await bench.login([bench.volume(MEBI).id]);
    const beyond = { status: 2, sense: "05/21/00" };
    expect(await session.execute(cdb.read10(2048, 1), { read: 512 })).toMatchObject(beyond);
    expect(await session.execute(cdb.read10(2047, 2), { read: 1024 })).toMatchObject(beyond);
    expect(await session.execute(cdb.read16(Number.MAX_SAFE_INTEGER, 8), { read: 4096 })).toMatchObject(beyond);
    expect(await session.execute(cdb.read12(0, 0xffffffff), { read: 4096 })).toMatchObject(beyond);
    expect(await session.execute(cdb.write10(2047, 2), { write: pattern(1024), unsolicited: 1024 })).toMatchObject(beyond);
    expect(await session.execute(cdb.write10(2000, 200), { write: pattern(102_400) })).toMatchObject(beyond);
    expect(await session.execute(cdb.read10(2047, 1), { read: 512 })).toMatchObject({ status: 0 });
    expect(await session.execute(cdb.read10(2048, 0), {})).toMatchObject({ status: 0 });
  });

  it("count in blocks of 4096 octets where it has them", async () => {
    const volume = bench.volume(MEBI, { blockSize: 4096 });
    const session = await bench.login([volume.id]);
    expect(await session.execute(cdb.write10(255, 1), { write: pattern(4096, 8) })).toMatchObject({ status: 0 });
    expect(
      readFileSync(volume.path)
        .subarray(255 * 4096)
        .equals(pattern(4096, 8)),
    ).toBe(true);
    expect(await session.execute(cdb.read10(256, 1), { read: 4096 })).toMatchObject({ status: 2, sense: "05/21/00" });
  });

  it("move when its file has grown", async () => {
    const volume = bench.volume(MEBI);
    const session = await bench.login([volume.id]);
    await expect(bench.plane.updateVolume(volume.id, { sizeBytes: 2 * MEBI })).rejects.toThrow(/Grow it first/);
    truncateSync(volume.path, 2 * MEBI);
    await bench.plane.updateVolume(volume.id, { sizeBytes: 2 * MEBI });
    expect(await session.execute(cdb.read10(4095, 1), { read: 512 })).toMatchObject({ status: 0 });
  });
});

describe("a volume that cannot be opened is refused with the system's code", () => {
  it("when its file is missing, too small, or no file", () => {
    const spec = { path: "/nowhere/disk", sizeBytes: 0, blockSize: 512, readOnly: false, writeCache: true, thin: true } as const;
    expect(() => bench.plane.openVolume(spec)).toThrow(expect.objectContaining({ code: "ENOENT" }));
    const { path } = bench.volume(MEBI);
    expect(() => bench.plane.openVolume({ ...spec, path, sizeBytes: 2 * MEBI })).toThrow(expect.objectContaining({ code: "EINVAL" }));
    expect(() => bench.plane.openVolume({ ...spec, path: "/dev/null" })).toThrow(expect.objectContaining({ code: "EINVAL" }));
  });
});

describe("a write is refused", () => {
  it("on a volume, or a LUN, that is read-only", async () => {
    const { path } = bench.volume(MEBI);
    const volume = bench.volume(MEBI, { path, readOnly: true });
    const writable = bench.volume(MEBI);
    const session = await bench.login([], {
      luns: [
        { lun: 0, volume: volume.id, readOnly: false },
        { lun: 1, volume: writable.id, readOnly: true },
      ],
    });
    for (const lun of [0, 1]) {
      const answer = await session.execute(cdb.write10(0, 8), { write: pattern(4096), immediate: 4096, lun });
      expect(answer).toMatchObject({ status: 2, sense: "07/27/00" });
      expect(await session.execute(cdb.read10(0, 8), { read: 4096, lun })).toMatchObject({ status: 0 });
    }
    await bench.plane.updateVolume(writable.id, { readOnly: true });
  });

  // Mounting takes root; nothing else makes a file system full as it really is.
  it.skipIf(process.getuid?.() !== 0)("when the file system is full, told once, and works again when there is room", async () => {
    const folder = mkdtempSync(join(tmpdir(), "rackboot-full-"));
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=2m", "none", folder]);
    const small = new Bench({ folder });
    try {
      const session = await small.login([small.volume(64 * MEBI).id]);
      const answers = [];
      for (let n = 0; n < 8; n++) {
        answers.push(await session.execute(cdb.write10(n * 1024, 1024), { write: pattern(512 * 1024, n), immediate: 4096 }));
      }
      expect(answers[0]).toMatchObject({ status: 0 });
      expect(answers.at(-1)).toMatchObject({ status: 2, sense: "07/27/07" });
      await small.event("volume-full");
      expect(small.events.filter((event) => event.type === "volume-full").length).toBe(1);
      execFileSync("mount", ["-o", "remount,size=32m", folder]);
      expect(await session.execute(cdb.write10(7168, 1024), { write: pattern(512 * 1024, 1) })).toMatchObject({ status: 0 });
    } finally {
      await small.close();
      execFileSync("umount", [folder]);
      rmdirSync(folder);
    }
  });
});

describe("a file that was cut short by hand", () => {
  it("takes its volume offline for good, with the reason", async () => {
    const volume = bench.volume(MEBI);
    const session = await bench.login([volume.id]);
    truncateSync(volume.path, 4096);
    expect(await session.execute(cdb.read10(0, 8), { read: 4096 })).toMatchObject({ status: 0 });
    expect(await session.execute(cdb.read10(100, 8), { read: 4096 })).toMatchObject({ status: 2, sense: "04/3e/01" });
    const { reason } = await bench.event("volume-failed", (event) => event.volume === volume.id);
    expect(reason).toContain(volume.path);
    expect(await session.execute(cdb.read10(0, 8), { read: 4096 })).toMatchObject({ status: 2, sense: "04/3e/01" });
    expect(await session.execute(cdb.synchronizeCache10())).toMatchObject({ status: 2, sense: "04/3e/01" });
    expect(await session.execute(cdb.testUnitReady())).toMatchObject({ status: 2, sense: "02/04/03" });
    expect(bench.events.filter((event) => event.type === "volume-failed").length).toBe(1);
  });
});

describe("a frozen volume", () => {
  it("does nothing until it is thawed, then all that came meanwhile", async () => {
    const volume = bench.volume(MEBI);
    const sessions = await Promise.all([1, 2, 3, 4].map(() => bench.login([volume.id])));
    await bench.plane.freeze(volume.id);
    const before = readFileSync(volume.path);
    const tags = sessions.map((session, n) => session.send(cdb.write10(n * 8, 8), { write: pattern(4096, n), immediate: 4096 }));
    const flush = sessions[0]?.send(cdb.synchronizeCache10()) ?? 0;
    for (const session of sessions) await session.ping();
    expect(readFileSync(volume.path).equals(before)).toBe(true);
    expect(sessions.every((session, n) => session.inbox(tags[n] ?? 0).waiting === 0)).toBe(true);
    bench.plane.thaw(volume.id);
    for (const [n, session] of sessions.entries()) expect(await session.finish(tags[n] ?? 0)).toMatchObject({ status: 0 });
    expect(await sessions[0]?.finish(flush)).toMatchObject({ status: 0 });
    const file = readFileSync(volume.path);
    for (let n = 0; n < 4; n++) expect(file.subarray(n * 4096, (n + 1) * 4096).equals(pattern(4096, n))).toBe(true);
  });

  it("keeps no initiator from aborting what waits for it, and does nothing of that later", async () => {
    const volume = bench.volume(MEBI);
    const session = await bench.login([volume.id]);
    await bench.plane.freeze(volume.id);
    const write = (lba: number): number => session.send(cdb.write10(lba, 8), { write: pattern(4096, lba), immediate: 4096 });
    const single = write(0);
    expect(await session.manage(1, { tag: single })).toBe(0);
    const aborts = [2, 4, 5, 6];
    for (const [at, code] of aborts.entries()) {
      const tag = write(8 * (at + 1));
      expect(await session.manage(code)).toBe(0);
      await session.ping();
      expect(session.inbox(tag).waiting).toBe(0);
      // The unit attention of a reset is taken by what needs no medium, so that nothing waits for it.
      if (code > 4) expect((await session.execute(cdb.testUnitReady())).sense).toBe("06/29/03");
    }
    bench.plane.thaw(volume.id);
    expect((await session.execute(cdb.read10(0, 64), { read: 32_768 })).data.equals(Buffer.alloc(32_768))).toBe(true);
  });

  it("forgets what a session wanted that logs out, and answers it at once", async () => {
    const volume = bench.volume(MEBI);
    const session = await bench.login([volume.id]);
    await bench.plane.freeze(volume.id);
    session.send(cdb.write10(0, 8), { write: pattern(4096, 1), immediate: 4096 });
    expect(await session.logout()).toBe(0);
    bench.plane.thaw(volume.id);
    const other = await bench.login([volume.id]);
    expect((await other.execute(cdb.read10(0, 8), { read: 4096 })).data.equals(Buffer.alloc(4096))).toBe(true);
  });

  it("forgets what dropped sessions wanted", async () => {
    const volume = bench.volume(MEBI);
    const session = await bench.login([volume.id]);
    await bench.plane.freeze(volume.id);
    session.send(cdb.write10(0, 8), { write: pattern(4096, 1), immediate: 4096 });
    await session.ping();
    bench.plane.drop(session.connection, "reinstated");
    await bench.event("closed");
    bench.plane.thaw(volume.id);
    const other = await bench.login([volume.id]);
    expect((await other.execute(cdb.read10(0, 8), { read: 4096 })).data.equals(Buffer.alloc(4096))).toBe(true);
  });
});

describe("a closed volume", () => {
  it("is an unknown LUN from then on, and its file is let go", async () => {
    const volume = bench.volume(8 * MEBI);
    const session = await bench.login([volume.id]);
    const writes = Array.from({ length: 32 }, (_, n) => session.execute(cdb.write10(n * 256, 256), { write: pattern(131_072, n) }));
    await bench.plane.closeVolume(volume.id);
    const open = execFileSync("ls", ["-l", `/proc/${process.pid}/fd`], { encoding: "utf8" });
    expect(open).not.toContain(volume.path);
    expect(await session.execute(cdb.read10(0, 1), { read: 512 })).toMatchObject({ status: 2, sense: "05/25/00" });
    for (const { status, sense } of await Promise.all(writes)) expect(status === 0 || sense === "05/25/00").toBe(true);
    await expect(bench.plane.closeVolume(volume.id)).rejects.toMatchObject({ code: "ENOENT" });
  });

  it("may be frozen when it is closed", async () => {
    const volume = bench.volume(MEBI);
    const session = await bench.login([volume.id]);
    await bench.plane.freeze(volume.id);
    const tag = session.send(cdb.write10(0, 8), { write: pattern(4096), immediate: 4096 });
    await session.ping();
    await bench.plane.closeVolume(volume.id);
    expect(await session.finish(tag)).toMatchObject({ status: 2, sense: "05/25/00" });
  });
});

it("small writes that wait keep no more memory than was given to the data path", async () => {
  const memoryBytes = 4 * MEBI;
  const small = new Bench({ memoryBytes, threads: 1 });
  try {
    const volume = small.volume(MEBI);
    const session = await small.login([volume.id]);
    await small.plane.freeze(volume.id);
    // Each has a buffer of the connection to itself, with what follows it.
    const tags = [];
    for (let n = 0; n < 120; n++) {
      tags.push(session.send(cdb.write10(n, 1), { write: pattern(512, n), immediate: 512 }));
      await session.ping(pattern(24 * 1024));
    }
    expect(small.plane.counters().bufferBytes).toBeLessThanOrEqual(memoryBytes);
    small.plane.thaw(volume.id);
    for (const tag of tags) expect(await session.finish(tag)).toMatchObject({ status: 0 });
    const { data } = await session.execute(cdb.read10(0, 120), { read: 120 * 512 });
    for (let n = 0; n < 120; n++) expect(data.subarray(n * 512, (n + 1) * 512).equals(pattern(512, n))).toBe(true);
  } finally {
    await small.close();
  }
});

it("memory that a burst took is given back when it is quiet", async () => {
  const volume = bench.volume(32 * MEBI);
  const session = await bench.login([volume.id]);
  await Promise.all(Array.from({ length: 64 }, (_, n) => session.execute(cdb.read10(n * 1024, 1024), { read: 524_288 })));
  await until(() => bench.plane.counters().bufferBytes <= 4 * MEBI, "slabs given back");
});
