import { ByteWriter } from "../wire/writer.ts";
import { thirdPartyCopyPage } from "./copy.ts";
import { type CommandContext, type LogicalUnit, VENDOR } from "./logical-unit.ts";
import { carriesOut } from "./opcodes.ts";

/** Vital product data pages (SPC-4, 7.8; SBC-3, 6.6), in the order of their codes: the page 00h lists them from this table. */
const PAGES: readonly { readonly code: number; readonly body: (unit: LogicalUnit, context: CommandContext) => Uint8Array }[] = [
  { code: 0x00, body: () => Uint8Array.from(PAGES, ({ code }) => code) },
  { code: 0x80, body: (unit) => ascii(unit.serial) },
  { code: 0x83, body: deviceIdentification },
  { code: 0x86, body: extendedInquiry },
  { code: 0x8f, body: thirdPartyCopyPage },
  { code: 0xb0, body: blockLimits },
  { code: 0xb1, body: blockDeviceCharacteristics },
  { code: 0xb2, body: logicalBlockProvisioning },
];

const ascii = (text: string): Uint8Array => new ByteWriter().ascii(text).finish();

/**
 * The page with its header, or undefined where there is no such page:
 *
 *     0  peripheral qualifier and type     1  page code     2  page length (2)     4  body
 */
export function vpdPage(code: number, context: CommandContext): Uint8Array | undefined {
  const page = PAGES.find((candidate) => candidate.code === code);
  if (page === undefined || context.unit === undefined) return undefined;
  const body = page.body(context.unit, context);
  return new ByteWriter(4 + body.length).u8(0x00).u8(code).u16(body.length).bytes(body).finish();
}

/** SPC-4, table 478 (code set) and 480 (designator type). */
const CODE_SET = { binary: 1, ascii: 2, utf8: 3 } as const;
const DESIGNATOR = { t10Vendor: 1, naa: 3, relativePort: 4, portGroup: 5, scsiName: 8 } as const;
/** SPC-4, table 479: what the designator names. */
const ASSOCIATION = { unit: 0, port: 1, device: 2 } as const;
/** SPC-4, 7.6.1: valid only with the PIV bit. */
const PROTOCOL_ISCSI = 5;

/*
 * SPC-4, 7.8.5 Device Identification. Each designator:
 *
 *     0  protocol identifier, code set     1  PIV (bit 7), association (5, 4), type     2  reserved     3  length     4  designator
 */
function deviceIdentification(unit: LogicalUnit, { target, portalTag }: CommandContext): Uint8Array {
  const writer = new ByteWriter();
  const add = (association: keyof typeof ASSOCIATION, type: number, codeSet: number, designator: Uint8Array): void => {
    const ofTransport = association !== "unit";
    writer
      .u8((ofTransport ? PROTOCOL_ISCSI << 4 : 0) | codeSet)
      .u8((ofTransport ? 0x80 : 0) | (ASSOCIATION[association] << 4) | type)
      .u8(0)
      .u8(designator.length)
      .bytes(designator);
  };
  // Locally assigned (SPC-4, 7.8.5.6.3): no registration authority has given this project a company identifier.
  add("unit", DESIGNATOR.naa, CODE_SET.binary, unit.naa);
  add("unit", DESIGNATOR.t10Vendor, CODE_SET.ascii, ascii(VENDOR + unit.serial));
  add("port", DESIGNATOR.relativePort, CODE_SET.binary, new ByteWriter(4).u32(portalTag).finish());
  add("port", DESIGNATOR.portGroup, CODE_SET.binary, new ByteWriter(4).u32(portalTag).finish());
  if (target !== undefined) {
    const tag = portalTag.toString(16).padStart(4, "0");
    add("port", DESIGNATOR.scsiName, CODE_SET.utf8, scsiName(`${target},t,0x${tag}`));
    add("device", DESIGNATOR.scsiName, CODE_SET.utf8, scsiName(target));
  }
  return writer.finish();
}

/** SPC-4, 7.8.5.11: ended by a NUL and padded with NULs to a multiple of four. */
function scsiName(name: string): Uint8Array {
  return ascii(name.padEnd((Math.floor(name.length / 4) + 1) * 4, "\0"));
}

/** SPC-4, 7.8.7: simple tasks only, and whether there is a volatile cache. */
function extendedInquiry(unit: LogicalUnit): Uint8Array {
  return new ByteWriter(60)
    .u8(0)
    .u8(0x01)
    .u8(unit.config.writeCache ? 0x01 : 0)
    .zeros(57)
    .finish();
}

/** Octets of one command's transfer that suit the network and the disk best; told in blocks. */
const OPTIMAL_TRANSFER_BYTES = 1048576;
/** A host's page, and what most file systems allocate by. */
const GRANULARITY_BYTES = 4096;

/** What one command may be about; src/native/scsi/commands.h keeps to them. */
export const LIMITS = {
  unmapBytes: 536_870_912,
  unmapDescriptors: 256,
  writeSameBytes: 1_073_741_824,
  /** What a disk keeps whole over a power cut as well: several could be torn, though no other initiator would see it. */
  compareAndWriteBlocks: 1,
} as const;
/** The unmap granularity alignment counts, and it is 0. */
const UGAVALID = 0x80000000;

/*
 * SBC-3, 6.6.4 Block Limits, after the header
 *
 *    4  WSNZ (bit 0)                              16  maximum prefetch length (4)
 *    5  maximum COMPARE AND WRITE length          20  maximum unmap LBA count (4)
 *    6  optimal transfer length granularity (2)   24  maximum unmap descriptor count (4)
 *    8  maximum transfer length (4), 0: no limit  28  optimal unmap granularity (4), alignment (4)
 *   12  optimal transfer length (4)               36  maximum WRITE SAME length (8), then reserved (20)
 */
function blockLimits(unit: LogicalUnit): Uint8Array {
  const { blockSize } = unit.config;
  const granularity = Math.max(1, GRANULARITY_BYTES / blockSize);
  const unmaps = carriesOut(unit, "UNMAP");
  // A granularity of one block says nothing, and QEMU's driver (7.2) runs into an assertion where it is 4096 octets: it asks its own
  // block status for a length that is a multiple of 512 only.
  const coarse = unmaps && granularity > 1;
  return new ByteWriter(60)
    .u8(0)
    .u8(LIMITS.compareAndWriteBlocks)
    .u16(granularity)
    .u32(0)
    .u32(OPTIMAL_TRANSFER_BYTES / blockSize)
    .u32(0)
    .u32(unmaps ? LIMITS.unmapBytes / blockSize : 0)
    .u32(unmaps ? LIMITS.unmapDescriptors : 0)
    .u32(coarse ? granularity : 0)
    .u32(coarse ? UGAVALID : 0)
    .u64(BigInt(LIMITS.writeSameBytes / blockSize))
    .zeros(20)
    .finish();
}

/** SBC-3, 6.6.3: rotation rate 0001h, a medium that does not rotate; WABEREQ 01b, after a block erase it reads as zeroes. */
function blockDeviceCharacteristics(unit: LogicalUnit): Uint8Array {
  const erased = carriesOut(unit, "SANITIZE BLOCK ERASE") ? 0x40 : 0x00;
  return new ByteWriter(60).u16(0x0001).u8(0).u8(erased).zeros(56).finish();
}

/*
 * SBC-3, 6.6.5 Logical Block Provisioning, after the header
 *
 *    4  threshold exponent       5  LBPU (7), LBPWS (6), LBPWS10 (5), LBPRZ (2), ANC_SUP (1), DP (0)
 *    6  provisioning type (2: thin)          7  reserved
 */
function logicalBlockProvisioning(unit: LogicalUnit): Uint8Array {
  if (!isThin(unit)) return new ByteWriter(4).zeros(4).finish();
  const flags =
    (carriesOut(unit, "UNMAP") ? 0x80 : 0) |
    (carriesOut(unit, "WRITE SAME(16)") ? 0x40 : 0) |
    (carriesOut(unit, "WRITE SAME(10)") ? 0x20 : 0);
  return new ByteWriter(4)
    .u8(0)
    .u8(flags | 0x04)
    .u8(0x02)
    .u8(0)
    .finish();
}

/** Whether the unit is provisioned thinly as far as an initiator can use it: it must be able to give blocks back. */
export function isThin(unit: LogicalUnit): boolean {
  return unit.config.thin && (carriesOut(unit, "UNMAP") || carriesOut(unit, "WRITE SAME(16)"));
}
