import { describe, expect, it } from "vitest";
import { execute } from "../../src/scsi/commands.ts";
import { COPY_LIMITS } from "../../src/scsi/copy.ts";
import { initialState } from "../../src/scsi/unit-state.ts";
import { ByteWriter } from "../../src/wire/writer.ts";
import { CONTEXT, cdbOf, senseOf, UNIT } from "./support.ts";

const NAA = Buffer.from(UNIT.naa).toString("hex");
const BLOCKS = UNIT.sizeBytes / UNIT.config.blockSize;

/** An EXTENDED COPY (LID1) within the one unit. */
function copy(segment: Uint8Array): ReturnType<typeof execute> {
  const target = new ByteWriter(32).u8(0xe4).zeros(3).u8(1).u8(3).u8(0).u8(8).bytes(UNIT.naa).zeros(12).zeros(4).finish();
  const list = new ByteWriter(256)
    .u8(1)
    .u8(0x18)
    .u16(target.length)
    .zeros(4)
    .u32(segment.length)
    .u32(0)
    .bytes(target)
    .bytes(segment)
    .finish();
  const cdb = cdbOf(`83 00 00 00 00 00 00 00 00 00 00 00 00 ${list.length.toString(16).padStart(2, "0")}`);
  return execute({ cdb, dataOut: list }, { ...CONTEXT, state: initialState(UNIT) });
}

const byBlocks = (blocks: number, from: number, to: number): Uint8Array =>
  new ByteWriter(28).u8(0x02).u8(0).u16(24).u16(0).u16(0).u16(0).u16(blocks).u64(BigInt(from)).u64(BigInt(to)).finish();
const byOctets = (octets: number, from: readonly [lba: number, offset: number], to: readonly [lba: number, offset: number]): Uint8Array =>
  new ByteWriter(32)
    .u8(0x0a)
    .u8(0)
    .u16(28)
    .u16(0)
    .u16(0)
    .u32(octets)
    .u64(BigInt(from[0]))
    .u64(BigInt(to[0]))
    .u16(from[1])
    .u16(to[1])
    .finish();

describe("EXTENDED COPY", () => {
  it("copies the blocks, or the octets, that a segment names", () => {
    const [source, destination] = [NAA, NAA];
    expect(copy(byBlocks(8, 16, 64)).job).toEqual({
      kind: "copy",
      segments: [{ source, destination, sourceOffset: 16 * 512, offset: 64 * 512, length: 8 * 512 }],
    });
    expect(copy(byOctets(1000, [1, 10], [2, 500])).job).toEqual({
      kind: "copy",
      segments: [{ source, destination, sourceOffset: 522, offset: 1524, length: 1000 }],
    });
  });

  it("touches nothing beyond the end of a disk", () => {
    expect(copy(byBlocks(2, BLOCKS - 2, 0)).job).toBeDefined();
    for (const segment of [byBlocks(2, BLOCKS - 1, 0), byBlocks(2, 0, BLOCKS - 1), byOctets(512, [0, 0], [BLOCKS - 1, 1])]) {
      const { result, job } = copy(segment);
      expect(senseOf(result)).toBe("10/00/00");
      expect(job).toBeUndefined();
    }
  });

  it("keeps to the length of a segment that it tells", () => {
    expect(copy(byOctets(COPY_LIMITS.segmentBytes, [0, 0], [BLOCKS / 2, 0])).job).toBeDefined();
    expect(senseOf(copy(byOctets(COPY_LIMITS.segmentBytes + 1, [0, 0], [BLOCKS / 2, 0])).result)).toBe("5/26/00");
  });

  it("refuses segments that it does not know, and lists that end early", () => {
    expect(senseOf(copy(Uint8Array.of(0x04, 0, 0, 24)).result)).toBe("5/26/09");
    expect(senseOf(copy(byOctets(512, [0, 0], [1, 0]).subarray(0, 31)).result)).toBe("5/1a/00");
  });
});
