import { describe, expect, it } from "vitest";
import type { LogicalUnit } from "../../src/scsi/logical-unit.ts";
import { dataOf, run, senseOf, UNIT, unitWith } from "./support.ts";

const number = (data: Uint8Array, at: number, octets: number): number =>
  Number(`0x${Buffer.from(data.subarray(at, at + octets)).toString("hex")}`);
const capacity16 = "9e 10 00 00 00 00 00 00 00 00 00 00 00 20";

describe("the size of a disk", () => {
  it.each<[number, 512 | 4096, number, number]>([
    [1 << 30, 512, 2 ** 21 - 1, 3],
    [1 << 30, 4096, 2 ** 18 - 1, 0],
    [2 ** 44, 512, 2 ** 35 - 1, 3],
    [(1 << 30) + 511, 512, 2 ** 21 - 1, 3],
  ])("of %d octets in blocks of %d is told whole", (sizeBytes, blockSize, last, exponent) => {
    const unit = unitWith({ blockSize }, sizeBytes);
    const long = dataOf(capacity16, { unit });
    expect([number(long, 0, 8), number(long, 8, 4), long[13]]).toEqual([last, blockSize, exponent]);
    const short = dataOf("25", { unit });
    expect([number(short, 0, 4), number(short, 4, 4)]).toEqual([Math.min(last, 0xffffffff), blockSize]);
  });

  it("stands in the block descriptor of mode pages too, short or long", () => {
    const unit = unitWith({}, 2 ** 44);
    const short = dataOf("5a 00 08 00 00 00 00 00 ff", { unit });
    expect([number(short, 6, 2), number(short, 8, 4), number(short, 13, 3)]).toEqual([8, 0xffffffff, 512]);
    const long = dataOf("5a 10 08 00 00 00 00 00 ff", { unit });
    expect([short[4], long[4], number(long, 6, 2), number(long, 8, 8), number(long, 20, 4)]).toEqual([0, 1, 16, 2 ** 35, 512]);
    expect(number(dataOf("5a 08 08 00 00 00 00 00 ff", { unit }), 6, 2)).toBe(0);
  });
});

describe("the kind of a disk", () => {
  it("is told: read-only, without a write cache, removable", () => {
    expect((dataOf("1a 00 08 00 ff", { unit: unitWith({ readOnly: true }) })[2] ?? 0) & 0x80).toBe(0x80);
    expect(dataOf("1a 08 0a 00 ff", { unit: unitWith({ readOnly: true }) })[8]).toBe(0x08);
    expect(dataOf("1a 08 08 00 ff", { unit: unitWith({ writeCache: false }) })[6]).toBe(0x00);
    expect(dataOf("1a 08 08 00 ff")[6]).toBe(0x04);
    expect(dataOf("12 00 00 00 60", { unit: unitWith({ removable: true }) })[1]).toBe(0x80);
    expect(dataOf("12 01 86 00 40", { unit: unitWith({ writeCache: false }) })[6]).toBe(0);
  });

  it("never promises to give blocks back unless a command does it", () => {
    const codes = dataOf("a3 0c 00 00 00 00 00 00 ff ff");
    const listed = Array.from({ length: number(codes, 0, 4) / 8 }, (_, i) => codes[4 + 8 * i]);
    const unmaps = listed.includes(0x42) || listed.includes(0x93);
    expect(((dataOf(capacity16)[14] ?? 0) & 0x80) !== 0).toBe(unmaps);
    expect((dataOf("12 01 b2 00 ff")[5] ?? 0) !== 0).toBe(unmaps);
    expect(number(dataOf("12 01 b0 00 ff"), 20, 4) !== 0).toBe(listed.includes(0x42));
  });
});

it("a disk that keeps its room is not promised to be unmapped by SANITIZE, only overwritten", () => {
  const thick = { unit: unitWith({ thin: false }) };
  const erased = (changes: Parameters<typeof dataOf>[1]): string =>
    Buffer.from(dataOf("a3 0c 03 48 00 02 00 00 00 ff", changes)).toString("hex", 0, 2);
  expect([erased({}), erased(thick)]).toEqual(["0003", "0001"]);
  expect([dataOf("12 01 b1 00 ff")[7], dataOf("12 01 b1 00 ff", thick)[7]]).toEqual([0x40, 0x00]);
  expect(run("48 02 00 00 00 00 00 00 00 00", thick).status).toBe(2);
});

describe("the Block Limits page", () => {
  it("names a granularity of UNMAP only where it is more than a block, which QEMU does not survive on blocks of 4096", () => {
    const granularity = (config: Parameters<typeof unitWith>[0]): readonly number[] => {
      const page = dataOf("12 01 b0 00 ff", { unit: unitWith(config) });
      return [number(page, 28, 4), number(page, 32, 4)];
    };
    expect(granularity({ blockSize: 512 })).toEqual([8, 0x80000000]);
    expect(granularity({ blockSize: 4096 })).toEqual([0, 0]);
    expect(granularity({ thin: false })).toEqual([0, 0]);
  });
});

describe("mode parameters", () => {
  const list = (pages: string): string => `00 00 00 00 ${pages}`;
  const caching = "08 12 04 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00";
  const selectOf = (octets: number): string => `15 10 00 00 ${octets.toString(16).padStart(2, "0")}`;

  /** Every bit of the pages, one after the other, turned round. */
  function* turned(unit: LogicalUnit): Generator<{ readonly shown: boolean; readonly accepted: boolean }> {
    const changeable = dataOf("1a 08 7f 00 ff", { unit });
    const current = dataOf("1a 08 3f 00 ff", { unit });
    for (let at = 4; at < current.length; at += 2 + (current[at + 1] ?? 0)) {
      const page = current.subarray(at, at + 2 + (current[at + 1] ?? 0));
      for (let bit = 16; bit < page.length * 8; bit++) {
        const changed = Uint8Array.from(page);
        changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (0x80 >> (bit & 7));
        const { status } = run(selectOf(4 + page.length), { unit }, list(Buffer.from(changed).toString("hex")));
        yield { shown: ((changeable[at + (bit >> 3)] ?? 0) & (0x80 >> (bit & 7))) !== 0, accepted: status === 0 };
      }
    }
  }

  it("can be changed exactly where they are shown as changeable", () => {
    const bits = [...turned(UNIT)];
    expect(bits.filter(({ shown, accepted }) => shown !== accepted)).toEqual([]);
    expect(bits.filter(({ shown }) => shown)).toHaveLength(3);
  });

  it("cannot make a disk writable that the configuration has read-only", () => {
    const bits = [...turned(unitWith({ readOnly: true }))];
    expect(bits.filter(({ shown, accepted }) => shown !== accepted)).toEqual([]);
    expect(bits.filter(({ shown }) => shown)).toHaveLength(2);
  });

  it("may be set to what they are", () => {
    expect(run(selectOf(24), {}, list(caching)).status).toBe(0);
    expect(run("15 10 00 00 00").status).toBe(0);
    const everything = Buffer.from(dataOf("5a 00 3f 00 00 00 00 00 ff")).fill(0, 0, 2).toString("hex");
    const length = (everything.length / 2).toString(16).padStart(4, "0");
    expect(run(`55 10 00 00 00 00 00 ${length}`, {}, everything).status).toBe(0);
  });

  it.each([
    ["a page that would change what cannot change", selectOf(24), list(caching.replace("04", "05")), "5/26/00 parameter 6"],
    ["a page that there is not", selectOf(6), list("15 00"), "5/26/00 parameter 4"],
    ["a subpage", selectOf(8), list("4a 01 00 00"), "5/26/00 parameter 4"],
    ["a page of the wrong length", selectOf(6), list("08 00"), "5/26/00 parameter 5"],
    ["a page that ends early", selectOf(14), list("08 12 04 00 00 00 00 00 00 00"), "5/1a/00"],
    ["less data than it says", selectOf(24), list(""), "5/1a/00"],
    ["a header that ends early", selectOf(3), "00 00 00", "5/1a/00"],
    ["a medium type", selectOf(4), "00 01 00 00", "5/26/00 parameter 1"],
    ["another block size", selectOf(12), "00 00 00 08 00 20 00 00 00 00 10 00", "5/26/00 parameter 10"],
    ["a block descriptor of an odd length", selectOf(6), "00 00 00 02 00 00", "5/26/00 parameter 3"],
    ["pages in a format of the vendor's", "15 00 00 00 18", list(caching), "5/24/00 cdb 1.4"],
    ["saving", "15 11 00 00 18", list(caching), "5/24/00 cdb 1.0"],
  ])("may not be set with %s", (_what, cdb, parameters, sense) => {
    expect(senseOf(run(cdb, {}, parameters))).toBe(sense);
  });
});
