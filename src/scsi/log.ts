import { ByteReader } from "../wire/reader.ts";
import { ByteWriter } from "../wire/writer.ts";
import { type Answer, checkCondition, good } from "./answer.ts";
import type { Command, CommandContext, LogicalUnit } from "./logical-unit.ts";
import { invalidField } from "./sense.ts";

/** What a unit has done since it was opened, for all its initiators. */
export interface UnitCounters {
  readonly readBytes: number;
  readonly writeBytes: number;
  /** Commands that the storage failed. */
  readonly readErrors: number;
  readonly writeErrors: number;
}

export const NOTHING_COUNTED: UnitCounters = { readBytes: 0, writeBytes: 0, readErrors: 0, writeErrors: 0 };

interface LogPage {
  readonly page: number;
  /** Counters of eight octets by parameter code, in order; absent: the page is a list of pages. */
  readonly parameters?: (counters: UnitCounters) => readonly (readonly [code: number, value: number])[];
}

/** SPC-4, 7.3.7 and 7.3.17: octets processed, and errors that could not be corrected. What a disk below corrects is its own to count. */
const PROCESSED = 0x0005;
const UNCORRECTED = 0x0006;
const PAGES: readonly LogPage[] = [
  { page: 0x00 },
  {
    page: 0x02,
    parameters: ({ writeBytes, writeErrors }) => [
      [PROCESSED, writeBytes],
      [UNCORRECTED, writeErrors],
    ],
  },
  {
    page: 0x03,
    parameters: ({ readBytes, readErrors }) => [
      [PROCESSED, readBytes],
      [UNCORRECTED, readErrors],
    ],
  },
];
const EVERY_SUBPAGE = 0xff;
/** SPC-4, table 152: what PC asks for. Nothing is compared with a threshold: they are as high as they can be. */
const CUMULATIVE = 1;
const DEFAULT_CUMULATIVE = 3;

/*
 * SPC-4, 6.8 LOG SENSE
 *
 *  0  0x4d     1  SP (bit 0)     2  PC (bits 7 and 6), page code     3  subpage code     5  parameter pointer (2)     7  allocation length (2)
 *
 * Answer: DS (bit 7, never), SPF (bit 6) and page code; subpage code; length (2); parameters
 */
export function logSense({ cdb }: Command, _unit: LogicalUnit, { counters }: CommandContext): Answer {
  const reader = new ByteReader(cdb);
  reader.skip(1);
  if ((reader.u8() & 1) !== 0) return checkCondition(invalidField(1, 0));
  const control = reader.u8();
  const subpage = reader.u8();
  reader.skip(1);
  const pointer = reader.u16();
  const allocationLength = reader.u16();
  const found = PAGES.find(({ page }) => page === (control & 0x3f));
  if (found === undefined) return checkCondition(invalidField(2, 5));
  if (subpage !== 0 && (subpage !== EVERY_SUBPAGE || found.parameters !== undefined)) return checkCondition(invalidField(3));
  const parameters = found.parameters?.(counters()).filter(([code]) => code >= pointer) ?? [];
  if (pointer !== 0 && parameters.length === 0) return checkCondition(invalidField(5));
  const body = found.parameters === undefined ? listOfPages(subpage) : encodeParameters(parameters, control >> 6);
  const data = new ByteWriter(4 + body.length)
    .u8((subpage === 0 ? 0x00 : 0x40) | found.page)
    .u8(subpage)
    .u16(body.length)
    .bytes(body)
    .finish();
  return good(data.subarray(0, allocationLength));
}

function listOfPages(subpage: number): Uint8Array {
  const pages = PAGES.map(({ page }) => page);
  return Uint8Array.from(subpage === 0 ? pages : [0x00, 0x00, 0x00, EVERY_SUBPAGE, ...pages.slice(1).flatMap((page) => [page, 0x00])]);
}

/** SPC-4, 7.3.2: parameter code (2); control, of a counter that nobody can set; length, then the value. */
function encodeParameters(parameters: readonly (readonly [code: number, value: number])[], control: number): Uint8Array {
  const writer = new ByteWriter(12 * parameters.length);
  for (const [code, value] of parameters) {
    const told = control === CUMULATIVE ? BigInt(value) : control === DEFAULT_CUMULATIVE ? 0n : 0xffff_ffff_ffff_ffffn;
    writer.u16(code).u8(0).u8(8).u64(told);
  }
  return writer.finish();
}
