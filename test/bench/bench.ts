/**
 * Measures rackboot beside tgt and istgt on the same files, and TCP by itself, over loopback. `--help` explains.
 * Exit code: 0 measured, 1 rackboot failed in a case or nothing could be measured, 2 usage.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Resources } from "../harness/resources.ts";
import {
  type BenchCase,
  CASES,
  chooseCases,
  type Load,
  loadArguments,
  type Place,
  RACK_MACHINES,
  SHARERS,
  SWEEPS,
  unitOf,
} from "./cases.ts";
import { describeHost, hostName } from "./host.ts";
import { compareInstructions, countInstructions, type InstructionCount } from "./instructions.ts";
import { buildLoadgen, type Figures, runLoadgen } from "./loadgen.ts";
import { type PreparedPlace, preparePlace } from "./places.ts";
import { memoryOf, processTree } from "./processes.ts";
import { Progress } from "./progress.ts";
import {
  type BenchResult,
  type CaseResult,
  type Extras,
  type Outcome,
  outcomeOf,
  renderPlots,
  renderReport,
  type SweepResult,
} from "./report.ts";
import { startTarget, TARGET_NAMES, type Target, type TargetName } from "./targets.ts";

const HELP = `make bench: rackboot, tgt, istgt and plain TCP, side by side on loopback

  node test/bench/bench.ts [OPTIONS]

  --quick            the most telling cases only, shorter (2 minutes instead of 10)
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
const WARM_UP_SECONDS = 0.3;
const SWEEP_SECONDS = 1;
/** A command or a login that takes longer than this is a failure. */
const TIMEOUT_SECONDS = 8;
const IDLE_SECONDS = 3;
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

const reason = (error: unknown): string => (error instanceof Error ? error.message : String(error));

function measure(target: Target, load: Load, seconds: number): Promise<Figures> {
  const pids = `--server-pid=${processTree(target.pid).join(",")}`;
  const times = [`--seconds=${seconds}`, `--warmup=${WARM_UP_SECONDS}`, `--timeout=${TIMEOUT_SECONDS}`];
  return runLoadgen([...target.words, ...loadArguments(load), ...times, pids], seconds);
}

/** A target that is started again when it failed: some peers never recover from what broke them. */
class Seat {
  readonly name: TargetName;
  restBytes = 0;
  #peakBytes = 0;
  readonly #files: readonly string[];
  #target: Target | undefined;

  constructor(name: TargetName, files: readonly string[]) {
    this.name = name;
    this.#files = files;
  }

  async target(): Promise<Target> {
    if (this.#target !== undefined) return this.#target;
    this.#target = await startTarget(this.name, this.#files);
    this.restBytes = memoryOf(this.#target.pid, "VmRSS");
    return this.#target;
  }

  /** The figures, or why there are none, in the load generator's words and the target's. */
  async measure(load: Load, seconds: number): Promise<Figures | string> {
    try {
      const figures = await measure(await this.target(), load, seconds);
      return figures.operations === 0 && load.mode !== "idle" ? "nothing was answered within the measured time" : figures;
    } catch (error) {
      const lastWords = this.#target?.lastWords() ?? "";
      await this.stop();
      return lastWords === "" ? reason(error) : `${reason(error)} (it said: ${lastWords})`;
    }
  }

  get peakBytes(): number {
    if (this.#target !== undefined) this.#peakBytes = Math.max(this.#peakBytes, memoryOf(this.#target.pid, "VmHWM"));
    return this.#peakBytes;
  }

  async stop(): Promise<void> {
    this.#peakBytes = this.peakBytes;
    const target = this.#target;
    this.#target = undefined;
    await target?.stop();
  }
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

/** What sessions cost that do nothing; and a quiet crowd's tail latency, alone and beside one greedy session. */
async function measureExtras(seat: Seat): Promise<Extras> {
  const crowd: Load = { mode: "read", random: true, blockBytes: 4096, depth: 1, sessions: 9 };
  const hog: Load = { mode: "read", random: false, blockBytes: MIB, depth: 128, sessions: 1 };
  const idleLoad: Load = { mode: "idle", random: false, blockBytes: 4096, depth: 1, sessions: RACK_MACHINES, disks: SHARERS };
  const idle = await seat.measure(idleLoad, IDLE_SECONDS);
  const quiet = await seat.measure(crowd, SWEEP_SECONDS);
  const [beside] = await Promise.all([seat.measure(crowd, SWEEP_SECONDS), seat.measure(hog, SWEEP_SECONDS + 1)]);
  return {
    restBytes: seat.restBytes,
    peakBytes: seat.peakBytes,
    ...(typeof idle !== "string" && { idleShare: idle.serverCpuSeconds / idle.seconds }),
    ...(typeof quiet !== "string" && { quietP99Microseconds: quiet.latencyMicroseconds.p99 }),
    ...(typeof beside !== "string" && { besideHogP99Microseconds: beside.latencyMicroseconds.p99 }),
  };
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
    for (const one of cases) {
      this.#progress.begin(one.name);
      const outcomes = await interleave(seats, one, this.#settings.seconds, this.#settings.rounds, this.#progress);
      this.#cases.push({ name: one.name, unit: unitOf(one), outcomes });
    }
    if (place !== "tmpfs") return;
    if (this.#settings.sweeps) for (const sweep of SWEEPS) this.#sweeps.push(await this.#sweep(sweep, seats));
    for (const seat of seats) {
      if (seat.name === "raw" || this.#settings.filtered) continue;
      this.#progress.say(`memory, idle sessions and fairness: ${seat.name}`);
      this.#extras[seat.name] = await measureExtras(seat);
    }
  }

  async #sweep(sweep: (typeof SWEEPS)[number], seats: readonly Seat[]): Promise<SweepResult> {
    const points: SweepResult["points"][number][] = [];
    let unit: SweepResult["unit"] = "op/s";
    for (const load of sweep.loads) {
      unit = unitOf(load);
      const x = load[sweep.along];
      this.#progress.begin(`${sweep.name}, ${sweep.along} ${x}`);
      points.push({ x, outcomes: await interleave(seats, load, SWEEP_SECONDS, 1, this.#progress) });
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
