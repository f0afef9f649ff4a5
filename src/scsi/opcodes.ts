import type { LogicalUnit } from "./logical-unit.ts";
import type { Denied } from "./reservations.ts";

/**
 * Every command that a logical unit of ours carries out. Dispatch finds its handler by this table, REPORT SUPPORTED
 * OPERATION CODES is written from it, and the VPD pages promise nothing that is not in it.
 */
export interface Opcode {
  readonly name: string;
  readonly opcode: number;
  readonly serviceAction?: number;
  /**
   * SPC-4, 6.35.3: the CDB usage data as hexadecimal, one pair of digits an octet, its length that of the CDB: the
   * operation code and service action as they are, elsewhere a one for each bit that is looked at.
   */
  readonly usage: string;
  /**
   * By what a reservation of another nexus has to deny, at least, to be in the command's way ("nothing": it never is); SPC-4,
   * table 66 and SBC-3, table 13. The data plane has the same of its own commands (native/scsi/commands.cc).
   */
  readonly denied: Denied;
  /** The forms of it that no persistent reservation is in the way of. */
  readonly spared?: (cdb: Uint8Array) => boolean;
  /** "data-plane": carried out by native threads; TypeScript never sees it. */
  readonly runs: "data-plane" | "control-plane";
  /** Nominal processing time, seconds; the recommended time-out is {@link RECOMMENDED_TIMEOUT_S}. */
  readonly nominalS: number;
  /** Absent: every unit has it. */
  readonly only?: (unit: LogicalUnit) => boolean;
}

/** SPC-4, 6.35.4: Linux's own default for a disk. */
export const RECOMMENDED_TIMEOUT_S = 30;

const native = (opcode: number, denied: Denied, name: string, usage: string, nominalS = 1): Opcode => ({
  name,
  opcode,
  usage,
  denied,
  runs: "data-plane",
  nominalS,
});
const control = (opcode: number, denied: Denied, name: string, usage: string): Opcode => ({
  name,
  opcode,
  usage,
  denied,
  runs: "control-plane",
  nominalS: 1,
});
const action = (opcode: number, serviceAction: number, denied: Denied, name: string, usage: string): Opcode => ({
  ...control(opcode, denied, name, usage),
  serviceAction,
});

export const OPCODES: readonly Opcode[] = [
  native(0x00, "unit", "TEST UNIT READY", "00 00 00 00 00 00"),
  control(0x03, "nothing", "REQUEST SENSE", "03 01 00 00 ff 00"),
  native(0x08, "medium", "READ(6)", "08 1f ff ff ff 00"),
  native(0x0a, "writes", "WRITE(6)", "0a 1f ff ff ff 00"),
  control(0x12, "nothing", "INQUIRY", "12 01 ff ff ff 00"),
  control(0x15, "writes", "MODE SELECT(6)", "15 11 00 00 ff 00"),
  control(0x16, "nothing", "RESERVE(6)", "16 00 00 00 00 00"),
  control(0x17, "nothing", "RELEASE(6)", "17 00 00 00 00 00"),
  control(0x1a, "medium", "MODE SENSE(6)", "1a 08 ff ff ff 00"),
  // START without a power condition, and allowing removal, disturb nobody (SBC-3, table 13; SPC-4, table 66).
  { ...control(0x1b, "writes", "START STOP UNIT", "1b 01 00 0f f7 00"), spared: (cdb) => ((cdb[4] ?? 0) & 0xf1) === 0x01 },
  { ...control(0x1e, "writes", "PREVENT ALLOW MEDIUM REMOVAL", "1e 00 00 00 03 00"), spared: (cdb) => ((cdb[4] ?? 0) & 0x03) === 0 },
  control(0x25, "nothing", "READ CAPACITY(10)", "25 00 ff ff ff ff 00 00 01 00"),
  native(0x28, "medium", "READ(10)", "28 18 ff ff ff ff 00 ff ff 00"),
  native(0x2a, "writes", "WRITE(10)", "2a 18 ff ff ff ff 00 ff ff 00"),
  native(0x2e, "writes", "WRITE AND VERIFY(10)", "2e 16 ff ff ff ff 00 ff ff 00"),
  native(0x2f, "medium", "VERIFY(10)", "2f 16 ff ff ff ff 00 ff ff 00"),
  native(0x34, "medium", "PRE-FETCH(10)", "34 02 ff ff ff ff 00 ff ff 00"),
  native(0x35, "writes", "SYNCHRONIZE CACHE(10)", "35 02 ff ff ff ff 00 ff ff 00", 10),
  control(0x37, "nothing", "READ DEFECT DATA(10)", "37 00 1f 00 00 00 00 ff ff 00"),
  native(0x41, "writes", "WRITE SAME(10)", "41 08 ff ff ff ff 00 ff ff 00", 10),
  { ...native(0x42, "writes", "UNMAP", "42 00 00 00 00 00 00 ff ff 00", 10), only: ({ config }) => config.thin },
  action(0x48, 0x01, "writes", "SANITIZE OVERWRITE", "48 a1 00 00 00 00 00 ff ff 00"),
  // What it erases is unmapped, which a disk that promises to keep its room cannot be.
  { ...action(0x48, 0x02, "writes", "SANITIZE BLOCK ERASE", "48 a2 00 00 00 00 00 ff ff 00"), only: ({ config }) => config.thin },
  action(0x48, 0x1f, "writes", "SANITIZE EXIT FAILURE MODE", "48 bf 00 00 00 00 00 ff ff 00"),
  control(0x4d, "nothing", "LOG SENSE", "4d 01 ff ff 00 ff ff ff ff 00"),
  control(0x55, "writes", "MODE SELECT(10)", "55 11 00 00 00 00 00 ff ff 00"),
  control(0x5a, "medium", "MODE SENSE(10)", "5a 18 ff ff 00 00 00 ff ff 00"),
  action(0x5e, 0x00, "unit", "READ KEYS", "5e 00 00 00 00 00 00 ff ff 00"),
  action(0x5e, 0x01, "unit", "READ RESERVATION", "5e 01 00 00 00 00 00 ff ff 00"),
  action(0x5e, 0x02, "unit", "REPORT CAPABILITIES", "5e 02 00 00 00 00 00 ff ff 00"),
  action(0x5e, 0x03, "unit", "READ FULL STATUS", "5e 03 00 00 00 00 00 ff ff 00"),
  action(0x5f, 0x00, "unit", "REGISTER", "5f 00 00 00 00 ff ff ff ff 00"),
  action(0x5f, 0x01, "unit", "RESERVE", "5f 01 ff 00 00 ff ff ff ff 00"),
  action(0x5f, 0x02, "unit", "RELEASE", "5f 02 ff 00 00 ff ff ff ff 00"),
  action(0x5f, 0x03, "unit", "CLEAR", "5f 03 00 00 00 ff ff ff ff 00"),
  action(0x5f, 0x04, "unit", "PREEMPT", "5f 04 ff 00 00 ff ff ff ff 00"),
  action(0x5f, 0x05, "unit", "PREEMPT AND ABORT", "5f 05 ff 00 00 ff ff ff ff 00"),
  action(0x5f, 0x06, "unit", "REGISTER AND IGNORE EXISTING KEY", "5f 06 00 00 00 ff ff ff ff 00"),
  action(0x83, 0x00, "writes", "EXTENDED COPY(LID1)", "83 00 00 00 00 00 00 00 00 00 ff ff ff ff 00 00"),
  action(0x84, 0x00, "medium", "RECEIVE COPY STATUS(LID1)", "84 00 ff 00 00 00 00 00 00 00 ff ff ff ff 00 00"),
  action(0x84, 0x03, "medium", "RECEIVE COPY OPERATING PARAMETERS", "84 03 00 00 00 00 00 00 00 00 ff ff ff ff 00 00"),
  native(0x88, "medium", "READ(16)", "88 18 ff ff ff ff ff ff ff ff ff ff ff ff 00 00"),
  native(0x89, "writes", "COMPARE AND WRITE", "89 18 ff ff ff ff ff ff ff ff 00 00 00 ff 00 00"),
  native(0x8a, "writes", "WRITE(16)", "8a 18 ff ff ff ff ff ff ff ff ff ff ff ff 00 00"),
  native(0x8b, "writes", "ORWRITE(16)", "8b 18 ff ff ff ff ff ff ff ff ff ff ff ff 00 00"),
  native(0x8e, "writes", "WRITE AND VERIFY(16)", "8e 16 ff ff ff ff ff ff ff ff ff ff ff ff 00 00"),
  native(0x8f, "medium", "VERIFY(16)", "8f 16 ff ff ff ff ff ff ff ff ff ff ff ff 00 00"),
  native(0x90, "medium", "PRE-FETCH(16)", "90 02 ff ff ff ff ff ff ff ff ff ff ff ff 00 00"),
  native(0x91, "writes", "SYNCHRONIZE CACHE(16)", "91 02 ff ff ff ff ff ff ff ff ff ff ff ff 00 00", 10),
  native(0x93, "writes", "WRITE SAME(16)", "93 09 ff ff ff ff ff ff ff ff ff ff ff ff 00 00", 10),
  action(0x9e, 0x10, "nothing", "READ CAPACITY(16)", "9e 10 00 00 00 00 00 00 00 00 ff ff ff ff 00 00"),
  action(0x9e, 0x12, "medium", "GET LBA STATUS", "9e 12 ff ff ff ff ff ff ff ff ff ff ff ff 00 00"),
  control(0xa0, "nothing", "REPORT LUNS", "a0 00 ff 00 00 00 ff ff ff ff 00 00"),
  action(0xa3, 0x0a, "nothing", "REPORT TARGET PORT GROUPS", "a3 ea 00 00 00 00 ff ff ff ff 00 00"),
  action(0xa3, 0x0c, "medium", "REPORT SUPPORTED OPERATION CODES", "a3 0c 87 ff ff ff ff ff ff ff 00 00"),
  action(0xa3, 0x0d, "medium", "REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS", "a3 0d 80 00 00 00 ff ff ff ff 00 00"),
  native(0xa8, "medium", "READ(12)", "a8 18 ff ff ff ff ff ff ff ff 00 00"),
  native(0xaa, "writes", "WRITE(12)", "aa 18 ff ff ff ff ff ff ff ff 00 00"),
  native(0xae, "writes", "WRITE AND VERIFY(12)", "ae 16 ff ff ff ff ff ff ff ff 00 00"),
  native(0xaf, "medium", "VERIFY(12)", "af 16 ff ff ff ff ff ff ff ff 00 00"),
  control(0xb7, "nothing", "READ DEFECT DATA(12)", "b7 1f 00 00 00 00 ff ff ff ff 00 00"),
];

export function usageOctets(opcode: Opcode): Uint8Array {
  return Uint8Array.from(opcode.usage.split(" "), (octet) => Number.parseInt(octet, 16));
}

/** Operation codes whose service action is in the low five bits of octet 1. */
export function hasServiceActions(opcode: number): boolean {
  return OPCODES.some((entry) => entry.opcode === opcode && entry.serviceAction !== undefined);
}

/** The commands of one logical unit, in the order of their operation codes. */
export function opcodesOf(unit: LogicalUnit): readonly Opcode[] {
  return OPCODES.filter((entry) => entry.only === undefined || entry.only(unit));
}

/** Whether a unit carries a command out; VPD pages ask before they promise. */
export function carriesOut(unit: LogicalUnit, name: string): boolean {
  return opcodesOf(unit).some((entry) => entry.name === name);
}

/** The entry that a CDB is, by operation code and service action. */
export function findOpcode(entries: readonly Opcode[], opcode: number, serviceAction: number): Opcode | undefined {
  return entries.find((entry) => entry.opcode === opcode && (entry.serviceAction === undefined || entry.serviceAction === serviceAction));
}
