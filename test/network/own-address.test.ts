import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { parseIpv4, parseMac } from "../../src/machine/identifiers.ts";
import { ASK_EVERY_MS, OwnAddressWatch } from "../../src/network/own-address.ts";
import type { StateEvent } from "../../src/state/events.ts";

const address = parseIpv4("172.16.0.1");
const own = parseMac("52:54:00:16:00:01");
const other = Uint8Array.of(0x52, 0x54, 0, 0x16, 0, 0x99);

let events: StateEvent[];
let heard: Uint8Array | undefined;
let asked: number;
let closed: number;
let watch: OwnAddressWatch;

beforeEach(() => {
  vi.useFakeTimers();
  events = [];
  heard = undefined;
  asked = 0;
  closed = 0;
  const wire = { ask: () => ++asked > 0, heard: () => heard, close: () => void closed++ };
  watch = new OwnAddressWatch({ device: "eth0", address, emit: (event) => void events.push(event), open: () => wire, macOf: () => own });
  watch.start();
});
afterEach(() => vi.useRealTimers());

const round = (): void => void vi.advanceTimersByTime(ASK_EVERY_MS);
const conflict = { type: "network.conflict", address, mac: "52:54:00:16:00:99" };
const over = { type: "network.conflictOver", address };

test("another host with our address is told of once, with its MAC address, and that it has gone after it was asked for in vain", () => {
  round();
  expect([asked, events]).toEqual([1, []]);
  heard = other;
  round();
  round();
  expect(events).toEqual([conflict]);
  heard = undefined;
  round();
  round();
  expect(events).toEqual([conflict]);
  round();
  expect(events).toEqual([conflict, over]);
});

test("one that answers now and then is not told to have gone", () => {
  for (let turn = 0; turn < 10; turn++) {
    heard = turn % 3 === 0 ? other : undefined;
    round();
  }
  expect(events).toEqual([conflict]);
});

test("an alarm ends with the address it was for", () => {
  heard = other;
  round();
  watch.stop();
  expect([events, closed]).toEqual([[conflict, over], 1]);
  round();
  expect(asked).toBe(1);
});

test("where the system lets nobody listen, nothing is asked, and nothing breaks", () => {
  const refused = new OwnAddressWatch({
    device: "eth0",
    address,
    emit: (event) => void events.push(event),
    open: () => {
      throw new Error("EPERM");
    },
  });
  refused.start();
  round();
  refused.stop();
  expect(events).toEqual([]);
});
