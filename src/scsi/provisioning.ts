import { ByteReader } from "../wire/reader.ts";
import { ByteWriter } from "../wire/writer.ts";
import { type Answer, checkCondition, good } from "./answer.ts";
import { blocksOf, type Command, type LogicalUnit } from "./logical-unit.ts";
import { invalidField, LBA_OUT_OF_RANGE } from "./sense.ts";

/** Descriptors of one answer; an initiator that wants more asks again from where they end (SBC-3, 5.6.1). */
export const MAX_LBA_STATUS_DESCRIPTORS = 256;

/** A run of data in a file, octets. */
export interface DataRun {
  readonly startBytes: number;
  readonly endBytes: number;
}

/*
 * SBC-3, 5.6 GET LBA STATUS
 *
 *  0  0x9e     1  service action 12h     2  starting LBA (8)     10  allocation length (4)
 */
export function getLbaStatus({ cdb }: Command, unit: LogicalUnit): Answer {
  const reader = new ByteReader(cdb);
  reader.skip(2);
  const lba = reader.u64();
  const allocationLength = reader.u32();
  if (lba >= BigInt(blocksOf(unit))) return checkCondition(LBA_OUT_OF_RANGE);
  return { ...good(), job: { kind: "lba-status", lba: Number(lba), allocationLength } };
}

/** SBC-3, table 31. */
const PROVISIONING = { mapped: 0, deallocated: 1 } as const;

/*
 * SBC-3, 5.6.2: parameter data length (4), reserved (4), then for each run
 *
 *     0  LBA (8)     8  blocks (4)     12  provisioning status (bits 3 to 0)     13  reserved (3)
 *
 * `runs` are in order, and reach as far as `untilBytes` tells. A block is deallocated where all of it is in a hole.
 */
export function encodeLbaStatus(unit: LogicalUnit, lba: number, runs: readonly DataRun[], untilBytes: number): Uint8Array {
  const { blockSize } = unit.config;
  const end = Math.min(blocksOf(unit), Math.ceil(untilBytes / blockSize));
  const list = new ByteWriter(256);
  let at = lba;
  const add = (until: number, status: number): void => {
    while (at < until && list.length / 16 < MAX_LBA_STATUS_DESCRIPTORS) {
      const blocks = Math.min(until - at, 0xffffffff);
      list.u64(BigInt(at)).u32(blocks).u8(status).zeros(3);
      at += blocks;
    }
  };
  for (const { startBytes, endBytes } of runs) {
    add(Math.min(end, Math.floor(startBytes / blockSize)), PROVISIONING.deallocated);
    add(Math.min(end, Math.ceil(endBytes / blockSize)), PROVISIONING.mapped);
  }
  add(end, PROVISIONING.deallocated);
  return new ByteWriter(8 + list.length)
    .u32(4 + list.length)
    .zeros(4)
    .bytes(list.finish())
    .finish();
}

/*
 * SBC-3, 5.8 and 5.9 READ DEFECT DATA(10) and (12)
 *
 *  0  0x37 or 0xb7     (10): 2, (12): 1  REQ_PLIST (bit 4), REQ_GLIST (3), format (2 to 0)     (10): 7 (2), (12): 6 (4)  allocation length
 *
 * A disk that is a file has no defects of its own: both lists are empty, in every format.
 */
export function readDefectData({ cdb }: Command): Answer {
  const reader = new ByteReader(cdb);
  const long = reader.u8() === 0xb7;
  if (!long) reader.skip(1);
  const lists = reader.u8() & 0x1f;
  reader.skip(4);
  const allocationLength = long ? reader.u32() : reader.u16();
  if ((lists & 0x07) === 7) return checkCondition(invalidField(long ? 1 : 2, 2));
  const writer = new ByteWriter(8).u8(0).u8(lists);
  const data = long ? writer.u16(0).u32(0).finish() : writer.u16(0).finish();
  return good(data.subarray(0, allocationLength));
}
