import { readFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { LOGIN_STATUS } from "../../src/iscsi/login-pdu.ts";
import { decodeTextResponse, OPCODE } from "../../src/iscsi/pdu.ts";
import { Rack } from "../../src/machine/rack.ts";
import { diskPath } from "../../src/volume/layout.ts";
import { Resources } from "../harness/resources.ts";
import { dracutKeys, machine } from "../iscsi/support.ts";
import { disk, PeerTarget, volumeOf } from "./iscsi-target.ts";
import { RawInitiator } from "./raw-initiator.ts";

const SCSI_RESPONSE = 0x21;
const MANY = Array.from({ length: 40 }, (_, i) => `machine-${i}`);

let resources: Resources;
let target: PeerTarget;
const open: RawInitiator[] = [];

beforeEach(async () => {
  resources = new Resources();
  target = await PeerTarget.start(resources, [
    { machine: "uqbar", config: disk() },
    { machine: "tlon", config: disk() },
  ]);
});
afterEach(async () => {
  for (const initiator of open.splice(0)) initiator.vanish();
  await resources.close();
});

async function initiator(portal?: string): Promise<RawInitiator> {
  const made = await RawInitiator.connect(portal ?? target.portal());
  open.push(made);
  return made;
}

async function loggedIn(name = "uqbar"): Promise<RawInitiator> {
  const made = await initiator();
  expect((await made.login(dracutKeys(name))).status).toBe(LOGIN_STATUS.success);
  return made;
}

/** WRITE(10) of one block, answered. The unit attention of a new session is taken first. */
async function write(to: RawInitiator, lba: number, octet: number): Promise<number> {
  const cdb = Uint8Array.of(0x2a, 0, 0, 0, 0, lba, 0, 0, 1, 0);
  to.command(cdb, { write: new Uint8Array(512).fill(octet) });
  const answer = await to.next();
  expect(answer.opcode).toBe(SCSI_RESPONSE);
  return answer.header[3] ?? 0xff;
}

describe("a machine that comes back", () => {
  it("reinstates the session that it left half open, and finds what it wrote", async () => {
    const before = await loggedIn();
    expect(await write(before, 5, 0x11)).toBe(2);
    expect(await write(before, 5, 0x11)).toBe(0);
    const after = await loggedIn();
    await before.closed;
    expect(target.told("iscsi.login").at(-1)).toMatchObject({ machine: "uqbar", reinstated: true });
    expect([...target.server.sessions()]).toHaveLength(1);
    await write(after, 6, 0x22);
    expect(await write(after, 6, 0x22)).toBe(0);
    const written = readFileSync(diskPath(target.storage, volumeOf("uqbar")));
    expect([written[5 * 512], written[6 * 512]]).toEqual([0x11, 0x22]);
  });

  it("does so many times at once, and the last one lives", async () => {
    const initiators = await Promise.all(Array.from({ length: 12 }, () => initiator()));
    const answers = await Promise.allSettled(initiators.map((each) => each.login(dracutKeys("uqbar"))));
    expect(answers.filter(({ status }) => status === "fulfilled").length).toBeGreaterThan(0);
    await expect.poll(() => [...target.server.sessions()].length).toBe(1);
    const again = await loggedIn();
    await write(again, 7, 0x33);
    expect(await write(again, 7, 0x33)).toBe(0);
  });

  it("is fenced when its firmware asks, before anything else of it goes on", async () => {
    const before = await loggedIn();
    const other = await loggedIn("tlon");
    await target.server.fence(machine("uqbar").name);
    await before.closed;
    expect([...target.server.sessions()].map(({ machine: name }) => name)).toEqual(["tlon"]);
    expect(await write(other, 1, 1)).toBe(2);
  });
});

describe("a session", () => {
  it("ends when its machine leaves the configuration, and only then", async () => {
    const uqbar = await loggedIn();
    const tlon = await loggedIn("tlon");
    target.server.applyRack(new Rack(target.rack().machines.filter(({ name }) => name === "uqbar")));
    await tlon.closed;
    expect(await write(uqbar, 1, 1)).toBe(2);
    expect(await write(uqbar, 1, 1)).toBe(0);
  });

  it("is asked to log out before the daemon stops", async () => {
    const uqbar = await loggedIn();
    const stopped = target.stop();
    expect((await uqbar.next()).opcode).toBe(OPCODE.asyncMessage);
    await uqbar.closed;
    await stopped;
  });

  it("gets a reject for nonsense in a text request, and goes on", async () => {
    const uqbar = await loggedIn();
    expect((await uqbar.text([["SendTargets", "All"]], 77)).opcode).toBe(OPCODE.reject);
    const answer = await uqbar.text([["SendTargets", ""]]);
    expect(answer.opcode).toBe(OPCODE.textResponse);
    expect(Buffer.from(answer.data).toString()).toContain("TargetName=iqn.2026-01.lan.rackboot:uqbar\0TargetAddress=127.0.0.1:");
  });
});

describe("a login", () => {
  it("is told why it was refused before the connection ends", async () => {
    const lost = await initiator();
    const answer = await lost.login(dracutKeys("nobody"));
    expect(answer.status).toBe(LOGIN_STATUS.notFound);
    await lost.closed;
    expect(target.told("iscsi.refused")).toMatchObject([{ target: "iqn.2026-01.lan.rackboot:nobody" }]);
  });

  it("ends where the peer speaks something else", async () => {
    const web = await initiator();
    web.send(Buffer.from("GET / HTTP/1.1\r\nHost: rack\r\n\r\n".padEnd(1024, "\0")));
    await web.closed;
    await expect.poll(() => target.told("peer.malformed")).toHaveLength(1);
    await loggedIn();
  });
});

describe("a discovery", () => {
  it("of many targets comes in pieces that the initiator can take", async () => {
    const crowd = await PeerTarget.start(
      resources,
      MANY.map((name) => ({ machine: name, config: disk() })),
    );
    const curious = await initiator(crowd.portal());
    await curious.login([
      ["InitiatorName", "iqn.1994-05.com.redhat:curious"],
      ["SessionType", "Discovery"],
      ["MaxRecvDataSegmentLength", "512"],
    ]);
    const pieces: Uint8Array[] = [];
    let answer = await curious.text([["SendTargets", "All"]]);
    for (;;) {
      expect(answer.data.length).toBeLessThanOrEqual(512);
      pieces.push(answer.data);
      const { final, transferTag } = decodeTextResponse(answer.header);
      if (final) break;
      answer = await curious.text([], transferTag);
    }
    const names = Buffer.concat(pieces)
      .toString()
      .match(/TargetName=/g);
    expect(names).toHaveLength(MANY.length);
    expect(pieces.length).toBeGreaterThan(4);
  });
});
