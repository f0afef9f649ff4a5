import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { compareEntryIds, compareVersions, sortNewestFirst } from "../../../src/boot/disk/rpm-version.ts";

const MACHINE = "6f7d1f0c5e2b4a8d9c3e1a2b3c4d5e6f";

describe("an updated kernel is the newer one", () => {
  test.each([
    ["4.18.0-553.el8_10.x86_64", "4.18.0-513.24.1.el8_9.x86_64"],
    ["5.14.0-427.13.1.el9_4.x86_64", "5.14.0-427.el9.x86_64"],
    ["5.14.0-70.el9", "5.14.0-9.el9"],
    ["6.12.0", "6.2.0"],
    ["1.10", "1.9"],
    ["1.0010", "1.9"],
    ["1.1", "1.a"],
    ["1.b", "1.a"],
    ["1.0.1", "1.0"],
    ["1.0", "1.0~rc1"],
    ["1.0~rc2", "1.0~rc1"],
    ["1.0+git1", "1.0"],
    ["1.0.1", "1.0+git1"],
    ["10.", "9."],
    // GRUB knows no caret: to it this is 1.0 with a longer tail.
    ["1.0^git1", "1.0"],
    ["99999999999999999999999999", "9999999999999999999999999"],
  ])("%s is newer than %s", (newer, older) => {
    expect(compareVersions(newer, older)).toBe(1);
    expect(compareVersions(older, newer)).toBe(-1);
  });

  test.each([
    ["1.0", "1.0"],
    ["1.0", "1-0"],
    ["1.0", "1.00"],
    ["", "."],
  ])("%s and %s are the same", (left, right) => expect(compareVersions(left, right)).toBe(0));
});

test("entries come newest first and the rescue entry last, as GRUB shows them", () => {
  const ids = [
    `${MACHINE}-0-rescue`,
    `${MACHINE}-4.18.0-80.el8.x86_64`,
    `${MACHINE}-4.18.0-553.el8_10.x86_64`,
    `${MACHINE}-4.18.0-193.el8.x86_64`,
  ];
  expect(sortNewestFirst(ids, (id) => id)).toEqual([ids[2], ids[3], ids[1], ids[0]]);
});

test("of two entries that compare alike the first one read stays, as in GRUB", () => {
  expect(sortNewestFirst(["a-1.0-1", "a-1.0-01"], (id) => id)).toEqual(["a-1.0-1"]);
});

test("the name counts before the version", () => {
  expect(compareEntryIds("b-1-1", "a-9-9")).toBe(1);
  expect(compareEntryIds("kernel", "kernel-1")).toBe(-1);
});

test("the order is one: antisymmetric, and transitive along every sort", () => {
  const version = fc.string({ unit: fc.constantFrom("0", "1", "9", "a", "b", ".", "-", "~", "+", "_"), maxLength: 12 });
  fc.assert(
    fc.property(version, version, (left, right) => {
      expect(compareVersions(left, right) + compareVersions(right, left)).toBe(0);
    }),
  );
});
