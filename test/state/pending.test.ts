import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { type Mac, parseMac } from "../../src/machine/identifiers.ts";
import { openDatabase } from "../../src/state/database.ts";
import type { StateEvent } from "../../src/state/events.ts";
import { PendingHardware, savePending } from "../../src/state/pending.ts";
import { MAX_STRANGERS } from "../../src/state/state.ts";
import { Store } from "../../src/state/store.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "rackboot-pending-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const mac = (number: number): Mac => parseMac(`02000000${number.toString(16).padStart(4, "0")}`);
const waits = (number: number): StateEvent => ({
  type: "dhcp.pending",
  mac: mac(number),
  firmware: "uefi-x64-pxe",
  vendorClass: "PXEClient",
});

/** One life of the daemon: these events, then an orderly end. Returns who waits at its end. */
async function live(...events: readonly StateEvent[]): Promise<readonly string[]> {
  const { database } = openDatabase(folder);
  const pending = new PendingHardware(database);
  let nowMs = 1000;
  const store = new Store({
    now: () => {
      nowMs += 100;
      return nowMs;
    },
  });
  store.restorePending(pending.load());
  const end = savePending(store, pending, (error) => {
    throw error;
  });
  for (const event of events) store.emit(event);
  await Promise.resolve();
  end();
  const left = store.snapshot().strangers;
  expect(pending.load()).toEqual(Object.fromEntries(Object.entries(left).filter(([, { pending: isPending }]) => isPending === true)));
  database.close();
  return Object.keys(left);
}

it("hardware that waits to be adopted still waits after a restart, with what it said of itself, in its order", async () => {
  await live(waits(1), waits(2), { type: "dhcp.ignored", mac: mac(3), reason: "no machine has it" });
  expect(await live()).toEqual([mac(1), mac(2)]);
  expect(await live(waits(1))).toEqual([mac(2), mac(1)]);
});

it("what was adopted does not wait after the next restart", async () => {
  await live(waits(1), waits(2));
  const machines = ["uqbar"] as never;
  await live({ type: "config.loaded", file: "rackboot.yaml", machines, volumes: [], macs: [mac(1)] });
  expect(await live()).toEqual([mac(2)]);
});

it("a flood of invented hardware is remembered no further than it is shown", async () => {
  await live(...Array.from({ length: 200 }, (_, number) => waits(number)));
  expect(await live()).toHaveLength(MAX_STRANGERS);
});
