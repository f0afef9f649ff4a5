import fc from "fast-check";
import { describe, expect, test } from "vitest";
import * as option from "../../src/dhcp/options.ts";
import { clientMac, decodePacket, encodePacket, glance, HEADER_BYTES } from "../../src/dhcp/packet.ts";
import { ShortInputError } from "../../src/wire/reader.ts";
import { ask, ip, STRANGER, value, vector, vectorInfo } from "./support.ts";

const CAPTURES = [
  "dhclient-discover",
  "dhclient-request",
  "networkmanager-discover",
  "networkmanager-request",
  "udhcpc-discover",
  "udhcpc-request",
  "ovmf-pxe-discover",
  "ovmf-pxe-request",
  "ovmf-http-discover",
  "ovmf-http-request",
  "ipxe-bios-discover",
  "ipxe-bios-request",
  "ipxe-uefi-discover",
  "ipxe-uefi-request",
  "uboot-discover",
  "uboot-request",
  "uboot-efi-discover",
  "uboot-efi-request",
  "rpi3-discover",
  "rpi4-discover",
  "dnsmasq-pxe-offer",
  "dnsmasq-http-ack",
];

describe.each(CAPTURES)("%s", (name) => {
  const captured = vector(name);

  test("is read as tshark reads it", () => {
    const info = vectorInfo(name);
    const packet = decodePacket(captured);
    expect(option.readOption(packet.options, option.MESSAGE_TYPE)).toBe(Number(/DHCP: \w+ \((\d)\)/.exec(info)?.[1]));
    expect(clientMac(packet)).toBe(/Client MAC address: .*\(([0-9a-f:]{17})\)/.exec(info)?.[1]);
    expect(packet.xid.toString(16).padStart(8, "0")).toBe(/Transaction ID: 0x([0-9a-f]{8})/.exec(info)?.[1]);
    expect(packet.yiaddr).toBe(/Your \(client\) IP address: ([0-9.]+)/.exec(info)?.[1]);
    const lengths = [...info.matchAll(/Option: \((\d+)\).*\n +Length: (\d+)/g)].map(([, code, length]) => [Number(code), Number(length)]);
    expect([...packet.options].map(([code, octets]) => [code, octets.length])).toEqual(lengths);
  });

  test("is the same octets when it is written again", () => {
    const { bytes, dropped } = encodePacket(decodePacket(captured), { minimumBytes: captured.length });
    expect(Buffer.from(bytes).toString("hex")).toBe(Buffer.from(captured).toString("hex"));
    expect(dropped).toEqual([]);
  });

  test("cut short at any length is an error with a reason, or a whole packet whose end mark was padding", () => {
    const end = captured.lastIndexOf(option.END);
    for (let length = 0; length < end; length++) {
      const cut = captured.subarray(0, length);
      if (length < HEADER_BYTES) expect(() => decodePacket(cut)).toThrow(ShortInputError);
      else expectReadableOrReason(cut);
    }
  });
});

/** Whoever leaves END out is understood; whoever announces more than there is, is not. */
function expectReadableOrReason(bytes: Uint8Array): void {
  try {
    const { options } = decodePacket(bytes);
    const read = [...options.values()].reduce((sum, octets) => sum + octets.length + 2, 0);
    expect(read).toBe(bytes.length - HEADER_BYTES);
  } catch (error) {
    expect(error).toBeInstanceOf(option.DhcpFormatError);
    expect((error as Error).message).toMatch(/option \d+ (announces|has no length)/);
  }
}

describe("what clients and relays do with options", () => {
  const header = encodePacket(ask("discover", STRANGER)).bytes.subarray(0, HEADER_BYTES);
  const packetWith = (...octets: number[]): Uint8Array => Uint8Array.from([...header, ...octets]);

  test("PAD octets between options are skipped", () => {
    const { options } = decodePacket(packetWith(0, 0, 53, 1, 1, 0, 57, 2, 5, 192, 0, 255, 0));
    expect(option.readOption(options, option.MAXIMUM_SIZE)).toBe(1472);
  });

  test("what stands after END does not count", () => {
    expect([...decodePacket(packetWith(53, 1, 1, 255, 12, 200)).options.keys()]).toEqual([53]);
  });

  test("fragments of one option are one value (RFC 3396)", () => {
    const { options } = decodePacket(packetWith(67, 3, 97, 98, 99, 53, 1, 1, 67, 2, 100, 101, 255));
    expect(option.readOption(options, option.BOOT_FILE_NAME)).toBe("abcde");
    expect([...options.keys()]).toEqual([67, 53]);
  });

  test("options in file and sname are read in that order (option 52)", () => {
    const bytes = packetWith(52, 1, 3, 53, 1, 1, 12, 1, 97, 255);
    bytes.set([12, 1, 99, 255], 44);
    bytes.set([12, 1, 98, 255], 108);
    const packet = decodePacket(bytes);
    expect(option.readOption(packet.options, option.HOST_NAME)).toBe("abc");
    expect([packet.file, packet.sname, packet.options.has(52)]).toEqual(["", "", false]);
  });

  test.each([
    [[52, 1, 4], "option 52 (option overload) is 4"],
    [[52, 2, 1, 1], "option 52 (option overload): 2 octets, 1 wanted"],
    [[53, 9, 1], "options field: option 53 announces 9 octets, 1 left"],
    [[53], "options field: option 53 has no length"],
  ])("%j is refused with the reason", (octets, reason) => {
    expect(() => decodePacket(packetWith(...octets))).toThrow(reason);
  });

  test("a wrong cookie, opcode or hardware length is refused with the reason", () => {
    const altered = (offset: number, octet: number): Uint8Array => packetWith(53, 1, 1, 255).with(offset, octet);
    expect(() => decodePacket(altered(236, 1))).toThrow("magic cookie is 01825363");
    expect(() => decodePacket(altered(0, 3))).toThrow("op is 3");
    expect(() => decodePacket(altered(2, 17))).toThrow("hlen is 17");
  });
});

describe("what is written", () => {
  const long = (code: number, length: number): readonly [number, Uint8Array] => [code, new Uint8Array(length).fill(code)];

  test("an option over 255 octets goes out in fragments and comes back whole", () => {
    const packet = ask("discover", STRANGER, [long(224, 600)]);
    const { bytes } = encodePacket(packet, { maximumBytes: 1472 });
    expect(decodePacket(bytes).options.get(224)).toEqual(new Uint8Array(600).fill(224));
  });

  test("what does not fit into the options goes into sname and file, and comes back", () => {
    const packet = ask("discover", STRANGER, [long(224, 200), long(225, 80), long(226, 100), long(227, 50)]);
    const { bytes, dropped } = encodePacket(packet);
    expect(dropped).toEqual([]);
    expect(bytes.length).toBeLessThanOrEqual(548);
    const back = decodePacket(bytes);
    expect(new Map([...back.options].sort())).toEqual(new Map([...packet.options].sort()));
  });

  test("the boot file stays in its field unless option 67 says it again", () => {
    const options = [long(224, 250), long(225, 100)];
    const kept = encodePacket(ask("discover", STRANGER, options, { file: "grubx64.efi" }));
    expect(decodePacket(kept.bytes).file).toBe("grubx64.efi");
    expect(kept.dropped).toEqual([225]);
    const moved = encodePacket(
      ask("discover", STRANGER, [value(option.BOOT_FILE_NAME, "grubx64.efi"), ...options], { file: "grubx64.efi" }),
    );
    expect(moved.dropped).toEqual([]);
    expect(option.readOption(decodePacket(moved.bytes).options, option.BOOT_FILE_NAME)).toBe("grubx64.efi");
  });

  test("option 82 stands last in the options field, with and without overload", () => {
    const relay = value(option.RELAY_AGENT, new Map([[1, Uint8Array.of(9, 9)]]));
    for (const more of [[], [long(224, 250), long(225, 60)]]) {
      const { bytes } = encodePacket(ask("discover", STRANGER, [relay, ...more]));
      expect([...bytes.subarray(-7)]).toEqual([82, 4, 1, 2, 9, 9, 255]);
    }
  });

  test("a reply is padded to the least that old relays pass on", () => {
    const { bytes } = encodePacket(ask("offer", STRANGER), { minimumBytes: 300 });
    expect(bytes.length).toBe(300);
    expect(decodePacket(bytes).options.size).toBe(1);
  });
});

describe("any octets at all", () => {
  test("are a packet or an error with a reason, never another exception", { timeout: 60_000 }, () => {
    const octets = fc.oneof(
      fc.uint8Array({ maxLength: 700 }),
      fc.uint8Array({ maxLength: 400 }).map((tail) => Uint8Array.from([...vector("udhcpc-discover").subarray(0, HEADER_BYTES), ...tail])),
    );
    fc.assert(
      fc.property(octets, (bytes) => {
        try {
          const packet = decodePacket(bytes);
          for (const [code, content] of packet.options) option.describeOption(code, content);
        } catch (error) {
          expect(error instanceof ShortInputError || error instanceof option.DhcpFormatError).toBe(true);
        }
      }),
      { numRuns: 10_000 },
    );
  });

  test("options of any kind and size survive being written and read, or are told as dropped", { timeout: 60_000 }, () => {
    const entry = fc.tuple(fc.integer({ min: 1, max: 254 }), fc.uint8Array({ maxLength: 400 }));
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 12 }), fc.integer({ min: 548, max: 1472 }), (entries, maximumBytes) => {
        const packet = ask(
          "offer",
          STRANGER,
          entries.filter(([code]) => code !== 52 && code !== 82),
          { yiaddr: ip("172.16.0.16") },
        );
        const { bytes, dropped } = encodePacket(packet, { maximumBytes });
        expect(bytes.length).toBeLessThanOrEqual(maximumBytes);
        const back = decodePacket(bytes);
        for (const [code, content] of packet.options) {
          if (!dropped.includes(code)) expect(back.options.get(code)).toEqual(content);
        }
        expect(back.options.size + dropped.length).toBe(packet.options.size);
      }),
      { numRuns: 500 },
    );
  });
});

test("an option is shown with its name and its value", () => {
  expect(option.describeOption(54, Uint8Array.of(172, 16, 0, 1))).toBe("54 server identifier: 172.16.0.1");
  expect(option.describeOption(60, Buffer.from("PXEClient\0"))).toBe("60 vendor class: PXEClient");
  expect(option.describeOption(54, Uint8Array.of(1))).toBe("54 server identifier: malformed 01");
  expect(option.describeOption(250, Uint8Array.of(1))).toBe("250: 01");
});

test("a glance tells first questions of every captured client from what follows, and takes anything", () => {
  expect(glance(vector("ovmf-pxe-discover"))).toEqual({ mac: clientMac(decodePacket(vector("ovmf-pxe-discover"))), isDiscover: true });
  expect(["networkmanager-discover", "udhcpc-discover", "ipxe-bios-discover"].map((name) => glance(vector(name)).isDiscover)).toEqual([
    true,
    true,
    true,
  ]);
  expect(["ovmf-http-request", "dhclient-request", "udhcpc-request"].map((name) => glance(vector(name)).isDiscover)).toEqual([
    false,
    false,
    false,
  ]);
  for (let length = 0; length < 260; length++) expect(() => glance(new Uint8Array(length))).not.toThrow();
});
