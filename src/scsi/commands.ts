import type { CommandResult } from "../native/data-plane.ts";
import { ByteReader } from "../wire/reader.ts";
import { type Answer, checkCondition, encodeAnswer, good, RESERVATION_CONFLICT } from "./answer.ts";
import { readCapacity10, readCapacity16 } from "./capacity.ts";
import { extendedCopy, receiveCopyResults } from "./copy.ts";
import { inquiry } from "./inquiry.ts";
import { logSense } from "./log.ts";
import type { Command, CommandContext, LogicalUnit } from "./logical-unit.ts";
import { modeSelect, modeSense } from "./mode.ts";
import { findOpcode, hasServiceActions, type Opcode, opcodesOf, usageOctets } from "./opcodes.ts";
import { getLbaStatus, readDefectData } from "./provisioning.ts";
import { preventAllow, startStopUnit } from "./removal.ts";
import { reportLuns, reportSupportedOpcodes, reportTargetPortGroups, reportTaskManagement } from "./report.ts";
import { conflicts, deniedTo, nexusId } from "./reservations.ts";
import { persistentReserveIn, persistentReserveOut, release6, reserve6 } from "./reserve.ts";
import { sanitize } from "./sanitize.ts";
import { descriptorSense, fixedSense, INVALID_OPCODE, invalidField, NO_SENSE, type Sense, UNIT_NOT_SUPPORTED } from "./sense.ts";
import type { UnitJob } from "./unit-job.ts";
import { type MediumState, type UnitChange, unreadySense } from "./unit-state.ts";

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
  "READ DEFECT DATA(10)": readDefectData,
  "READ DEFECT DATA(12)": readDefectData,
  "GET LBA STATUS": getLbaStatus,
  "SANITIZE OVERWRITE": sanitize,
  "SANITIZE BLOCK ERASE": sanitize,
  "SANITIZE EXIT FAILURE MODE": sanitize,
  "EXTENDED COPY(LID1)": extendedCopy,
  "RECEIVE COPY STATUS(LID1)": receiveCopyResults,
  "RECEIVE COPY OPERATING PARAMETERS": receiveCopyResults,
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
  /** Still to be done; then `result` is of no meaning. */
  readonly job?: UnitJob;
}

/** Carries out a command that the data plane passed up. Never throws for what an initiator sent. */
export function execute(command: Command, context: CommandContext): Executed {
  const answer = answerTo(command, context);
  const { change, job } = answer;
  const result = encodeAnswer(answer, context.state.mode.descriptorSense);
  return { result, ...(change !== undefined && { change }), ...(job !== undefined && { job }) };
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
  const unready = known === undefined ? undefined : unreadiness(known, context.state.medium);
  if (unready !== undefined) return checkCondition(unready);
  return handler(command, unit, context);
}

/** What a medium that cannot be used keeps a command from; the data plane has the same for its own. */
function unreadiness({ name, denied, opcode }: Opcode, medium: MediumState): Sense | undefined {
  const { sanitizing, sanitizeFailed } = medium;
  // SBC-3, 4.11.2: what tells of the unit goes on, what changes it does not; a failed one may be begun again.
  if (sanitizing !== undefined) return denied === "writes" || NEEDS_MEDIUM.has(name) ? unreadySense(medium) : undefined;
  if (sanitizeFailed && opcode === SANITIZE) return undefined;
  return NEEDS_MEDIUM.has(name) ? unreadySense(medium) : undefined;
}

const SANITIZE = 0x48;
const NEEDS_MEDIUM: ReadonlySet<string> = new Set([
  "READ CAPACITY(10)",
  "READ CAPACITY(16)",
  "GET LBA STATUS",
  "READ DEFECT DATA(10)",
  "READ DEFECT DATA(12)",
  "EXTENDED COPY(LID1)",
  "SANITIZE OVERWRITE",
  "SANITIZE BLOCK ERASE",
]);

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
 * What went wrong was told with the command that it went wrong with; what can be polled for is a medium that cannot be used
 * (SPC-4, 5.11.2), and how far a SANITIZE has come (SBC-3, 4.11.2).
 */
function requestSense({ cdb }: Command, { unit, state }: CommandContext): Answer {
  const reader = new ByteReader(cdb);
  reader.skip(1);
  const descriptor = (reader.u8() & 1) !== 0;
  reader.skip(2);
  const allocationLength = reader.u8();
  const sense = unit === undefined ? UNIT_NOT_SUPPORTED : (unreadySense(state.medium) ?? NO_SENSE);
  const data = descriptor ? descriptorSense(sense) : fixedSense(sense);
  return good(data.subarray(0, allocationLength));
}
