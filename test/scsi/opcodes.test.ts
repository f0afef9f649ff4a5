import { describe, expect, it } from "vitest";
import { findOpcode, OPCODES, usageOctets } from "../../src/scsi/opcodes.ts";
import { dataOf, run, senseOf } from "./support.ts";

/** SAM-5, 5.2.2: the group of an operation code gives the length of its CDB. */
const GROUP_LENGTHS = [6, 10, 10, 0, 16, 12];

describe("the table of operation codes", () => {
  it.each(OPCODES)("has a usage map as long as the CDB, which begins with the code itself: $name", (entry) => {
    const usage = usageOctets(entry);
    expect(usage).toHaveLength(GROUP_LENGTHS[entry.opcode >> 5] ?? 0);
    expect(usage[0]).toBe(entry.opcode);
    if (entry.serviceAction !== undefined) expect((usage[1] ?? 0) & 0x1f).toBe(entry.serviceAction);
    expect(findOpcode(OPCODES, entry.opcode, entry.serviceAction ?? 0)).toBe(entry);
  });

  it("is in order and has each command once", () => {
    const keys = OPCODES.map(({ opcode, serviceAction }) => opcode * 256 + (serviceAction ?? 0));
    expect(keys).toEqual([...new Set(keys)].toSorted((a, b) => a - b));
  });

  it.each(OPCODES.filter(({ runs }) => runs === "control-plane"))("has a handler for all that TypeScript carries out: $name", (entry) => {
    const action = (entry.serviceAction ?? 0).toString(16).padStart(2, "0");
    expect(senseOf(run(`${entry.opcode.toString(16).padStart(2, "0")} ${action}`))).not.toContain("/20/00");
  });
});

describe("REPORT SUPPORTED OPERATION CODES", () => {
  it("lists them all, with time-outs where they are asked for", () => {
    const plain = dataOf("a3 0c 00 00 00 00 00 00 ff ff");
    expect(plain).toHaveLength(4 + 8 * OPCODES.length);
    const timed = dataOf("a3 0c 80 00 00 00 00 00 ff ff");
    expect(timed).toHaveLength(4 + 20 * OPCODES.length);
    expect(Buffer.from(timed.subarray(4, 24)).toString("hex")).toBe(`0000000000020006000a0000000000010000001e`);
  });

  it.each([
    ["a command, with its usage and time-outs", "a3 0c 81 12 00 00 00 00 00 ff", "00830006 1201ffffff00 000a0000000000010000001e"],
    ["WRITE SAME, as RHEL asks for it", "a3 0c 01 41 00 00 00 00 00 ff", "0003000a 4108ffffffff00ffff00"],
    ["a command that we have not", "a3 0c 01 5c 00 00 00 00 00 ff", "00010000"],
    ["a service action", "a3 0c 02 9e 00 10 00 00 00 ff", "00030010 9e100000000000000000ffffffff0000"],
    ["a service action that we have not", "a3 0c 02 9e 00 13 00 00 00 ff", "00010000"],
    ["either, by option 3", "a3 0c 03 12 00 00 00 00 00 ff", "00030006 1201ffffff00"],
    ["either, by option 3, with a service action", "a3 0c 03 9e 00 10 00 00 00 ff", "00030010 9e100000000000000000ffffffff0000"],
    ["a service action of a command that has none, by option 3", "a3 0c 03 12 00 01 00 00 00 ff", "00010000"],
  ])("tells of %s", (_what, cdb, answer) => {
    expect(Buffer.from(dataOf(cdb)).toString("hex")).toBe(answer.replaceAll(" ", ""));
  });

  it.each([
    ["a command with service actions is asked for without one", "a3 0c 01 9e 00 00 00 00 00 ff"],
    ["a command without service actions is asked for with one", "a3 0c 02 12 00 00 00 00 00 ff"],
  ])("refuses when %s", (_what, cdb) => {
    expect(senseOf(run(cdb))).toBe("5/24/00 cdb 2.2");
  });
});
