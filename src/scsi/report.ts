import { ByteReader } from "../wire/reader.ts";
import { ByteWriter } from "../wire/writer.ts";
import { type Answer, checkCondition, good } from "./answer.ts";
import type { Command, CommandContext, LogicalUnit } from "./logical-unit.ts";
import { findOpcode, hasServiceActions, type Opcode, opcodesOf, RECOMMENDED_TIMEOUT_S, usageOctets } from "./opcodes.ts";
import { invalidField } from "./sense.ts";

/** SPC-4, 6.33: every allocation length below this is an error, not a truncation. */
const MIN_REPORT_LUNS_LENGTH = 16;

/*
 * SPC-4, 6.33 REPORT LUNS
 *
 *  0  0xa0     2  select report     6  allocation length (4)
 *
 * Answer: list length (4), reserved (4), LUNs (8 each)
 */
export function reportLuns({ cdb }: Command, { luns }: CommandContext): Answer {
  const reader = new ByteReader(cdb);
  reader.skip(2);
  const select = reader.u8();
  reader.skip(3);
  const allocationLength = reader.u32();
  if (select > 2) return checkCondition(invalidField(2));
  if (allocationLength < MIN_REPORT_LUNS_LENGTH) return checkCondition(invalidField(6));
  // 1 asks for well-known logical units only, and there is none.
  const listed = select === 1 ? [] : luns;
  const writer = new ByteWriter(8 + 8 * listed.length).u32(8 * listed.length).zeros(4);
  for (const lun of listed) writer.bytes(encodeLun(lun));
  return good(writer.finish().subarray(0, allocationLength));
}

/** SAM-5, 4.7.7: peripheral device addressing up to 255, flat space addressing above. */
function encodeLun(lun: number): Uint8Array {
  return new ByteWriter(8)
    .u16(lun < 256 ? lun : 0x4000 | lun)
    .zeros(6)
    .finish();
}

/*
 * SPC-4, 6.35 REPORT SUPPORTED OPERATION CODES
 *
 *  0  0xa3     1  service action 0Ch     2  RCTD (bit 7), reporting options (bits 2 to 0)
 *  3  requested operation code     4  requested service action (2)     6  allocation length (4)
 */
export function reportSupportedOpcodes({ cdb }: Command, unit: LogicalUnit): Answer {
  const reader = new ByteReader(cdb);
  reader.skip(2);
  const flags = reader.u8();
  const timeouts = (flags & 0x80) !== 0;
  const options = flags & 0x07;
  const opcode = reader.u8();
  const serviceAction = reader.u16();
  const allocationLength = reader.u32();
  const entries = opcodesOf(unit);
  const answer = (data: Uint8Array): Answer => good(data.subarray(0, allocationLength));
  switch (options) {
    case 0:
      return answer(allCommands(entries, timeouts));
    case 1:
      // Without a service action, only an operation code that has none can be meant.
      if (hasServiceActions(opcode)) return checkCondition(invalidField(2, 2));
      return answer(oneCommand(findOpcode(entries, opcode, 0), timeouts));
    case 2:
      if (!hasServiceActions(opcode)) return checkCondition(invalidField(2, 2));
      return answer(oneCommand(findOpcode(entries, opcode, serviceAction), timeouts));
    case 3: {
      const meant = hasServiceActions(opcode) || serviceAction === 0;
      return answer(oneCommand(meant ? findOpcode(entries, opcode, serviceAction) : undefined, timeouts));
    }
    default:
      return checkCondition(invalidField(2, 2));
  }
}

/*
 * SPC-4, 6.35.2: length (4), then for each command
 *
 *     0  operation code     1  reserved     2  service action (2)     4  reserved
 *     5  CTDP (bit 1), SERVACTV (bit 0)     6  CDB length (2)     8  timeouts descriptor, where CTDP is set
 */
function allCommands(entries: readonly Opcode[], timeouts: boolean): Uint8Array {
  const list = new ByteWriter(1024);
  for (const entry of entries) {
    list
      .u8(entry.opcode)
      .u8(0)
      .u16(entry.serviceAction ?? 0)
      .u8(0)
      .u8((timeouts ? 0x02 : 0) | (entry.serviceAction === undefined ? 0 : 0x01))
      .u16(usageOctets(entry).length);
    if (timeouts) list.bytes(timeoutsDescriptor(entry));
  }
  return new ByteWriter(4 + list.length).u32(list.length).bytes(list.finish()).finish();
}

/** SPC-4, table 268: SUPPORT 001b not supported, 011b supported as a standard says. */
const SUPPORT = { no: 1, standard: 3 } as const;

/*
 * SPC-4, 6.35.3
 *
 *     0  reserved     1  CTDP (bit 7), SUPPORT (bits 2 to 0)     2  CDB length (2)     4  CDB usage data, timeouts descriptor
 */
function oneCommand(entry: Opcode | undefined, timeouts: boolean): Uint8Array {
  if (entry === undefined) return new ByteWriter(4).u8(0).u8(SUPPORT.no).u16(0).finish();
  const usage = usageOctets(entry);
  const writer = new ByteWriter(4 + usage.length + 12)
    .u8(0)
    .u8((timeouts ? 0x80 : 0) | SUPPORT.standard)
    .u16(usage.length)
    .bytes(usage);
  return timeouts ? writer.bytes(timeoutsDescriptor(entry)).finish() : writer.finish();
}

/** SPC-4, 6.35.4: length (2), reserved, command specific, nominal time (4) and recommended time-out (4) in seconds. */
function timeoutsDescriptor(entry: Opcode): Uint8Array {
  return new ByteWriter(12).u16(10).zeros(2).u32(entry.nominalS).u32(RECOMMENDED_TIMEOUT_S).finish();
}

/*
 * SPC-4, 6.36 REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS
 *
 *  0  0xa3     1  service action 0Dh     2  REPD (bit 7)     6  allocation length (4), at least 4
 *
 * Answer: ATS, ATSS, CACAS, CTSS, LURS, QTS, TRS, WAKES (bits 7 to 0); QAES, QTSS, ITNRS (bits 2 to 0); reserved;
 * additional length; with REPD four octets and the long and the short time-out in units of 100 ms (4 each)
 */
export function reportTaskManagement({ cdb }: Command): Answer {
  const reader = new ByteReader(cdb);
  reader.skip(2);
  const extended = (reader.u8() & 0x80) !== 0;
  reader.skip(3);
  const allocationLength = reader.u32();
  if (allocationLength < 4) return checkCondition(invalidField(6));
  // ABORT TASK, ABORT TASK SET, CLEAR TASK SET, LOGICAL UNIT RESET, TARGET RESET: those of RFC 7143, 11.5.1 that the data plane does.
  const functions = 0x80 | 0x40 | 0x10 | 0x08 | 0x02;
  const writer = new ByteWriter(16).u8(functions).zeros(2);
  if (!extended) return good(writer.u8(0).finish().subarray(0, allocationLength));
  const timeout = RECOMMENDED_TIMEOUT_S * 10;
  return good(writer.u8(12).zeros(4).u32(timeout).u32(timeout).finish().subarray(0, allocationLength));
}

/*
 * SPC-4, 6.37 REPORT TARGET PORT GROUPS
 *
 *  0  0xa3     1  parameter data format (bits 7 to 5), service action 0Ah     6  allocation length (4)
 *
 * Answer: length (4); with format 001b: 0x10, implicit transition time, reserved (2); then for each group
 *     0  PREF (bit 7), state (0: active/optimized)     1  what is supported: AO_SUP (bit 0)     2  group (2)
 *     4  reserved     5  status code     6  vendor specific     7  ports, then relative target port identifiers (4 each)
 */
export function reportTargetPortGroups({ cdb }: Command, { portalTags }: CommandContext): Answer {
  const reader = new ByteReader(cdb);
  reader.skip(1);
  const format = reader.u8() >> 5;
  reader.skip(4);
  const allocationLength = reader.u32();
  if (format > 1) return checkCondition(invalidField(1, 7));
  const body = new ByteWriter(64);
  if (format === 1) body.u8(0x10).zeros(3);
  // Each portal is a group of its own, as TargetPortalGroupTag says; each is as near to the disk as the other.
  for (const tag of portalTags) body.u8(0x00).u8(0x01).u16(tag).zeros(3).u8(1).u32(tag);
  const data = new ByteWriter(4 + body.length).u32(body.length).bytes(body.finish()).finish();
  return good(data.subarray(0, allocationLength));
}
