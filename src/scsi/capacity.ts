import { ByteReader } from "../wire/reader.ts";
import { ByteWriter } from "../wire/writer.ts";
import { type Answer, checkCondition, good } from "./answer.ts";
import { blocksOf, type Command, type LogicalUnit } from "./logical-unit.ts";
import { invalidField } from "./sense.ts";
import { isThin } from "./vpd.ts";

/** What a write of a host's page touches; smaller blocks share it (SBC-3, 5.16.2, logical blocks per physical block exponent). */
const PHYSICAL_BLOCK_BYTES = 4096;

/*
 * SBC-3, 5.15 READ CAPACITY(10)
 *
 *  0  0x25     1  reserved     2  obsolete: LBA (4)     6  reserved (2)     8  obsolete: PMI (bit 0)     9  control
 *
 * Answer: last LBA (4), FFFFFFFFh where it does not fit; block length (4)
 */
export function readCapacity10({ cdb }: Command, unit: LogicalUnit): Answer {
  const reader = new ByteReader(cdb);
  reader.skip(2);
  const lba = reader.u32();
  reader.skip(2);
  const partial = (reader.u8() & 1) !== 0;
  if (!partial && lba !== 0) return checkCondition(invalidField(2));
  const last = Math.min(blocksOf(unit) - 1, 0xffffffff);
  return good(new ByteWriter(8).u32(last).u32(unit.config.blockSize).finish());
}

/*
 * SBC-3, 5.16 READ CAPACITY(16)
 *
 *  0  0x9e     1  service action 10h     2  obsolete (8)     10  allocation length (4)     14  obsolete     15  control
 *
 * Answer: last LBA (8), block length (4), protection (1), log2 of logical blocks in a physical one (1),
 * LBPME (bit 15), LBPRZ (bit 14) and lowest aligned LBA (2), reserved (16)
 */
export function readCapacity16({ cdb }: Command, unit: LogicalUnit): Answer {
  const reader = new ByteReader(cdb);
  reader.skip(10);
  const allocationLength = reader.u32();
  const { blockSize } = unit.config;
  const data = new ByteWriter(32)
    .u64(BigInt(blocksOf(unit) - 1))
    .u32(blockSize)
    .u8(0)
    .u8(Math.log2(PHYSICAL_BLOCK_BYTES / blockSize))
    .u16(isThin(unit) ? 0xc000 : 0)
    .zeros(16)
    .finish();
  return good(data.subarray(0, allocationLength));
}
