import { readFileSync } from "node:fs";
import type { Decision, Reply } from "../../src/dhcp/decision.ts";
import type { DhcpContext } from "../../src/dhcp/inquiry.ts";
import { LeaseTable } from "../../src/dhcp/leases.ts";
import { type DhcpOption, MESSAGE_TYPE, MESSAGE_TYPES } from "../../src/dhcp/options.ts";
import { type DhcpPacket, NO_ADDRESS } from "../../src/dhcp/packet.ts";
import { decide } from "../../src/dhcp/policy.ts";
import { quirksInForce } from "../../src/dhcp/quirks.ts";
import type { DhcpConfig } from "../../src/machine/config.ts";
import type { BootOffer } from "../../src/machine/firmware.ts";
import { type Ipv4, macToBytes, parseIpv4, parseIqn, parseMac, parseMachineName, parseVolumeName } from "../../src/machine/identifiers.ts";
import type { Machine } from "../../src/machine/machine.ts";
import { Rack } from "../../src/machine/rack.ts";

/** One captured packet of test/vectors/dhcp; the .info beside it is its decoding by tshark. */
export function vector(name: string): Uint8Array {
  const text = readFileSync(new URL(`../vectors/dhcp/${name}.hex`, import.meta.url), "utf8");
  return new Uint8Array(Buffer.from(text.replaceAll("\n", ""), "hex"));
}

export function vectorInfo(name: string): string {
  return readFileSync(new URL(`../vectors/dhcp/${name}.info`, import.meta.url), "utf8");
}

export const SERVER: Ipv4 = parseIpv4("172.16.0.1");
export const ip: (text: string) => Ipv4 = parseIpv4;
export const UQBAR = "52:54:00:16:00:10";
export const STRANGER = "02:00:00:00:00:01";

export function machine(name: string, mac: string | readonly string[], changes: Partial<Machine> = {}): Machine {
  const iqn = parseIqn(`iqn.2026-01.lan.rackboot:${name}`);
  return {
    name: parseMachineName(name),
    macs: [mac].flat().map(parseMac),
    initiators: [iqn],
    anyInitiator: false,
    target: iqn,
    disks: [parseVolumeName(`${name}-root`)],
    chap: false,
    arguments: "",
    boot: { kind: "disk", via: "loader" },
    ephemeral: false,
    hostname: name,
    ...changes,
  };
}

export const HOUR_MS = 3_600_000;

export const DHCP: DhcpConfig = {
  mode: "server",
  range: { first: ip("172.16.0.100"), last: ip("172.16.0.103") },
  leaseMs: 12 * HOUR_MS,
  unknown: "lease",
  dns: [],
  ntp: [],
  options: new Map(),
  relay: true,
  others: [],
  quirks: new Map(),
  port: 67,
};

export interface TestContext extends DhcpContext {
  nowMs: number;
}

export function context(dhcp: Partial<DhcpConfig> = {}, machines?: readonly Machine[], boot?: BootOffer): TestContext {
  const leases = new LeaseTable();
  const settings = { address: SERVER, prefixLength: 24, dhcp: { ...DHCP, ...dhcp } };
  leases.setRange(settings.dhcp.range);
  const rack = new Rack(machines ?? [machine("uqbar", UQBAR, { address: ip("172.16.0.16") })]);
  return { settings, rack, leases, nowMs: 1_000_000, bootOffer: () => boot, quirks: quirksInForce(settings.dhcp.quirks) };
}

type Value = readonly [code: number, octets: Uint8Array];

export function value<T>(option: DhcpOption<T>, content: T): Value {
  return [option.code, option.encode(content)];
}

export function ask(
  type: keyof typeof MESSAGE_TYPES,
  mac: string,
  options: readonly Value[] = [],
  header: Partial<DhcpPacket> = {},
): DhcpPacket {
  const chaddr = new Uint8Array(16);
  chaddr.set(macToBytes(parseMac(mac)));
  return {
    op: "request",
    htype: 1,
    hlen: 6,
    hops: 0,
    xid: 0x1234_5678,
    secs: 3,
    flags: 0,
    ciaddr: NO_ADDRESS,
    yiaddr: NO_ADDRESS,
    siaddr: NO_ADDRESS,
    giaddr: NO_ADDRESS,
    chaddr,
    sname: "",
    file: "",
    options: new Map([value(MESSAGE_TYPE, MESSAGE_TYPES[type]), ...options]),
    ...header,
  };
}

/** Decides, and fails the test where there is no reply. */
export function replyTo(packet: DhcpPacket, given: DhcpContext): Decision & Reply {
  const decision = decide(packet, given);
  if (decision.kind !== "reply") throw new Error(`ignored: ${decision.reason}`);
  return decision;
}

/** Decides, and fails the test where there is a reply. */
export function silenceTo(packet: DhcpPacket, given: DhcpContext): string {
  const decision = decide(packet, given);
  if (decision.kind === "reply") throw new Error("it was answered");
  return decision.reason;
}
