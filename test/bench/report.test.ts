import { describe, expect, test } from "vitest";
import type { Figures } from "./loadgen.ts";
import { type BenchResult, type CaseResult, outcomeOf } from "./outcome.ts";
import { renderPlots, renderReport, verdict } from "./report.ts";

function figures(operationsPerSecond: number, serverCpuSeconds: number): Figures {
  const operations = operationsPerSecond * 2;
  return {
    seconds: 2,
    operations,
    bytes: operations * 4096,
    operationsPerSecond,
    bytesPerSecond: operationsPerSecond * 4096,
    latencyMicroseconds: { mean: 10, p50: 9, p99: 50, p999: 90, max: 100 },
    serverCpuSeconds,
    clientCpuSeconds: 1,
  };
}

const oneCase: CaseResult = {
  name: "tmpfs: random read 4K q32 s1",
  unit: "op/s",
  outcomes: {
    tgt: outcomeOf([figures(40_000, 2), figures(42_000, 2), figures(10_000, 2)], "op/s"),
    istgt: outcomeOf([figures(60_000, 2), "the target closed the connection", "the target closed the connection"], "op/s"),
    rackboot: outcomeOf([figures(120_000, 0.6)], "op/s"),
  },
};

const result: BenchResult = {
  host: { cpu: "A Processor", cores: 2, memoryBytes: 24 * 1024 ** 3, kernel: "6.12", architecture: "x64" },
  settings: { seconds: 2, rounds: 3, diskBytes: 1024 ** 3 },
  places: { tmpfs: "tmpfs" },
  targets: ["tgt", "istgt", "rackboot"],
  cases: [oneCase],
  sweeps: [{ name: "random read 4K, one session", along: "depth", unit: "op/s", points: [{ x: 1, outcomes: oneCase.outcomes }] }],
  extras: { tgt: { restBytes: 4e6, peakBytes: 44e6, idleShare: 0.002 } },
  instructions: [{ target: "tgt", what: "read 4K", instructions: 20_000.4, before: 25_000 }],
};

describe("the report, which is read instead of the runs", () => {
  test("a disturbed run moves no figure", () => {
    expect(oneCase.outcomes.tgt).toMatchObject({ rate: { median: 40_000 }, cpu: 25 });
  });

  test("ours is compared with the best rate and the best cost of any peer", () => {
    expect(verdict(oneCase)).toBe("2.00x at 0.15 CPU");
    expect(verdict({ ...oneCase, outcomes: { rackboot: oneCase.outcomes.rackboot ?? { failures: [] } } })).toBe("");
  });

  test("it holds the machine, the figures, failed runs with their reason, and the change of instruction counts", () => {
    const text = renderReport(result);
    expect(text).toContain("A Processor, 2 cores, 24 GiB, Linux 6.12 x64");
    expect(text).toMatch(/q32 s1 +op\/s +40\.0K \(25\.0\) +60\.0K \(16\.7\) +120K \(2\.50\) +2\.00x at 0\.15 CPU/);
    expect(text).toContain("istgt, tmpfs: random read 4K q32 s1: the target closed the connection (2 times)");
    expect(text).toMatch(/tgt: read 4K +20000 +-20\.0 %/);
  });

  test("a case in which nothing worked says failed and is no figure", () => {
    const broken: BenchResult = { ...result, cases: [{ ...oneCase, outcomes: { rackboot: outcomeOf(["no answer"], "op/s") } }] };
    expect(renderReport(broken)).toMatch(/op\/s +failed$/m);
    expect(renderReport(broken)).toContain("rackboot, tmpfs: random read 4K q32 s1: no answer");
  });

  test("every sweep gets a plot of its rate and one of its cost", () => {
    const plots = renderPlots(result);
    expect([...plots.keys()]).toEqual(["random-read-4k-one-session-rate.svg", "random-read-4k-one-session-cpu.svg"]);
    expect(plots.get("random-read-4k-one-session-rate.svg")).toContain("operations/s");
  });
});
