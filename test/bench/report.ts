import type { Extras } from "./extras.ts";
import { judge } from "./goals.ts";
import { hostLine } from "./host.ts";
import { type BenchResult, type CaseResult, type Outcome, PEERS, type Success, succeeded } from "./outcome.ts";
import { type Plot, renderPlot } from "./plot.ts";
import { compact, median } from "./statistics.ts";
import { renderTable } from "./table.ts";

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
      row("the same, TCP alone", (e) => e.rawRate, compact),
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

/** Figure by figure, what was to be reached and what was. */
function goalsTable(result: BenchResult): string {
  const verdicts = judge(result);
  const rows = verdicts.flatMap(({ figure, what, goal, measured, met }) =>
    met === undefined ? [] : [[`${figure}. ${what}`, goal, measured, met ? "met" : "NOT MET"]],
  );
  const missing = verdicts.filter(({ met }) => met === undefined).map(({ what }) => what);
  if (rows.length === 0) return "";
  const table = renderTable(["figures of rackboot", "to reach", "measured", "verdict"], rows);
  return missing.length === 0 ? table : `${table}\nNot measured in this run: ${missing.join("; ")}.`;
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
    result.targets.includes("rackboot") ? goalsTable(result) : "",
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
