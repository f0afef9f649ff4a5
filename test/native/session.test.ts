import { readFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Bench, pattern, sense, until } from "./bench.ts";
import { cdb } from "./cdb.ts";
import { type Initiator, Opcode, opcodeOf } from "./initiator.ts";

const MEBI = 1048576;

let bench: Bench;
let volume: number;
beforeEach(() => {
  bench = new Bench();
  volume = bench.volume(4 * MEBI).id;
});
afterEach(() => bench.close());

const none = Buffer.alloc(0);
const rejects = async (session: Initiator): Promise<number> => (await session.untagged.take()).header.readUInt8(2);

describe("commands run in the order of their CmdSN", () => {
  it("also when they arrive in another", async () => {
    const session = await bench.login([volume]);
    const first = session.cmdSN;
    const late = session.send(cdb.read10(0, 1), { read: 512, cmdSN: first + 1 });
    const data = pattern(512, 5);
    expect(await session.ping()).toEqual(none);
    expect(session.inbox(late).waiting).toBe(0);
    const early = session.send(cdb.write10(0, 1), { write: data, immediate: 512, cmdSN: first });
    session.cmdSN += 2;
    expect(await session.finish(early)).toMatchObject({ status: 0 });
    expect((await session.finish(late)).status).toBe(0);
  });

  it("and are ignored silently outside the window, or twice", async () => {
    const session = await bench.login([volume]);
    const first = session.cmdSN;
    const beyond = session.send(cdb.testUnitReady(), { cmdSN: first + 128 });
    const before = session.send(cdb.testUnitReady(), { cmdSN: first - 1 });
    const dataToo = session.send(cdb.write10(0, 16), { write: pattern(8192), immediate: 8192, cmdSN: first + 4000 });
    await session.ping();
    for (const tag of [beyond, before, dataToo]) expect(session.inbox(tag).waiting).toBe(0);
    expect(await session.execute(cdb.testUnitReady())).toMatchObject({ status: 0 });
  });

  it("up to 128 at a time, and the window opens as they are answered", async () => {
    const session = await bench.login([volume]);
    bench.onCommand = () => undefined;
    const tags = Array.from({ length: 128 }, () => session.send(cdb.inquiry(), { read: 96 }));
    await until(() => bench.events.filter((event) => event.type === "command").length === 128, "all commands up");
    const ignored = session.send(cdb.testUnitReady());
    await session.ping();
    expect(session.inbox(ignored).waiting).toBe(0);
    expect(session.maxCmdSN).toBe(session.cmdSN - 2);
    for (const event of bench.events) {
      if (event.type === "command") bench.plane.completeCommand(event.connection, event.task, { status: 0, data: pattern(96) });
    }
    const answers = await Promise.all(tags.map((tag) => session.finish(tag)));
    expect(answers.every(({ status, data }) => status === 0 && data.length === 96)).toBe(true);
    expect(session.maxCmdSN).toBe(session.cmdSN - 2 + 128);
  });

  it("with immediate ones at once", async () => {
    const session = await bench.login([volume]);
    const held = session.send(cdb.testUnitReady(), { cmdSN: session.cmdSN + 1 });
    expect(await session.execute(cdb.testUnitReady(), { immediateDelivery: true })).toMatchObject({ status: 0 });
    expect(session.inbox(held).waiting).toBe(0);
  });
});

describe("a command that the data path does not know", () => {
  it("goes up with all of its data, and its answer comes back with residuals", async () => {
    const session = await bench.login([volume]);
    const parameter = pattern(20_000, 9);
    bench.onCommand = ({ cdb: bytes }) => (bytes[0] === 0x1a ? { status: 0, data: pattern(40) } : { status: 0 });
    expect(await session.execute(cdb.persistentReserveOut(20_000), { write: parameter, immediate: 1000 })).toMatchObject({ status: 0 });
    const command = await bench.event("command");
    expect(Buffer.from(command.dataOut).equals(parameter)).toBe(true);
    expect(command).toMatchObject({ connection: session.connection, lun: 0, volume, expectedDataLength: 20_000 });
    const answer = await session.execute(cdb.modeSense6(), { read: 255 });
    expect(answer).toMatchObject({ status: 0, underflow: 215 });
    expect(answer.data.equals(pattern(40))).toBe(true);
  });

  it("may be answered with sense data, or with data that is too long", async () => {
    const session = await bench.login([volume]);
    expect(await session.execute(cdb.modeSense6(), { read: 255 })).toMatchObject({ status: 2, sense: "05/20/00" });
    bench.onCommand = () => ({ status: 0, data: pattern(1000) });
    const answer = await session.execute(cdb.inquiry(), { read: 100 });
    expect(answer).toMatchObject({ status: 0, overflow: 900 });
    expect(answer.data.length).toBe(100);
  });

  it("is answered to nobody when it was aborted meanwhile", async () => {
    const session = await bench.login([volume]);
    bench.onCommand = () => undefined;
    const tag = session.send(cdb.modeSense6(), { read: 255 });
    const { connection, task } = await bench.event("command");
    expect(await session.manage(1, { tag })).toBe(0);
    bench.plane.completeCommand(connection, task, { status: 0 });
    await session.ping();
    expect(session.inbox(tag).waiting).toBe(0);
  });
});

describe("unit attentions", () => {
  it("tell of power on once a LUN, but not to INQUIRY", async () => {
    const session = await bench.login([volume, bench.volume(MEBI).id], { keepAttention: true });
    bench.onCommand = () => ({ status: 0, data: pattern(96) });
    expect(await session.execute(cdb.inquiry(), { read: 96 })).toMatchObject({ status: 0 });
    expect(await session.execute(cdb.modeSense6(), { read: 96 })).toMatchObject({ status: 2, sense: "06/29/00" });
    expect(await session.execute(cdb.testUnitReady())).toMatchObject({ status: 0 });
    expect(await session.execute(cdb.read10(0, 1), { read: 512, lun: 1 })).toMatchObject({ status: 2, sense: "06/29/00" });
    expect(await session.execute(cdb.read10(0, 1), { read: 512, lun: 1 })).toMatchObject({ status: 0 });
  });

  it("are what REQUEST SENSE returns, and are gone then", async () => {
    const session = await bench.login([volume], { keepAttention: true });
    const { data } = await session.execute(cdb.requestSense(), { read: 252 });
    expect(data.equals(Buffer.from(sense(6, 0x29, 0)))).toBe(true);
    expect(await session.execute(cdb.testUnitReady())).toMatchObject({ status: 0 });
  });

  it("reach every session that sees the volume, except the one that caused them", async () => {
    const sessions = await Promise.all([1, 2, 3].map(() => bench.login([volume])));
    bench.plane.raiseUnitAttention(volume, 0x2a, 0x09, { except: sessions[0]?.connection ?? 0 });
    const answers = [];
    for (const session of sessions) answers.push((await session.execute(cdb.testUnitReady())).sense);
    expect(answers).toEqual(["", "06/2a/09", "06/2a/09"]);
  });
});

describe("a LUN that the session does not see", () => {
  it("is answered by the control plane for INQUIRY, and by an error otherwise", async () => {
    const session = await bench.login([volume]);
    bench.onCommand = ({ volume: which }) => ({ status: 0, data: which === undefined ? Buffer.from([0x7f]) : Buffer.from([0]) });
    expect((await session.execute(cdb.inquiry(), { read: 96, lun: 5 })).data).toEqual(Buffer.from([0x7f]));
    for (const command of [cdb.testUnitReady(), cdb.modeSense6()]) {
      expect(await session.execute(command, { lun: 5 })).toMatchObject({ status: 2, sense: "05/25/00" });
    }
    expect(await session.execute(cdb.write10(0, 8), { write: pattern(4096), unsolicited: 4096, lun: 5 })).toMatchObject({
      status: 2,
      sense: "05/25/00",
    });
  });

  it("appears and goes with setLuns", async () => {
    const other = bench.volume(MEBI).id;
    const session = await bench.login([volume]);
    bench.plane.setLuns(session.connection, [
      { lun: 0, volume, readOnly: true },
      { lun: 3, volume: other, readOnly: false },
    ]);
    expect(await session.execute(cdb.testUnitReady())).toMatchObject({ sense: "06/3f/0e" });
    expect(await session.execute(cdb.write10(0, 1), { write: pattern(512) })).toMatchObject({ sense: "07/27/00" });
    expect(await session.execute(cdb.testUnitReady(), { lun: 3 })).toMatchObject({ sense: "06/29/00" });
    expect(await session.execute(cdb.testUnitReady(), { lun: 3 })).toMatchObject({ status: 0 });
    bench.plane.setLuns(session.connection, [{ lun: 3, volume, readOnly: false }]);
    const told = [];
    for (let i = 0; i < 3; i++) told.push((await session.execute(cdb.testUnitReady(), { lun: 3 })).sense);
    expect(told).toEqual(["06/29/00", "06/3f/03", ""]);
    bench.plane.setLuns(session.connection, []);
    expect(await session.execute(cdb.read10(0, 1), { read: 512, lun: 3 })).toMatchObject({ sense: "05/25/00" });
  });
});

describe("task management", () => {
  /** A WRITE whose data never comes: it stays. */
  const stuck = (session: Initiator): number => session.send(cdb.write10(0, 64), { write: pattern(32_768) });
  const asked = async (session: Initiator, tag: number): Promise<void> => {
    expect(opcodeOf(await session.inbox(tag).take())).toBe(Opcode.r2t);
  };

  it("aborts one task and leaves the others", async () => {
    const session = await bench.login([volume]);
    const tags = [stuck(session), stuck(session)] as const;
    for (const tag of tags) await asked(session, tag);
    expect(await session.manage(1, { tag: tags[0] })).toBe(0);
    expect(await session.manage(1, { tag: tags[0] })).toBe(1);
    session.sendData(tags[0], 1, pattern(32_768), 0); // what was under way is thrown away
    session.sendData(tags[1], 2, pattern(32_768), 0);
    expect(await session.finish(tags[1])).toMatchObject({ status: 0 });
    expect(await bench.event("task-management")).toMatchObject({ connection: session.connection, function: 1, response: 0 });
  });

  it("aborts a command that has not come, so that those behind it do not wait", async () => {
    const session = await bench.login([volume]);
    const lost = session.cmdSN++;
    const waiting = session.send(cdb.testUnitReady());
    expect(await session.manage(1, { tag: 0x7777, cmdSN: lost })).toBe(0);
    expect(await session.finish(waiting)).toMatchObject({ status: 0 });
  });

  const resets = [
    { name: "ABORT TASK SET", code: 2, others: "task goes on", own: "", other: "" },
    { name: "CLEAR TASK SET", code: 4, others: "aborted", own: "", other: "06/2f/00" },
    { name: "LOGICAL UNIT RESET", code: 5, others: "aborted", own: "06/29/03", other: "06/29/03" },
    { name: "TARGET WARM RESET", code: 6, others: "aborted", own: "06/29/03", other: "06/29/03" },
  ];
  it.each(resets)("carries out $name", async ({ code, others, own, other }) => {
    const [mine, theirs] = [await bench.login([volume]), await bench.login([volume])];
    const [myTag, theirTag] = [stuck(mine), stuck(theirs)];
    await asked(mine, myTag);
    await asked(theirs, theirTag);
    expect(await mine.manage(code)).toBe(0);
    expect((await mine.execute(cdb.testUnitReady())).sense).toBe(own);
    expect((await theirs.execute(cdb.testUnitReady())).sense).toBe(other);
    theirs.sendData(theirTag, 1, pattern(32_768), 0);
    if (others === "aborted") {
      await theirs.ping();
      expect(theirs.inbox(theirTag).waiting).toBe(0);
    } else {
      expect(await theirs.finish(theirTag)).toMatchObject({ status: 0 });
    }
    mine.sendData(myTag, 1, pattern(32_768), 0);
    await mine.ping();
    expect(mine.inbox(myTag).waiting).toBe(0);
  });

  it("ends all sessions of the volumes with TARGET COLD RESET", async () => {
    const [mine, theirs] = [await bench.login([volume]), await bench.login([volume])];
    expect(await mine.manage(7)).toBe(0);
    await Promise.all([mine.closed, theirs.closed]);
  });

  it("refuses what it cannot do", async () => {
    const session = await bench.login([volume]);
    expect(await session.manage(5, { lun: 9 })).toBe(2);
    expect(await session.manage(8)).toBe(4);
    expect(await session.manage(3)).toBe(5);
    expect(await session.manage(0x33)).toBe(5);
  });
});

describe("the rest of the full-feature phase", () => {
  it("echoes pings", async () => {
    const session = await bench.login([volume]);
    const data = pattern(1001, 4);
    expect((await session.ping(data)).equals(data)).toBe(true);
  });

  it("answers Logout, then closes", async () => {
    const session = await bench.login([volume]);
    expect(await session.logout()).toBe(0);
    session.end();
    await session.closed;
    expect(await bench.event("closed")).toMatchObject({ reason: "logout" });
  });

  it("writes nothing of a session any more once its Logout is answered", async () => {
    const disk = bench.volume(64 * MEBI, { writeCache: false });
    const session = await bench.login([disk.id]);
    for (let n = 0; n < 64; n++) session.send(cdb.write10(n * 128, 128), { write: pattern(65_536, n), immediate: 65_536 });
    session.send(cdb.writeSame16(16_384, 114_688), { write: pattern(512, 3), immediate: 512 });
    expect(await session.logout()).toBe(0);
    const then = readFileSync(disk.path);
    session.send(cdb.write10(0, 8), { write: pattern(4096, 99), immediate: 4096 });
    session.end();
    await bench.event("closed");
    expect(readFileSync(disk.path).equals(then)).toBe(true);
  });

  it("passes Text requests up, and their answers down with the numbers filled in", async () => {
    const session = await bench.login([volume]);
    bench.onText = ({ connection, header }) => {
      const answer = Buffer.alloc(48);
      answer[0] = Opcode.textResponse;
      answer[1] = 0x80;
      answer.set(header.subarray(16, 20), 16);
      bench.plane.sendPdu(connection, answer, Buffer.from("TargetName=iqn.x\0"));
    };
    const header = session.request(Opcode.text);
    session.post({ header, data: Buffer.from("SendTargets=All\0") });
    const answer = await session.inbox(header.readUInt32BE(16)).take();
    expect(answer.data.toString()).toBe("TargetName=iqn.x\0");
    expect(answer.header.readUInt32BE(28)).toBe(session.cmdSN);
    const up = bench.events.filter((event) => event.type === "pdu").at(-1);
    expect(up?.type === "pdu" && Buffer.from(up.data).toString()).toBe("SendTargets=All\0");
  });

  it("rejects SNACK, unknown opcodes and a second login, and goes on", async () => {
    const session = await bench.login([volume]);
    for (const [opcode, reason] of [
      [Opcode.snack, 3],
      [0x1c, 5],
      [Opcode.login, 4],
    ] as const) {
      const header = session.request(opcode, { immediate: true });
      session.post({ header, data: none });
      expect(await rejects(session)).toBe(reason);
    }
    expect(bench.plane.counters().protocolErrors).toBe(3);
    expect(await session.execute(cdb.testUnitReady())).toMatchObject({ status: 0 });
  });

  it("rejects a second command with the tag of one that runs, and data where none is allowed", async () => {
    const session = await bench.login([volume], { parameters: { initialR2T: true, immediateData: false } });
    session.send(cdb.write10(0, 8), { write: pattern(4096), immediate: 4096 });
    expect(await rejects(session)).toBe(4);
    const tag = session.send(cdb.write10(0, 8), { write: pattern(4096) });
    const twin = session.request(Opcode.command, { tag });
    twin.set(cdb.testUnitReady(), 32);
    session.post({ header: twin, data: none });
    expect(await rejects(session)).toBe(7);
    expect(await session.finish(tag, pattern(4096))).toMatchObject({ status: 0 });
  });

  it("ends a task whose data comes out of order, and goes on", async () => {
    const session = await bench.login([volume]);
    const tag = session.send(cdb.write10(0, 64), { write: pattern(32_768) });
    const r2t = await session.inbox(tag).take();
    session.sendData(tag, r2t.header.readUInt32BE(20), pattern(4096), 4096);
    expect(await session.finish(tag)).toMatchObject({ status: 2, sense: "0b/4b/00" });
    expect(await session.execute(cdb.testUnitReady())).toMatchObject({ status: 0 });
  });

  it("ends a task whose data skips a DataSN, and goes on", async () => {
    const session = await bench.login([volume]);
    const tag = session.send(cdb.write10(0, 64), { write: pattern(32_768) });
    const r2t = await session.inbox(tag).take();
    const lost = session.request(Opcode.dataOut, { immediate: true, tag });
    lost[0] = Opcode.dataOut;
    lost.writeUInt32BE(r2t.header.readUInt32BE(20), 20);
    lost.writeUInt32BE(1, 36);
    session.post({ header: lost, data: pattern(4096) });
    expect(await session.finish(tag)).toMatchObject({ status: 2, sense: "0b/4b/00" });
    expect(await session.execute(cdb.testUnitReady())).toMatchObject({ status: 0 });
  });

  it("asks for as many bursts at once as the initiator takes, numbered, and has them in any order", async () => {
    const session = await bench.login([volume], { parameters: { maxBurstLength: 16_384, maxOutstandingR2T: 4 } });
    const data = pattern(65_536, 6);
    const tag = session.send(cdb.write10(0, 128), { write: data });
    const asked = [];
    for (let n = 0; n < 4; n++) asked.push((await session.inbox(tag).take()).header);
    expect(asked.map((header) => [header.readUInt32BE(36), header.readUInt32BE(40)])).toEqual([0, 1, 2, 3].map((n) => [n, n * 16_384]));
    for (const header of asked.reverse()) {
      const offset = header.readUInt32BE(40);
      session.sendData(tag, header.readUInt32BE(20), data.subarray(offset, offset + 16_384), offset);
    }
    expect(await session.finish(tag)).toMatchObject({ status: 0 });
    expect((await session.execute(cdb.read10(0, 128), { read: 65_536 })).data.equals(data)).toBe(true);
  });

  it("knows no SCSI in a discovery session", async () => {
    const session = await bench.login([], { parameters: { discovery: true } });
    session.send(cdb.testUnitReady());
    expect(await rejects(session)).toBe(5);
  });
});
