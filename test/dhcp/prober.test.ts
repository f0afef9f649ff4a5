import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { AddressProber, PROBE_WAIT_MS, PROBE_WINDOW_MS, PROBES_MAX, QUIET_FOR_MS } from "../../src/dhcp/prober.ts";
import { type Ipv4, ipv4FromNumber, type Mac, parseMac } from "../../src/machine/identifiers.ts";
import { ip } from "./support.ts";

const SOMEBODY = parseMac("52:54:00:16:00:99");
const taken = new Map<Ipv4, Mac>();
let asked: Ipv4[];
let prober: AddressProber;

beforeEach(() => {
  vi.useFakeTimers();
  asked = [];
  taken.clear();
  prober = new AddressProber({ ask: (address) => asked.push(address), look: (address) => taken.get(address) }, () => Date.now());
});
afterEach(() => {
  vi.useRealTimers();
});

test("an address that answers is known by its MAC, one question for all who wait", async () => {
  taken.set(ip("172.16.0.100"), SOMEBODY);
  const answers = Promise.all([prober.probe(ip("172.16.0.100")), prober.probe(ip("172.16.0.100"))]);
  await vi.advanceTimersByTimeAsync(PROBE_WAIT_MS);
  expect(await answers).toEqual([SOMEBODY, SOMEBODY]);
  expect(asked).toEqual(["172.16.0.100"]);
});

test("firmware that asks again does not wait again, until the answer is old", async () => {
  const first = prober.probe(ip("172.16.0.100"));
  await vi.advanceTimersByTimeAsync(PROBE_WAIT_MS);
  expect(await first).toBeUndefined();
  expect(prober.probe(ip("172.16.0.100"))).toBeUndefined();
  await vi.advanceTimersByTimeAsync(QUIET_FOR_MS);
  expect(prober.probe(ip("172.16.0.100"))).toBeInstanceOf(Promise);
});

test("a flood of new clients does not wait, nor fill the kernel's table", async () => {
  const addresses = Array.from({ length: PROBES_MAX + 10 }, (_, index) => ipv4FromNumber(0xac100100 + index));
  expect(addresses.filter((address) => prober.probe(address) !== undefined)).toHaveLength(PROBES_MAX);
  await vi.advanceTimersByTimeAsync(PROBE_WINDOW_MS);
  expect(prober.probe(ip("172.16.9.9"))).toBeInstanceOf(Promise);
});
