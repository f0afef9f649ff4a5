import { closeSync, openSync, readSync } from "node:fs";
import { afterEach, beforeEach, expect, it } from "vitest";
import { diskPath } from "../../src/volume/layout.ts";
import { Resources } from "../harness/resources.ts";
import { dracutKeys } from "../iscsi/support.ts";
import { disk, PeerTarget, volumeOf } from "./iscsi-target.ts";
import { RawInitiator } from "./raw-initiator.ts";

const MEBI = 1048576;
const SIZE = 512 * MEBI;
const DISKS = [{ machine: "uqbar", config: disk({ source: { kind: "sparse", sizeBytes: SIZE } }) }];
const TEST_UNIT_READY = Uint8Array.of(0x00, 0, 0, 0, 0, 0);
const EXIT_FAILURE_MODE = Uint8Array.of(0x48, 0x9f, 0, 0, 0, 0, 0, 0, 0, 0);

let resources: Resources;
beforeEach(() => {
  resources = new Resources();
});
afterEach(() => resources.close());

/** Sense key, code and qualifier of a command's end; empty for GOOD. */
async function senseOf(to: RawInitiator, cdb: Uint8Array, write?: Uint8Array): Promise<string> {
  to.command(cdb, write === undefined ? {} : { write });
  const { header, data } = await to.next();
  if (header[3] === 0) return "";
  const sense = data.subarray(2);
  return [(sense[2] ?? 0) & 0xf, sense[12], sense[13]].map((octet) => (octet ?? 0).toString(16).padStart(2, "0")).join("/");
}

/** A session whose first unit attention is taken. */
async function loggedIn(target: PeerTarget): Promise<RawInitiator> {
  const made = await RawInitiator.connect(target.portal());
  resources.defer("initiator", async () => made.vanish());
  expect((await made.login(dracutKeys("uqbar"))).status).toBe(0);
  expect(await senseOf(made, TEST_UNIT_READY)).toBe("06/29/00");
  return made;
}

/** Whether every octet of the disk is this one. */
function isAll(target: PeerTarget, octet: number): boolean {
  const file = openSync(diskPath(target.storage, volumeOf("uqbar")), "r");
  const piece = Buffer.alloc(MEBI);
  const wanted = Buffer.alloc(MEBI, octet);
  try {
    for (let at = 0; at < SIZE; at += MEBI) {
      readSync(file, piece, 0, MEBI, at);
      if (!piece.equals(wanted)) return false;
    }
    return true;
  } finally {
    closeSync(file);
  }
}

it("a disk that was being sanitized when the daemon ended is sanitized to its end, and not served before", async () => {
  let target = await PeerTarget.start(resources, DISKS);
  const before = await loggedIn(target);
  // Two passes of one octet, the first of them inverted; answered at once.
  const list = Uint8Array.of(0x82, 0, 0, 1, 0x5a);
  expect(await senseOf(before, Uint8Array.of(0x48, 0x81, 0, 0, 0, 0, 0, 0, list.length, 0), list)).toBe("");
  await target.stop();
  target = await PeerTarget.start(resources, DISKS, target.storage);
  const after = await loggedIn(target);
  expect(["", "02/04/1b"]).toContain(await senseOf(after, TEST_UNIT_READY));
  await expect.poll(() => senseOf(after, TEST_UNIT_READY), { timeout: 60_000, interval: 200 }).toBe("");
  expect(isAll(target, 0x5a)).toBe(true);
  expect(await senseOf(after, EXIT_FAILURE_MODE)).toBe("");
});
