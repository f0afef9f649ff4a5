import { describe, expect, test } from "vitest";
import { OFFER_LIFE_MS, SILENT_OFFER_LIFE_MS } from "../../src/dhcp/leases.ts";
import * as option from "../../src/dhcp/options.ts";
import { BROADCAST_FLAG, type DhcpPacket, decodePacket, encodePacket } from "../../src/dhcp/packet.ts";
import { decide } from "../../src/dhcp/policy.ts";
import { BUILT_IN_QUIRKS, quirkOf, quirksInForce } from "../../src/dhcp/quirks.ts";
import type { DhcpQuirk } from "../../src/machine/config.ts";
import { parseMac } from "../../src/machine/identifiers.ts";
import { ask, context, ip, machine, replyTo, SERVER, STRANGER, silenceTo, UQBAR, value, vector } from "./support.ts";

const quirks = (...entries: readonly DhcpQuirk[]) => new Map(entries.map((quirk, index) => [`quirk-${index}`, quirk] as const));
const rom = value(option.VENDOR_CLASS, "PXEClient:Arch:00000:UNDI:002001");
const BOOT = { file: "undionly.kpxe" };
const discover = (...options: Parameters<typeof ask>[2] & object) => ask("discover", UQBAR, [rom, ...options]);

/** What is said of the client behind `packet` with these quirks. */
function withQuirk(quirk: DhcpQuirk, packet: DhcpPacket = discover()) {
  return replyTo(packet, context({ quirks: quirks(quirk) }, undefined, BOOT));
}

describe("a quirk is that of", () => {
  const applies = (quirk: DhcpQuirk, mac = UQBAR, vendorClass: string | undefined = "PXEClient:Arch:00000:UNDI:002001") =>
    quirkOf([{ ...quirk, broadcast: true }], parseMac(mac), vendorClass).broadcast === true;

  test("a maker's cards, one card, or a vendor class", () => {
    expect(applies({ macs: ["b8:27:eb", "52:54:00"] })).toBe(true);
    expect(applies({ macs: [UQBAR] })).toBe(true);
    expect(applies({ macs: ["52:54:01"] })).toBe(false);
    expect(applies({ vendorClass: "PXEClient:Arch:00000" })).toBe(true);
    expect(applies({ vendorClass: "PXEClient:Arch:00007" })).toBe(false);
  });

  test("those of whom all holds that is given", () => {
    expect(applies({ vendorClass: "PXEClient", macs: ["52:54:00"] })).toBe(true);
    expect(applies({ vendorClass: "PXEClient", macs: ["52:54:01"] })).toBe(false);
    expect(applies({ vendorClass: "HTTPClient", macs: ["52:54:00"] })).toBe(false);
    expect(quirkOf([{ vendorClass: "PXEClient", broadcast: true }], parseMac(UQBAR), undefined)).toEqual({});
  });
});

test("quirks add up, the configuration's last: it replaces a built-in one by its name, or does without it", () => {
  const [builtIn] = BUILT_IN_QUIRKS.keys();
  const own: DhcpQuirk = { macs: ["52:54:00"], broadcast: true };
  expect(quirksInForce(new Map())).toEqual([...BUILT_IN_QUIRKS.values()]);
  expect(quirksInForce(new Map([["own", own]]))).toEqual([...BUILT_IN_QUIRKS.values(), own]);
  expect(quirksInForce(new Map([[builtIn ?? "", own]]))).toEqual([own]);
  expect(quirksInForce(new Map([[builtIn ?? "", null]]))).toEqual([]);

  const first: DhcpQuirk = { macs: ["52"], plain: true, options: new Map([[43, Uint8Array.of(1)]]) };
  const second: DhcpQuirk = { macs: ["52:54"], broadcast: true, options: new Map([[66, null]]) };
  const both = quirkOf([first, second], parseMac(UQBAR), undefined);
  expect([both.plain, both.broadcast, both.options?.get(43), both.options?.get(66)]).toEqual([true, true, Uint8Array.of(1), null]);
});

describe("a client with a quirk", () => {
  const all = { macs: ["52:54:00"] };

  test("that shall be left alone is, and the next one is served", () => {
    const given = context({ quirks: quirks({ ...all, ignored: true }) }, undefined, BOOT);
    expect(silenceTo(discover(), given)).toContain("dhcp.quirks");
    expect(replyTo(ask("discover", STRANGER), given).packet.yiaddr).toBe("172.16.0.100");
  });

  test("that hears broadcasts only without saying so is sent them", () => {
    expect(withQuirk(all).destination.kind).toBe("arp-unicast");
    const { destination, packet } = withQuirk({ ...all, broadcast: true });
    expect([destination.kind, packet.flags & BROADCAST_FLAG]).toEqual(["broadcast", 0]);
  });

  test("that looks for no options in file and sname finds its boot file there, whatever else has no room", () => {
    const many = new Map([224, 225, 226].map((code) => [code, new Uint8Array(110).fill(code)]));
    for (const plain of [false, true]) {
      const given = context({ quirks: quirks({ ...all, plain }), options: many }, undefined, BOOT);
      const reply = replyTo(discover(), given);
      const { bytes, dropped } = encodePacket(reply.packet, { plain: reply.plain === true });
      expect([decodePacket(bytes).file, dropped.length > 0]).toEqual(plain ? [BOOT.file, true] : ["", false]);
    }
  });

  test("that reads texts to their NUL finds one", () => {
    const text = (reply: ReturnType<typeof withQuirk>, { code }: { readonly code: number }) =>
      Buffer.from(reply.packet.options.get(code) ?? []).toString("latin1");
    const reply = withQuirk({ ...all, terminated: true });
    expect([text(reply, option.BOOT_FILE_NAME), text(reply, option.TFTP_SERVER_NAME)]).toEqual([`${BOOT.file}\0`, `${SERVER}\0`]);
    expect(text(withQuirk(all), option.BOOT_FILE_NAME)).toBe(BOOT.file);
  });

  test("is always sent what it shall have, asked for or not, and never what it stumbles over; the protocol's own stays", () => {
    const options = new Map([
      [43, Uint8Array.of(6, 1, 8)],
      [66, null],
      [54, Uint8Array.of(9, 9, 9, 9)],
    ]);
    const { packet } = withQuirk({ ...all, options });
    expect([packet.options.get(43), packet.options.has(66), packet.file]).toEqual([Uint8Array.of(6, 1, 8), false, BOOT.file]);
    expect(option.readOption(packet.options, option.SERVER_IDENTIFIER)).toBe(SERVER);
    const proxied = replyTo(discover(), context({ mode: "proxy", quirks: quirks({ ...all, options }) }, undefined, BOOT));
    expect([proxied.packet.options.get(43), proxied.packet.options.has(66)]).toEqual([Uint8Array.of(6, 1, 8), false]);
  });

  test("that says a wrong architecture boots what it is, and the iPXE that it loads is iPXE", () => {
    const given = context({ quirks: quirks({ ...all, firmware: "uefi-x64-pxe" }) }, undefined, BOOT);
    expect(decide(discover(), given).firmwareDiscover?.firmware).toBe("uefi-x64-pxe");
    expect(decide(discover(value(option.USER_CLASS, Buffer.from("iPXE"))), given).firmwareDiscover?.firmware).toBe("ipxe-bios");
  });

  test("that never sends a REQUEST keeps the address that it was offered until its system asks for itself", () => {
    const pool = { first: ip("172.16.0.100"), last: ip("172.16.0.100") };
    for (const skipsRequest of [false, true]) {
      const given = context({ range: pool, quirks: quirks({ ...all, skipsRequest }) }, [machine("uqbar", UQBAR)], BOOT);
      replyTo(discover(), given);
      expect(given.leases.offeredTo(pool.first, given.nowMs)).toBe(UQBAR);
      given.nowMs += OFFER_LIFE_MS + 1;
      expect(given.leases.offeredTo(pool.first, given.nowMs)).toBe(skipsRequest ? UQBAR : undefined);
      given.nowMs += SILENT_OFFER_LIFE_MS;
      expect(given.leases.offeredTo(pool.first, given.nowMs)).toBeUndefined();
    }
  });
});

describe("a Raspberry Pi's ROM", () => {
  const PI = "b8:27:eb:fe:fd:ef";
  const pi = () => [machine("pi", [PI, "dc:a6:32:0a:ef:79"], { address: ip("172.16.0.16") })];

  test.each(["rpi3-discover", "rpi4-discover"])("finds in the answer to its %s the words that it looks for, and its server", (name) => {
    for (const mode of ["server", "proxy"] as const) {
      const offered = replyTo(decodePacket(vector(name)), context({ mode }, pi(), { file: "bootcode.bin" }));
      const octets = Buffer.from(offered.packet.options.get(option.VENDOR_SPECIFIC.code) ?? []);
      expect(octets.toString("latin1")).toBe("\x06\x01\x03\x0a\x04\0PXE\x09\x14\0\0\x11Raspberry Pi Boot\xff");
      expect(option.readOption(offered.packet.options, option.VENDOR_CLASS)).toBe("PXEClient");
      expect(option.readOption(offered.packet.options, option.TFTP_SERVER_NAME)).toBe(SERVER);
      expect([offered.packet.siaddr, offered.packet.yiaddr]).toEqual([SERVER, mode === "server" ? "172.16.0.16" : "0.0.0.0"]);
    }
  });

  test("is sent no PAD before the end mark, which it cannot read over", () => {
    const many = new Map([224, 225, 226].map((code) => [code, new Uint8Array(120).fill(code)]));
    const offered = replyTo(decodePacket(vector("rpi3-discover")), context({ options: many }, pi(), { file: "bootcode.bin" }));
    const { bytes } = encodePacket(offered.packet, { minimumBytes: 300, plain: offered.plain === true });
    let at = 240;
    while (bytes[at] !== option.END) {
      expect(bytes[at]).not.toBe(option.PAD);
      at += 2 + (bytes[at + 1] ?? 0);
    }
    expect(bytes.subarray(at + 1).every((octet) => octet === 0)).toBe(true);
  });

  test("is known by the address that it was offered, since it may send no REQUEST", () => {
    const given = context({}, [machine("pi", PI)], { file: "bootcode.bin" });
    const { packet } = replyTo(decodePacket(vector("rpi3-discover")), given);
    given.nowMs += 60_000;
    expect(given.leases.offeredTo(packet.yiaddr, given.nowMs)).toBe(PI);
  });

  test("is told nothing of booting where its machine boots from its own disk", () => {
    const { packet } = replyTo(decodePacket(vector("rpi4-discover")), context({}, pi()));
    expect([packet.options.has(43), packet.options.has(60), packet.file]).toEqual([false, false, ""]);
  });

  test("is no PC, and what runs on a Pi later is no ROM", () => {
    const given = context({}, pi(), BOOT);
    expect(decide(decodePacket(vector("rpi4-discover")), given).firmwareDiscover?.firmware).toBe("raspberry-pi");
    const uefi = [value(option.VENDOR_CLASS, "PXEClient:Arch:00011:UNDI:003000"), value(option.ARCHITECTURE, [11])];
    expect(decide(ask("discover", PI, uefi), given).firmwareDiscover?.firmware).toBe("uefi-arm64-pxe");
    expect(decide(ask("discover", PI), given).firmwareDiscover).toBeUndefined();
  });
});
