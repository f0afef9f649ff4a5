import type { Sweep, Unit } from "./cases.ts";
import type { Extras } from "./extras.ts";
import type { Host } from "./host.ts";
import type { InstructionCount } from "./instructions.ts";
import type { Figures } from "./loadgen.ts";
import { median, type Summary, summarize } from "./statistics.ts";
import type { TargetName } from "./targets.ts";

/** One target in one case: what its runs say together, or why there are none. Rates are in the case's unit. */
export type Outcome =
  | {
      /** Why some of its runs gave no figures; empty when all went well. */
      readonly failures: readonly string[];
      readonly rate: Summary;
      /** CPU seconds of the server per GiB (MB/s) or per million operations (op/s). */
      readonly cpu: number;
      readonly p50Microseconds: number;
      readonly p99Microseconds: number;
      readonly p999Microseconds: number;
    }
  | { readonly failures: readonly string[] };

export interface CaseResult {
  readonly name: string;
  readonly unit: Unit;
  readonly outcomes: Readonly<Partial<Record<TargetName, Outcome>>>;
}

export interface SweepResult {
  readonly name: string;
  readonly along: Sweep["along"];
  readonly unit: Unit;
  readonly points: readonly { readonly x: number; readonly outcomes: Readonly<Partial<Record<TargetName, Outcome>>> }[];
}

export interface BenchResult {
  readonly host: Host;
  readonly settings: { readonly seconds: number; readonly rounds: number; readonly diskBytes: number };
  readonly places: Readonly<Record<string, string>>;
  readonly targets: readonly TargetName[];
  readonly cases: readonly CaseResult[];
  readonly sweeps: readonly SweepResult[];
  readonly extras: Readonly<Partial<Record<TargetName, Extras>>>;
  readonly instructions: readonly InstructionCount[];
}

const GIB = 1024 ** 3;

export function rateOf(figures: Figures, unit: Unit): number {
  return unit === "MB/s" ? figures.bytesPerSecond / 1e6 : figures.operationsPerSecond;
}

export function cpuOf(figures: Figures, unit: Unit): number {
  return unit === "MB/s" ? figures.serverCpuSeconds / (figures.bytes / GIB) : (figures.serverCpuSeconds / figures.operations) * 1e6;
}

/** Medians of what each run gave: figures, or the reason why there are none. */
export function outcomeOf(results: readonly (Figures | string)[], unit: Unit): Outcome {
  const failures = results.filter((result) => typeof result === "string");
  const runs = results.filter((result) => typeof result !== "string");
  if (runs.length === 0) return { failures };
  const middle = (pick: (figures: Figures) => number): number => median(runs.map(pick));
  return {
    failures,
    rate: summarize(runs.map((figures) => rateOf(figures, unit))),
    cpu: middle((figures) => cpuOf(figures, unit)),
    p50Microseconds: middle((figures) => figures.latencyMicroseconds.p50),
    p99Microseconds: middle((figures) => figures.latencyMicroseconds.p99),
    p999Microseconds: middle((figures) => figures.latencyMicroseconds.p999),
  };
}

export const PEERS: readonly TargetName[] = ["tgt", "istgt"];

export type Success = Extract<Outcome, { readonly rate: Summary }>;
export const succeeded = (outcome: Outcome | undefined): outcome is Success => outcome !== undefined && "rate" in outcome;
