import { readFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Bench, pattern } from "./bench.ts";
import { cdb } from "./cdb.ts";
import { Opcode, opcodeOf } from "./initiator.ts";

const MEBI = 1048576;
const BLOCK = 512;

let bench: Bench;
beforeEach(() => {
  bench = new Bench();
});
afterEach(() => bench.close());

describe("a disk keeps what is written to it", () => {
  const cases = [
    { name: "6 octet CDBs", read: cdb.read6, write: cdb.write6, blocks: 200 },
    { name: "10 octet CDBs", read: cdb.read10, write: cdb.write10, blocks: 4000 },
    { name: "12 octet CDBs", read: cdb.read12, write: cdb.write12, blocks: 4000 },
    { name: "16 octet CDBs", read: cdb.read16, write: cdb.write16, blocks: 4000 },
  ];
  it.each(cases)("with $name", async ({ read, write, blocks }) => {
    const volume = bench.volume(8 * MEBI);
    const session = await bench.login([volume.id]);
    const data = pattern(blocks * BLOCK, blocks);
    expect(await session.execute(write(7, blocks), { write: data })).toMatchObject({ status: 0, overflow: 0, underflow: 0 });
    const answer = await session.execute(read(7, blocks), { read: data.length });
    expect(answer).toMatchObject({ status: 0, overflow: 0, underflow: 0 });
    expect(answer.data.equals(data)).toBe(true);
    expect(
      readFileSync(volume.path)
        .subarray(7 * BLOCK, 7 * BLOCK + data.length)
        .equals(data),
    ).toBe(true);
  });

  const ways = [
    { name: "asked for by R2T alone", parameters: { initialR2T: true, immediateData: false }, immediate: 0, unsolicited: 0 },
    { name: "immediate, the rest by R2T", parameters: { initialR2T: true }, immediate: 8192, unsolicited: 0 },
    { name: "immediate and unsolicited, the rest by R2T", parameters: {}, immediate: 4096, unsolicited: 65_536 },
    { name: "unsolicited without immediate", parameters: { immediateData: false }, immediate: 0, unsolicited: 65_536 },
    { name: "less unsolicited than allowed", parameters: {}, immediate: 512, unsolicited: 1536 },
    { name: "in small bursts", parameters: { maxBurstLength: 8192, firstBurstLength: 4096 }, immediate: 1024, unsolicited: 4096 },
    { name: "with four R2Ts at a time", parameters: { maxBurstLength: 16_384, maxOutstandingR2T: 4 }, immediate: 0, unsolicited: 0 },
  ];
  it.each(ways)("with data $name", async ({ parameters, immediate, unsolicited }) => {
    const volume = bench.volume(4 * MEBI);
    const session = await bench.login([volume.id], { parameters, segmentBytes: 3000 });
    const data = pattern(300 * BLOCK, immediate + unsolicited);
    const answer = await session.execute(cdb.write10(9, 300), { write: data, immediate, unsolicited });
    expect(answer).toMatchObject({ status: 0, overflow: 0, underflow: 0 });
    const burst = Math.min(parameters.maxBurstLength ?? 262_144, MEBI);
    for (const pdu of answer.pdus.filter((each) => opcodeOf(each) === Opcode.r2t)) {
      expect(pdu.header.readUInt32BE(44)).toBeLessThanOrEqual(burst);
    }
    const back = await session.execute(cdb.read10(9, 300), { read: data.length });
    expect(back.data.equals(data)).toBe(true);
  });

  it("at a depth of 100 commands, each with data of its own", async () => {
    const volume = bench.volume(16 * MEBI);
    const session = await bench.login([volume.id]);
    const blocks = 64;
    const datas = Array.from({ length: 100 }, (_, n) => pattern(blocks * BLOCK, n));
    const writes = await Promise.all(
      datas.map((data, n) => session.execute(cdb.write10(n * blocks, blocks), { write: data, immediate: n % 2 === 0 ? 8192 : 0 })),
    );
    expect(writes.every(({ status }) => status === 0)).toBe(true);
    const reads = await Promise.all(datas.map((_, n) => session.execute(cdb.read10(n * blocks, blocks), { read: blocks * BLOCK })));
    expect(reads.every(({ data }, n) => datas[n]?.equals(data))).toBe(true);
    const [counted] = bench.plane.counters().volumes;
    expect(counted).toMatchObject({ writeOps: 100, readOps: 100, writeBytes: 100 * blocks * BLOCK, readBytes: 100 * blocks * BLOCK });
  });

  it("with digests on both headers and data", async () => {
    const volume = bench.volume(4 * MEBI);
    const session = await bench.login([volume.id], { headerDigest: true, dataDigest: true, segmentBytes: 5001 });
    const data = pattern(500 * BLOCK, 3);
    expect(await session.execute(cdb.write10(1, 500), { write: data, immediate: 1000, unsolicited: 30_003 })).toMatchObject({ status: 0 });
    expect((await session.execute(cdb.read10(1, 500), { read: data.length })).data.equals(data)).toBe(true);
  });

  it("when memory is far too small for the queue", async () => {
    await bench.close();
    bench = new Bench({ threads: 1, memoryBytes: MEBI });
    const volume = bench.volume(64 * MEBI);
    const sessions = await Promise.all([1, 2, 3, 4].map(() => bench.login([volume.id], { segmentBytes: 65_536 })));
    const blocks = 1024;
    const jobs = sessions.flatMap((session, s) =>
      Array.from({ length: 20 }, async (_, n) => {
        const data = pattern(blocks * BLOCK, s * 100 + n);
        const lba = (s * 20 + n) * blocks;
        const options = { write: data, immediate: 4096, unsolicited: 65_536 };
        let wrote = await session.execute(cdb.write10(lba, blocks), options);
        // BUSY is what a flood of unsolicited data may get; an initiator tries again (SAM-5, 5.3.1).
        while (wrote.status === 8) wrote = await session.execute(cdb.write10(lba, blocks), options);
        const read = await session.execute(cdb.read10(lba, blocks), { read: data.length });
        return wrote.status === 0 && read.data.equals(data);
      }),
    );
    expect((await Promise.all(jobs)).every(Boolean)).toBe(true);
  });
});

describe("lengths that do not match", () => {
  it("are told as residuals of a read", async () => {
    const session = await bench.login([bench.volume(MEBI).id]);
    expect(await session.execute(cdb.read10(0, 4), { read: 1024 })).toMatchObject({ status: 0, overflow: 1024, underflow: 0 });
    const under = await session.execute(cdb.read10(0, 4), { read: 4096 });
    expect(under).toMatchObject({ status: 0, overflow: 0, underflow: 2048 });
    expect(under.data.length).toBe(2048);
  });

  it("are told as residuals of a write, which writes no more than the smaller", async () => {
    const volume = bench.volume(MEBI);
    const session = await bench.login([volume.id]);
    const data = pattern(8 * BLOCK, 1);
    expect(await session.execute(cdb.write10(0, 2), { write: data, unsolicited: 4096 })).toMatchObject({ status: 0, underflow: 3072 });
    const file = readFileSync(volume.path);
    expect(file.subarray(0, 1024).equals(data.subarray(0, 1024))).toBe(true);
    expect(file.subarray(1024, 4096).every((octet) => octet === 0)).toBe(true);
    expect(await session.execute(cdb.write10(0, 8), { write: data.subarray(0, 512) })).toMatchObject({ status: 0, overflow: 3584 });
  });
});

describe("replies", () => {
  it("are cut to the initiator's segment and burst, numbered, with the status in the last one", async () => {
    const session = await bench.login([bench.volume(4 * MEBI).id], {
      parameters: { maxSendDataSegmentLength: 8192, maxBurstLength: 20_480 },
    });
    const { pdus } = await session.execute(cdb.read10(0, 128), { read: 65_536 });
    let offset = 0;
    pdus.forEach((pdu, n) => {
      expect(opcodeOf(pdu)).toBe(Opcode.dataIn);
      expect(pdu.data.length).toBeLessThanOrEqual(8192);
      expect(pdu.header.readUInt32BE(36)).toBe(n);
      expect(pdu.header.readUInt32BE(40)).toBe(offset);
      offset += pdu.data.length;
      const last = n === pdus.length - 1;
      expect((pdu.header.readUInt8(1) & 0x80) !== 0, `F bit at ${offset}`).toBe(last || offset % 20_480 === 0);
      expect((pdu.header.readUInt8(1) & 1) !== 0).toBe(last);
    });
    expect(offset).toBe(65_536);
  });

  it("count StatSN by one a response", async () => {
    const session = await bench.login([bench.volume(MEBI).id]);
    const numbers: number[] = [];
    for (let n = 0; n < 5; n++) {
      const { pdus } = await session.execute(n % 2 === 0 ? cdb.testUnitReady() : cdb.read10(0, 1), n % 2 === 0 ? {} : { read: 512 });
      numbers.push(pdus.at(-1)?.header.readUInt32BE(24) ?? -1);
    }
    expect(numbers).toEqual(numbers.map((_, n) => (numbers[0] ?? 0) + n));
  });

  it("of data in place leave almost nothing to copy", async () => {
    const session = await bench.login([bench.volume(16 * MEBI).id], { segmentBytes: 262_144 });
    const data = pattern(4 * MEBI, 1);
    await session.execute(cdb.write16(0, 8192), { write: data });
    await session.execute(cdb.read16(0, 8192), { read: data.length });
    expect(bench.plane.counters().payloadBytesCopied).toBeLessThan(data.length / 100);
  });
});

it("a flush and a write through the cache are answered when the disk has them", async () => {
  const volume = bench.volume(MEBI, { writeCache: false });
  const session = await bench.login([volume.id]);
  expect(await session.execute(cdb.write10(0, 8), { write: pattern(4096), immediate: 4096 })).toMatchObject({ status: 0 });
  expect(await session.execute(cdb.write16(0, 1024, true), { write: pattern(524_288), immediate: 4096 })).toMatchObject({ status: 0 });
  const flushes = await Promise.all(Array.from({ length: 10 }, () => session.execute(cdb.synchronizeCache10())));
  expect(flushes.every(({ status }) => status === 0)).toBe(true);
  expect(await session.execute(cdb.synchronizeCache16())).toMatchObject({ status: 0 });
});

it("the first read of a connection is reported once", async () => {
  const session = await bench.login([bench.volume(MEBI).id]);
  await session.execute(cdb.read10(0, 1), { read: 512 });
  await session.execute(cdb.read10(1, 1), { read: 512 });
  await session.ping();
  await bench.event("first-read");
  expect(bench.events.filter((event) => event.type === "first-read")).toEqual([
    { type: "first-read", connection: session.connection, lun: 0 },
  ]);
});
