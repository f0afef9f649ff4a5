import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { execute } from "../../src/scsi/commands.ts";
import { NOTHING_COUNTED, type UnitCounters } from "../../src/scsi/log.ts";
import { fixedSense, invalidField } from "../../src/scsi/sense.ts";
import { initialState } from "../../src/scsi/unit-state.ts";
import { CONTEXT, dataOf, run, senseOf, UNIT, unitWith } from "./support.ts";

const ANSWERS = readFileSync(new URL("../vectors/scsi/answers.hex", import.meta.url), "utf8")
  .trimEnd()
  .split("\n")
  .map((line) => line.split(" ") as [cdb: string, answer: string]);

describe("what an initiator is told", () => {
  it.each(ANSWERS)("is what it was told before, byte by byte: %s", (cdb, answer) => {
    expect(Buffer.from(dataOf(cdb)).toString("hex")).toBe(answer);
  });

  it.each(ANSWERS)("is cut to the length that it asks for, never more: %s", (cdb, answer) => {
    // Where each of these commands keeps its allocation length: offset and octets.
    const fields: Record<string, readonly [number, number]> = {
      "03": [4, 1],
      "12": [3, 2],
      "1a": [4, 1],
      "4d": [7, 2],
      "5a": [7, 2],
      "9e": [10, 4],
      a0: [6, 4],
      a3: [6, 4],
    };
    const field = fields[cdb.slice(0, 2)];
    if (field === undefined) return;
    const [at, octets] = field;
    const whole = cdb.padEnd(32, "0");
    for (let length = 16; length < answer.length / 2; length += 3) {
      const digits = length.toString(16).padStart(octets * 2, "0");
      const asked = whole.slice(0, at * 2) + digits + whole.slice((at + octets) * 2);
      expect(Buffer.from(dataOf(asked)).toString("hex")).toBe(answer.slice(0, length * 2));
    }
  });

  it("takes an allocation length of nothing for a question of its size, not for an error", () => {
    expect(dataOf("12 00 00 00 00 00")).toHaveLength(0);
    expect(Buffer.from(dataOf("12 01 83 00 04 00")).toString("hex")).toBe("0083008a");
    expect(senseOf(run("a0 00 00 00 00 00 00 00 00 0f 00 00"))).toBe("5/24/00 cdb 6");
  });
});

describe("commands that we do not carry out", () => {
  it.each([
    ["an unknown operation code", "c1", "5/20/00 cdb 0"],
    ["an unknown service action", "9e 11", "5/24/00 cdb 1.4"],
    ["a service action of REPORT that is none", "a3 1f", "5/24/00 cdb 1.4"],
    ["a vital product data page that is none", "12 01 c0 00 ff", "5/24/00 cdb 2"],
    ["a page code without EVPD", "12 00 80 00 ff", "5/24/00 cdb 2"],
    ["a mode page that is none", "1a 00 15 00 ff", "5/24/00 cdb 2.5"],
    ["a mode subpage that is none", "1a 00 08 01 ff", "5/24/00 cdb 3"],
    ["saved mode pages", "1a 00 c8 00 ff", "5/39/00"],
    ["normal ACA", "12 00 00 00 ff 04", "5/24/00 cdb 5.2"],
    ["an obsolete address in READ CAPACITY(10)", "25 00 00 00 00 01", "5/24/00 cdb 2"],
    ["an unknown way to select LUNs", "a0 00 11 00 00 00 00 00 00 ff", "5/24/00 cdb 2"],
    ["an unknown reporting option", "a3 0c 05 00 00 00 00 00 00 ff", "5/24/00 cdb 2.2"],
    ["ejecting what cannot be ejected", "1b 00 00 00 02", "5/24/00 cdb 4.1"],
    ["preventing in a way that is obsolete", "1e 00 00 00 02", "5/24/00 cdb 4.1"],
    ["saving log parameters", "4d 01", "5/24/00 cdb 1.0"],
    ["a log page that is none", "4d 00 2f", "5/24/00 cdb 2.5"],
    ["an unknown format of port groups", "a3 4a 00 00 00 00 00 00 00 ff", "5/24/00 cdb 1.7"],
  ])("say which octet was wrong: %s", (_what, cdb, sense) => {
    expect(senseOf(run(cdb))).toBe(sense);
  });

  it("keep what the data plane carries out from being answered twice", () => {
    expect(senseOf(run("28"))).toBe("5/20/00 cdb 0");
  });

  it("never throw, whatever comes", () => {
    const units = fc.constantFrom(UNIT, undefined, unitWith({ readOnly: true, blockSize: 4096, removable: true, thin: false }));
    const opcode = fc.oneof(
      fc.integer({ min: 0, max: 255 }),
      fc.constantFrom(0x12, 0x15, 0x1a, 0x55, 0x5a, 0x9e, 0xa0, 0xa3, 0x4d, 0x48, 0x5e, 0x5f, 0x83, 0x84),
    );
    const rest = fc.uint8Array({ minLength: 15, maxLength: 15 });
    const random = fc.property(units, opcode, rest, fc.uint8Array({ maxLength: 80 }), (unit, first, octets, dataOut) => {
      const { result } = execute({ cdb: Uint8Array.of(first, ...octets), dataOut }, { ...CONTEXT, unit });
      expect([0, 2, 0x18]).toContain(result.status);
      expect(result.sense === undefined).toBe(result.status !== 2);
    });
    fc.assert(random, { numRuns: 3000 });
  });
});

describe("a LUN without a disk", () => {
  const nobody = { unit: undefined };

  it("says so in INQUIRY and REQUEST SENSE, lists the others, and refuses the rest", () => {
    expect(dataOf("12 00 00 00 60", nobody)[0]).toBe(0x7f);
    expect(senseOf(run("12 01 00 00 ff", nobody))).toBe("5/24/00 cdb 2");
    expect(senseOf({ status: 2, sense: dataOf("03 00 00 00 ff", nobody) })).toBe("5/25/00");
    expect(dataOf("a0 00 00 00 00 00 00 00 00 ff", nobody)).toHaveLength(24);
    expect(senseOf(run("1a 00 3f 00 ff", nobody))).toBe("5/25/00");
    expect(senseOf(run("c1", nobody))).toBe("5/25/00");
  });
});

it("whoever asks a disk that is being sanitized hears how far it has come, and one without a medium says so", () => {
  const state = initialState(UNIT);
  const sanitizing = { ...state, medium: { ...state.medium, sanitizing: 0.25 } };
  const asked = dataOf("03 00 00 00 ff", { state: sanitizing });
  expect(senseOf({ status: 2, sense: asked })).toMatch(/^2\/04\/1b/);
  expect(Buffer.from(asked.subarray(15)).toString("hex")).toBe("803fff");
  const ejected = dataOf("03 00 00 00 ff", { state: { ...state, medium: { ...state.medium, ejected: true } } });
  expect(senseOf({ status: 2, sense: ejected })).toBe("2/3a/00");
});

describe("sense data", () => {
  it("is in fixed format, as the Control mode page says", () => {
    expect(Buffer.from(fixedSense(invalidField(2, 5))).toString("hex")).toBe(
      "70000500000000 0a 00000000 24 00 00 cd 0002".replaceAll(" ", ""),
    );
  });
});

describe("small commands", () => {
  it.each([
    ["START STOP UNIT starts", "1b 00 00 00 01"],
    ["START STOP UNIT stops what has no motor", "1b 01 00 00 00"],
    ["START STOP UNIT enters a power condition and leaves it at once", "1b 00 00 00 32"],
    ["PREVENT ALLOW prevents", "1e 00 00 00 01"],
    ["PREVENT ALLOW allows", "1e 00 00 00 00"],
  ])("%s", (_what, cdb) => {
    expect(run(cdb).status).toBe(0);
  });

  it("lists the log pages and subpages", () => {
    expect(Buffer.from(dataOf("4d 00 00 ff 00 00 00 00 ff")).toString("hex")).toBe("40ff000a000000ff020003000c00");
    expect(Buffer.from(dataOf("4d 00 00 00 00 00 00 00 ff", { unit: unitWith({ thin: false }) })).toString("hex")).toBe("00000003000203");
  });

  it("tells in a log page what a thin disk takes of the pool, and what the pool has left", () => {
    const counters = (): UnitCounters => ({ ...NOTHING_COUNTED, room: { usedBytes: 4096, freeBytes: 2 ** 45 } });
    const page = (cdb: string): string => Buffer.from(dataOf(cdb, { counters })).toString("hex");
    expect(page("4d 00 4c 00 00 00 00 00 ff")).toBe("0c000018 00010308ffffffff02000000 000203080000000801000000".replaceAll(" ", ""));
    expect(senseOf(run("4d 00 4c 00 00 00 00 00 ff", { unit: unitWith({ thin: false }) }))).toBe("5/24/00 cdb 2.5");
    expect(Buffer.from(dataOf("4d 00 4c 00 00 00 00 00 ff")).toString("hex")).toBe("0c000000");
  });

  it("tells in log pages what was read and written, and what could not be", () => {
    const counters = (): UnitCounters => ({ readBytes: 0x1234, writeBytes: 0x56, readErrors: 7, writeErrors: 8 });
    const page = (cdb: string): string => Buffer.from(dataOf(cdb, { counters })).toString("hex");
    expect(page("4d 00 43 00 00 00 00 00 ff")).toBe("03000018 000500080000000000001234 000600080000000000000007".replaceAll(" ", ""));
    expect(page("4d 00 42 00 00 00 06 00 ff")).toBe("0200000c 000600080000000000000008".replaceAll(" ", ""));
    expect(page("4d 00 c2 00 00 00 06 00 ff")).toBe("0200000c 000600080000000000000000".replaceAll(" ", ""));
    expect(page("4d 00 02 00 00 00 06 00 ff")).toBe("0200000c 00060008ffffffffffffffff".replaceAll(" ", ""));
    expect(senseOf(run("4d 00 42 00 00 00 07 00 ff", { counters }))).toBe("5/24/00 cdb 5");
    expect(senseOf(run("4d 00 42 ff 00 00 00 00 ff", { counters }))).toBe("5/24/00 cdb 3");
  });

  it("answers for portals that are alike, each its own group", () => {
    const extended = dataOf("a3 2a 00 00 00 00 00 00 00 ff", { portalTags: [1] });
    expect(Buffer.from(extended).toString("hex")).toBe("00000010 10000000 00010001 00000001 00000001".replaceAll(" ", ""));
  });
});
