import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  IdentifierError,
  ipv4FromBytes,
  ipv4FromNumber,
  ipv4ToBytes,
  ipv4ToNumber,
  macFromBytes,
  macToBytes,
  parseIpv4,
  parseIqn,
  parseMac,
  parseMachineName,
  parseVolumeName,
} from "../../src/machine/identifiers.ts";

describe("identifiers", () => {
  it.each(["52:54:00:16:00:AB", "52-54-00-16-00-ab", "5254001600ab"])("takes a MAC address as people write it: %s", (text) => {
    expect(parseMac(text)).toBe("52:54:00:16:00:ab");
  });

  it.each(["52:54:00:16:00", "52:54:00:16:00:0g", "", "52:54:00:16:00:10:11"])(
    "refuses %s as a MAC address and says what one looks like",
    (text) => {
      expect(() => parseMac(text)).toThrow(/is not a MAC address such as/);
    },
  );

  it.each(["172.16.0.256", "172.16.0", "172.16.0.01", "a.b.c.d", "1.2.3.4.5"])("refuses %s as an address", (text) => {
    expect(() => parseIpv4(text)).toThrow(IdentifierError);
  });

  it("compares iSCSI names in lower case, so that one initiator is one initiator", () => {
    expect(parseIqn("iqn.1994-05.com.RedHat:Uqbar")).toBe("iqn.1994-05.com.redhat:uqbar");
    expect(parseIqn("eui.02004567A425678D")).toBe("eui.02004567a425678d");
  });

  it.each(["iqn.2026.lan:x", "uqbar", `iqn.2026-01.lan.rackboot:${"x".repeat(224)}`, "iqn.2026-01.lan:a/b"])(
    "refuses %s as an iSCSI name",
    (text) => {
      expect(() => parseIqn(text)).toThrow(IdentifierError);
    },
  );

  it("keeps volume names from reaching outside their folder", () => {
    for (const text of ["../x", "a/b", ".hidden", "", "a b"]) expect(() => parseVolumeName(text)).toThrow(IdentifierError);
  });

  it("makes machine names fit for host names", () => {
    for (const text of ["Uqbar", "-x", "x-", "a_b", "a".repeat(64)]) expect(() => parseMachineName(text)).toThrow(IdentifierError);
    expect(parseMachineName("node-17")).toBe("node-17");
  });

  it("gives back the same octets for every MAC and address", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 6, maxLength: 6 }), (bytes) => {
        expect(macToBytes(macFromBytes(bytes))).toEqual(bytes);
      }),
    );
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 4, maxLength: 4 }), (bytes) => {
        const address = ipv4FromBytes(bytes);
        expect(ipv4ToBytes(address)).toEqual(bytes);
        expect(ipv4FromNumber(ipv4ToNumber(address))).toBe(address);
        expect(parseIpv4(address)).toBe(address);
      }),
    );
  });
});
