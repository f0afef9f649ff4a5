import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decodePacket, encodePacket, MAX_OPTIONS, MAX_REQUEST_BYTES, type TftpPacket, TftpPacketError } from "../../src/tftp/packet.ts";
import { vector, vectorInfo } from "./support.ts";

const CAPTURES = [
  "ovmf-rrq-probe",
  "ovmf-error-probe",
  "ovmf-rrq",
  "shim-rrq",
  "grub-rrq",
  "ipxe-rrq",
  "tftp-hpa-rrq",
  "tftp-hpa-rrq-netascii",
  "tftp-hpa-wrq",
  "tftp-hpa-ack",
  "atftp-rrq",
  "curl-rrq",
  "npm-tftp-rrq",
  "dnsmasq-error",
  "dnsmasq-oack",
  "dnsmasq-data-last",
];

/** tshark's name of each kind. */
const OPCODES = { rrq: 1, wrq: 2, data: 3, ack: 4, error: 5, oack: 6 } as const;

describe.each(CAPTURES)("%s", (name) => {
  const captured = vector(name);
  const packet = decodePacket(captured);
  const info = vectorInfo(name);

  test("is read as tshark reads it", () => {
    expect(OPCODES[packet.kind]).toBe(Number(/Opcode: .*\((\d)\)/.exec(info)?.[1]));
    if ("filename" in packet) {
      expect(packet.filename).toBe(/(?:Source|Destination) File: (.*)/.exec(info)?.[1]);
      expect(packet.mode).toBe(/Type: (.*)/.exec(info)?.[1]);
    }
    if ("options" in packet) {
      expect(packet.options).toEqual([...info.matchAll(/Option: (\S+) = (\S+)/g)].map(([, option, value]) => [option, value]));
    }
    if ("block" in packet) expect(packet.block).toBe(Number(/Block: (\d+)/.exec(info)?.[1]));
    if (packet.kind === "data") expect(packet.data.length).toBe(Number(/Data \((\d+) bytes\)/.exec(info)?.[1]));
    if (packet.kind === "error") {
      expect(packet.code).toBe(Number(/Error code: .*\((\d)\)/.exec(info)?.[1]));
      expect(packet.message).toBe(/Error message: (.*)/.exec(info)?.[1]);
    }
  });

  test("is the same octets when it is written again", () => {
    expect(Buffer.from(encodePacket(packet)).toString("hex")).toBe(Buffer.from(captured).toString("hex"));
  });

  test("cut short at any length is an error with a reason, or a shorter packet that is whole", () => {
    for (let length = 0; length < captured.length; length++) expectPacketOrReason(captured.subarray(0, length));
  });
});

test("a request cut short anywhere but between two options is refused", () => {
  const captured = vector("grub-rrq");
  const whole = [...captured.keys()].filter((length) => decodes(captured.subarray(0, length)));
  const nuls = [...captured.keys()].filter((at) => captured[at] === 0 && at > 1).map((at) => at + 1);
  // After the mode, and after each option with its value; the whole packet is not a cut.
  expect(whole).toEqual(nuls.filter((_, index) => index % 2 === 1).slice(0, -1));
});

test("whatever octets arrive, the codec answers with a packet or a reason, and takes no time over it", () => {
  const opcode = fc.constantFrom(1, 2, 3, 4, 5, 6, 7);
  const octets = fc.tuple(opcode, fc.uint8Array({ maxLength: 600 })).map(([code, rest]) => Uint8Array.of(0, code, ...rest));
  fc.assert(
    fc.property(fc.oneof(octets, fc.uint8Array({ maxLength: 64 })), (bytes) => expectPacketOrReason(bytes)),
    { numRuns: 10_000 },
  );
});

test("every packet that can be written is read back as it was", () => {
  const text = fc.string({ unit: "grapheme", maxLength: 40 }).map((value) => value.replaceAll("\0", ""));
  const options = fc.array(
    fc.tuple(
      text.filter((name) => name !== ""),
      text,
    ),
    { maxLength: 4 },
  );
  const request = { filename: text, mode: text, options };
  const block = fc.integer({ min: 0, max: 0xffff });
  const packet: fc.Arbitrary<TftpPacket> = fc.oneof(
    fc.record({ kind: fc.constant("rrq" as const), ...request }),
    fc.record({ kind: fc.constant("wrq" as const), ...request }),
    fc.record({ kind: fc.constant("data" as const), block, data: fc.uint8Array({ maxLength: 1468 }) }),
    fc.record({ kind: fc.constant("ack" as const), block }),
    fc.record({ kind: fc.constant("error" as const), code: block, message: fc.string({ unit: "grapheme-ascii" }) }),
    fc.record({ kind: fc.constant("oack" as const), options }),
  );
  fc.assert(
    fc.property(packet, (each) => {
      expect(decodePacket(encodePacket(each))).toEqual(each);
    }),
  );
});

test.each([
  ["an opcode of its own", Uint8Array.of(0, 9, 1, 1)],
  ["a file name that is not UTF-8", Uint8Array.of(0, 1, 0xff, 0, 0x6f, 0)],
  ["an option without a name", ascii("\0\x01f\0octet\0\0\0")],
  ["a storm of options", ascii(`\0\x01f\0octet\0${"a\x001\0".repeat(MAX_OPTIONS + 1)}`)],
  ["an endless file name", ascii(`\0\x01${"f".repeat(MAX_REQUEST_BYTES)}\0octet\0`)],
])("%s is refused with a reason", (_what, bytes) => {
  expect(() => decodePacket(bytes)).toThrow(TftpPacketError);
});

test("an ERROR without its message or NUL is understood: the client is gone either way", () => {
  expect(decodePacket(Uint8Array.of(0, 5, 0, 8))).toEqual({ kind: "error", code: 8, message: "" });
  expect(decodePacket(ascii("\0\x05\0\0gone"))).toEqual({ kind: "error", code: 0, message: "gone" });
});

test("an ACK that a ROM padded to the Ethernet minimum is an ACK", () => {
  expect(decodePacket(Uint8Array.of(0, 4, 0, 7, 0, 0, 0, 0))).toEqual({ kind: "ack", block: 7 });
});

function ascii(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

function decodes(bytes: Uint8Array): boolean {
  try {
    decodePacket(bytes);
    return true;
  } catch {
    return false;
  }
}

function expectPacketOrReason(bytes: Uint8Array): void {
  try {
    const packet = decodePacket(bytes);
    if (packet.kind !== "error" && packet.kind !== "ack") expect(encodePacket(packet)).toEqual(bytes);
  } catch (error) {
    expect(error).toBeInstanceOf(TftpPacketError);
  }
}
