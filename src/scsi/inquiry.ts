import { ByteReader } from "../wire/reader.ts";
import { ByteWriter } from "../wire/writer.ts";
import { type Answer, checkCondition, good } from "./answer.ts";
import { type Command, type CommandContext, type LogicalUnit, PRODUCT, REVISION, VENDOR } from "./logical-unit.ts";
import { invalidField } from "./sense.ts";
import { vpdPage } from "./vpd.ts";

/** SPC-4, 6.4.2: a LUN without a logical unit (peripheral qualifier 011b, type 1Fh). */
const NO_UNIT = 0x7f;
/** SPC-4, table 142; SAM-5, iSCSI, SPC-4, SBC-3, each without a version claimed. */
const VERSION_DESCRIPTORS = [0x00a0, 0x0960, 0x0460, 0x04c0];

/*
 * SPC-4, 6.4 INQUIRY
 *
 *  0  0x12       1  EVPD in bit 0       2  page code       3  allocation length (2)       5  control
 */
export function inquiry({ cdb }: Command, context: CommandContext): Answer {
  const reader = new ByteReader(cdb);
  reader.skip(1);
  const evpd = (reader.u8() & 1) !== 0;
  const page = reader.u8();
  const allocationLength = reader.u16();
  if (!evpd && page !== 0) return checkCondition(invalidField(2));
  const data = evpd ? vpdPage(page, context) : standardData(context.unit, context.portalTags.length);
  return data === undefined ? checkCondition(invalidField(2)) : good(data.subarray(0, allocationLength));
}

/*
 * SPC-4, 6.4.2 Standard INQUIRY data, 96 octets
 *
 *   0  peripheral qualifier and type     5  TPGS (5, 4), 3PC (3)       16  product identification (16)
 *   1  RMB in bit 7                      6  MULTIP in bit 4            32  product revision level (4)
 *   2  version, 06h: SPC-4               7  CMDQUE in bit 1            36  vendor specific (20)
 *   3  HISUP, response data format 2     8  vendor identification (8)  58  version descriptors (8 of 2)
 *   4  additional length
 */
function standardData(unit: LogicalUnit | undefined, ports: number): Uint8Array {
  const writer = new ByteWriter(96)
    .u8(unit === undefined ? NO_UNIT : 0x00)
    .u8(unit?.config.removable === true ? 0x80 : 0)
    .u8(0x06)
    .u8(0x12)
    .u8(91)
    // Implicit asymmetric access: every path is as good as the other, and REPORT TARGET PORT GROUPS says so.
    .u8(0x18)
    .u8(ports > 1 ? 0x10 : 0)
    .u8(0x02)
    .ascii(VENDOR, 8, 0x20)
    .ascii(PRODUCT, 16, 0x20)
    .ascii(REVISION, 4, 0x20)
    .zeros(22);
  for (const descriptor of VERSION_DESCRIPTORS) writer.u16(descriptor);
  return writer.zeros(96 - writer.length).finish();
}
