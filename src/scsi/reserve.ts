import { ByteReader } from "../wire/reader.ts";
import { ByteWriter } from "../wire/writer.ts";
import { type Answer, checkCondition, good, RESERVATION_CONFLICT } from "./answer.ts";
import type { Command, CommandContext, LogicalUnit } from "./logical-unit.ts";
import {
  clear,
  preempt,
  type Refusal,
  type Request,
  register,
  release,
  releaseUnit,
  reserve,
  reserveUnit,
  type Step,
} from "./reservation-steps.ts";
import { isHolder, type Nexus, nexusId, RESERVATION_TYPES, type Reservations } from "./reservations.ts";
import { invalidField, invalidParameter, PARAMETER_LIST_LENGTH_ERROR, SENSE_KEY, type Sense } from "./sense.ts";

/** SPC-4, annex F.2. */
const INVALID_RELEASE: Sense = { key: SENSE_KEY.illegalRequest, asc: 0x26, ascq: 0x04 };
const INSUFFICIENT_REGISTRATION_RESOURCES: Sense = { key: SENSE_KEY.illegalRequest, asc: 0x55, ascq: 0x04 };

const REFUSALS: Readonly<Record<Refusal, Answer>> = {
  conflict: RESERVATION_CONFLICT,
  type: checkCondition(invalidField(2, 3)),
  release: checkCondition(INVALID_RELEASE),
  key: checkCondition(invalidParameter(8)),
  full: checkCondition(INSUFFICIENT_REGISTRATION_RESOURCES),
};

function answerTo(step: Step): Answer {
  if ("refused" in step) return REFUSALS[step.refused];
  return { ...good(), change: step.change };
}

/** SPC-2, 7.21 RESERVE(6): octet 1 asks for a third party (bit 4) or an extent (bit 0), which are obsolete. */
export function reserve6({ cdb }: Command, _unit: LogicalUnit, { nexus, state }: CommandContext): Answer {
  if (((cdb[1] ?? 0) & 0x11) !== 0) return checkCondition(invalidField(1));
  return answerTo(reserveUnit(state.reservations, nexus));
}

/** SPC-2, 7.17 RELEASE(6). */
export function release6({ cdb }: Command, _unit: LogicalUnit, { nexus, state }: CommandContext): Answer {
  if (((cdb[1] ?? 0) & 0x11) !== 0) return checkCondition(invalidField(1));
  return answerTo(releaseUnit(state.reservations, nexus));
}

/** SPC-4, table 234. */
const OUT = { register: 0, reserve: 1, release: 2, clear: 3, preempt: 4, preemptAndAbort: 5, registerAndIgnore: 6 } as const;
const LIST_OCTETS = 24;

/*
 * SPC-4, 6.14 PERSISTENT RESERVE OUT
 *
 *  0  0x5f     1  service action     2  scope (bits 7 to 4), type (bits 3 to 0)     5  parameter list length (4)
 *
 * Parameter list: reservation key (8), service action reservation key (8), obsolete (4), then octet 20:
 * SPEC_I_PT (bit 3), ALL_TG_PT (bit 2), APTPL (bit 0)
 */
export function persistentReserveOut({ cdb, dataOut }: Command, _unit: LogicalUnit, context: CommandContext): Answer {
  const reader = new ByteReader(cdb);
  reader.skip(1);
  const action = reader.u8() & 0x1f;
  const scope = reader.u8();
  reader.skip(2);
  const length = reader.u32();
  if (length !== LIST_OCTETS || dataOut.length < LIST_OCTETS) return checkCondition(PARAMETER_LIST_LENGTH_ERROR);
  const list = new ByteReader(dataOut);
  const key = list.u64();
  const serviceKey = list.u64();
  list.skip(4);
  const flags = list.u8();
  // Registering others (SPEC_I_PT) is not offered, as REPORT CAPABILITIES says (SIP_C).
  if ((flags & 0x08) !== 0) return checkCondition(invalidParameter(20));
  const usesScope = action === OUT.reserve || action === OUT.release || action === OUT.preempt || action === OUT.preemptAndAbort;
  if (usesScope && scope >> 4 !== 0) return checkCondition(invalidField(2, 7));
  const { nexus } = context;
  const nexuses = (flags & 0x04) === 0 ? [nexus] : nexusesOfAllPorts(nexus, context.portalTags);
  const request: Request = { nexus, type: scope & 0x0f, key, serviceKey, aptpl: (flags & 0x01) !== 0, nexuses };
  const step = OUT_STEPS[action];
  return step === undefined ? checkCondition(invalidField(1, 4)) : answerTo(step(context.state.reservations, request));
}

const OUT_STEPS: Readonly<Record<number, (before: Reservations, request: Request) => Step>> = {
  [OUT.register]: (before, request) => register(before, request, false),
  [OUT.registerAndIgnore]: (before, request) => register(before, request, true),
  [OUT.reserve]: reserve,
  [OUT.release]: release,
  [OUT.clear]: clear,
  [OUT.preempt]: (before, request) => preempt(before, request, false),
  [OUT.preemptAndAbort]: (before, request) => preempt(before, request, true),
};

function nexusesOfAllPorts(nexus: Nexus, portalTags: readonly number[]): readonly Nexus[] {
  const target = nexus.targetPort.slice(0, nexus.targetPort.lastIndexOf(",t,"));
  return portalTags.map((portalTag) => ({ ...nexus, portalTag, targetPort: targetPortName(target, portalTag) }));
}

/** RFC 7143, 4.4.1.2. */
export function targetPortName(target: string, portalTag: number): string {
  return `${target},t,0x${portalTag.toString(16).padStart(4, "0")}`;
}

/** SPC-4, table 220. */
const IN_ANSWERS: Readonly<Record<number, (reservations: Reservations) => Uint8Array>> = {
  0: readKeys,
  1: readReservation,
  2: reportCapabilities,
  3: readFullStatus,
};

/*
 * SPC-4, 6.13 PERSISTENT RESERVE IN
 *
 *  0  0x5e     1  service action     7  allocation length (2)
 */
export function persistentReserveIn({ cdb }: Command, _unit: LogicalUnit, { state }: CommandContext): Answer {
  const reader = new ByteReader(cdb);
  reader.skip(1);
  const encode = IN_ANSWERS[reader.u8() & 0x1f];
  reader.skip(5);
  const allocationLength = reader.u16();
  if (encode === undefined) return checkCondition(invalidField(1, 4));
  return good(encode(state.reservations).subarray(0, allocationLength));
}

/** SPC-4, 6.13.2: PRGENERATION (4), additional length (4), keys (8 each). */
function readKeys({ generation, registrations }: Reservations): Uint8Array {
  const writer = new ByteWriter(8 + 8 * registrations.length).u32(generation).u32(8 * registrations.length);
  for (const { key } of registrations) writer.u64(key);
  return writer.finish();
}

/** SPC-4, 6.13.3: PRGENERATION (4), additional length (4); where there is one: key (8), obsolete (4), reserved, scope and type, obsolete (2). */
function readReservation(reservations: Reservations): Uint8Array {
  const { generation, held } = reservations;
  const writer = new ByteWriter(24).u32(generation);
  if (held === undefined) return writer.u32(0).finish();
  const all = RESERVATION_TYPES.get(held.type)?.allHold === true;
  const key = reservations.registrations.find(({ nexus }) => nexusId(nexus) === held.holder)?.key ?? 0n;
  return writer
    .u32(16)
    .u64(all ? 0n : key)
    .zeros(5)
    .u8(held.type)
    .zeros(2)
    .finish();
}

/**
 * SPC-4, 6.13.4: length (2); CRH (bit 4), SIP_C (3), ATP_C (2), PTPL_C (0); TMV (7), ALLOW COMMANDS (6 to 4), PTPL_A (0);
 * the types as a mask (2); reserved (2).
 */
function reportCapabilities({ aptpl }: Reservations): Uint8Array {
  // ALLOW COMMANDS 001b: TEST UNIT READY, and nothing of MODE SENSE and the like, passes Exclusive Access (SPC-4, table 229).
  return new ByteWriter(8)
    .u16(8)
    .u8(0x15)
    .u8(0x90 | (aptpl ? 1 : 0))
    .u8(0xea)
    .u8(0x01)
    .zeros(2)
    .finish();
}

/*
 * SPC-4, 6.13.5: PRGENERATION (4), additional length (4), then for each registration
 *
 *     0  key (8)     8  reserved (4)     12  ALL_TG_PT (bit 1), R_HOLDER (bit 0)     13  scope and type     14  reserved (4)
 *    18  relative target port identifier (2)     20  length of the TransportID (4)     24  TransportID
 */
function readFullStatus(reservations: Reservations): Uint8Array {
  const list = new ByteWriter(256);
  for (const { nexus, key } of reservations.registrations) {
    const holds = isHolder(reservations, nexusId(nexus));
    const transport = transportId(nexus.initiatorPort);
    list
      .u64(key)
      .zeros(4)
      .u8(holds ? 1 : 0)
      .u8(holds ? (reservations.held?.type ?? 0) : 0)
      .zeros(4)
      .u16(nexus.portalTag)
      .u32(transport.length)
      .bytes(transport);
  }
  const body = list.finish();
  return new ByteWriter(8 + body.length).u32(reservations.generation).u32(body.length).bytes(body).finish();
}

/** SPC-4, 7.6.4.6: format 01b and protocol 5h, reserved, length (2), the initiator port's name, padded with at least one zero. */
function transportId(initiatorPort: string): Uint8Array {
  const length = Math.ceil((initiatorPort.length + 1) / 4) * 4;
  return new ByteWriter(4 + length).u8(0x45).u8(0).u16(length).ascii(initiatorPort, length).finish();
}
