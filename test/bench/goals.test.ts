import { describe, expect, test } from "vitest";
import { judge } from "./goals.ts";
import type { BenchResult, Outcome } from "./outcome.ts";

function outcome(rate: number, cpu: number): Outcome {
  const summary = { median: rate, least: rate, most: rate, spread: 0 };
  return { failures: [], rate: summary, cpu, p50Microseconds: 1, p99Microseconds: 2, p999Microseconds: 3 };
}

const result: BenchResult = {
  host: { cpu: "A Processor", cores: 2, memoryBytes: 24 * 1024 ** 3, kernel: "6.12", architecture: "x64" },
  settings: { seconds: 2, rounds: 3, diskBytes: 1024 ** 3 },
  places: { tmpfs: "tmpfs" },
  targets: ["raw", "tgt", "istgt", "rackboot"],
  cases: [
    {
      name: "tmpfs: read 128K q32 s1",
      unit: "MB/s",
      outcomes: { raw: outcome(3800, 0.25), tgt: outcome(2244, 0.59), istgt: outcome(3600, 0.64), rackboot: outcome(3300, 0.33) },
    },
    {
      name: "tmpfs: random read 4K q32 s4",
      unit: "op/s",
      outcomes: { raw: outcome(360_000, 1.9), tgt: outcome(44_000, 24), istgt: outcome(71_000, 20), rackboot: outcome(240_000, 3.4) },
    },
  ],
  sweeps: [
    {
      name: "random read 4K, depth 16",
      along: "sessions",
      unit: "op/s",
      points: [
        { x: 1, outcomes: { rackboot: outcome(200_000, 4) } },
        { x: 256, outcomes: { rackboot: outcome(150_000, 4) } },
      ],
    },
  ],
  extras: {
    rackboot: { restBytes: 70e6, peakBytes: 130e6, stress: { quietP99Microseconds: 100, stressedP99Microseconds: 130, reloads: 1000 } },
  },
  instructions: [],
};

const verdicts = new Map(judge(result).map((verdict) => [`${verdict.figure}. ${verdict.what}`, verdict]));

describe("the verdicts, by which a reader knows what is reached without reckoning", () => {
  test("what TCP can carry bounds large transfers, and not small replies", () => {
    expect(verdicts.get("1. tmpfs: read 128K q32 s1, MB/s")).toMatchObject({ goal: "at least 3230", measured: "3300", met: true });
    expect(verdicts.get("1. tmpfs: random read 4K q32 s4, op/s")).toMatchObject({ goal: "at least 85.2K", met: true });
  });

  test("processor time may be half the cheapest peer's, or a little more than TCP's", () => {
    expect(verdicts.get("1. tmpfs: read 128K q32 s1, CPU")).toMatchObject({ goal: "at most 0.33" });
    expect(verdicts.get("1. tmpfs: random read 4K q32 s4, CPU")).toMatchObject({ goal: "at most 10.0", met: true });
  });

  test("a figure of its own is missed by its own bound", () => {
    expect(verdicts.get("2. tmpfs: random read 4K q32 s4, op/s")).toMatchObject({ met: false });
    expect(verdicts.get("3. random read 4K, depth 16: worst of 1 to 256 sessions, of the best")).toMatchObject({
      measured: "0.75",
      met: false,
    });
    expect(verdicts.get("4. p99 of 4K reads under stress, of the quiet one")).toMatchObject({ measured: "1.30", met: false });
    expect(verdicts.get("4. reloads in that time")).toMatchObject({ met: true });
  });

  test("what a run did not measure is neither met nor missed", () => {
    expect(verdicts.get("3. 40 idle sessions, of a core")).toMatchObject({ measured: "", met: undefined });
    expect(verdicts.get("3. read 128K, depth 8: worst of 1 to 256 sessions, of the best")).toMatchObject({ met: undefined });
  });
});
