import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  decodeText,
  encodeText,
  formatBinary,
  MAX_BINARY_LENGTH,
  MAX_KEYS,
  MAX_TEXT_LENGTH,
  parseBinary,
  parseNumber,
  TextError,
} from "../../src/iscsi/text.ts";
import { CONVERSATIONS, conversation } from "./support.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe("key=value text", () => {
  it.each(CONVERSATIONS)("reads what was captured, and writes it back octet by octet: %s", (name) => {
    for (const { data } of conversation(name)) {
      // A SendTargets answer names its key once a target, which only targets may do.
      if (Buffer.from(data).includes("TargetAddress")) continue;
      expect(Buffer.from(encodeText(decodeText(data)))).toEqual(Buffer.from(data));
    }
  });

  it("takes text cut off at any octet for an error, unless it is cut between two pairs", () => {
    const whole = encodeText([
      ["InitiatorName", "iqn.1994-05.com.redhat:uqbar"],
      ["SessionType", "Normal"],
    ]);
    for (let length = 1; length < whole.length; length++) {
      if (whole[length - 1] === 0) continue;
      expect(() => decodeText(whole.subarray(0, length))).toThrow(TextError);
    }
  });

  it.each([
    ["no equals sign", "InitiatorName\0"],
    ["an empty key", "=None\0"],
    ["a key that begins with a digit", "1Name=x\0"],
    ["a key of 64 characters", `${"K".repeat(64)}=x\0`],
    ["a value beyond the largest binary", `CHAP_C=${"a".repeat(2051)}\0`],
    ["a key twice", "DataDigest=None\0DataDigest=CRC32C\0"],
    ["more keys than anybody needs", Array.from({ length: MAX_KEYS + 1 }, (_, i) => `X-key${i}=1\0`).join("")],
    ["more text than anybody needs", `${"X-a=1\0".padEnd(MAX_TEXT_LENGTH + 1, "\0")}`],
  ])("refuses %s", (_what, text) => {
    expect(() => decodeText(bytes(text))).toThrow(TextError);
  });

  it("refuses octets that are no UTF-8", () => {
    expect(() => decodeText(Uint8Array.of(0x41, 0x3d, 0xff, 0))).toThrow(TextError);
  });

  it("reads past the padding that some initiators count as text", () => {
    expect(decodeText(bytes("SessionType=Normal\0\0\0"))).toEqual([["SessionType", "Normal"]]);
  });

  it("reads numbers in both notations, and nothing that is none", () => {
    expect(["0", "262144", "0x2000", "0X1f"].map(parseNumber)).toEqual([0, 262144, 8192, 31]);
    expect(["", "-1", "01", "1.5", "0x", "1e3", " 1", "99999999999999999999"].map(parseNumber)).toEqual(Array(8).fill(undefined));
  });

  it("reads binary values in hexadecimal and base64, up to their limit", () => {
    expect(parseBinary("0x0aFF")).toEqual(Uint8Array.of(0x0a, 0xff));
    expect(parseBinary("0xabc")).toEqual(Uint8Array.of(0x0a, 0xbc));
    expect(parseBinary("0bAQID")).toEqual(Uint8Array.of(1, 2, 3));
    for (const bad of ["", "0x", "0b", "0xzz", "0b!!!", "ff", `0x${"00".repeat(MAX_BINARY_LENGTH + 1)}`]) {
      expect(parseBinary(bad)).toBeUndefined();
    }
    expect(parseBinary(formatBinary(Uint8Array.of(9, 8, 7)))).toEqual(Uint8Array.of(9, 8, 7));
  });

  it("never fails on random octets but by saying so", () => {
    const random = fc.property(fc.uint8Array({ maxLength: 200 }), (octets) => {
      try {
        decodeText(octets);
      } catch (error) {
        if (!(error instanceof TextError)) throw error;
      }
    });
    fc.assert(random, { numRuns: 2500 });
  });

  it("keeps every list of pairs that can be written", () => {
    const key = fc.stringMatching(/^[A-Z][A-Za-z0-9#_.-]{0,20}$/);
    const value = fc.stringMatching(/^[ -~]{0,40}$/);
    const pairs = fc.uniqueArray(fc.tuple(key, value), { selector: ([name]) => name, maxLength: 20 });
    fc.assert(
      fc.property(pairs, (list) => {
        expect(decodeText(encodeText(list))).toEqual(list);
      }),
      { numRuns: 1000 },
    );
  });
});
