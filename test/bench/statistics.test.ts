import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { compact, median, summarize } from "./statistics.ts";

describe("medians, by which one disturbed run is no result", () => {
  test("the middle of an odd number, the mean of the middle two of an even one", () => {
    expect(median([3, 100, 1])).toBe(3);
    expect(median([4, 1, 2, 100])).toBe(3);
    expect(() => median([])).toThrow(RangeError);
  });

  test("never lies outside of what was measured, in whatever order that came", () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: 0, max: 1e12, noNaN: true }), { minLength: 1 }), (values) => {
        const summary = summarize(values);
        expect(summary.median).toBeGreaterThanOrEqual(summary.least);
        expect(summary.median).toBeLessThanOrEqual(summary.most);
        expect(summarize(values.toReversed())).toEqual(summary);
      }),
    );
  });

  test("the spread says how far to trust them", () => {
    expect(summarize([90, 100, 120]).spread).toBeCloseTo(0.3);
    expect(summarize([0, 0]).spread).toBe(0);
  });
});

test("figures are as short as a table needs", () => {
  expect([0.594, 8.72, 35.04, 139, 2244.4, 41_800, 139_400, 12_345_678].map(compact)).toEqual([
    "0.59",
    "8.72",
    "35.0",
    "139",
    "2244",
    "41.8K",
    "139K",
    "12.3M",
  ]);
  expect(compact(Number.NaN)).toBe("-");
});
