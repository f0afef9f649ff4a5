import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type IoCounters, LATENCY_SECONDS, type Latency } from "../../src/native/data-plane.ts";
import { Bench, pattern, until } from "./bench.ts";
import { cdb } from "./cdb.ts";

const MEBI = 1048576;

let bench: Bench;
beforeEach(() => {
  bench = new Bench();
});
afterEach(() => bench.close());

const counted = (latency: Latency | undefined): number | undefined => latency?.buckets.reduce((sum, count) => sum + count, 0);
const volumeOf = (id: number): IoCounters | undefined => bench.plane.counters().volumes.find(({ volume }) => volume === id);
const accountOf = (name: string): IoCounters | undefined => bench.plane.counters().accounts.find(({ account }) => account === name);

describe("whoever watches a disk", () => {
  it("sees every command's time, once for the disk and once for the machine, and what two machines do on one disk apart", async () => {
    const { id } = bench.volume(MEBI);
    const [uqbar, tlon] = [await bench.login([id], { account: "uqbar" }), await bench.login([id], { account: "tlon" })];
    for (let i = 0; i < 3; i++) await uqbar.execute(cdb.read10(i, 1), { read: 512 });
    await uqbar.execute(cdb.write10(0, 2), { write: pattern(1024), unsolicited: 1024 });
    await tlon.execute(cdb.read10(0, 8), { read: 4096 });
    await tlon.execute(cdb.synchronizeCache10(), {});
    const [disk, first, second] = [volumeOf(id), accountOf("uqbar"), accountOf("tlon")];
    expect(disk).toMatchObject({ readOps: 4, readBytes: 5632, writeOps: 1, writeBytes: 1024, flushOps: 1, queueDepth: 0 });
    expect(first).toMatchObject({ readOps: 3, readBytes: 1536, writeOps: 1, writeBytes: 1024, flushOps: 0, queueDepth: 0 });
    expect(second).toMatchObject({ readOps: 1, readBytes: 4096, writeOps: 0, flushOps: 1, queueDepth: 0 });
    expect([disk?.readLatency, first?.readLatency, second?.readLatency].map(counted)).toEqual([4, 3, 1]);
    expect([disk?.flushLatency, first?.flushLatency].map(counted)).toEqual([1, undefined]);
    expect(disk?.readLatency?.buckets).toHaveLength(LATENCY_SECONDS.length + 1);
    expect(disk?.readLatency?.totalSeconds).toBeGreaterThan(0);
  });

  it("sees how many commands wait, and none of them after they were answered or aborted", async () => {
    const { id } = bench.volume(MEBI);
    const session = await bench.login([id], { account: "uqbar" });
    await bench.plane.freeze(id);
    const reads = [0, 1].map((lba) => session.execute(cdb.read10(lba, 1), { read: 512 }));
    await until(() => volumeOf(id)?.queueDepth === 2, "two commands in the queue");
    expect(accountOf("uqbar")?.queueDepth).toBe(2);
    bench.plane.thaw(id);
    await Promise.all(reads);
    expect(volumeOf(id)?.queueDepth).toBe(0);
    await bench.plane.freeze(id);
    const lost = session.execute(cdb.read10(2, 1), { read: 512 }).catch(() => undefined);
    await until(() => volumeOf(id)?.queueDepth === 1, "one command in the queue");
    bench.plane.drop(session.connection, "as a machine that loses its power");
    await until(() => bench.plane.counters().connections === 0, "the session gone");
    expect(volumeOf(id)?.queueDepth).toBe(0);
    bench.plane.thaw(id);
    await lost;
  });

  it("keeps what a machine did when its session ends", async () => {
    const { id } = bench.volume(MEBI);
    const session = await bench.login([id], { account: "uqbar" });
    await session.execute(cdb.read10(0, 1), { read: 512 });
    bench.plane.drop(session.connection, "gone");
    await until(() => bench.plane.counters().connections === 0, "the session gone");
    await bench.plane.closeVolume(id);
    expect(accountOf("uqbar")).toMatchObject({ readOps: 1, queueDepth: 0 });
  });
});

it("the rings of the data threads tell what went through them", async () => {
  const before = bench.plane.counters().ring;
  const session = await bench.login([bench.volume(MEBI).id]);
  await session.execute(cdb.read10(0, 1), { read: 512 });
  const after = bench.plane.counters().ring;
  expect(after.entries).toBeGreaterThan(before.entries);
  expect(after.completions).toBeGreaterThan(before.completions);
  expect(after.sleeps + after.spins).toBeGreaterThan(before.sleeps + before.spins);
});
