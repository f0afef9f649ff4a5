import fc from "fast-check";
import { expect, test } from "vitest";
import { mergeRanges, totalBytes, touches } from "../../../src/volume/look/ranges.ts";
import { MAX_WAITING, ReaderSlots } from "../../../src/volume/look/slots.ts";

const range = fc.record({ offset: fc.nat(200), length: fc.nat(20) });

test("merged ranges are the same octets, each once, in order", () => {
  fc.assert(
    fc.property(fc.array(range), (ranges) => {
      const octets = new Set(ranges.flatMap(({ offset, length }) => Array.from({ length }, (_, index) => offset + index)));
      const merged = mergeRanges(ranges);
      expect(totalBytes(merged)).toBe(octets.size);
      for (const [index, one] of merged.entries()) {
        const next = merged[index + 1];
        if (next !== undefined) expect(next.offset).toBeGreaterThan(one.offset + one.length);
      }
    }),
  );
});

test("a write is seen exactly where it touches what was read", () => {
  fc.assert(
    fc.property(fc.array(range), range, (ranges, write) => {
      const hit = ranges.some(
        (each) =>
          each.length > 0 && write.length > 0 && each.offset < write.offset + write.length && write.offset < each.offset + each.length,
      );
      expect(write.length > 0 && touches(mergeRanges(ranges), write)).toBe(hit);
    }),
  );
});

test("no more readers than places, in the order of asking, and none is lost when one gives up", async () => {
  const slots = new ReaderSlots(1);
  const first = await slots.take();
  const order: string[] = [];
  const gone = new AbortController();
  const second = slots.take(gone.signal).catch((cause: { failure: string }) => order.push(cause.failure));
  const third = slots.take().then((release) => {
    order.push("third");
    release();
  });
  gone.abort();
  await second;
  first();
  first();
  await third;
  (await slots.take())();
  expect(order).toEqual(["cancelled", "third"]);
});

test("who comes when the line is full is told so", async () => {
  const slots = new ReaderSlots(1);
  await slots.take();
  for (let index = 0; index < MAX_WAITING; index++) void slots.take();
  await expect(slots.take()).rejects.toMatchObject({ failure: "busy" });
});
