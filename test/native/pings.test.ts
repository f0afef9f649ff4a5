import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Bench } from "./bench.ts";
import { cdb } from "./cdb.ts";
import { type Initiator, Opcode, opcodeOf, type Pdu } from "./initiator.ts";

const NO_TAG = 0xffffffff;
const none = Buffer.alloc(0);

let bench: Bench;
let volume: number;
beforeEach(() => {
  bench = new Bench({ pingAfterMilliseconds: 100, pingAnswerMilliseconds: 4000 });
  volume = bench.volume(1048576).id;
});
afterEach(() => bench.close());

const transferTag = (pdu: Pdu): number => pdu.header.readUInt32BE(20);

function answer(session: Initiator, tag: number): void {
  const header = session.request(Opcode.nopOut, { immediate: true, tag: NO_TAG });
  header.writeUInt32BE(tag, 20);
  session.post({ header, data: none });
}

/** Answers every ping until the connection ends. */
async function answerAll(session: Initiator): Promise<void> {
  for (;;) {
    const ping = await session.untagged.take().catch(() => undefined);
    if (ping === undefined) return;
    answer(session, transferTag(ping));
  }
}

describe("a session that says nothing", () => {
  it("is pinged, and goes on when it answers", async () => {
    const session = await bench.login([volume]);
    const tags = new Set<number>();
    let statSN = session.expStatSN;
    for (let n = 0; n < 4; n++) {
      const ping = await session.untagged.take();
      expect(opcodeOf(ping)).toBe(Opcode.nopIn);
      expect([ping.header.readUInt8(1), ping.data.length, ping.header.readUInt32BE(24)]).toEqual([0x80, 0, statSN]);
      expect(transferTag(ping)).not.toBe(NO_TAG);
      tags.add(transferTag(ping));
      answer(session, transferTag(ping));
      // The ping used no StatSN up: the next response has the one that it named.
      const { status, pdus } = await session.execute(cdb.testUnitReady());
      expect([status, pdus[0]?.header.readUInt32BE(24)]).toEqual([0, statSN]);
      statSN = session.expStatSN;
    }
    expect(tags.size).toBe(4);
  });

  it("is dropped when it does not answer, and its neighbours are not", async () => {
    const unasked = await bench.login([volume], { parameters: { immediateData: false } });
    const mute = await bench.login([volume]); // as EDK2: it never sent a NOP-Out
    const healthy = await bench.login([volume]);
    const answering = answerAll(healthy);
    const hung = await bench.login([volume]);
    await hung.ping();
    await hung.closed;
    expect(await bench.event("closed", (event) => event.connection === hung.connection)).toMatchObject({
      reason: "keepalive",
      detail: "the initiator does not answer",
    });
    expect(hung.untagged.waiting).toBe(1);
    expect(mute.untagged.waiting).toBe(1);
    expect(unasked.untagged.waiting).toBe(0);
    for (const session of [unasked, mute, healthy]) expect(await session.execute(cdb.testUnitReady())).toMatchObject({ status: 0 });
    expect(bench.events.filter(({ type }) => type === "closed").length).toBe(1);
    healthy.destroy();
    await answering;
  });

  it("is not dropped while it says something else", async () => {
    const session = await bench.login([volume]);
    await session.ping();
    const hung = await bench.login([volume]);
    await hung.ping();
    let over = false;
    void hung.closed.then(() => (over = true));
    while (!over) {
      expect(await session.execute(cdb.testUnitReady())).toMatchObject({ status: 0 });
      await new Promise((resolve) => setTimeout(resolve, 250));
    }
    expect(session.untagged.waiting).toBeLessThanOrEqual(1);
    expect(await session.execute(cdb.testUnitReady())).toMatchObject({ status: 0 });
  });
});

describe("a NOP-Out with a transfer tag that no ping has", () => {
  it("is rejected, and the session goes on", async () => {
    const session = await bench.login([volume], { parameters: { immediateData: false } });
    answer(session, 0x1234);
    const reject = await session.untagged.take();
    expect([opcodeOf(reject), reject.header.readUInt8(2)]).toEqual([Opcode.reject, 4]);
    expect([reject.data.readUInt8(0), reject.data.readUInt32BE(20)]).toEqual([Opcode.nopOut | 0x40, 0x1234]);
    expect(await session.ping(Buffer.from("still"))).toEqual(Buffer.from("still"));
  });

  it("does not stand for the answer", async () => {
    const session = await bench.login([volume]);
    const ping = await session.untagged.take();
    answer(session, transferTag(ping) + 1);
    expect(opcodeOf(await session.untagged.take())).toBe(Opcode.reject);
    answer(session, transferTag(ping));
    expect(opcodeOf(await session.untagged.take())).toBe(Opcode.nopIn);
    answer(session, transferTag(ping)); // a second answer to the first ping
    expect(opcodeOf(await session.untagged.take())).toBe(Opcode.reject);
  });
});
