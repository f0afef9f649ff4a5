import type { Sweep, Unit } from "./cases.ts";
import type { Extras } from "./extras.ts";
import { type Host, hostLine } from "./host.ts";
import type { InstructionCount } from "./instructions.ts";
import type { Figures } from "./loadgen.ts";
import { type Plot, renderPlot } from "./plot.ts";
import { compact, median, type Summary, summarize } from "./statistics.ts";
import { renderTable } from "./table.ts";
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

const PEERS: readonly TargetName[] = ["tgt", "istgt"];

type Success = Extract<Outcome, { readonly rate: Summary }>;
const succeeded = (outcome: Outcome | undefined): outcome is Success => outcome !== undefined && "rate" in outcome;

/** Ours against the best peer's rate and the best peer's CPU cost, as `1.25x at 0.48 CPU`; empty where either is missing. */
export function verdict(result: CaseResult): string {
  const ours = result.outcomes.rackboot;
  const peers = PEERS.map((name) => result.outcomes[name]).filter(succeeded);
  if (!succeeded(ours) || peers.length === 0) return "";
  const rate = ours.rate.median / Math.max(...peers.map((peer) => peer.rate.median));
  const cpu = ours.cpu / Math.min(...peers.map((peer) => peer.cpu));
  return `${rate.toFixed(2)}x at ${cpu.toFixed(2)} CPU`;
}

function cell(outcome: Outcome | undefined, show: (success: Success) => string): string {
  if (outcome === undefined) return "";
  return succeeded(outcome) ? show(outcome) : "failed";
}

function casesTable(result: BenchResult): string {
  const rows = result.cases.map((one) => [
    one.name,
    one.unit,
    ...result.targets.map((name) => cell(one.outcomes[name], ({ rate, cpu }) => `${compact(rate.median)} (${compact(cpu)})`)),
    ...(result.targets.includes("rackboot") ? [verdict(one)] : []),
  ]);
  const last = result.targets.includes("rackboot") ? ["rackboot to best peer"] : [];
  return renderTable(["case", "unit", ...result.targets, ...last], rows);
}

function latencyTable(result: BenchResult): string {
  const rows = result.cases.map((one) => [
    one.name,
    ...result.targets.map((name) => cell(one.outcomes[name], (s) => `${compact(s.p50Microseconds)} / ${compact(s.p99Microseconds)}`)),
  ]);
  return renderTable(["latency p50 / p99, microseconds", ...result.targets], rows);
}

function spreadLine(result: BenchResult): string {
  const spreads = result.cases.flatMap((one) =>
    Object.values(one.outcomes)
      .filter(succeeded)
      .map((outcome) => outcome.rate.spread),
  );
  if (spreads.length === 0) return "";
  const percent = (value: number): string => `${Math.round(value * 100)} %`;
  return `Spread of a case's runs, (most - least) / median: ${percent(median(spreads))} in the middle, ${percent(Math.max(...spreads))} at worst.`;
}

function extrasTable(result: BenchResult): string {
  const names = result.targets.filter((name) => result.extras[name] !== undefined);
  const row = (title: string, pick: (extras: Extras) => number | undefined, show: (value: number) => string): string[] => [
    title,
    ...names.map((name) => {
      const extras = result.extras[name];
      const value = extras === undefined ? undefined : pick(extras);
      return value === undefined ? "" : show(value);
    }),
  ];
  const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(0);
  const microseconds = (value: number): string => compact(value);
  return renderTable(
    ["", ...names],
    [
      row("memory at rest, MB", (e) => e.restBytes, megabytes),
      row("memory while 256 sessions read, MB", (e) => e.busyBytes, megabytes),
      row("memory at most, MB", (e) => e.peakBytes, megabytes),
      row(
        "40 idle sessions, % of a core",
        (e) => e.idleShare,
        (share) => (share * 100).toFixed(1),
      ),
      row("p99 of 9 x 4K q1, microseconds", (e) => e.quietP99Microseconds, microseconds),
      row("the same beside 1M q128", (e) => e.besideHogP99Microseconds, microseconds),
      row(
        "read 128K q32 s1 with digests, of that without",
        (e) => e.digestShare,
        (share) => share.toFixed(2),
      ),
      row("random read 4K q1 s1, spinning, op/s", (e) => e.spinningRate, compact),
      row("the same, sleeping", (e) => e.sleepingRate, compact),
      row("p99 of 4 x 4K q1, microseconds", (e) => e.stress?.quietP99Microseconds, microseconds),
      row("the same beside forced collections and reloads", (e) => e.stress?.stressedP99Microseconds, microseconds),
      row("reloads in that time", (e) => e.stress?.reloads, String),
    ],
  );
}

/** One table a sweep: what its plots show, in figures. */
function sweepTables(result: BenchResult): readonly string[] {
  return result.sweeps.map((sweep) => {
    const rows = sweep.points.map(({ x, outcomes }) => [
      `${sweep.along} ${x}`,
      ...result.targets.map((name) => cell(outcomes[name], ({ rate, cpu }) => `${compact(rate.median)} (${compact(cpu)})`)),
    ]);
    return renderTable([`${sweep.name}, ${sweep.unit}`, ...result.targets], rows);
  });
}

function instructionsTable(result: BenchResult): string {
  const rows = result.instructions.map((one) => {
    const change = one.before === undefined ? "" : `${(((one.instructions - one.before) / one.before) * 100).toFixed(1)} %`;
    return [`${one.target}: ${one.what}`, String(Math.round(one.instructions)), change];
  });
  return renderTable(["user-space instructions of one operation", "now", "since the last record"], rows);
}

/** Every kind of failure once, with how often it came. */
function failureLines(result: BenchResult): string {
  const points = result.sweeps.flatMap((sweep) =>
    sweep.points.map(({ x, outcomes }) => ({ name: `${sweep.name}, ${sweep.along} ${x}`, outcomes })),
  );
  const lines = [...result.cases, ...points].flatMap((one) =>
    Object.entries(one.outcomes).flatMap(([name, { failures }]) => failures.map((failure) => `${name}, ${one.name}: ${failure}`)),
  );
  return [...new Set(lines)]
    .map((line) => {
      const times = lines.filter((other) => other === line).length;
      return times > 1 ? `${line} (${times} times)` : line;
    })
    .join("\n");
}

/** The whole report for people. */
export function renderReport(result: BenchResult): string {
  const { seconds, rounds, diskBytes } = result.settings;
  const places = Object.entries(result.places).map(([name, description]) => `${name}: ${description}`);
  const sections = [
    hostLine(result.host),
    `Loopback, one load generator thread; medians of ${rounds} interleaved runs of ${seconds} s; disk of ${diskBytes / 1024 ** 2} MiB; ${places.join("; ")}.\n` +
      "In brackets: server CPU seconds per GiB (MB/s) or per million operations (op/s). raw is TCP with the same octets and nothing else.",
    casesTable(result),
    spreadLine(result),
    latencyTable(result),
    ...sweepTables(result),
    Object.keys(result.extras).length > 0 ? extrasTable(result) : "",
    result.instructions.length > 0 ? instructionsTable(result) : "",
    failureLines(result),
  ];
  return `${sections.filter((section) => section !== "").join("\n\n")}\n`;
}

/** Two plots a sweep: its rate and its CPU cost. File name -> SVG. */
export function renderPlots(result: BenchResult): ReadonlyMap<string, string> {
  const files = new Map<string, string>();
  for (const sweep of result.sweeps) {
    const slug = sweep.name.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-");
    const plot = (yLabel: string, pick: (success: Success) => number): Plot => ({
      title: sweep.name,
      xLabel: sweep.along,
      yLabel,
      series: result.targets.map((name) => ({
        name,
        points: sweep.points.flatMap(({ x, outcomes }) => {
          const outcome = outcomes[name];
          return succeeded(outcome) ? [{ x, y: pick(outcome) }] : [];
        }),
      })),
    });
    files.set(`${slug}-rate.svg`, renderPlot(plot(sweep.unit === "MB/s" ? "MB/s" : "operations/s", (s) => s.rate.median)));
    const cost = sweep.unit === "MB/s" ? "CPU seconds per GiB" : "CPU seconds per million operations";
    files.set(`${slug}-cpu.svg`, renderPlot(plot(cost, (s) => s.cpu)));
  }
  return files;
}
