/**
 * Measures rackboot beside tgt and istgt on the same files, and TCP by itself, over loopback. `--help` explains.
 * Exit code: 0 measured, 1 rackboot failed in a case or nothing could be measured, 2 usage.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { Resources } from "../harness/resources.ts";
import { type BenchCase, CASES, chooseCases, type Load, type Place, SWEEPS, unitOf } from "./cases.ts";
import { type Extras, measureExtras } from "./extras.ts";
import { describeHost, hostName } from "./host.ts";
import { compareInstructions, countInstructions, type InstructionCount } from "./instructions.ts";
import { buildLoadgen, type Figures } from "./loadgen.ts";
import { type BenchResult, type CaseResult, type Outcome, outcomeOf, type SweepResult } from "./outcome.ts";
import { type PreparedPlace, preparePlace } from "./places.ts";
import { Progress } from "./progress.ts";
import { renderPlots, renderReport } from "./report.ts";
import { reason, Seat } from "./seat.ts";
import { TARGET_NAMES, type TargetName } from "./targets.ts";

const HELP = `make bench: rackboot, tgt, istgt and plain TCP, side by side on loopback

  node test/bench/bench.ts [OPTIONS]

  --quick            the most telling cases only, shorter (5 minutes instead of 20)
  --cases A,B        only cases whose name holds one of these
  --targets A,B      of ${TARGET_NAMES.join(", ")} (all; one that is not installed is left out)
  --seconds S        measured time of one run (2; quick: 1)
  --rounds N         runs of each case, interleaved (3)
  --size MIB         the disk's size (1024; quick: 512)
  --disk-folder DIR  where the disk cases put their files (build/bench)
  --no-sweeps        without the plots
  --instructions     count user-space instructions of one read, too (slow where perf has no counters)
  --name NAME        folder in test/bench/results (this machine's processor)
  --list             print the cases

Results go to test/bench/results/NAME: report.txt, report.json, plots as SVG.
`;

const root = join(import.meta.dirname, "..", "..");
const SWEEP_SECONDS = 1;
/** A target that takes longer to let its sessions in is not asked for more of them: istgt takes a second for each. */
const PATIENCE_SECONDS = 10;
/** Until what starting took is given back. */
const REST_MS = 4000;
const MIB = 1024 ** 2;

interface Settings {
  readonly quick: boolean;
  readonly cases: readonly BenchCase[];
  readonly targets: readonly TargetName[];
  readonly seconds: number;
  readonly rounds: number;
  readonly diskBytes: number;
  readonly diskFolder: string;
  readonly sweeps: boolean;
  /** Chosen cases only, and nothing beside them. */
  readonly filtered: boolean;
  readonly instructions: boolean;
  readonly name: string;
}

class UsageError extends Error {
  override readonly name = "UsageError";
}

function positive(name: string, text: string | undefined, otherwise: number): number {
  const value = text === undefined ? otherwise : Number(text);
  if (!(value > 0) || value > 1e6) throw new UsageError(`--${name}: ${text} is no positive number`);
  return value;
}

function settingsFrom(argv: readonly string[]): Settings | "done" {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      help: { type: "boolean", default: false },
      list: { type: "boolean", default: false },
      quick: { type: "boolean", default: false },
      cases: { type: "string", default: "" },
      targets: { type: "string", default: TARGET_NAMES.join(",") },
      seconds: { type: "string" },
      rounds: { type: "string" },
      size: { type: "string" },
      "disk-folder": { type: "string", default: join(root, "build", "bench") },
      "no-sweeps": { type: "boolean", default: false },
      instructions: { type: "boolean", default: false },
      name: { type: "string" },
    },
  });
  if (values.help || values.list) {
    console.log(values.help ? HELP : CASES.map((one) => `${one.name}${one.quick ? "  (quick)" : ""}`).join("\n"));
    return "done";
  }
  const wanted = values.targets.split(",");
  const targets = TARGET_NAMES.filter((name) => wanted.includes(name));
  if (targets.length !== wanted.length) throw new UsageError(`--targets: ${values.targets}: choose from ${TARGET_NAMES.join(",")}`);
  const cases = chooseCases(values.cases, values.quick);
  if (cases.length === 0) throw new UsageError(`--cases: no case's name holds ${values.cases}; see --list`);
  return {
    quick: values.quick,
    cases,
    targets,
    seconds: positive("seconds", values.seconds, values.quick ? 1 : 2),
    rounds: Math.ceil(positive("rounds", values.rounds, 3)),
    diskBytes: Math.ceil(positive("size", values.size, values.quick ? 512 : 1024)) * MIB,
    diskFolder: values["disk-folder"],
    sweeps: !values["no-sweeps"] && !values.quick && values.cases === "",
    filtered: values.cases !== "",
    instructions: values.instructions,
    name: values.name ?? `${hostName(describeHost())}${values.quick ? "-quick" : ""}`,
  };
}

/** All targets in turn, round after round: what disturbs the machine for a while disturbs all alike. */
async function interleave(
  seats: readonly Seat[],
  load: Load,
  seconds: number,
  rounds: number,
  progress: Progress,
): Promise<Partial<Record<TargetName, Outcome>>> {
  const runs = new Map<TargetName, (Figures | string)[]>(seats.map((seat) => [seat.name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const seat of seats) {
      progress.step(seat.name);
      runs.get(seat.name)?.push(await seat.measure(load, seconds));
    }
  }
  return Object.fromEntries([...runs].map(([name, results]) => [name, outcomeOf(results, unitOf(load))]));
}

class Bench {
  readonly #settings: Settings;
  readonly #resources: Resources;
  readonly #progress: Progress;
  readonly #cases: CaseResult[] = [];
  readonly #sweeps: SweepResult[] = [];
  readonly #extras: Partial<Record<TargetName, Extras>> = {};
  readonly #places: Record<string, string> = {};

  constructor(settings: Settings, resources: Resources) {
    this.#settings = settings;
    this.#resources = resources;
    const { cases, targets, rounds } = settings;
    const points = settings.sweeps ? SWEEPS.reduce((sum, sweep) => sum + sweep.loads.length, 0) : 0;
    const peers = targets.filter((name) => name !== "raw").length;
    const inCases = cases.reduce((sum, one) => sum + rounds * (one.place === "tmpfs" ? targets.length : peers), 0);
    this.#progress = new Progress(inCases + points * targets.length);
    resources.defer("progress", () => this.#progress.stop());
  }

  async run(): Promise<BenchResult> {
    const settings = this.#settings;
    let instructions: readonly InstructionCount[] = [];
    for (const place of ["tmpfs", "disk", "rack"] as const) {
      const cases = settings.cases.filter((one) => one.place === place);
      if (cases.length === 0) continue;
      const resources = new Resources();
      this.#resources.defer(place, () => resources.close());
      try {
        this.#progress.say(`preparing ${place}`);
        const prepared = await preparePlace(resources, place, settings.diskBytes, settings.diskFolder);
        this.#places[place] = prepared.description;
        await this.#at(place, prepared, cases, resources);
        if (place === "tmpfs" && settings.instructions) instructions = await this.#count(prepared.files);
      } finally {
        await resources.close();
      }
    }
    const { seconds, rounds, diskBytes, targets } = settings;
    return {
      host: describeHost(),
      settings: { seconds, rounds, diskBytes },
      places: this.#places,
      targets,
      cases: this.#cases,
      sweeps: this.#sweeps,
      extras: this.#extras,
      instructions,
    };
  }

  /** Everything that is measured at one place, with all targets up and one of them busy at a time. */
  async #at(place: Place, prepared: PreparedPlace, cases: readonly BenchCase[], resources: Resources): Promise<void> {
    const seats: Seat[] = [];
    for (const name of this.#settings.targets) {
      // TCP has no disk that could make a difference.
      if (name === "raw" && place !== "tmpfs") continue;
      const seat = new Seat(name, prepared.files);
      resources.defer(name, () => seat.stop());
      try {
        await seat.target();
        seats.push(seat);
      } catch (error) {
        this.#progress.say(`${name} is left out: ${reason(error)}`);
      }
    }
    await sleep(REST_MS);
    for (const seat of seats) seat.rest();
    for (const one of cases) {
      this.#progress.begin(one.name);
      const outcomes = await interleave(seats, one, this.#settings.seconds, this.#settings.rounds, this.#progress);
      this.#cases.push({ name: one.name, unit: unitOf(one), outcomes });
    }
    if (place !== "tmpfs") return;
    if (this.#settings.sweeps) for (const sweep of SWEEPS) this.#sweeps.push(await this.#sweep(sweep, seats));
    for (const seat of seats) {
      if (seat.name === "raw" || this.#settings.filtered) continue;
      this.#progress.say(`memory, idle sessions, fairness, digests, disturbances: ${seat.name}`);
      this.#extras[seat.name] = await measureExtras(seat, this.#settings.quick);
    }
  }

  async #sweep(sweep: (typeof SWEEPS)[number], seats: readonly Seat[]): Promise<SweepResult> {
    const points: SweepResult["points"][number][] = [];
    const slow = new Map<TargetName, Outcome>();
    let unit: SweepResult["unit"] = "op/s";
    for (const load of sweep.loads) {
      unit = unitOf(load);
      const x = load[sweep.along];
      this.#progress.begin(`${sweep.name}, ${sweep.along} ${x}`);
      const outcomes: Partial<Record<TargetName, Outcome>> = Object.fromEntries(slow);
      for (const seat of seats) {
        if (slow.has(seat.name)) {
          this.#progress.step(seat.name);
          continue;
        }
        const start = performance.now();
        Object.assign(outcomes, await interleave([seat], load, SWEEP_SECONDS, 1, this.#progress));
        const seconds = Math.round((performance.now() - start) / 1000 - SWEEP_SECONDS);
        if (seconds > PATIENCE_SECONDS) slow.set(seat.name, { failures: [`left out: the logins of ${x} sessions took ${seconds} s`] });
      }
      points.push({ x, outcomes });
    }
    return { name: sweep.name, along: sweep.along, unit, points };
  }

  #count(files: readonly string[]): Promise<readonly InstructionCount[]> {
    this.#progress.say("counting instructions (some minutes)");
    const folder = join(root, "build", "bench", "callgrind");
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    const names = this.#settings.targets.filter((name) => name !== "raw");
    return countInstructions(names, files, folder, (line) => this.#progress.say(line));
  }
}

function recordedInstructions(file: string): readonly InstructionCount[] {
  try {
    return (JSON.parse(readFileSync(file, "utf8")) as BenchResult).instructions;
  } catch {
    return [];
  }
}

function record(name: string, measured: BenchResult): void {
  const folder = join(root, "test", "bench", "results", name);
  const file = join(folder, "report.json");
  const recorded = recordedInstructions(file);
  const instructions = measured.instructions.length > 0 ? compareInstructions(measured.instructions, recorded) : recorded;
  const result = { ...measured, instructions };
  mkdirSync(folder, { recursive: true });
  const report = renderReport(result);
  writeFileSync(join(folder, "report.txt"), report);
  writeFileSync(file, `${JSON.stringify(result, null, 2)}\n`);
  for (const [plot, svg] of renderPlots(result)) writeFileSync(join(folder, plot), svg);
  console.log(`\n${report}\nRecorded in ${folder}`);
}

async function main(): Promise<number> {
  let settings: ReturnType<typeof settingsFrom>;
  try {
    settings = settingsFrom(process.argv.slice(2));
  } catch (error) {
    console.error(`bench: ${reason(error)} (--help explains)`);
    return 2;
  }
  if (settings === "done") return 0;
  const resources = new Resources();
  const interrupted = (): void => void resources.close().finally(() => process.exit(130));
  process.once("SIGINT", interrupted);
  process.once("SIGTERM", interrupted);
  try {
    await buildLoadgen();
    const result = await new Bench(settings, resources).run();
    await resources.close();
    record(settings.name, result);
    if (!settings.targets.includes("rackboot")) return 0;
    // Left out altogether is a failure, too.
    return result.cases.every(({ outcomes }) => outcomes.rackboot !== undefined && outcomes.rackboot.failures.length === 0) ? 0 : 1;
  } catch (error) {
    await resources.close();
    console.error(`bench: ${reason(error)}`);
    return 1;
  }
}

process.exitCode = await main();
