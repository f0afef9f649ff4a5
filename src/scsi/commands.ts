import type { CommandResult } from "../native/data-plane.ts";
import { ByteReader } from "../wire/reader.ts";
import { ByteWriter } from "../wire/writer.ts";
import { type Answer, checkCondition, encodeAnswer, good, RESERVATION_CONFLICT } from "./answer.ts";
import { readCapacity10, readCapacity16 } from "./capacity.ts";
import { inquiry } from "./inquiry.ts";
import type { Command, CommandContext, LogicalUnit } from "./logical-unit.ts";
import { modeSelect, modeSense } from "./mode.ts";
import { findOpcode, hasServiceActions, type Opcode, opcodesOf, usageOctets } from "./opcodes.ts";
import { reportLuns, reportSupportedOpcodes, reportTargetPortGroups, reportTaskManagement } from "./report.ts";
import { conflicts, deniedTo, nexusId } from "./reservations.ts";
import { persistentReserveIn, persistentReserveOut, release6, reserve6 } from "./reserve.ts";
import { descriptorSense, fixedSense, INVALID_OPCODE, invalidField, NO_SENSE, UNIT_NOT_SUPPORTED } from "./sense.ts";
import type { UnitChange } from "./unit-state.ts";

type Handler = (command: Command, unit: LogicalUnit, context: CommandContext) => Answer;
/** Answered for LUNs without a logical unit as well (SPC-4, 6.4.1, 6.33, 6.39). */
type UnitlessHandler = (command: Command, context: CommandContext) => Answer;

/** By the names of the opcode table. */
const HANDLERS: Readonly<Record<string, Handler>> = {
  "MODE SELECT(6)": modeSelect,
  "MODE SELECT(10)": modeSelect,
  "MODE SENSE(6)": modeSense,
  "MODE SENSE(10)": modeSense,
  "RESERVE(6)": reserve6,
  "RELEASE(6)": release6,
  "READ KEYS": persistentReserveIn,
  "READ RESERVATION": persistentReserveIn,
  "REPORT CAPABILITIES": persistentReserveIn,
  "READ FULL STATUS": persistentReserveIn,
  REGISTER: persistentReserveOut,
  RESERVE: persistentReserveOut,
  RELEASE: persistentReserveOut,
  CLEAR: persistentReserveOut,
  PREEMPT: persistentReserveOut,
  "PREEMPT AND ABORT": persistentReserveOut,
  "REGISTER AND IGNORE EXISTING KEY": persistentReserveOut,
  "START STOP UNIT": startStopUnit,
  "PREVENT ALLOW MEDIUM REMOVAL": preventAllow,
  "READ CAPACITY(10)": readCapacity10,
  "READ CAPACITY(16)": readCapacity16,
  "LOG SENSE": logSense,
  "REPORT SUPPORTED OPERATION CODES": reportSupportedOpcodes,
  "REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS": reportTaskManagement,
  "REPORT TARGET PORT GROUPS": (command, _unit, context) => reportTargetPortGroups(command, context),
};

const UNITLESS: ReadonlyMap<number, UnitlessHandler> = new Map([
  [0x03, requestSense],
  [0x12, inquiry],
  [0xa0, reportLuns],
]);

/** SAM-5, 5.2: normal ACA in the control octet, which is not offered. */
const NACA = 0x04;

/** A command carried out: how it is answered, once what it changed is in force. */
export interface Executed {
  readonly result: CommandResult;
  readonly change?: UnitChange;
}

/** Carries out a command that the data plane passed up. Never throws for what an initiator sent. */
export function execute(command: Command, context: CommandContext): Executed {
  const answer = answerTo(command, context);
  const result = encodeAnswer(answer, context.state.mode.descriptorSense);
  return { result, ...(answer.change !== undefined && { change: answer.change }) };
}

function answerTo(command: Command, context: CommandContext): Answer {
  const { cdb } = command;
  const opcode = cdb[0] ?? 0;
  const serviceAction = (cdb[1] ?? 0) & 0x1f;
  const unitless = UNITLESS.get(opcode);
  const { unit } = context;
  if (unitless === undefined && unit === undefined) return checkCondition(UNIT_NOT_SUPPORTED);
  const known = unit === undefined ? undefined : findOpcode(opcodesOf(unit), opcode, serviceAction);
  if (unitless === undefined && known === undefined) {
    return checkCondition(hasServiceActions(opcode) ? invalidField(1, 4) : INVALID_OPCODE);
  }
  const length = known === undefined ? cdb.length : usageOctets(known).length;
  const last = length - 1;
  if (((cdb[last] ?? 0) & NACA) !== 0) return checkCondition(invalidField(last, 2));
  if (unitless !== undefined) return unitless(command, context);
  const handler = known === undefined ? undefined : HANDLERS[known.name];
  // What the table gives to the data plane never comes up; were it to, the command is one that we do not carry out.
  if (handler === undefined || unit === undefined) return checkCondition(INVALID_OPCODE);
  if (isInTheWay(known, cdb, context)) return RESERVATION_CONFLICT;
  return handler(command, unit, context);
}

/** SPC-4, 5.13.1: whether a reservation of another nexus is in a command's way. */
function isInTheWay(entry: Opcode | undefined, cdb: Uint8Array, { state, nexus }: CommandContext): boolean {
  if (entry === undefined) return false;
  const denied = deniedTo(state.reservations, nexusId(nexus));
  return conflicts(denied, entry.spared?.(cdb) === true ? "unit" : entry.denied);
}

/*
 * SPC-4, 6.39 REQUEST SENSE
 *
 *  0  0x03     1  DESC (bit 0)     4  allocation length
 *
 * What went wrong was told with the command that it went wrong with, so there is nothing to add.
 */
function requestSense({ cdb }: Command, { unit }: CommandContext): Answer {
  const reader = new ByteReader(cdb);
  reader.skip(1);
  const descriptor = (reader.u8() & 1) !== 0;
  reader.skip(2);
  const allocationLength = reader.u8();
  const sense = unit === undefined ? UNIT_NOT_SUPPORTED : NO_SENSE;
  const data = descriptor ? descriptorSense(sense) : fixedSense(sense);
  return good(data.subarray(0, allocationLength));
}

/*
 * SBC-3, 5.25 START STOP UNIT
 *
 *  0  0x1b     1  IMMED (bit 0)     3  power condition modifier     4  power condition (bits 7 to 4), NO_FLUSH, LOEJ, START
 *
 * There is no motor to stop, and nothing that can be ejected while a machine runs from it.
 */
function startStopUnit({ cdb }: Command): Answer {
  const octet = cdb[4] ?? 0;
  // A power condition is entered and left at once; START and LOEJ mean nothing beside it.
  if (octet >> 4 !== 0) return good();
  return (octet & 0x02) !== 0 ? checkCondition(invalidField(4, 1)) : good();
}

/** SPC-4, 6.15 (SPC-3 for disks): 00b allow, 01b prevent; 10b and 11b are obsolete. Nothing is ever removed under an initiator. */
function preventAllow({ cdb }: Command): Answer {
  return ((cdb[4] ?? 0) & 0x02) !== 0 ? checkCondition(invalidField(4, 1)) : good();
}

/*
 * SPC-4, 6.8 LOG SENSE
 *
 *  0  0x4d     1  SP (bit 0)     2  PC (bits 7 and 6), page code     3  subpage code     5  parameter pointer (2)     7  allocation length (2)
 *
 * Pages: 00h, the list of pages; 00h/FFh, the list of pages and subpages.
 */
function logSense({ cdb }: Command): Answer {
  const reader = new ByteReader(cdb);
  reader.skip(1);
  if ((reader.u8() & 1) !== 0) return checkCondition(invalidField(1, 0));
  const page = reader.u8() & 0x3f;
  const subpage = reader.u8();
  reader.skip(1);
  if (page !== 0) return checkCondition(invalidField(2, 5));
  if (subpage !== 0 && subpage !== 0xff) return checkCondition(invalidField(3));
  if (reader.u16() !== 0) return checkCondition(invalidField(5));
  const allocationLength = reader.u16();
  const list = subpage === 0 ? Uint8Array.of(0x00) : Uint8Array.of(0x00, 0x00, 0x00, 0xff);
  const data = new ByteWriter(8)
    .u8(subpage === 0 ? 0x00 : 0x40)
    .u8(subpage)
    .u16(list.length)
    .bytes(list)
    .finish();
  return good(data.subarray(0, allocationLength));
}
