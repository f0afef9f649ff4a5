import { expect, test } from "vitest";
import { CASES, chooseCases, loadArguments, SWEEPS, unitOf } from "./cases.ts";

test("a quick run takes the cases that say most, a filter overrules it", () => {
  expect(chooseCases("", false)).toEqual(CASES);
  expect(chooseCases("", true).length).toBeLessThan(CASES.length / 2);
  expect(chooseCases("disk: write,flush", true).map((one) => one.name)).toEqual([
    "disk: write 128K q32 s1",
    "rack: random write 16K q1 s40 + flush",
  ]);
  expect(chooseCases("no such case", false)).toEqual([]);
});

test("case names are unique, as results are found by them", () => {
  expect(new Set(CASES.map((one) => one.name)).size).toBe(CASES.length);
});

test("a load reaches the generator whole", () => {
  const rack = CASES.find((one) => one.place === "rack");
  expect(rack && loadArguments(rack)).toEqual([
    "--mode=write",
    "--random",
    "--block=16384",
    "--depth=1",
    "--sessions=40",
    "--disks=40",
    "--flush",
  ]);
});

test("a sweep has one unit, or its plot would have none", () => {
  for (const sweep of SWEEPS) expect(new Set(sweep.loads.map(unitOf)).size).toBe(1);
});
