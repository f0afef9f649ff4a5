import { ByteReader } from "../wire/reader.ts";
import { ByteWriter } from "../wire/writer.ts";
import { type Answer, checkCondition, good } from "./answer.ts";
import { blocksOf, type Command, type CommandContext, type LogicalUnit, VENDOR } from "./logical-unit.ts";
import { nexusId } from "./reservations.ts";
import { COPY_ABORTED, invalidField, invalidParameter, PARAMETER_LIST_LENGTH_ERROR, SENSE_KEY, type Sense } from "./sense.ts";
import type { CopySegment } from "./unit-job.ts";

/** Told by RECEIVE COPY RESULTS and the Third-party Copy page, and kept. Lengths are octets. */
export const COPY_LIMITS = {
  targets: 16,
  segments: 64,
  listBytes: 8192,
  segmentBytes: 0x200_0000,
  concurrent: 32,
} as const;

/** Identification descriptor target descriptor (SPC-4, 6.3.6.2); block to block segment descriptors (6.3.7), by blocks and by octets. */
export const DESCRIPTOR = { target: 0xe4, blockToBlock: 0x02, blockToBlockWithOffsets: 0x0a } as const;
/** In the order of their codes, as they are told. */
const DESCRIPTORS: readonly number[] = [DESCRIPTOR.blockToBlock, DESCRIPTOR.blockToBlockWithOffsets, DESCRIPTOR.target];
const HEADER_OCTETS = 16;
const TARGET_OCTETS = 32;
/** With the four octets that every segment descriptor begins with. */
const SEGMENT_OCTETS: ReadonlyMap<number, number> = new Map([
  [DESCRIPTOR.blockToBlock, 28],
  [DESCRIPTOR.blockToBlockWithOffsets, 32],
]);

/** SPC-4, annex F.2. */
const illegal = (asc: number, ascq: number): Sense => ({ key: SENSE_KEY.illegalRequest, asc, ascq });
const TOO_MANY_TARGETS = illegal(0x26, 0x06);
const UNSUPPORTED_TARGET = illegal(0x26, 0x07);
const TOO_MANY_SEGMENTS = illegal(0x26, 0x08);
const UNSUPPORTED_SEGMENT = illegal(0x26, 0x09);
/** INVALID FIELD IN PARAMETER LIST, without saying in which octet. */
const SEGMENT_TOO_LONG = illegal(0x26, 0x00);
const UNREACHABLE: Sense = { ...COPY_ABORTED, asc: 0x08, ascq: 0x04 };

/** SPC-4, table 105: LIST ID USAGE 11b, nobody will ask for the results. */
const DISCARD = 3;

/*
 * SPC-4, 6.3 EXTENDED COPY (LID1)
 *
 *  0  0x83     1  service action 00h     10  parameter list length (4)
 *
 * Parameter list: list identifier; LIST ID USAGE (bits 4, 3); target descriptors' length (2); reserved (4); segment
 * descriptors' length (4); inline data's length (4); then the descriptors
 */
export function extendedCopy({ cdb, dataOut }: Command, unit: LogicalUnit, context: CommandContext): Answer {
  const reader = new ByteReader(cdb);
  reader.skip(10);
  const length = reader.u32();
  if (length === 0) return good();
  if (length < HEADER_OCTETS || dataOut.length < length) return checkCondition(PARAMETER_LIST_LENGTH_ERROR);
  const list = new ByteReader(dataOut.subarray(0, length));
  const listId = list.u8();
  const usage = (list.u8() >> 3) & 3;
  const targetOctets = list.u16();
  list.skip(4);
  const segmentOctets = list.u32();
  const inlineOctets = list.u32();
  const total = targetOctets + segmentOctets;
  if (total > COPY_LIMITS.listBytes || total > list.remaining) return checkCondition(PARAMETER_LIST_LENGTH_ERROR);
  if (inlineOctets !== 0) return checkCondition(invalidParameter(12));
  const targets = readTargets(list.bytes(targetOctets), [unit, ...context.units]);
  if ("status" in targets) return targets;
  const segments = readSegments(list.bytes(segmentOctets), targets.units);
  if ("status" in segments) return segments;
  return { ...good(), job: { kind: "copy", segments: segments.list, ...(usage !== DISCARD && { listId }) } };
}

/*
 * SPC-4, 6.3.6.2
 *
 *     0  0xe4     1  LU ID TYPE (ignored), device type (bits 4 to 0)     4  code set     5  association, type (bits 3 to 0)
 *     7  designator length     8  designator (20)     28  PAD (bit 2), block length (3)
 */
function readTargets(list: Uint8Array, units: readonly LogicalUnit[]): Answer | { readonly units: readonly (LogicalUnit | undefined)[] } {
  const found: (LogicalUnit | undefined)[] = [];
  const reader = new ByteReader(list);
  while (reader.remaining > 0) {
    if (list[reader.offset] !== DESCRIPTOR.target) return checkCondition(UNSUPPORTED_TARGET);
    if (reader.remaining < TARGET_OCTETS) return checkCondition(PARAMETER_LIST_LENGTH_ERROR);
    if (found.length === COPY_LIMITS.targets) return checkCondition(TOO_MANY_TARGETS);
    const descriptor = reader.bytes(TARGET_OCTETS);
    const type = (descriptor[5] ?? 0) & 0x0f;
    const designator = Buffer.from(descriptor.subarray(8, 8 + Math.min(descriptor[7] ?? 0, 20)));
    found.push(units.find((unit) => designatorsOf(unit).some((own) => own.type === type && own.octets.equals(designator))));
  }
  return { units: found };
}

/** Those of the Device Identification page that name a unit; a descriptor has room for 20 octets of them. */
function designatorsOf({ naa, serial }: LogicalUnit): readonly { readonly type: number; readonly octets: Buffer }[] {
  return [
    { type: 3, octets: Buffer.from(naa) },
    { type: 1, octets: Buffer.from(VENDOR + serial, "latin1").subarray(0, 20) },
  ];
}

/*
 * SPC-4, 6.3.7, block device to block device, 02h, and the same with offsets, 0Ah
 *
 *     0  type     1  DC (bit 1, only 02h), CAT (bit 0)     2  length of what follows (2)     4  source (2)     6  destination (2)
 *     8  02h: reserved (2), blocks (2); 0Ah: octets (4)    12  source LBA (8)     20  destination LBA (8)
 *    28  0Ah: offsets in these blocks, of the source (2) and of the destination (2)
 */
function readSegments(list: Uint8Array, units: readonly (LogicalUnit | undefined)[]): Answer | { readonly list: readonly CopySegment[] } {
  const found: CopySegment[] = [];
  const reader = new ByteReader(list);
  while (reader.remaining > 0) {
    const octets = SEGMENT_OCTETS.get(list[reader.offset] ?? 0);
    if (octets === undefined) return checkCondition(UNSUPPORTED_SEGMENT);
    if (reader.remaining < octets) return checkCondition(PARAMETER_LIST_LENGTH_ERROR);
    if (found.length === COPY_LIMITS.segments) return checkCondition(TOO_MANY_SEGMENTS);
    const segment = readSegment(new ByteReader(reader.bytes(octets)), units);
    if ("status" in segment) return segment;
    found.push(segment);
  }
  return { list: found };
}

function readSegment(reader: ByteReader, units: readonly (LogicalUnit | undefined)[]): Answer | CopySegment {
  const type = reader.u8();
  const countsDestination = (reader.u8() & 0x02) !== 0;
  reader.skip(2);
  const source = units[reader.u16()];
  const destination = units[reader.u16()];
  const count = reader.u32();
  const sourceLba = reader.u64();
  const lba = reader.u64();
  if (source === undefined || destination === undefined) return checkCondition(UNREACHABLE);
  const offsets = type === DESCRIPTOR.blockToBlockWithOffsets;
  const length = offsets ? count : (count & 0xffff) * (countsDestination ? destination : source).config.blockSize;
  const from = placeOf(source, sourceLba, offsets ? reader.u16() : 0, length);
  const to = placeOf(destination, lba, offsets ? reader.u16() : 0, length);
  // What is counted in blocks is whole blocks of both.
  const whole = offsets || [source, destination].every(({ config }) => length % config.blockSize === 0);
  if (from === undefined || to === undefined || !whole) return checkCondition(COPY_ABORTED);
  if (length > COPY_LIMITS.segmentBytes) return checkCondition(SEGMENT_TOO_LONG);
  return { source: nameOf(source), destination: nameOf(destination), sourceOffset: from, offset: to, length };
}

const nameOf = ({ naa }: LogicalUnit): string => Buffer.from(naa).toString("hex");

/** Where that is, in octets; undefined unless it is within the medium. */
function placeOf(unit: LogicalUnit, lba: bigint, offset: number, length: number): number | undefined {
  const blockSize = BigInt(unit.config.blockSize);
  const at = lba * blockSize + BigInt(offset);
  return at + BigInt(length) <= BigInt(blocksOf(unit)) * blockSize ? Number(at) : undefined;
}

/*
 * SPC-4, 6.18 RECEIVE COPY STATUS and 6.20 RECEIVE COPY OPERATING PARAMETERS, by their older name RECEIVE COPY RESULTS
 *
 *  0  0x84     1  service action     2  list identifier     10  allocation length (4)
 */
export function receiveCopyResults({ cdb }: Command, _unit: LogicalUnit, { state, nexus }: CommandContext): Answer {
  const reader = new ByteReader(cdb);
  reader.skip(1);
  const action = reader.u8() & 0x1f;
  const listId = reader.u8();
  reader.skip(7);
  const allocationLength = reader.u32();
  if (action === 3) return good(operatingParameters().subarray(0, allocationLength));
  const copy = state.copies.find((known) => known.listId === listId && known.nexus === nexusId(nexus));
  if (copy === undefined) return checkCondition(invalidField(2));
  // COPY MANAGER STATUS: 01h without errors, 02h with errors; the count in octets, or in KiB where that is too large.
  const unit = copy.bytes > 0xffffffff ? 1 : 0;
  const data = new ByteWriter(12)
    .u32(8)
    .u8(copy.failed ? 2 : 1)
    .u16(copy.segments)
    .u8(unit)
    .u32(unit === 0 ? copy.bytes : Math.floor(copy.bytes / 1024))
    .finish();
  return good(data.subarray(0, allocationLength));
}

/*
 *     0  available data (4)     4  SNLID (bit 0)     8  targets (2)     10  segments (2)     12  descriptor list length (4)
 *    16  segment length (4)    20  inline data (4)  24  held data (4)   28  stream transfer (4)     34  copies in all (2)
 *    36  copies at once        37  granularities, as powers of two (3)  43  descriptor types, and how many
 */
function operatingParameters(): Uint8Array {
  return new ByteWriter(47)
    .u32(40 + DESCRIPTORS.length)
    .u8(0)
    .zeros(3)
    .u16(COPY_LIMITS.targets)
    .u16(COPY_LIMITS.segments)
    .u32(COPY_LIMITS.listBytes)
    .u32(COPY_LIMITS.segmentBytes)
    .zeros(12)
    .zeros(2)
    .u16(COPY_LIMITS.concurrent)
    .u8(COPY_LIMITS.concurrent)
    .u8(9)
    .zeros(5)
    .u8(DESCRIPTORS.length)
    .bytes(Uint8Array.from(DESCRIPTORS))
    .finish();
}

/*
 * SPC-4, 7.8.17 Third-party Copy: descriptors of type (2) and length (2), padded to whole words
 */
export function thirdPartyCopyPage(): Uint8Array {
  const writer = new ByteWriter(128);
  const add = (type: number, body: Uint8Array): void => {
    const padded = Math.ceil(body.length / 4) * 4;
    writer
      .u16(type)
      .u16(padded)
      .bytes(body)
      .zeros(padded - body.length);
  };
  const commands = Uint8Array.of(0x83, 1, 0x00, 0x84, 2, 0x00, 0x03);
  add(0x0001, Uint8Array.of(commands.length, ...commands));
  add(0x0004, new ByteWriter(28).zeros(4).u16(COPY_LIMITS.targets).u16(COPY_LIMITS.segments).u32(COPY_LIMITS.listBytes).zeros(16).finish());
  add(0x0008, Uint8Array.of(DESCRIPTORS.length, ...DESCRIPTORS));
  add(0x000c, Uint8Array.of(0, 0));
  const { concurrent, segmentBytes } = COPY_LIMITS;
  add(0x8001, new ByteWriter(32).u32(concurrent).u32(concurrent).u32(segmentBytes).u8(9).zeros(19).finish());
  add(0xc001, new ByteWriter(28).zeros(28).finish());
  return writer.finish();
}
