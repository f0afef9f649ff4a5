import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { run, runOrThrow } from "../harness/process.ts";
import { amount, record } from "./record.ts";

const root = join(import.meta.dirname, "..", "..");

test("no octets from an initiator damage the data plane, with the sanitizers watching", async () => {
  const seconds = amount("FUZZ_SECONDS", 3600);
  await runOrThrow(["make", "-C", join(root, "src", "native"), "fuzz"], { timeoutMs: 600_000 });
  const kept = join(root, "test", "fuzz", "corpus", "session");
  const grown = join(root, "build", "fuzz", "session");
  mkdirSync(grown, { recursive: true });
  const fuzzer = join(root, "build", "native", "fuzz-session");
  expect(existsSync(fuzzer)).toBe(true);
  const artifacts = `${join(root, "build", "fuzz")}/`;
  const command = [fuzzer, `-max_total_time=${seconds}`, "-print_final_stats=1", `-artifact_prefix=${artifacts}`, grown, kept];
  const { code, stderr } = await run(command, { timeoutMs: (seconds + 300) * 1000 });
  const figure = (pattern: RegExp): number => Number(stderr.match(pattern)?.[1] ?? 0);
  record("fuzz-session", {
    seconds,
    executions: figure(/stat::number_of_executed_units: (\d+)/),
    edgesCovered: Number([...stderr.matchAll(/cov: (\d+)/g)].at(-1)?.[1] ?? 0),
    crashed: code !== 0,
  });
  expect(stderr.slice(-2000)).not.toMatch(/ERROR: |runtime error/);
  expect(code).toBe(0);
});
