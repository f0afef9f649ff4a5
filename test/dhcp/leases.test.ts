import { expect, test } from "vitest";
import { LeaseTable, OFFER_LIFE_MS, OFFERS_MAX, QUARANTINE_MAX, QUARANTINE_MS } from "../../src/dhcp/leases.ts";
import { parseIpv4 as ip, ipv4FromNumber, ipv4ToNumber, type Mac } from "../../src/machine/identifiers.ts";

const mac = (number: number): Mac =>
  `02:00:00:${[16, 8, 0].map((shift) => ((number >> shift) & 255).toString(16).padStart(2, "0")).join(":")}` as Mac;
const anything = (): boolean => true;
const NOW = 1_000_000;
const HOUR = 3_600_000;

function table(last = "10.0.0.3"): LeaseTable {
  const leases = new LeaseTable();
  leases.setRange({ first: ip("10.0.0.1"), last: ip(last) });
  return leases;
}

test("a machine gets its old address again, years after its lease ended", () => {
  const leases = table();
  leases.bind(mac(1), ip("10.0.0.2"), NOW);
  expect(leases.choose(mac(1), NOW + 9999 * HOUR, anything)).toBe("10.0.0.2");
});

test("addresses that nobody had go first, ended leases after them", () => {
  const leases = table();
  leases.bind(mac(1), ip("10.0.0.1"), NOW - 1);
  expect([2, 3].map((n) => leases.bind(mac(n), leases.choose(mac(n), NOW, anything) as never, NOW + HOUR).address)).toEqual([
    "10.0.0.2",
    "10.0.0.3",
  ]);
  expect(leases.choose(mac(4), NOW, anything)).toBe("10.0.0.1");
});

test("a full pool is an answer, and is searched again when something is released or has ended", () => {
  const leases = table();
  for (const n of [1, 2, 3]) leases.bind(mac(n), ip(`10.0.0.${n}`), NOW + HOUR);
  expect(leases.choose(mac(4), NOW, anything)).toBe("the pool is exhausted");
  expect(leases.choose(mac(4), NOW + 2 * HOUR, anything)).toBe("10.0.0.1");
  expect(leases.choose(mac(4), NOW, anything)).toBe("the pool is exhausted");
  leases.release(mac(2), ip("10.0.0.2"), NOW);
  expect(leases.choose(mac(4), NOW, anything)).toBe("10.0.0.2");
});

test("an address that is offered is not offered to another until the offer has ended", () => {
  const leases = table("10.0.0.1");
  expect(leases.offer(mac(1), ip("10.0.0.1"), NOW, false)).toBe(true);
  expect(leases.choose(mac(2), NOW, anything)).toBe("the pool is exhausted");
  expect(leases.choose(mac(1), NOW, anything)).toBe("10.0.0.1");
  expect(leases.choose(mac(2), NOW + OFFER_LIFE_MS, anything)).toBe("10.0.0.1");
});

test("a flood of invented MACs gets no more than its share of offers, and a machine's own address is offered all the same", () => {
  const leases = table("10.0.255.255");
  const offered = (n: number): boolean => {
    const address = leases.choose(mac(n), NOW, anything);
    return /^\d/.test(address) && leases.offer(mac(n), address as never, NOW, false);
  };
  for (let n = 1; n <= OFFERS_MAX; n++) expect(offered(n)).toBe(true);
  expect(offered(OFFERS_MAX + 1)).toBe(false);
  expect(leases.offer(mac(0xffffff), ip("10.1.0.1"), NOW, true)).toBe(true);
  expect(leases.offer(mac(OFFERS_MAX + 2), ip("10.0.255.255"), NOW + OFFER_LIFE_MS, false)).toBe(true);
});

test("a MAC has one address and an address one MAC", () => {
  const leases = table();
  leases.bind(mac(1), ip("10.0.0.1"), NOW + HOUR);
  leases.bind(mac(1), ip("10.0.0.2"), NOW + HOUR);
  leases.bind(mac(2), ip("10.0.0.2"), NOW + HOUR);
  expect([leases.addressOf(mac(1)), leases.addressOf(mac(2)), leases.macAt(ip("10.0.0.1")), leases.macAt(ip("10.0.0.2"))]).toEqual([
    undefined,
    "10.0.0.2",
    undefined,
    mac(2),
  ]);
  expect([...leases.leases]).toHaveLength(1);
});

test("a declined address rests, for whoever asks, and only its client can decline it", () => {
  const leases = table("10.0.0.1");
  leases.bind(mac(1), ip("10.0.0.1"), NOW + HOUR);
  expect(leases.decline(mac(2), ip("10.0.0.1"), NOW)).toBeUndefined();
  expect(leases.decline(mac(1), ip("10.0.0.1"), NOW)).toMatchObject({ expiresMs: NOW });
  expect(leases.choose(mac(1), NOW + QUARANTINE_MS - 1, anything)).toBe("the pool is exhausted");
  expect(leases.choose(mac(2), NOW + 2 * QUARANTINE_MS, anything)).toBe("10.0.0.1");
});

test("no more addresses rest than the limit, so a liar cannot take the whole pool", () => {
  const leases = table("10.0.255.255");
  const first = ipv4ToNumber(ip("10.0.0.1"));
  for (let n = 0; n <= QUARANTINE_MAX; n++) {
    const address = ipv4FromNumber(first + n);
    leases.offer(mac(1), address, NOW, false);
    leases.decline(mac(1), address, NOW);
  }
  expect(leases.quarantined(ipv4FromNumber(first), NOW)).toBe(false);
  expect(leases.quarantined(ipv4FromNumber(first + QUARANTINE_MAX), NOW)).toBe(true);
});

test("a lease without end goes with its machine's card, and only that one", () => {
  const leases = table();
  leases.bind(mac(1), ip("10.0.0.1"), Number.POSITIVE_INFINITY);
  leases.bind(mac(2), ip("10.0.0.2"), Number.POSITIVE_INFINITY);
  leases.bind(mac(3), ip("10.0.0.3"), NOW + HOUR);
  expect(leases.endEndless((each) => each !== mac(2), NOW)).toEqual([{ mac: mac(1), address: "10.0.0.1", expiresMs: NOW }]);
  expect([1, 2, 3].map((n) => leases.availableTo(mac(9), ip(`10.0.0.${n}`), NOW))).toEqual([true, false, false]);
  expect(leases.addressOf(mac(1))).toBe("10.0.0.1");
});

test("a release of somebody else's address is no release", () => {
  const leases = table();
  leases.bind(mac(1), ip("10.0.0.1"), Number.POSITIVE_INFINITY);
  expect(leases.release(mac(2), ip("10.0.0.1"), NOW)).toBeUndefined();
  expect(leases.release(mac(1), ip("10.0.0.2"), NOW)).toBeUndefined();
  expect(leases.release(mac(1), ip("10.0.0.1"), NOW)).toEqual({ mac: mac(1), address: "10.0.0.1", expiresMs: NOW });
});

test("the configuration says which addresses of the pool may be used", () => {
  const leases = table();
  expect(leases.choose(mac(1), NOW, (address) => address === "10.0.0.3", ip("10.0.0.2"))).toBe("10.0.0.3");
  expect(leases.choose(mac(1), NOW, anything, ip("10.0.0.2"))).toBe("10.0.0.2");
  expect(leases.choose(mac(1), NOW, anything, ip("10.0.9.2"))).toBe("10.0.0.1");
});

test("a board that learns the time after a cold start hands nobody's address to another, and forgets no older lease", () => {
  const leases = table();
  const coldMs = 1000;
  const rightMs = Date.UTC(2026, 10, 22);
  // Yesterday's, as the store has it; the clock says 1970, so it has long to go.
  leases.restore([{ mac: mac(1), address: ip("10.0.0.1"), expiresMs: rightMs + HOUR }]);
  leases.bind(mac(2), ip("10.0.0.2"), coldMs + HOUR);
  leases.bind(mac(3), ip("10.0.0.3"), Number.POSITIVE_INFINITY);
  expect(leases.shift(rightMs - coldMs)).toEqual([{ mac: mac(2), address: "10.0.0.2", expiresMs: rightMs + HOUR }]);
  expect(leases.choose(mac(4), rightMs, anything)).toBe("the pool is exhausted");
  expect(leases.choose(mac(4), rightMs + HOUR, anything)).toBe("10.0.0.1");
  expect(leases.bindingOf(mac(3))?.expiresMs).toBe(Number.POSITIVE_INFINITY);
});

test("a clock that is set back keeps neither a lease nor an offer nor a quarantine for longer than was said", () => {
  const leases = table("10.0.0.2");
  leases.bind(mac(1), ip("10.0.0.1"), NOW + HOUR);
  leases.offer(mac(2), ip("10.0.0.2"), NOW, false);
  leases.shift(-NOW);
  expect(leases.offerOf(mac(2), OFFER_LIFE_MS - 1)).toBe("10.0.0.2");
  expect(leases.offerOf(mac(2), OFFER_LIFE_MS)).toBeUndefined();
  expect(leases.availableTo(mac(3), ip("10.0.0.1"), HOUR)).toBe(true);
  leases.decline(mac(1), ip("10.0.0.1"), 0);
  leases.shift(HOUR);
  expect(leases.quarantined(ip("10.0.0.1"), HOUR + QUARANTINE_MS - 1)).toBe(true);
  expect(leases.quarantined(ip("10.0.0.1"), HOUR + QUARANTINE_MS)).toBe(false);
});
