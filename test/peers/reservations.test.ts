import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { OPCODES, usageOctets } from "../../src/scsi/opcodes.ts";
import { conflicts, type Denied } from "../../src/scsi/reservations.ts";
import { Resources } from "../harness/resources.ts";
import { dracutKeys } from "../iscsi/support.ts";
import { disk, PeerTarget } from "./iscsi-target.ts";
import { RawInitiator } from "./raw-initiator.ts";

const CONFLICT = 0x18;
const TEST_UNIT_READY = Uint8Array.of(0x00, 0, 0, 0, 0, 0);
const READ = Uint8Array.of(0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0);
const TYPE = { writeExclusive: 1, exclusiveAccess: 3 } as const;

let resources: Resources;
let target: PeerTarget;
const open: RawInitiator[] = [];

beforeEach(async () => {
  resources = new Resources();
  target = await PeerTarget.start(resources, [{ machine: "uqbar", config: disk() }]);
});
afterEach(async () => {
  for (const initiator of open.splice(0)) initiator.vanish();
  await resources.close();
});

/** A session of its own nexus; the unit attention of a new session is taken. */
async function loggedIn(isid: string): Promise<RawInitiator> {
  const made = await RawInitiator.connect(target.portal());
  open.push(made);
  expect((await made.login(dracutKeys("uqbar"), { isid })).status).toBe(0);
  expect(await status(made, TEST_UNIT_READY)).toBe(2);
  return made;
}

/** SAM-5 status of a command; data that it returns is not looked at. */
async function status(to: RawInitiator, cdb: Uint8Array, write?: Uint8Array): Promise<number> {
  to.command(cdb, write === undefined ? { read: 512 } : { write });
  for (;;) {
    const { opcode, header } = await to.next();
    const withStatus = opcode === 0x21 || ((header[1] ?? 0) & 0x01) !== 0;
    if (withStatus) return header[3] ?? 0xff;
  }
}

/** PERSISTENT RESERVE OUT (SPC-4, 6.14). */
function out(
  to: RawInitiator,
  action: number,
  keys: { readonly key?: number; readonly serviceKey?: number; readonly type?: number },
): Promise<number> {
  const list = Buffer.alloc(24);
  list.writeBigUInt64BE(BigInt(keys.key ?? 0), 0);
  list.writeBigUInt64BE(BigInt(keys.serviceKey ?? 0), 8);
  list[20] = 0x01; // APTPL
  return status(to, Uint8Array.of(0x5f, action, keys.type ?? 0, 0, 0, 0, 0, 0, 24, 0), list);
}

async function reserve(holder: RawInitiator, type: number): Promise<void> {
  expect(await out(holder, 0, { serviceKey: 7 })).toBe(0);
  expect(await out(holder, 1, { key: 7, type })).toBe(0);
}

describe("a reserved disk", () => {
  it.each<[string, Denied, (holder: RawInitiator) => Promise<unknown>]>([
    ["Write Exclusive", "writes", (holder) => reserve(holder, TYPE.writeExclusive)],
    ["Exclusive Access", "medium", (holder) => reserve(holder, TYPE.exclusiveAccess)],
    ["RESERVE(6)", "unit", (holder) => status(holder, Uint8Array.of(0x16, 0, 0, 0, 0, 0))],
  ])("keeps others from exactly what the table of commands says, on both sides of the door: %s", async (_name, denied, take) => {
    const holder = await loggedIn("00023d000001");
    const other = await loggedIn("00023d000002");
    await take(holder);
    for (const entry of OPCODES) {
      // RESERVE(6), RELEASE(6) and PERSISTENT RESERVE OUT have rules of their own (SPC-4, 5.13.3).
      if ([0x16, 0x17, 0x5f].includes(entry.opcode)) continue;
      const cdb = new Uint8Array(usageOctets(entry).length);
      cdb.set([entry.opcode, entry.serviceAction ?? 0]);
      const needs = entry.spared?.(cdb) === true ? "unit" : entry.denied;
      expect([entry.name, (await status(other, cdb)) === CONFLICT]).toEqual([entry.name, conflicts(denied, needs)]);
    }
  });

  it("is still its owner's after the daemon came up again, and a new path of the owner's is let in", async () => {
    const before = await loggedIn("00023d000001");
    await reserve(before, TYPE.exclusiveAccess);
    before.vanish();
    await target.stop();
    target = await PeerTarget.start(resources, [{ machine: "uqbar", config: disk() }], target.storage);
    const stranger = await loggedIn("00023d000002");
    expect(await status(stranger, READ)).toBe(CONFLICT);
    const owner = await loggedIn("00023d000001");
    expect(await status(owner, READ)).toBe(0);
    expect(await out(owner, 3, { key: 7 })).toBe(0);
    expect(await status(stranger, READ)).toBe(0);
  });

  it("by RESERVE(6) is free as soon as the machine that had it is gone", async () => {
    const holder = await loggedIn("00023d000001");
    const other = await loggedIn("00023d000002");
    expect(await status(holder, Uint8Array.of(0x16, 0, 0, 0, 0, 0))).toBe(0);
    expect(await status(other, READ)).toBe(CONFLICT);
    holder.vanish();
    await expect.poll(() => status(other, READ)).toBe(0);
  });
});

it("turning the write cache off is told to the others, and sense data comes in the format that was asked for", async () => {
  const one = await loggedIn("00023d000001");
  const two = await loggedIn("00023d000002");
  const list = (page: readonly number[]): Uint8Array => Uint8Array.of(0, 0, 0, 0, ...page);
  const select = (octets: number): Uint8Array => Uint8Array.of(0x15, 0x10, 0, 0, octets, 0);
  expect(await status(one, select(24), list([0x08, 0x12, ...Array(18).fill(0)]))).toBe(0);
  expect(await status(two, TEST_UNIT_READY)).toBe(2);
  expect(await status(two, TEST_UNIT_READY)).toBe(0);
  expect(await status(one, select(16), list([0x0a, 0x0a, 0x06, 0x10, 0, 0, 0, 0, 0xff, 0xff, 0, 0]))).toBe(0);
  one.command(Uint8Array.of(0x28, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 1, 0), { read: 512 });
  const { data } = await one.next();
  expect([...data.subarray(2, 6)]).toEqual([0x72, 0x05, 0x21, 0x00]);
});
