import fc from "fast-check";
import { describe, expect, it } from "vitest";
import * as value from "../../src/machine/config-values.ts";

const sizes = value.size(1, 2 ** 50);

describe("sizes", () => {
  it.each([
    ["512", 512],
    [512, 512],
    ["4K", 4096],
    ["512M", 512 * 1024 ** 2],
    ["40G", 40 * 1024 ** 3],
    ["1T", 1024 ** 4],
  ])("%s is what a person means", (text, bytes) => {
    expect(sizes.parse(text)).toBe(bytes);
  });

  it.each(["", "0", "G", "1.5G", "1GB", "1 G", "-1G", "1g", "0x10", "1e3", " 1G", -1, 0, 1.5, null, true])("%j is refused", (text) => {
    expect(sizes.safeParse(text).success).toBe(false);
  });

  it("are shown as they would be written", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2 ** 50 }), (bytes) => {
        expect(sizes.parse(value.formatSize(bytes))).toBe(bytes);
      }),
    );
  });
});

describe("times", () => {
  it.each([
    ["30s", 30_000],
    ["10m", 600_000],
    ["12h", 43_200_000],
    ["7d", 604_800_000],
    ["infinite", Number.POSITIVE_INFINITY],
  ])("%s is what a person means", (text, ms) => {
    expect(value.duration.parse(text)).toBe(ms);
    expect(value.formatDuration(ms)).toBe(text);
  });

  it.each(["", "12", "0s", "12 h", "1h30m", "-1s", "forever", 12, "4294967295s", "50000d"])("%j is refused", (text) => {
    expect(value.duration.safeParse(text).success).toBe(false);
  });

  it("that JSON has made null are infinite again", () => {
    expect(value.formatDuration(JSON.parse(JSON.stringify(Number.POSITIVE_INFINITY)))).toBe("infinite");
  });
});

describe("DHCP options", () => {
  it.each([
    ["172.16.0.1", Buffer.from("172.16.0.1")],
    [["172.16.0.1", "10.0.0.2"], Buffer.of(172, 16, 0, 1, 10, 0, 0, 2)],
    [[1, 2, 255], Buffer.of(1, 2, 255)],
    [["ab", "cd"], Buffer.from("abcd")],
    [[], Buffer.of()],
    [{ hex: "06 01:08" }, Buffer.of(6, 1, 8)],
  ])("%j becomes the octets of the wire", (written, octets) => {
    expect(value.dhcpOption.parse(written)).toEqual(new Uint8Array(octets));
  });

  it.each([12, [256], [-1], [1.5], { hex: "0" }, { hex: "" }, { hex: "zz" }, { hex: "00", more: 1 }, null, "x".repeat(1025)])(
    "%j is refused",
    (written) => {
      expect(value.dhcpOption.safeParse(written).success).toBe(false);
    },
  );

  it("cannot overrule the protocol", () => {
    const allowed = Array.from({ length: 300 }, (_, number) => number).filter(
      (number) => value.dhcpOptionNumber.safeParse(String(number)).success,
    );
    expect(Array.from({ length: 256 }, (_, number) => number).filter((number) => !allowed.includes(number))).toEqual([
      0, 50, 51, 52, 53, 54, 55, 56, 57, 61, 82, 255,
    ]);
    expect(value.dhcpOptionNumber.safeParse("042").success).toBe(false);
  });
});

describe("names and addresses", () => {
  it.each([
    ["an address without its prefix length", value.addressWithPrefix, "172.16.0.1"],
    ["a prefix length of nothing", value.addressWithPrefix, "172.16.0.1/0"],
    ["a prefix length of 33", value.addressWithPrefix, "172.16.0.1/33"],
    ["two prefix lengths", value.addressWithPrefix, "172.16.0.1/24/24"],
    ["a range that runs backwards", value.addressRange, "172.16.0.9-172.16.0.8"],
    ["a range of one end", value.addressRange, "172.16.0.9-"],
    ["a range of three", value.addressRange, "172.16.0.1-172.16.0.2-172.16.0.3"],
    ["an interface with a slash", value.interfaceName, "eth0/1"],
    ["an interface longer than Linux has", value.interfaceName, "a-very-long-name"],
    ["a host name that ends in a dash", value.hostName, "uqbar-"],
    ["a host name of 254", value.hostName, `${"a.".repeat(126)}aa`],
    ["arguments that end the kernel line", value.kernelArguments, "quiet\nmenuentry"],
    ["arguments outside of ASCII", value.kernelArguments, "quiét"],
    ["a snapshot of a snapshot", value.cloneOrigin, "a@b@c"],
    ["a snapshot without a name", value.cloneOrigin, "a@"],
    ["a clone of a path", value.cloneOrigin, "../a"],
    ["a prefix that names no target", value.iqnPrefix, "eui.0123456789abcdef"],
    ["a prefix that ends in its own colon", value.iqnPrefix, "iqn.2026-01.lan.rackboot:"],
    ["a path of NUL", value.path, "a\0b"],
    ["a path of nothing", value.path, ""],
  ])("%s is refused", (_, schema, written) => {
    expect(schema.safeParse(written).success).toBe(false);
  });

  it("are kept in one spelling", () => {
    expect(value.mac.parse("52-54-00-16-00-1A")).toBe("52:54:00:16:00:1a");
    expect(value.iqn.parse("IQN.1994-05.com.RedHat:Uqbar")).toBe("iqn.1994-05.com.redhat:uqbar");
    expect(value.addressRange.parse("172.16.0.1 - 172.16.0.2")).toEqual({ first: "172.16.0.1", last: "172.16.0.2" });
    expect(value.kernelArguments.parse(" quiet ")).toBe("quiet");
  });
});
