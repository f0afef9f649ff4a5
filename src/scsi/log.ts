import { ByteReader } from "../wire/reader.ts";
import { ByteWriter } from "../wire/writer.ts";
import { type Answer, checkCondition, good } from "./answer.ts";
import type { Command, CommandContext, LogicalUnit } from "./logical-unit.ts";
import { invalidField } from "./sense.ts";
import { isThin } from "./vpd.ts";

/** What a unit has done since it was opened, for all its initiators. */
export interface UnitCounters {
  readonly readBytes: number;
  readonly writeBytes: number;
  /** Commands that the storage failed. */
  readonly readErrors: number;
  readonly writeErrors: number;
  /** What its file takes of the file system, and what that has left; absent for what is no file. */
  readonly room?: { readonly usedBytes: number; readonly freeBytes: number };
}

export const NOTHING_COUNTED: UnitCounters = { readBytes: 0, writeBytes: 0, readErrors: 0, writeErrors: 0 };

interface LogParameter {
  readonly code: number;
  /** FORMAT AND LINKING: what kind of value it is (SPC-4, table 317). */
  readonly format: 0 | 3;
  readonly value: Uint8Array;
}

interface LogPage {
  readonly page: number;
  /** Absent: every unit has it. */
  readonly only?: (unit: LogicalUnit) => boolean;
  /** In the order of their codes; absent: the page is a list of pages. `control` is PC. */
  readonly parameters?: (counters: UnitCounters, unit: LogicalUnit, control: number) => readonly LogParameter[];
}

/** SPC-4, 7.3.7 and 7.3.17: octets processed, and errors that could not be corrected. What a disk below corrects is its own to count. */
const PROCESSED = 0x0005;
const UNCORRECTED = 0x0006;
const FORMAT = { counter: 0, list: 3 } as const;

/** SPC-4, table 152: what PC asks for. Nothing is compared with a threshold: they are as high as they can be. */
const CUMULATIVE = 1;
const DEFAULT_CUMULATIVE = 3;

function errorCounters(bytes: number, errors: number, control: number): readonly LogParameter[] {
  return [[PROCESSED, bytes] as const, [UNCORRECTED, errors] as const].map(([code, counted]) => {
    const told = control === CUMULATIVE ? BigInt(counted) : control === DEFAULT_CUMULATIVE ? 0n : 0xffff_ffff_ffff_ffffn;
    return { code, format: FORMAT.counter, value: new ByteWriter(8).u64(told).finish() };
  });
}

/** SBC-3, table 160: what the pool can still give to all its disks, and what this one has. */
const AVAILABLE = { code: 0x0001, scope: 2 } as const;
const USED = { code: 0x0002, scope: 1 } as const;

/**
 * SBC-3, 6.4.5: a count of threshold sets, which are single blocks where there are no thresholds (4); scope in bits 1 and 0; reserved (3).
 * Nothing is told of what is no file.
 */
function provisionedBlocks({ room }: UnitCounters, { config }: LogicalUnit): readonly LogParameter[] {
  if (room === undefined) return [];
  const blocks = (bytes: number): number => Math.min(Math.floor(bytes / config.blockSize), 0xffffffff);
  const parameter = ({ code, scope }: typeof AVAILABLE | typeof USED, bytes: number): LogParameter => {
    return { code, format: FORMAT.list, value: new ByteWriter(8).u32(blocks(bytes)).u8(scope).zeros(3).finish() };
  };
  return [parameter(AVAILABLE, room.freeBytes), parameter(USED, room.usedBytes)];
}

const PAGES: readonly LogPage[] = [
  { page: 0x00 },
  { page: 0x02, parameters: ({ writeBytes, writeErrors }, _unit, control) => errorCounters(writeBytes, writeErrors, control) },
  { page: 0x03, parameters: ({ readBytes, readErrors }, _unit, control) => errorCounters(readBytes, readErrors, control) },
  { page: 0x0c, only: isThin, parameters: provisionedBlocks },
];
const EVERY_SUBPAGE = 0xff;

/*
 * SPC-4, 6.8 LOG SENSE
 *
 *  0  0x4d     1  SP (bit 0)     2  PC (bits 7 and 6), page code     3  subpage code     5  parameter pointer (2)     7  allocation length (2)
 *
 * Answer: DS (bit 7, never), SPF (bit 6) and page code; subpage code; length (2); parameters
 */
export function logSense({ cdb }: Command, unit: LogicalUnit, { counters }: CommandContext): Answer {
  const reader = new ByteReader(cdb);
  reader.skip(1);
  if ((reader.u8() & 1) !== 0) return checkCondition(invalidField(1, 0));
  const control = reader.u8();
  const subpage = reader.u8();
  reader.skip(1);
  const pointer = reader.u16();
  const allocationLength = reader.u16();
  const pages = PAGES.filter(({ only }) => only === undefined || only(unit));
  const found = pages.find(({ page }) => page === (control & 0x3f));
  if (found === undefined) return checkCondition(invalidField(2, 5));
  if (subpage !== 0 && (subpage !== EVERY_SUBPAGE || found.parameters !== undefined)) return checkCondition(invalidField(3));
  const parameters = found.parameters?.(counters(), unit, control >> 6).filter(({ code }) => code >= pointer) ?? [];
  if (pointer !== 0 && parameters.length === 0) return checkCondition(invalidField(5));
  const body = found.parameters === undefined ? listOfPages(pages, subpage) : encodeParameters(parameters);
  const data = new ByteWriter(4 + body.length)
    .u8((subpage === 0 ? 0x00 : 0x40) | found.page)
    .u8(subpage)
    .u16(body.length)
    .bytes(body)
    .finish();
  return good(data.subarray(0, allocationLength));
}

function listOfPages(known: readonly LogPage[], subpage: number): Uint8Array {
  const pages = known.map(({ page }) => page);
  return Uint8Array.from(subpage === 0 ? pages : [0x00, 0x00, 0x00, EVERY_SUBPAGE, ...pages.slice(1).flatMap((page) => [page, 0x00])]);
}

/** SPC-4, 7.3.2: parameter code (2); control, of a parameter that nobody can set; length, then the value. */
function encodeParameters(parameters: readonly LogParameter[]): Uint8Array {
  const writer = new ByteWriter(12 * parameters.length);
  for (const { code, format, value } of parameters) writer.u16(code).u8(format).u8(value.length).bytes(value);
  return writer.finish();
}
