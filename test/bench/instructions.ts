import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { run, runOrThrow } from "../harness/process.ts";
import { sizeText } from "./cases.ts";
import { runLoadgen } from "./loadgen.ts";
import { startTarget, type Target, type TargetName } from "./targets.ts";

/** User-space instructions that one operation takes in the server: a figure that a busy machine does not move. */
export interface InstructionCount {
  readonly target: TargetName;
  readonly what: string;
  readonly instructions: number;
  /** The last recorded figure. */
  readonly before?: number;
}

const BLOCKS: readonly number[] = [4096, 131_072];
const RUN_SECONDS = 240;
const TIMEOUT_MS = 300_000;
const BUILD = join(import.meta.dirname, "..", "..", "build", "bench");
/** What the data plane calls its threads; a READ touches no others. */
const DATA_THREADS = "rackboot-io";

/** One way to count, with as many operations as it is fast enough for: the difference of two runs leaves out the login. */
interface Counter {
  readonly few: number;
  readonly many: number;
  readonly prefix: readonly string[];
  readonly count: (target: Target, block: number, operations: number) => Promise<number>;
}

/** The count of `perf stat -x,`, or undefined where the processor's counters are not to be had. */
export function parsePerf(text: string): number | undefined {
  const line = text.split("\n").find((one) => one.includes("instructions"));
  const count = Number(line?.split(",")[0]);
  return line === undefined || !Number.isFinite(count) || count === 0 ? undefined : count;
}

/** What `stepcount` prints. */
export function parseSteps(text: string): number {
  const found = /^instructions (\d+)$/m.exec(text);
  if (found === null) throw new Error(text.trim());
  return Number(found[1]);
}

/** The total of one callgrind dump; its `totals:` line, or `summary:` in older versions. */
export function parseCallgrind(text: string): number {
  const found = /^(?:totals|summary): (\d+)/m.exec(text);
  if (found === null) throw new Error("this is no callgrind dump");
  return Number(found[1]);
}

const words = (target: Target, block: number, operations: number): readonly string[] => [
  ...target.words,
  `--block=${block}`,
  "--depth=8",
  "--random",
  `--ops=${operations}`,
  `--seconds=${RUN_SECONDS}`,
  "--timeout=120",
];

async function hasPerfCounters(): Promise<boolean> {
  return parsePerf((await run(["perf", "stat", "-x,", "-e", "instructions:u", "true"])).stderr) !== undefined;
}

async function hasCallgrind(): Promise<boolean> {
  return (await run(["callgrind_control", "--version"])).code === 0;
}

const LOADGEN = join(BUILD, "loadgen");

const PERF: Counter = {
  few: 2000,
  many: 10_000,
  prefix: [],
  count: async (target, block, operations) => {
    const perf = ["perf", "stat", "-x,", "-e", "instructions:u", "-p", String(target.pid), "--"];
    const result = await run([...perf, LOADGEN, "run", ...words(target, block, operations)], { timeoutMs: TIMEOUT_MS });
    const count = parsePerf(result.stderr);
    if (result.code !== 0 || count === undefined) throw new Error(result.stderr.trim());
    return count;
  },
};

/** valgrind holds its lock while a thread waits in io_uring_enter, so it cannot run the daemon: its data threads are stepped through. */
const STEPS: Counter = {
  few: 50,
  many: 250,
  prefix: [],
  count: async (target, block, operations) => {
    const stepcount = [join(BUILD, "stepcount"), "--pid", String(target.pid), "--thread", DATA_THREADS, "--"];
    const result = await run([...stepcount, LOADGEN, "run", ...words(target, block, operations)], { timeoutMs: TIMEOUT_MS });
    if (result.code !== 0) throw new Error(result.stderr.trim());
    return parseSteps(result.stderr);
  },
};

function callgrind(folder: string): Counter {
  return {
    few: 400,
    many: 1600,
    prefix: ["valgrind", "--tool=callgrind", `--callgrind-out-file=${folder}/callgrind.%p`, "--quiet"],
    count: async (target, block, operations) => {
      const before = new Set(readdirSync(folder));
      await runOrThrow(["callgrind_control", "-z", String(target.pid)], { timeoutMs: TIMEOUT_MS });
      await runLoadgen(words(target, block, operations), RUN_SECONDS);
      await runOrThrow(["callgrind_control", "-d", String(target.pid)], { timeoutMs: TIMEOUT_MS });
      const dumps = readdirSync(folder).filter((name) => !before.has(name));
      return dumps.map((name) => parseCallgrind(readFileSync(join(folder, name), "utf8"))).reduce((sum, one) => sum + one, 0);
    },
  };
}

async function counterFor(name: TargetName, folder: string): Promise<Counter> {
  if (await hasPerfCounters()) return PERF;
  if (name === "rackboot") return STEPS;
  if (await hasCallgrind()) return callgrind(folder);
  throw new Error("this needs perf with hardware counters, or valgrind");
}

/** Counts for every target; `tell` is given a line wherever something cannot be counted. `folder` holds callgrind's dumps. */
export async function countInstructions(
  targets: readonly TargetName[],
  files: readonly string[],
  folder: string,
  tell: (line: string) => void,
): Promise<readonly InstructionCount[]> {
  const counts: InstructionCount[] = [];
  for (const name of targets) {
    try {
      const { few, many, prefix, count } = await counterFor(name, folder);
      const target = await startTarget(name, files, { prefix });
      try {
        for (const block of BLOCKS) {
          const atFirst = await count(target, block, few);
          const instructions = ((await count(target, block, many)) - atFirst) / (many - few);
          counts.push({ target: name, what: `read ${sizeText(block)}`, instructions });
        }
      } finally {
        await target.stop();
      }
    } catch (error) {
      tell(`instructions: ${name} could not be counted: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  return counts;
}

/** Puts the last recorded figures beside the new ones. */
export function compareInstructions(now: readonly InstructionCount[], recorded: readonly InstructionCount[]): readonly InstructionCount[] {
  return now.map((one) => {
    const before = recorded.find((other) => other.target === one.target && other.what === one.what)?.instructions;
    return before === undefined ? one : { ...one, before };
  });
}
