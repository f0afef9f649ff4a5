import { describe, expect, test } from "vitest";
import { OFFER_LIFE_MS } from "../../src/dhcp/leases.ts";
import * as option from "../../src/dhcp/options.ts";
import { BROADCAST_FLAG, decodePacket, encodePacket } from "../../src/dhcp/packet.ts";
import { decide } from "../../src/dhcp/policy.ts";
import { parseMac } from "../../src/machine/identifiers.ts";
import {
  ask,
  context,
  HOUR_MS,
  ip,
  machine,
  replyTo,
  SERVER,
  STRANGER,
  silenceTo,
  type TestContext,
  UQBAR,
  value,
  vector,
} from "./support.ts";

const read = <T>(reply: { packet: { options: option.OptionMap } }, wanted: option.DhcpOption<T>): T | undefined =>
  option.readOption(reply.packet.options, wanted);
const typeOf = (reply: { packet: { options: option.OptionMap } }) => read(reply, option.MESSAGE_TYPE);
const { offer: OFFER, ack: ACK, nak: NAK } = option.MESSAGE_TYPES;

const selecting = (mac: string, address: string, server = SERVER) =>
  ask("request", mac, [value(option.REQUESTED_ADDRESS, ip(address)), value(option.SERVER_IDENTIFIER, server)]);
const rebooting = (mac: string, address: string) => ask("request", mac, [value(option.REQUESTED_ADDRESS, ip(address))]);
const renewing = (mac: string, address: string) => ask("request", mac, [], { ciaddr: ip(address) });

/** DISCOVER and REQUEST; the address that it ends with. */
function lease(given: TestContext, mac: string): string {
  const { packet } = replyTo(ask("discover", mac), given);
  const acknowledged = replyTo(selecting(mac, packet.yiaddr), given);
  expect(typeOf(acknowledged)).toBe(ACK);
  return acknowledged.packet.yiaddr;
}

describe("which address", () => {
  test("a machine gets its own, for ever if it lives on a disk of ours", () => {
    const given = context();
    const offered = replyTo(ask("discover", UQBAR), given);
    expect([typeOf(offered), offered.packet.yiaddr]).toEqual([OFFER, "172.16.0.16"]);
    const acknowledged = replyTo(selecting(UQBAR, "172.16.0.16"), given);
    expect([typeOf(acknowledged), read(acknowledged, option.LEASE_TIME)]).toEqual([ACK, option.INFINITE_SECONDS]);
    expect(read(acknowledged, option.RENEWAL_TIME)).toBeUndefined();
    expect(acknowledged.lease).toEqual({ mac: UQBAR, address: "172.16.0.16", expiresMs: Number.POSITIVE_INFINITY });
  });

  test("a machine without a disk, or a stranger, gets a lease that ends", () => {
    const given = context({}, [machine("tlon", UQBAR, { disks: [] })]);
    for (const mac of [UQBAR, STRANGER]) {
      const offered = replyTo(ask("discover", mac), given);
      expect([option.LEASE_TIME, option.RENEWAL_TIME, option.REBINDING_TIME].map((wanted) => read(offered, wanted))).toEqual([
        43_200, 21_600, 37_800,
      ]);
    }
  });

  test("a machine without an address of its own gets one of the pool, and keeps it", () => {
    const given = context({}, [machine("tlon", UQBAR)]);
    expect(lease(given, UQBAR)).toBe("172.16.0.100");
    given.nowMs += 1000 * HOUR_MS;
    expect(lease(given, UQBAR)).toBe("172.16.0.100");
  });

  test("nobody gets our address, the router's, the network's, the broadcast address, or another machine's", () => {
    const range = { first: ip("172.16.0.0"), last: ip("172.16.0.5") };
    const given = context({ range, router: ip("172.16.0.2") }, [machine("uqbar", UQBAR, { address: ip("172.16.0.3") })]);
    expect(["02:00:00:00:00:01", "02:00:00:00:00:02"].map((mac) => lease(given, mac))).toEqual(["172.16.0.4", "172.16.0.5"]);
    expect(silenceTo(ask("discover", "02:00:00:00:00:03"), given)).toBe("the pool is exhausted");
    expect(lease(given, UQBAR)).toBe("172.16.0.3");
  });

  test("a machine is its MAC address: firmware, GRUB and system have client identifiers and UUIDs of their own, or none", () => {
    const given = context({}, [machine("tlon", UQBAR)]);
    const asked = [
      decodePacket(vector("ovmf-pxe-discover")),
      decodePacket(vector("ipxe-bios-discover")),
      ask("discover", UQBAR),
      ask("discover", UQBAR, [value(option.CLIENT_IDENTIFIER, Uint8Array.of(255, 1, 2, 3, 4, 0, 2))]),
      ask("discover", UQBAR, [value(option.MACHINE_IDENTIFIER, new Uint8Array(17).fill(7))]),
    ].map((packet) => ({ ...packet, chaddr: ask("discover", UQBAR).chaddr }));
    expect(asked.map((packet) => replyTo(packet, given).packet.yiaddr)).toEqual(asked.map(() => "172.16.0.100"));
  });

  test("two DISCOVERs with one xid are answered alike (iPXE sends them)", () => {
    const given = context();
    const discover = decodePacket(vector("ipxe-bios-discover"));
    expect(replyTo(discover, given).packet).toEqual(replyTo(discover, given).packet);
  });

  test("the ports of one machine share its address: the newest asker has it", () => {
    const given = context({}, [machine("uqbar", [UQBAR, STRANGER], { address: ip("172.16.0.16") })]);
    expect([lease(given, UQBAR), lease(given, STRANGER)]).toEqual(["172.16.0.16", "172.16.0.16"]);
    expect(given.leases.macAt(ip("172.16.0.16"))).toBe(STRANGER);
  });

  test("a reservation that a stranger still holds is not given twice", () => {
    const given = context();
    given.leases.bind(parseMac(STRANGER), ip("172.16.0.16"), given.nowMs + HOUR_MS);
    expect(replyTo(ask("discover", UQBAR), given).packet.yiaddr).toBe("172.16.0.100");
    expect(typeOf(replyTo(renewing(STRANGER, "172.16.0.16"), given))).toBe(NAK);
    given.nowMs += 2 * HOUR_MS;
    expect(replyTo(ask("discover", UQBAR), given).packet.yiaddr).toBe("172.16.0.16");
  });

  test("a reason that names the reservation is given when there is no other address", () => {
    const given = context({ range: undefined as never });
    given.leases.bind(parseMac(STRANGER), ip("172.16.0.16"), given.nowMs + HOUR_MS);
    expect(silenceTo(ask("discover", UQBAR), given)).toBe(`its address 172.16.0.16 is leased to ${STRANGER}, and no range is configured`);
  });
});

describe("who is answered", () => {
  test("a stranger that is pending shows with all that it says of itself, and gets nothing, from a proxy neither", () => {
    for (const mode of ["server", "proxy"] as const) {
      const decision = decide(decodePacket(vector("ovmf-pxe-discover")), context({ unknown: "pending", mode }, []));
      expect(decision).toMatchObject({ kind: "ignore", reason: expect.stringContaining("pending until somebody adopts it") });
      expect(decision.events).toEqual([
        {
          type: "dhcp.pending",
          mac: "52:54:00:16:00:10",
          firmware: "uefi-x64-pxe",
          vendorClass: "PXEClient:Arch:00007:UNDI:003001",
          architecture: 7,
          uuid: expect.stringMatching(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/),
        },
      ]);
    }
  });

  test.each(["ignore", "pending"] as const)("a stranger is not, with unknown: %s; nor is it told no", (unknown) => {
    const given = context({ unknown });
    for (const packet of [ask("discover", STRANGER), selecting(STRANGER, "172.16.0.100"), renewing(STRANGER, "10.9.9.9")]) {
      expect(silenceTo(packet, given)).toContain("no machine has this MAC address");
    }
    expect(lease(given, UQBAR)).toBe("172.16.0.16");
  });

  test.each([
    ["a server's reply", ask("offer", STRANGER, [], { op: "reply" }), "it is a server's reply"],
    ["BOOTP", ask("discover", STRANGER, [], { options: new Map() }), "BOOTP is not served"],
    ["InfiniBand", ask("discover", STRANGER, [], { htype: 32, hlen: 0 }), "hardware type 32"],
    ["an ACK from a client", ask("ack", STRANGER), "message type 5 is not a client's"],
    ["a loop of relays", ask("discover", STRANGER, [], { hops: 17 }), "17 relays"],
    ["a REQUEST for nothing", ask("request", STRANGER), "names no address"],
  ])("%s is ignored with the reason", (_, packet, reason) => {
    expect(silenceTo(packet, context())).toContain(reason);
  });

  test("a malformed option is an error that names it", () => {
    expect(() => decide(ask("request", STRANGER, [[50, Uint8Array.of(1)]]), context())).toThrow("option 50 (requested address): 1 octets");
  });
});

describe("REQUEST", () => {
  test("for another server's offer is ignored, and our offer is free again", () => {
    const given = context({ range: { first: ip("172.16.0.100"), last: ip("172.16.0.100") } });
    replyTo(ask("discover", STRANGER), given);
    expect(silenceTo(selecting(STRANGER, "172.16.0.100", ip("172.16.0.9")), given)).toBe("it chose another server, 172.16.0.9");
    expect(replyTo(ask("discover", "02:00:00:00:00:02"), given).packet.yiaddr).toBe("172.16.0.100");
  });

  test("SELECTING an address that was not offered is told no, by broadcast", () => {
    const refused = replyTo(selecting(UQBAR, "172.16.0.200"), context());
    expect([typeOf(refused), refused.packet.yiaddr, refused.packet.siaddr]).toEqual([NAK, "0.0.0.0", "0.0.0.0"]);
    expect(refused.destination).toEqual({ kind: "broadcast", address: "255.255.255.255", port: 68 });
    expect(refused.events).toEqual([
      { type: "dhcp.refused", machine: "uqbar", mac: UQBAR, reason: "172.16.0.200 is not this client's address" },
    ]);
  });

  test("SELECTING without an address means the one that was offered (the npm client's way)", () => {
    const given = context();
    const bare = ask("request", STRANGER, [value(option.SERVER_IDENTIFIER, SERVER)]);
    expect(silenceTo(bare, given)).toContain("names no address");
    replyTo(ask("discover", STRANGER), given);
    expect(replyTo(bare, given).packet.yiaddr).toBe("172.16.0.100");
  });

  test("SELECTING late, when the address has gone to another, is told no", () => {
    const given = context();
    replyTo(ask("discover", STRANGER), given);
    given.nowMs += OFFER_LIFE_MS;
    given.leases.bind(parseMac("02:00:00:00:00:02"), ip("172.16.0.100"), given.nowMs + HOUR_MS);
    expect(typeOf(replyTo(selecting(STRANGER, "172.16.0.100"), given))).toBe(NAK);
  });

  test("INIT-REBOOT gets its address again, or no: from another network, or reserved by now", () => {
    const given = context();
    const address = lease(given, STRANGER);
    expect(typeOf(replyTo(rebooting(STRANGER, address), given))).toBe(ACK);
    expect(typeOf(replyTo(rebooting(UQBAR, "172.16.0.101"), given))).toBe(NAK);
    expect(read(replyTo(rebooting(UQBAR, "192.168.1.5"), given), option.MESSAGE)).toBe("192.168.1.5 is not in the client's network");
  });

  test("RENEWING is answered to the client's address, and the lease goes on", () => {
    const given = context();
    const address = lease(given, STRANGER);
    given.nowMs += 6 * HOUR_MS;
    const renewed = replyTo(renewing(STRANGER, address), given);
    expect([typeOf(renewed), renewed.packet.yiaddr, renewed.packet.ciaddr]).toEqual([ACK, address, address]);
    expect(renewed.destination).toEqual({ kind: "unicast", address, port: 68 });
    expect(renewed.lease?.expiresMs).toBe(given.nowMs + 12 * HOUR_MS);
  });

  test("RENEWING an infinite lease writes nothing", () => {
    const given = context();
    lease(given, UQBAR);
    expect(replyTo(renewing(UQBAR, "172.16.0.16"), given).lease).toBeUndefined();
  });

  test("a running machine keeps its address, forgotten by us or changed in the configuration: its root is behind it", () => {
    const forgotten = context();
    expect(typeOf(replyTo(renewing(STRANGER, "172.16.0.102"), forgotten))).toBe(ACK);
    const changed = context({}, [machine("uqbar", UQBAR, { address: ip("172.16.0.17") })]);
    changed.leases.bind(parseMac(UQBAR), ip("172.16.0.16"), Number.POSITIVE_INFINITY);
    expect(typeOf(replyTo(renewing(UQBAR, "172.16.0.16"), changed))).toBe(ACK);
    expect(replyTo(ask("discover", UQBAR), changed).packet.yiaddr).toBe("172.16.0.17");
  });

  test("RENEWING what was never ours is told no", () => {
    expect(typeOf(replyTo(renewing(STRANGER, "172.16.0.50"), context()))).toBe(NAK);
    expect(typeOf(replyTo(renewing(STRANGER, "10.0.0.50"), context()))).toBe(NAK);
  });
});

describe("DECLINE, RELEASE, INFORM", () => {
  test("a declined reservation is not offered while it rests; the pool helps out", () => {
    const given = context();
    lease(given, UQBAR);
    const decision = decide(ask("decline", UQBAR, [value(option.REQUESTED_ADDRESS, ip("172.16.0.16"))]), given);
    expect(decision.events).toEqual([{ type: "dhcp.declined", machine: "uqbar", mac: UQBAR, address: "172.16.0.16" }]);
    expect(lease(given, UQBAR)).toBe("172.16.0.100");
    given.nowMs += HOUR_MS;
    expect(lease(given, UQBAR)).toBe("172.16.0.16");
  });

  test("a machine whose second card finds the first at their address keeps it", () => {
    const other = "52:54:00:16:00:11";
    const given = context({}, [machine("uqbar", [UQBAR, other], { address: ip("172.16.0.16") })]);
    lease(given, other);
    expect(silenceTo(ask("decline", other, [value(option.REQUESTED_ADDRESS, ip("172.16.0.16"))]), given)).toContain("its other card");
    expect(lease(given, UQBAR)).toBe("172.16.0.16");
  });

  test("a DECLINE of somebody else's address changes nothing", () => {
    const given = context();
    lease(given, UQBAR);
    expect(silenceTo(ask("decline", STRANGER, [value(option.REQUESTED_ADDRESS, ip("172.16.0.16"))]), given)).toContain(
      "which it was not given",
    );
    expect(lease(given, UQBAR)).toBe("172.16.0.16");
  });

  test("a released address is free for others, and a stranger cannot release it", () => {
    const given = context({ range: { first: ip("172.16.0.100"), last: ip("172.16.0.100") } });
    lease(given, STRANGER);
    expect(silenceTo(ask("release", UQBAR, [], { ciaddr: ip("172.16.0.100") }), given)).toContain("which it does not have");
    const decision = decide(ask("release", STRANGER, [], { ciaddr: ip("172.16.0.100") }), given);
    expect([decision.kind, decision.lease?.expiresMs]).toEqual(["ignore", given.nowMs]);
    expect(lease(given, "02:00:00:00:00:02")).toBe("172.16.0.100");
  });

  test("INFORM is answered without an address or a lease", () => {
    const informed = replyTo(ask("inform", STRANGER, [], { ciaddr: ip("172.16.0.77") }), context({ dns: [ip("172.16.0.53")] }));
    expect([typeOf(informed), informed.packet.yiaddr, read(informed, option.LEASE_TIME)]).toEqual([ACK, "0.0.0.0", undefined]);
    expect(read(informed, option.DNS_SERVERS)).toEqual(["172.16.0.53"]);
    expect(informed.destination).toEqual({ kind: "unicast", address: "172.16.0.77", port: 68 });
  });
});

describe("where a reply goes", () => {
  test("to a client that can hear broadcasts only: broadcast", () => {
    const { destination, packet } = replyTo(ask("discover", UQBAR, [], { flags: BROADCAST_FLAG }), context());
    expect(destination).toEqual({ kind: "broadcast", address: "255.255.255.255", port: 68 });
    expect(packet.flags).toBe(BROADCAST_FLAG);
  });

  test("to one that set no flag: its new address, with its MAC for the ARP table", () => {
    const { destination } = replyTo(ask("discover", UQBAR), context());
    expect(destination).toEqual({ kind: "arp-unicast", address: "172.16.0.16", mac: UQBAR, port: 68 });
  });

  test("through a relay: to the relay's server port, NAKs with the broadcast flag", () => {
    const giaddr = ip("172.16.0.250");
    expect(replyTo(ask("discover", UQBAR, [], { giaddr }), context()).destination).toEqual({ kind: "relay", address: giaddr, port: 67 });
    const refused = replyTo({ ...selecting(UQBAR, "172.16.0.99"), giaddr }, context());
    expect([refused.destination.kind, refused.packet.flags]).toEqual(["relay", BROADCAST_FLAG]);
  });

  test("with a shifted port: the client's port is shifted alike", () => {
    expect(replyTo(ask("discover", UQBAR), context({ port: 6767 })).destination.port).toBe(6768);
  });
});

describe("relays", () => {
  const far = { first: ip("10.5.0.100"), last: ip("10.5.0.200") };

  test("are refused where the configuration says so", () => {
    expect(silenceTo(ask("discover", UQBAR, [], { giaddr: ip("172.16.0.250") }), context({ relay: false }))).toContain(
      "dhcp.relay is false",
    );
  });

  test("bring clients of another network, who get addresses of that network and the relay as router", () => {
    const given = context({ range: far, router: ip("172.16.0.254") });
    const offered = replyTo(ask("discover", STRANGER, [], { giaddr: ip("10.5.0.1") }), given);
    expect([offered.packet.yiaddr, read(offered, option.SUBNET_MASK), read(offered, option.ROUTERS)]).toEqual([
      "10.5.0.100",
      "255.255.255.0",
      ["10.5.0.1"],
    ]);
    expect(silenceTo(ask("discover", STRANGER), given)).toBe("the pool is exhausted");
  });

  test("get option 82 back, last, and may name the link and themselves as server", () => {
    const suboptions = new Map([
      [1, Uint8Array.of(1, 2)],
      [option.RELAY_LINK_SELECTION, Uint8Array.of(10, 5, 0, 0)],
      [option.RELAY_SERVER_OVERRIDE, Uint8Array.of(10, 9, 9, 9)],
    ]);
    const header = { giaddr: ip("192.168.7.1") };
    const agent = value(option.RELAY_AGENT, suboptions);
    const given = context({ range: far });
    const offered = replyTo(ask("discover", STRANGER, [agent], header), given);
    expect([offered.packet.yiaddr, read(offered, option.SERVER_IDENTIFIER)]).toEqual(["10.5.0.100", "10.9.9.9"]);
    expect([...encodePacket(offered.packet).bytes.subarray(0, -1)].slice(-agent[1].length)).toEqual([...agent[1]]);
    const chosen = value(option.SERVER_IDENTIFIER, ip("10.9.9.9"));
    const request = ask("request", STRANGER, [value(option.REQUESTED_ADDRESS, ip("10.5.0.100")), chosen, agent], header);
    expect(typeOf(replyTo(request, given))).toBe(ACK);
  });
});

describe("options", () => {
  test("come in the order that the client asks for them, the mask first, the rest after", () => {
    const given = context({
      router: ip("172.16.0.254"),
      dns: [ip("172.16.0.53")],
      domain: "rack",
      ntp: [SERVER],
      mtu: 9000,
      options: new Map([[224, Uint8Array.of(7)]]),
    });
    const list = value(option.PARAMETER_LIST, Uint8Array.of(42, 6, 3, 1, 99));
    const offered = replyTo(
      ask("discover", UQBAR, [list, value(option.CLIENT_IDENTIFIER, Uint8Array.of(1, 2)), [97, new Uint8Array(17)]]),
      given,
    );
    expect([...offered.packet.options.keys()]).toEqual([53, 54, 51, 1, 42, 6, 3, 61, 97, 12, 15, 26, 28, 224]);
    expect(read(offered, option.INTERFACE_MTU)).toBe(9000);
    expect(read(offered, option.HOST_NAME)).toBe("uqbar");
    expect(read(offered, option.BROADCAST_ADDRESS)).toBe("172.16.0.255");
  });

  test("of the configuration win, except those that are the protocol's own", () => {
    const options = new Map([
      [3, Uint8Array.of(9, 9, 9, 9)],
      [54, Uint8Array.of(9, 9, 9, 9)],
      [53, Uint8Array.of(9)],
    ]);
    const offered = replyTo(ask("discover", UQBAR), context({ router: ip("172.16.0.254"), options }));
    expect([typeOf(offered), read(offered, option.ROUTERS), read(offered, option.SERVER_IDENTIFIER)]).toEqual([OFFER, ["9.9.9.9"], SERVER]);
  });

  test.each([
    [undefined, 548],
    [0, 548],
    [576, 548],
    [1472, 1444],
    [65_280, 1472],
  ])("fit into what the client takes: option 57 = %s", (maximum, payload) => {
    const sizes = maximum === undefined ? [] : [value(option.MAXIMUM_SIZE, maximum)];
    expect(replyTo(ask("discover", UQBAR, sizes), context()).maximumBytes).toBe(payload);
  });
});

test("packets of fewer octets than BOOTP's 300 are answered: NetworkManager sends them", () => {
  for (const name of ["networkmanager-discover", "networkmanager-request"]) expect(vector(name).length).toBeLessThan(300);
  const given = context();
  const discover = decodePacket(vector("networkmanager-discover"));
  const { packet } = replyTo(discover, given);
  const request = decodePacket(vector("networkmanager-request"));
  const options = new Map([...request.options, value(option.REQUESTED_ADDRESS, packet.yiaddr), value(option.SERVER_IDENTIFIER, SERVER)]);
  expect(typeOf(replyTo({ ...request, options }, given))).toBe(ACK);
});

describe("boot files", () => {
  const offerOf = (capture: string, boot = { file: "grubx64.efi" } as { file: string; rootPath?: string; initiatorName?: string }) =>
    replyTo(decodePacket(vector(capture)), context({}, undefined, boot));

  test("stand in file, 66, 67 and siaddr, since each is all that some firmware reads", () => {
    const offered = offerOf("ovmf-pxe-discover");
    const { siaddr, file, sname } = offered.packet;
    expect([siaddr, sname, file]).toEqual([SERVER, SERVER, "grubx64.efi"]);
    expect([read(offered, option.TFTP_SERVER_NAME), read(offered, option.BOOT_FILE_NAME)]).toEqual([SERVER, "grubx64.efi"]);
  });

  test("come without option 60 for PXE: EDK2 would ask again on port 4011", () => {
    expect(offerOf("ovmf-pxe-discover").packet.options.has(60)).toBe(false);
  });

  test("are a URL for HTTP boot, with option 60 echoed", () => {
    const url = "http://172.16.0.1/shimx64.efi";
    const offered = offerOf("ovmf-http-discover", { file: url });
    expect([read(offered, option.VENDOR_CLASS), read(offered, option.BOOT_FILE_NAME), offered.packet.file]).toEqual([
      "HTTPClient",
      url,
      url,
    ]);
    expect(read(offered, option.TFTP_SERVER_NAME)).toBeUndefined();
  });

  test("too long for the field stand in option 67 alone", () => {
    const file = `http://172.16.0.1/${"long/".repeat(40)}shimx64.efi`;
    const offered = offerOf("ovmf-http-discover", { file });
    expect([offered.packet.file, read(offered, option.BOOT_FILE_NAME)]).toEqual(["", file]);
  });

  test("iPXE is told its root path and initiator name, and not to wait for a proxy", () => {
    const rootPath = "iscsi:172.16.0.1::3260:0:iqn.2026-01.lan.rackboot:uqbar";
    const offered = offerOf("ipxe-bios-discover", { file: "", rootPath, initiatorName: "iqn.1994-05.com.redhat:uqbar" });
    expect([read(offered, option.ROOT_PATH), read(offered, option.IPXE_INITIATOR)]).toEqual([rootPath, "iqn.1994-05.com.redhat:uqbar"]);
    expect(read(offered, option.IPXE)).toEqual(new Map([[176, Uint8Array.of(1)]]));
    expect([offered.packet.options.has(67), offered.packet.file, offered.packet.sname]).toEqual([false, "", ""]);
  });

  test("are for firmware only, but a GRUB that asks for itself still finds its server", () => {
    const { packet } = offerOf("dhclient-discover");
    expect([packet.file, packet.siaddr, packet.options.has(67)]).toEqual(["", SERVER, false]);
  });

  test("a machine's firmware asking is told to whoever begins boots; an initramfs asking is not", () => {
    const given = context();
    expect(decide(decodePacket(vector("ovmf-pxe-discover")), given).firmwareDiscover).toMatchObject({
      machine: { name: "uqbar" },
      firmware: "uefi-x64-pxe",
    });
    expect(decide(decodePacket(vector("ovmf-pxe-request")), given).firmwareDiscover).toBeUndefined();
    expect(decide(ask("discover", UQBAR), given).firmwareDiscover).toBeUndefined();
    expect(decide(decodePacket(vector("ipxe-bios-discover")), given).firmwareDiscover).toBeUndefined();
  });

  test("what happened is told as events", () => {
    const { events } = offerOf("ovmf-pxe-discover");
    const who = { machine: "uqbar", mac: UQBAR, firmware: "uefi-x64-pxe" };
    expect(events).toEqual([
      { type: "dhcp.discovered", ...who, vendorClass: "PXEClient:Arch:00007:UNDI:003001" },
      { type: "dhcp.offered", ...who, address: "172.16.0.16", file: "grubx64.efi" },
    ]);
  });
});

describe("proxy", () => {
  const given = () => context({ mode: "proxy" }, undefined, { file: "grubx64.efi" });

  test("gives firmware its boot file and no address, marked as PXEClient with boot-at-once", () => {
    const offered = replyTo(decodePacket(vector("ovmf-pxe-discover")), given());
    expect([typeOf(offered), offered.packet.yiaddr, offered.packet.file, offered.destination.kind]).toEqual([
      OFFER,
      "0.0.0.0",
      "grubx64.efi",
      "broadcast",
    ]);
    expect(read(offered, option.VENDOR_CLASS)).toBe("PXEClient");
    expect(read(offered, option.VENDOR_SPECIFIC)).toEqual(new Map([[6, Uint8Array.of(8)]]));
    expect(read(offered, option.LEASE_TIME)).toBeUndefined();
  });

  test("leaves everybody else to the other server", () => {
    expect(silenceTo(ask("discover", UQBAR), given())).toContain("it is no firmware");
    expect(silenceTo(ask("release", UQBAR), given())).toContain("addresses are another server's");
  });

  test("learns from an overheard REQUEST which address is which machine's, for machines only", () => {
    const proxy = given();
    silenceTo(selecting(UQBAR, "172.16.0.77", ip("172.16.0.9")), proxy);
    silenceTo(selecting(STRANGER, "172.16.0.78", ip("172.16.0.9")), proxy);
    expect([proxy.leases.macAt(ip("172.16.0.77")), proxy.leases.macAt(ip("172.16.0.78"))]).toEqual([UQBAR, undefined]);
  });

  test("answers firmware that asks it alone on its own port", () => {
    const request = decodePacket(vector("ovmf-pxe-request"));
    const options = new Map(request.options);
    options.delete(50);
    options.delete(54);
    const acknowledged = replyTo({ ...request, ciaddr: ip("172.16.0.77"), options }, given());
    expect([typeOf(acknowledged), acknowledged.packet.file, acknowledged.packet.ciaddr]).toEqual([ACK, "grubx64.efi", "172.16.0.77"]);
  });
});
