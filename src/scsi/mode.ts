import { ByteReader, ShortInputError } from "../wire/reader.ts";
import { ByteWriter } from "../wire/writer.ts";
import { type Answer, checkCondition, good } from "./answer.ts";
import { blocksOf, type Command, type CommandContext, type LogicalUnit } from "./logical-unit.ts";
import { invalidField, invalidParameter, PARAMETER_LIST_LENGTH_ERROR, SAVING_NOT_SUPPORTED } from "./sense.ts";
import { type Attention, defaultMode, type ModeParameters } from "./unit-state.ts";

/** A mode page without its two-octet header. */
interface ModePage {
  readonly code: number;
  readonly body: (mode: ModeParameters) => Uint8Array;
  /** The bits that an initiator may change, by octet of the body; absent: none. */
  readonly changeable?: Readonly<Record<number, number>>;
  /** The mode parameters that a body with such changes stands for. */
  readonly read?: (body: Uint8Array, mode: ModeParameters) => ModeParameters;
}

const ALL_PAGES = 0x3f;
const ALL_SUBPAGES = 0xff;

const WCE = 0x04;
const D_SENSE = 0x04;
const SWP = 0x08;
const has = (body: Uint8Array, octet: number, bit: number): boolean => ((body[octet] ?? 0) & bit) !== 0;

const PAGES: readonly ModePage[] = [
  // SBC-3, 6.5.8 Read-Write Error Recovery: nothing is reassigned or corrected behind the initiator's back.
  { code: 0x01, body: () => new Uint8Array(10) },
  // SBC-3, 6.5.5 Caching.
  {
    code: 0x08,
    body: ({ writeCache }) => Uint8Array.from({ length: 18 }, (_, at) => (at === 0 && writeCache ? WCE : 0)),
    changeable: { 0: WCE },
    read: (body, mode) => ({ ...mode, writeCache: has(body, 0, WCE) }),
  },
  // SPC-4, 7.5.8 Control: GLTSD (no log parameters are saved); unrestricted reordering; no limit on how long a task may be busy.
  {
    code: 0x0a,
    body: ({ descriptorSense, writeProtected }) =>
      Uint8Array.of(0x02 | (descriptorSense ? D_SENSE : 0), 0x10, writeProtected ? SWP : 0x00, 0, 0, 0, 0xff, 0xff, 0, 0),
    changeable: { 0: D_SENSE, 2: SWP },
    read: (body, mode) => ({ ...mode, descriptorSense: has(body, 0, D_SENSE), writeProtected: has(body, 2, SWP) }),
  },
  // SPC-4, 7.5.13 Informational Exceptions Control: DEXCPT, since failures are reported as they happen.
  { code: 0x1c, body: () => Uint8Array.of(0x08, 0, 0, 0, 0, 0, 0, 0, 0, 0) },
];

/** What an initiator may change of a unit: a disk that the configuration has read-only stays so. */
function changeableOf({ code, changeable = {} }: ModePage, unit: LogicalUnit): Readonly<Record<number, number>> {
  return code === 0x0a && unit.config.readOnly ? { ...changeable, 2: 0 } : changeable;
}

/** SPC-4, table 173. */
const PAGE_CONTROL = { current: 0, changeable: 1, defaults: 2, saved: 3 } as const;

function encodePage(page: ModePage, unit: LogicalUnit, mode: ModeParameters, pageControl: number): Uint8Array {
  const mask = changeableOf(page, unit);
  const body = page.body(pageControl === PAGE_CONTROL.defaults ? defaultMode(unit) : mode);
  const shown = pageControl === PAGE_CONTROL.changeable ? body.map((_, at) => mask[at] ?? 0) : body;
  return new ByteWriter(2 + body.length).u8(page.code).u8(body.length).bytes(shown).finish();
}

interface ModeFormat {
  /** Octets of the header. */
  readonly long: boolean;
  readonly blockDescriptor: "none" | "short" | "long";
}

/*
 * SPC-4, 7.5.5 and SBC-3, 6.5.2
 *
 * Header (6):  mode data length, medium type, WP (bit 7) and DPOFUA (bit 4), block descriptor length
 * Header (10): mode data length (2), medium type, WP and DPOFUA, LONGLBA (bit 0), reserved, block descriptor length (2)
 * Short block descriptor: blocks (4), reserved, block length (3). Long: blocks (8), reserved (4), block length (4)
 */
function encodeModeData(unit: LogicalUnit, writeProtected: boolean, pages: Uint8Array, { long, blockDescriptor }: ModeFormat): Uint8Array {
  const descriptor = encodeBlockDescriptor(unit, blockDescriptor);
  const device = (writeProtected ? 0x80 : 0) | 0x10;
  const length = (long ? 6 : 3) + descriptor.length + pages.length;
  const writer = new ByteWriter(length + 2);
  if (long)
    writer
      .u16(length)
      .u8(0)
      .u8(device)
      .u8(blockDescriptor === "long" ? 1 : 0)
      .u8(0)
      .u16(descriptor.length);
  else writer.u8(length).u8(0).u8(device).u8(descriptor.length);
  return writer.bytes(descriptor).bytes(pages).finish();
}

function encodeBlockDescriptor(unit: LogicalUnit, kind: ModeFormat["blockDescriptor"]): Uint8Array {
  const blocks = blocksOf(unit);
  switch (kind) {
    case "none":
      return new Uint8Array(0);
    case "short":
      return new ByteWriter(8).u32(Math.min(blocks, 0xffffffff)).u8(0).u24(unit.config.blockSize).finish();
    case "long":
      return new ByteWriter(16).u64(BigInt(blocks)).zeros(4).u32(unit.config.blockSize).finish();
  }
}

/*
 * SPC-4, 6.12 and 6.13 MODE SENSE(6) and (10)
 *
 *  0  0x1a or 0x5a     1  LLBAA (bit 4, only 10), DBD (bit 3)     2  PC (bits 7 and 6), page code     3  subpage code
 *  4  allocation length (1); or reserved (3), then allocation length (2)
 */
export function modeSense({ cdb }: Command, unit: LogicalUnit, { state }: CommandContext): Answer {
  const reader = new ByteReader(cdb);
  const long = reader.u8() === 0x5a;
  const flags = reader.u8();
  const selector = reader.u8();
  const subpage = reader.u8();
  if (long) reader.skip(3);
  const allocationLength = long ? reader.u16() : reader.u8();
  const pageControl = selector >> 6;
  const code = selector & 0x3f;
  if (pageControl === PAGE_CONTROL.saved) return checkCondition(SAVING_NOT_SUPPORTED);
  const pages = code === ALL_PAGES ? PAGES : PAGES.filter((page) => page.code === code);
  if (pages.length === 0) return checkCondition(invalidField(2, 5));
  // No page of ours has subpages, so "all subpages" is the page itself.
  if (subpage !== 0 && subpage !== ALL_SUBPAGES) return checkCondition(invalidField(3));
  const blockDescriptor = (flags & 0x08) !== 0 ? "none" : long && (flags & 0x10) !== 0 ? "long" : "short";
  const body = Buffer.concat(pages.map((page) => encodePage(page, unit, state.mode, pageControl)));
  return good(encodeModeData(unit, state.mode.writeProtected, body, { long, blockDescriptor }).subarray(0, allocationLength));
}

/*
 * SPC-4, 6.10 and 6.11 MODE SELECT(6) and (10)
 *
 *  0  0x15 or 0x55     1  PF (bit 4), SP (bit 0)     2  reserved (2 or 5), then parameter list length (1 or 2)
 *
 * The list may say again what already is; a change of what cannot be changed is INVALID FIELD IN PARAMETER LIST (SPC-4, 6.10).
 */
export function modeSelect({ cdb, dataOut }: Command, unit: LogicalUnit, { state }: CommandContext): Answer {
  const reader = new ByteReader(cdb);
  const long = reader.u8() === 0x55;
  const flags = reader.u8();
  reader.skip(long ? 5 : 2);
  const length = long ? reader.u16() : reader.u8();
  if ((flags & 0x10) === 0) return checkCondition(invalidField(1, 4));
  if ((flags & 0x01) !== 0) return checkCondition(invalidField(1, 0));
  if (length === 0) return good();
  if (dataOut.length < length) return checkCondition(PARAMETER_LIST_LENGTH_ERROR);
  try {
    const mode = readModeList(dataOut.subarray(0, length), long, unit, state.mode);
    if (typeof mode === "number") return checkCondition(invalidParameter(mode));
    return differs(mode, state.mode) ? { ...good(), change: { mode, attentions: [MODE_PARAMETERS_CHANGED] } } : good();
  } catch (error) {
    if (error instanceof ShortInputError) return checkCondition(PARAMETER_LIST_LENGTH_ERROR);
    throw error;
  }
}

/** SPC-4, annex F.2. */
const MODE_PARAMETERS_CHANGED: Attention = { asc: 0x2a, ascq: 0x01 };

function differs(after: ModeParameters, before: ModeParameters): boolean {
  return JSON.stringify(after) !== JSON.stringify(before);
}

/** The mode parameters after a list, or the offset of the first field that is wrong. Throws where the list ends early. */
function readModeList(list: Uint8Array, long: boolean, unit: LogicalUnit, before: ModeParameters): ModeParameters | number {
  const reader = new ByteReader(list);
  reader.skip(long ? 2 : 1);
  if (reader.u8() !== 0) return reader.offset - 1;
  // The device-specific parameter is reserved here: WP and DPOFUA are told, not set.
  reader.skip(1);
  const longLba = long && (reader.u8() & 1) !== 0;
  if (long) reader.skip(1);
  const descriptorLength = long ? reader.u16() : reader.u8();
  if (descriptorLength !== 0) {
    const at = reader.offset;
    const expected = encodeBlockDescriptor(unit, longLba ? "long" : "short");
    if (descriptorLength !== expected.length) return at - 1;
    const wrong = firstDifference(reader.bytes(descriptorLength), expected, {});
    if (wrong !== undefined) return at + wrong;
  }
  let mode = before;
  while (reader.remaining > 0) {
    const at = reader.offset;
    const code = reader.u8();
    const page = PAGES.find((candidate) => candidate.code === (code & 0x3f));
    // SPF (bit 6) announces a subpage, and there is none; PS (bit 7) is reserved here.
    if (page === undefined || (code & 0x40) !== 0) return at;
    const expected = page.body(mode);
    if (reader.u8() !== expected.length) return at + 1;
    const body = reader.bytes(expected.length);
    const wrong = firstDifference(body, expected, changeableOf(page, unit));
    if (wrong !== undefined) return at + 2 + wrong;
    mode = page.read?.(body, mode) ?? mode;
  }
  return mode;
}

/** The first octet that differs in a bit that `changeable` does not have. */
function firstDifference(found: Uint8Array, expected: Uint8Array, changeable: Readonly<Record<number, number>>): number | undefined {
  const at = expected.findIndex((octet, index) => (((found[index] ?? 0) ^ octet) & ~(changeable[index] ?? 0)) !== 0);
  return at < 0 ? undefined : at;
}
