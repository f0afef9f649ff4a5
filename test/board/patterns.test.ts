import fc from "fast-check";
import { expect, it } from "vitest";
import { isOn, PATTERNS, type PatternName, periodMs, TICK_MS } from "../../board/patterns.ts";

const names = Object.keys(PATTERNS) as PatternName[];

/** One character a tick, over one period. */
function drawn(name: PatternName): string {
  const steps = PATTERNS[name];
  return Array.from({ length: periodMs(steps) / TICK_MS }, (_, tick) => (isOn(steps, tick * TICK_MS) ? "#" : ".")).join("");
}

it("no two rhythms are the same, so that nobody needs to tell colours apart", () => {
  expect(new Set(names.map(drawn)).size).toBe(names.length);
});

it("every fault blinks its own number and pauses long enough to be counted", () => {
  for (let count = 1; count <= 7; count++) {
    const text = drawn(count === 1 ? "1 blink" : (`${count} blinks` as PatternName));
    expect(text.match(/#+/g)).toHaveLength(count);
    const pauses = text.match(/\.+/g)?.map(({ length }) => length * TICK_MS) ?? [];
    expect(pauses.at(-1)).toBe(1500);
    expect(Math.max(0, ...pauses.slice(0, -1))).toBeLessThanOrEqual(250);
  }
});

it("off never lights, solid never goes out, and every other one does both", () => {
  fc.assert(
    fc.property(fc.nat(10_000_000), (ms) => {
      expect(isOn(PATTERNS.off, ms)).toBe(false);
      expect(isOn(PATTERNS.solid, ms)).toBe(true);
    }),
  );
  for (const name of names.filter((name) => name !== "off" && name !== "solid")) expect(drawn(name)).toMatch(/#\.|\.#/);
});

it("goes round: a pattern is the same a period later", () => {
  fc.assert(
    fc.property(fc.constantFrom(...names), fc.nat(100_000), (name, ms) => {
      expect(isOn(PATTERNS[name], ms + periodMs(PATTERNS[name]))).toBe(isOn(PATTERNS[name], ms));
    }),
  );
});

it("heartbeat is two short beats a second or so", () => {
  expect(drawn("heartbeat")).toBe("##...##.................");
});
