import { readdirSync, readFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openDataPlane } from "../../src/native/data-plane.ts";
import { Bench, pattern, until } from "./bench.ts";
import { cdb } from "./cdb.ts";
import { Initiator, Opcode } from "./initiator.ts";

const MEBI = 1048576;
const none = Buffer.alloc(0);

let bench: Bench;
beforeEach(() => {
  bench = new Bench();
});
afterEach(() => bench.close());

const threads = (): number =>
  readdirSync("/proc/self/task").filter((task) => readFileSync(`/proc/self/task/${task}/comm`, "utf8").startsWith("rackboot-io")).length;

describe("a thousand connections", () => {
  it("leave nothing behind", async () => {
    const volume = bench.volume(MEBI).id;
    const descriptors = (): number => readdirSync("/proc/self/fd").length;
    const before = descriptors();
    for (let round = 0; round < 50; round++) {
      await Promise.all(
        Array.from({ length: 20 }, async (_, n) => {
          if (n % 2 === 0) {
            const initiator = await Initiator.connect(bench.port);
            initiator.destroy();
            return initiator.closed;
          }
          const session = await bench.login([volume]);
          session.send(cdb.read10(0, 256), { read: 131_072 });
          session.send(cdb.write10(0, 256), { write: pattern(131_072), immediate: 4096 });
          if (n % 4 === 1) session.destroy();
          else session.end();
          return session.closed;
        }),
      );
    }
    await until(() => bench.plane.counters().connections === 0, "all connections gone");
    await until(() => bench.events.filter((event) => event.type === "closed").length === 1000, "all told");
    expect(bench.events.filter((event) => event.type === "accepted").length).toBe(1000);
    await until(() => descriptors() <= before + 2, "all descriptors closed");
  });

  it("do not get in beyond the limit of 1024", async () => {
    // A connection of the test before that is still counted would keep one of these out for good.
    await until(() => bench.plane.counters().connections === 0, "those of the test before gone");
    const many = await Promise.all(Array.from({ length: 1040 }, () => Initiator.connect(bench.port)));
    await until(() => bench.plane.counters().connections === 1024, "the limit");
    for (const each of many.slice(0, 100)) each.destroy();
    await until(() => bench.plane.counters().connections < 1024, "room again");
    for (const each of many) each.destroy();
    await until(() => bench.plane.counters().connections === 0, "all gone");
  });
});

describe("a session that is dropped", () => {
  it("writes nothing after `closed`", async () => {
    const volume = bench.volume(64 * MEBI);
    for (let round = 0; round < 10; round++) {
      const session = await bench.login([volume.id]);
      for (let n = 0; n < 60; n++) session.send(cdb.write10(n * 64, 64), { write: pattern(32_768, 2 * round), immediate: 32_768 });
      await new Promise((resolve) => setTimeout(resolve, round));
      bench.plane.drop(session.connection, "reinstated");
      await bench.event("closed", (event) => event.connection === session.connection);
      const next = await bench.login([volume.id]);
      const data = pattern(32_768, 2 * round + 1);
      await Promise.all(Array.from({ length: 60 }, (_, n) => next.execute(cdb.write10(n * 64, 64), { write: data, immediate: 32_768 })));
      await new Promise((resolve) => setTimeout(resolve, 20));
      const { data: found } = await next.execute(cdb.read10(0, 3840), { read: 60 * 32_768 });
      for (let n = 0; n < 60; n++) expect(found.subarray(n * 32_768, (n + 1) * 32_768).equals(data)).toBe(true);
      next.destroy();
    }
  });

  it("tells so last, once", async () => {
    const session = await bench.login([bench.volume(MEBI).id]);
    for (let n = 0; n < 50; n++) session.send(cdb.modeSense6(), { read: 255 });
    bench.plane.drop(session.connection, "why");
    await session.closed;
    const closed = await bench.event("closed");
    expect(closed).toMatchObject({ reason: "dropped", detail: "why" });
    await new Promise((resolve) => setTimeout(resolve, 50));
    const own = bench.events.filter((event) => "connection" in event && event.connection === session.connection);
    expect(own.indexOf(closed)).toBe(own.length - 1);
  });

  it("before login still hears the answer that was sent to it", async () => {
    const initiator = await Initiator.connect(bench.port);
    const header = initiator.request(Opcode.login, { immediate: true });
    initiator.post({ header, data: none });
    const { connection } = await bench.event("pdu");
    const answer = Buffer.alloc(48);
    answer[0] = Opcode.loginResponse;
    answer.set(header.subarray(16, 20), 16);
    answer[36] = 2;
    bench.plane.sendLoginPdu(connection, answer, none);
    bench.plane.drop(connection, "refused");
    expect((await initiator.inbox(header.readUInt32BE(16)).take()).header.readUInt8(36)).toBe(2);
    await initiator.closed;
  });
});

describe("a peer that breaks framing", () => {
  const headers: readonly [string, (header: Buffer) => void, string][] = [
    ["with a data segment that is too long", (header) => header.writeUIntBE(0xffffff, 5, 3), "protocol-error"],
    ["with a header digest that is wrong", () => undefined, "digest-error"],
  ];
  it.each(headers)("%s loses its connection, and nobody else does", async (_, change, reason) => {
    const volume = bench.volume(MEBI).id;
    const healthy = await bench.login([volume]);
    const broken = await bench.login([volume], { headerDigest: true });
    const header = broken.request(Opcode.nopOut, { immediate: true });
    const encoded = broken.encode({ header, data: none });
    change(encoded);
    if (reason === "digest-error") encoded[51] = (encoded[51] ?? 0) ^ 1;
    if (reason === "protocol-error") broken.postRaw(broken.encode({ header, data: Buffer.alloc(300_000) }));
    else broken.postRaw(encoded);
    await broken.closed;
    expect(await bench.event("closed", (event) => event.connection === broken.connection)).toMatchObject({ reason });
    expect(await healthy.execute(cdb.read10(0, 1), { read: 512 })).toMatchObject({ status: 0 });
  });

  it("with a data digest that is wrong is told, and loses its connection", async () => {
    const session = await bench.login([bench.volume(MEBI).id], { dataDigest: true });
    const header = session.request(Opcode.command);
    header[1] = 0xa0;
    header.writeUInt32BE(512, 20);
    header.set(cdb.write10(0, 1), 32);
    const encoded = session.encode({ header, data: pattern(512) });
    encoded[100] = (encoded[100] ?? 0) ^ 1;
    session.postRaw(encoded);
    expect((await session.untagged.take()).header.readUInt8(2)).toBe(2);
    session.end();
    await session.closed;
    expect(await bench.event("closed")).toMatchObject({ reason: "digest-error" });
  });

  it("with noise does not get far", async () => {
    for (let n = 0; n < 100; n++) {
      const session = n % 2 === 0 ? await Initiator.connect(bench.port) : await bench.login([bench.volume(MEBI).id]);
      session.postRaw(pattern(48 * (1 + (n % 50)), n));
      session.end();
      await Promise.race([session.closed, new Promise((resolve) => setTimeout(resolve, 50))]);
      session.destroy();
    }
    await until(() => bench.plane.counters().connections === 0, "all gone");
  });

  it("in the middle of a data segment is cleaned up", async () => {
    const volume = bench.volume(MEBI).id;
    const session = await bench.login([volume]);
    const tag = session.send(cdb.write10(0, 128), { write: pattern(65_536) });
    const r2t = await session.inbox(tag).take();
    const header = Buffer.alloc(48);
    header[0] = Opcode.dataOut;
    header.writeUInt32BE(tag, 16);
    header.writeUInt32BE(r2t.header.readUInt32BE(20), 20);
    const whole = session.encode({ header, data: pattern(30_000) });
    session.postRaw(whole.subarray(0, 10_000));
    await new Promise((resolve) => setTimeout(resolve, 20));
    session.destroy();
    await until(() => bench.plane.counters().connections === 0, "gone");
  });
});

describe("portals", () => {
  it("tell why they cannot be opened, and can be closed and opened again", () => {
    expect(() => bench.plane.listen(1, "127.0.0.1", bench.port)).toThrow(expect.objectContaining({ code: "EADDRINUSE" }));
    expect(() => bench.plane.listen(1, "192.0.2.1", 3260)).toThrow(expect.objectContaining({ code: "EADDRNOTAVAIL" }));
    expect(() => bench.plane.listen(1, "nonsense", 0)).toThrow(expect.objectContaining({ code: "EINVAL" }));
    const port = bench.plane.listen(1, "127.0.0.1", 0);
    bench.plane.unlisten(1);
    expect(bench.plane.listen(1, "127.0.0.1", port)).toBe(port);
  });

  it("that are closed accept nobody, and leave their sessions alone", async () => {
    const session = await bench.login([bench.volume(MEBI).id]);
    bench.plane.unlisten(0);
    await expect(Initiator.connect(bench.port)).rejects.toMatchObject({ code: "ECONNREFUSED" });
    expect(await session.execute(cdb.testUnitReady())).toMatchObject({ status: 0 });
  });
});

describe("the end of the data plane", () => {
  it("finishes what was received, and leaves no thread", async () => {
    const other = new Bench({ threads: 2 });
    const volume = other.volume(16 * MEBI);
    const sessions = await Promise.all([1, 2, 3].map(() => other.login([volume.id])));
    const running = threads();
    const reads = sessions.map((session) => session.execute(cdb.read10(0, 2048), { read: MEBI }));
    await Promise.all(sessions.map((session) => session.ping()));
    await other.plane.close();
    for (const { data } of await Promise.all(reads)) expect(data.length).toBe(MEBI);
    await Promise.all(sessions.map((session) => session.closed));
    expect(threads()).toBe(running - 2);
    expect(() => other.plane.listen(5, "127.0.0.1", 0)).toThrow(/closed/);
    await other.close();
  });

  it("may come at once, and twice", async () => {
    const plane = openDataPlane({ threads: 3, memoryBytes: MEBI, onEvents: () => undefined });
    await Promise.all([plane.close(), plane.close()]);
    await plane.close();
  });
});

it("what idles costs no processor time", async () => {
  const volume = bench.volume(MEBI).id;
  await Promise.all(Array.from({ length: 40 }, () => bench.login([volume])));
  await new Promise((resolve) => setTimeout(resolve, 1500));
  const spent = (): number =>
    readdirSync("/proc/self/task")
      .filter((task) => readFileSync(`/proc/self/task/${task}/comm`, "utf8").startsWith("rackboot-io"))
      .map((task) => readFileSync(`/proc/self/task/${task}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [])
      .reduce((sum, fields) => sum + Number(fields[11]) + Number(fields[12]), 0);
  const before = spent();
  await new Promise((resolve) => setTimeout(resolve, 2000));
  expect(spent() - before).toBeLessThanOrEqual(1);
});
