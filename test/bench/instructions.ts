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
/** The difference of two runs leaves out login and what goes on anyway. */
const FEW = 400;
const MANY = 1600;
const RUN_SECONDS = 240;
const TIMEOUT_MS = 300_000;

/** The count of `perf stat -x,`, or undefined where the processor's counters are not to be had. */
export function parsePerf(text: string): number | undefined {
  const line = text.split("\n").find((one) => one.includes("instructions"));
  const count = Number(line?.split(",")[0]);
  return line === undefined || !Number.isFinite(count) || count === 0 ? undefined : count;
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

async function perfCount(target: Target, block: number, operations: number): Promise<number> {
  const loadgen = join(import.meta.dirname, "..", "..", "build", "bench", "loadgen");
  const perf = ["perf", "stat", "-x,", "-e", "instructions:u", "-p", String(target.pid), "--"];
  const result = await run([...perf, loadgen, "run", ...words(target, block, operations)], { timeoutMs: TIMEOUT_MS });
  const count = parsePerf(result.stderr);
  if (result.code !== 0 || count === undefined) throw new Error(result.stderr.trim());
  return count;
}

async function callgrindCount(target: Target, folder: string, block: number, operations: number): Promise<number> {
  const before = new Set(readdirSync(folder));
  await runOrThrow(["callgrind_control", "-z", String(target.pid)], { timeoutMs: TIMEOUT_MS });
  await runLoadgen(words(target, block, operations), RUN_SECONDS);
  await runOrThrow(["callgrind_control", "-d", String(target.pid)], { timeoutMs: TIMEOUT_MS });
  const dumps = readdirSync(folder).filter((name) => !before.has(name));
  return dumps.map((name) => parseCallgrind(readFileSync(join(folder, name), "utf8"))).reduce((sum, one) => sum + one, 0);
}

/** Counts for every target; `tell` is given a line wherever something cannot be counted. `folder` holds callgrind's dumps. */
export async function countInstructions(
  targets: readonly TargetName[],
  files: readonly string[],
  folder: string,
  tell: (line: string) => void,
): Promise<readonly InstructionCount[]> {
  const perf = await hasPerfCounters();
  if (!perf && !(await hasCallgrind())) {
    tell("instructions: skipped; this needs perf with hardware counters, or valgrind");
    return [];
  }
  const counts: InstructionCount[] = [];
  for (const name of targets) {
    const prefix = ["valgrind", "--tool=callgrind", `--callgrind-out-file=${folder}/${name}.%p`, "--smc-check=all-non-file", "--quiet"];
    try {
      const target = await startTarget(name, files, perf ? {} : { prefix });
      try {
        for (const block of BLOCKS) {
          const count = (operations: number): Promise<number> =>
            perf ? perfCount(target, block, operations) : callgrindCount(target, folder, block, operations);
          const few = await count(FEW);
          const many = await count(MANY);
          counts.push({ target: name, what: `read ${sizeText(block)}`, instructions: (many - few) / (MANY - FEW) });
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
