import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ByteReader, ShortInputError } from "../../src/wire/reader.ts";
import { ByteWriter } from "../../src/wire/writer.ts";

describe("bytes on the wire", () => {
  it("reads back every number that was written, in network order", () => {
    const written = new ByteWriter(1).u8(0x12).u16(0x3456).u24(0x789abc).u32(0xdef01234).u64(0x56789abcdef01234n).finish();
    expect(Buffer.from(written).toString("hex")).toBe("123456789abcdef0123456789abcdef01234");
    const reader = new ByteReader(written);
    expect([reader.u8(), reader.u16(), reader.u24(), reader.u32(), reader.u64()]).toEqual([
      0x12,
      0x3456,
      0x789abc,
      0xdef01234,
      0x56789abcdef01234n,
    ]);
    expect(reader.remaining).toBe(0);
  });

  it("never invents octets: a short input is an error that names the place", () => {
    const reader = new ByteReader(Uint8Array.of(1, 2, 3));
    reader.u16();
    expect(() => reader.u16()).toThrow(new ShortInputError(2, 2, 1));
    expect(reader.u8()).toBe(3);
  });

  it("refuses a value that its field cannot hold", () => {
    expect(() => new ByteWriter().u8(256)).toThrow(RangeError);
    expect(() => new ByteWriter().u16(-1)).toThrow(RangeError);
    expect(() => new ByteWriter().u32(2 ** 32)).toThrow(RangeError);
    expect(() => new ByteWriter().u64(1n << 64n)).toThrow(RangeError);
    expect(() => new ByteWriter().ascii("RACKBOOT", 4)).toThrow(RangeError);
  });

  it("keeps any bytes as they were, whatever the writer's first capacity", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 64 })), fc.integer({ min: 0, max: 32 }), (parts, capacity) => {
        const writer = new ByteWriter(capacity);
        for (const part of parts) writer.bytes(part);
        expect(Buffer.compare(writer.finish(), Buffer.concat(parts))).toBe(0);
      }),
    );
  });
});
