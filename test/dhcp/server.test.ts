import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import type { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { LEASES } from "../../src/dhcp/lease-database.ts";
import { openLeaseStore } from "../../src/dhcp/lease-store.ts";
import * as option from "../../src/dhcp/options.ts";
import { type DhcpPacket, decodePacket, encodePacket } from "../../src/dhcp/packet.ts";
import { DhcpServer } from "../../src/dhcp/server.ts";
import type { DhcpServerConfig } from "../../src/dhcp/sockets.ts";
import type { DhcpConfig } from "../../src/machine/config.ts";
import { parseMac } from "../../src/machine/identifiers.ts";
import { Rack } from "../../src/machine/rack.ts";
import { openMemoryDatabase } from "../../src/state/database.ts";
import type { StateEvent } from "../../src/state/events.ts";
import { ask, DHCP, ip, machine, STRANGER, UQBAR, value, vector } from "./support.ts";

/** In development the loopback and a shifted port pair serve: server 16767, client 16768. */
const PORT = 16_767;
const LOOPBACK = ip("127.0.0.1");

// A machine that has much else to do answers late; that is no failure.
vi.setConfig({ testTimeout: 60_000 });

let database: DatabaseSync;
let events: StateEvent[];
let boots: string[];
let server: DhcpServer;
let client: Socket;

const RACK = new Rack([machine("uqbar", UQBAR, { address: ip("127.0.0.16") })]);

function configWith(changes: Partial<DhcpConfig> = {}): DhcpServerConfig {
  return {
    network: { interface: "lo", address: LOOPBACK, prefixLength: 8, manage: false },
    dhcp: { ...DHCP, port: PORT, range: { first: ip("127.0.0.100"), last: ip("127.0.0.199") }, ...changes },
  };
}

function newServer(): DhcpServer {
  return new DhcpServer({
    config: configWith(),
    rack: RACK,
    store: openLeaseStore(database),
    bootOffer: () => ({ file: "grubx64.efi" }),
    emit: (event) => events.push(event),
    onFirmwareDiscover: ({ name }, firmware) => boots.push(`${name} ${firmware} before ${events.length} events`),
  });
}

beforeEach(async () => {
  database = openMemoryDatabase(LEASES);
  events = [];
  boots = [];
  server = newServer();
  await server.start();
  events = [];
  client = createSocket("udp4");
  client.bind(PORT + 1, LOOPBACK);
  await once(client, "listening");
});

afterEach(async () => {
  client.close();
  await server.stop();
});

function send(bytes: Uint8Array): void {
  client.send(bytes, PORT, LOOPBACK);
}

async function exchange(packet: DhcpPacket | Uint8Array, timeoutMs = 20_000): Promise<DhcpPacket> {
  const answer = once(client, "message", { signal: AbortSignal.timeout(timeoutMs) });
  send(packet instanceof Uint8Array ? packet : encodePacket(packet).bytes);
  const [bytes] = (await answer) as [Buffer];
  expect(bytes.length).toBeGreaterThanOrEqual(300);
  return decodePacket(bytes);
}

const typeOf = ({ options }: DhcpPacket): number | undefined => option.readOption(options, option.MESSAGE_TYPE);
const select = (mac: string, { yiaddr }: DhcpPacket): DhcpPacket =>
  ask("request", mac, [value(option.REQUESTED_ADDRESS, yiaddr), value(option.SERVER_IDENTIFIER, LOOPBACK)]);

test("a captured firmware packet gets its offer, and the boot begins before its events are told", async () => {
  const offered = await exchange(vector("ovmf-pxe-discover"));
  expect([offered.yiaddr, offered.file]).toEqual(["127.0.0.16", "grubx64.efi"]);
  expect(boots).toEqual(["uqbar uefi-x64-pxe before 0 events"]);
  expect(events.map(({ type }) => type)).toEqual(["dhcp.discovered", "dhcp.offered"]);
});

test("a lease is stored before it is acknowledged, and the next daemon knows it", async () => {
  const acknowledged = await exchange(select(STRANGER, await exchange(ask("discover", STRANGER))));
  expect(typeOf(acknowledged)).toBe(option.MESSAGE_TYPES.ack);
  expect(database.prepare("SELECT mac FROM lease").all()).toEqual([{ mac: STRANGER }]);
  await server.stop();
  server = newServer();
  expect(server.addressOf(parseMac(STRANGER))).toBe("127.0.0.100");
  expect(server.macAt(ip("127.0.0.100"))).toBe(STRANGER);
});

test("a lease that cannot be stored is not acknowledged; a reservation, which needs no store, is; both are told", async () => {
  const offered = await exchange(ask("discover", STRANGER));
  database.exec("PRAGMA query_only = ON");
  send(encodePacket(select(STRANGER, offered)).bytes);
  const own = await exchange(ask("request", UQBAR, [value(option.REQUESTED_ADDRESS, ip("127.0.0.16"))]));
  expect(own.yiaddr).toBe("127.0.0.16");
  expect(events).toContainEqual({ type: "dhcp.ignored", mac: STRANGER, reason: "its lease of 127.0.0.100 could not be stored" });
  expect(events.filter(({ type }) => type === "service.failed")).toHaveLength(1);
  database.exec("PRAGMA query_only = OFF");
  expect(typeOf(await exchange(select(STRANGER, offered)))).toBe(option.MESSAGE_TYPES.ack);
  expect(database.prepare("SELECT mac FROM lease ORDER BY mac").all()).toEqual([{ mac: STRANGER }, { mac: UQBAR }]);
});

test("two machines that change places take their addresses along, although both had theirs for ever", async () => {
  const TLON = "52:54:00:16:00:11";
  const rack = (uqbar: string, tlon: string): Rack =>
    new Rack([machine("uqbar", uqbar, { address: ip("127.0.0.16") }), machine("tlon", tlon, { address: ip("127.0.0.17") })]);
  await server.update(configWith(), rack(UQBAR, TLON));
  for (const mac of [UQBAR, TLON]) expect(typeOf(await exchange(select(mac, await exchange(ask("discover", mac)))))).toBe(5);
  await server.update(configWith(), rack(TLON, UQBAR));
  for (const [mac, address] of [
    [UQBAR, "127.0.0.17"],
    [TLON, "127.0.0.16"],
  ] as const) {
    const offered = await exchange(ask("discover", mac));
    expect(offered.yiaddr).toBe(address);
    expect((await exchange(select(mac, offered))).yiaddr).toBe(address);
  }
});

test("garbage is counted with its reason, and the next packet is served", async () => {
  for (const length of [0, 1, 239]) send(vector("udhcpc-discover").subarray(0, length));
  send(Uint8Array.from([...vector("udhcpc-discover").subarray(0, 240), 53, 200, 1]));
  const offered = await exchange(ask("discover", STRANGER));
  expect(offered.yiaddr).toBe("127.0.0.100");
  const reasons = events.filter((event) => event.type === "peer.malformed").map(({ service, peer, reason }) => [service, peer, reason]);
  expect(reasons).toHaveLength(4);
  expect(reasons.at(-1)).toEqual(["dhcp", "127.0.0.1", "options field: option 53 announces 200 octets, 1 left"]);
});

test("a fault in what is handed in costs one packet, not the service", async () => {
  await server.stop();
  let broken = true;
  server = new DhcpServer({
    config: configWith(),
    rack: RACK,
    store: openLeaseStore(database),
    bootOffer: () => {
      if (broken) throw new Error("no loader could be read");
      return { file: "grubx64.efi" };
    },
    emit: (event) => events.push(event),
  });
  await server.start();
  send(vector("ovmf-pxe-discover"));
  await exchange(ask("discover", STRANGER));
  expect(events).toContainEqual({ type: "service.slipped", service: "dhcp", reason: expect.stringContaining("no loader could be read") });
  broken = false;
  expect((await exchange(vector("ovmf-pxe-discover"))).file).toBe("grubx64.efi");
});

test("a new configuration is taken without a restart, and leases stay", async () => {
  await exchange(select(STRANGER, await exchange(ask("discover", STRANGER))));
  await server.update(configWith({ domain: "rack.example" }), new Rack([machine("tlon", STRANGER, { address: ip("127.0.0.17") })]));
  const offered = await exchange(ask("discover", STRANGER));
  expect([offered.yiaddr, option.readOption(offered.options, option.DOMAIN_NAME)]).toEqual(["127.0.0.17", "rack.example"]);
  await server.update(configWith({ mode: "off" }), RACK);
  await expect(exchange(ask("discover", STRANGER), 500)).rejects.toThrow("aborted");
  await server.update(configWith(), RACK);
  expect((await exchange(ask("discover", STRANGER))).yiaddr).toBe("127.0.0.100");
});

test("a port in use is told with the next step, and the old configuration serves on", async () => {
  const other = createSocket("udp4");
  other.bind(PORT + 10, LOOPBACK);
  await once(other, "listening");
  await expect(server.update(configWith({ port: PORT + 10 }), RACK)).rejects.toThrow(
    /UDP port 16777 is in use.*stop the other DHCP server/,
  );
  other.close();
  expect((await exchange(ask("discover", STRANGER))).yiaddr).toBe("127.0.0.100");
});

test("a proxy answers firmware on its own port, where it asked from, and learns its address", async () => {
  await server.update(configWith({ mode: "proxy" }), RACK);
  const asking = createSocket("udp4");
  asking.bind(0, LOOPBACK);
  await once(asking, "listening");
  const { bytes } = encodePacket({ ...decodePacket(vector("ovmf-pxe-discover")), ciaddr: ip("127.0.0.77") });
  const answer = once(asking, "message", { signal: AbortSignal.timeout(20_000) });
  // The same packet as a REQUEST.
  asking.send(bytes.with(bytes.indexOf(option.MESSAGE_TYPE.code, 240) + 2, option.MESSAGE_TYPES.request), PORT + 2, LOOPBACK);
  const acknowledged = decodePacket(((await answer) as [Buffer])[0]);
  asking.close();
  expect([typeOf(acknowledged), acknowledged.file, acknowledged.yiaddr]).toEqual([option.MESSAGE_TYPES.ack, "grubx64.efi", "0.0.0.0"]);
  expect(server.macAt(ip("127.0.0.77"))).toBe(UQBAR);
});

test("a hundred machines at once all get their lease", async () => {
  const macs = Array.from({ length: 100 }, (_, n) => `02:00:00:00:01:${n.toString(16).padStart(2, "0")}`);
  const got = new Map<number, string>();
  client.on("message", (bytes) => {
    const reply = decodePacket(bytes);
    if (typeOf(reply) === option.MESSAGE_TYPES.ack) got.set(reply.xid, reply.yiaddr);
    else send(encodePacket({ ...select(macs[reply.xid] ?? "", reply), xid: reply.xid }).bytes);
  });
  for (const [xid, mac] of macs.entries()) send(encodePacket(ask("discover", mac, [], { xid })).bytes);
  await expect.poll(() => got.size, { timeout: 20_000 }).toBe(100);
  expect(new Set(got.values()).size).toBe(100);
  expect(database.prepare("SELECT count(*) AS leases FROM lease").get()).toEqual({ leases: 100 });
});
