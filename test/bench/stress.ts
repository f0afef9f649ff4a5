import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Load } from "./cases.ts";
import type { Seat } from "./seat.ts";
import { median } from "./statistics.ts";
import type { Target } from "./targets.ts";

/** What a busy JavaScript thread does to the data path beside it: 4 KiB reads in quiet rounds and stressed ones, in turns. */
export interface Stress {
  readonly quietP99Microseconds: number;
  readonly stressedP99Microseconds: number;
  /** How often the configuration was read anew in the stressed rounds. */
  readonly reloads: number;
}

const READS: Load = { mode: "read", random: true, blockBytes: 4096, depth: 1, sessions: 4 };
const RELOADS = 1000;
const RELOAD_TIMEOUT_MS = 2000;
const POLL_MS = 2;

/** Configurations that were put in force, in the daemon's own count. */
async function loadsOf(url: string): Promise<number> {
  const text = await (await fetch(url)).text();
  return Number(/^rackboot_events_total\{type="config\.loaded",reason=""\} (\d+)$/m.exec(text)?.[1] ?? 0);
}

/** Changes a machine's kernel line again and again until `going` says no; returns how often that was put in force. */
async function reloadWhile(target: Target, url: string, going: () => boolean): Promise<number> {
  const file = join(target.folder, "rackboot.yaml");
  const configuration = JSON.parse(readFileSync(file, "utf8")) as { machines: Record<string, { arguments?: string }> };
  const first = await loadsOf(url);
  let loads = first;
  for (let change = 0; going() && loads - first < RELOADS; change++) {
    for (const machine of Object.values(configuration.machines)) machine.arguments = `change=${change}`;
    writeFileSync(`${file}.new`, JSON.stringify(configuration));
    renameSync(`${file}.new`, file);
    process.kill(target.pid, "SIGHUP");
    const before = loads;
    for (const end = Date.now() + RELOAD_TIMEOUT_MS; loads === before && Date.now() < end; await sleep(POLL_MS)) loads = await loadsOf(url);
  }
  return loads - first;
}

/** Undefined where the load does not work. */
export async function measureStress(seat: Seat, quick: boolean): Promise<Stress | undefined> {
  const seconds = quick ? 3 : 15;
  const rounds = quick ? 2 : 5;
  const disturbed = seat.another({ nodeFlags: ["--expose-gc", "--import", join(import.meta.dirname, "forced-gc.ts")], http: true });
  try {
    const target = await disturbed.target();
    const url = target.metricsUrl;
    if (url === undefined) return undefined;
    const quiet: number[] = [];
    const stressed: number[] = [];
    let reloads = 0;
    for (let round = 0; round < rounds; round++) {
      const alone = await disturbed.measure(READS, seconds);
      process.kill(target.pid, "SIGUSR2");
      let going = true;
      const reloading = reloadWhile(target, url, () => going);
      const beside = await disturbed.measure(READS, seconds);
      going = false;
      reloads += await reloading;
      process.kill(target.pid, "SIGUSR2");
      if (typeof alone === "string" || typeof beside === "string") return undefined;
      quiet.push(alone.latencyMicroseconds.p99);
      stressed.push(beside.latencyMicroseconds.p99);
    }
    return { quietP99Microseconds: median(quiet), stressedP99Microseconds: median(stressed), reloads };
  } finally {
    await disturbed.stop();
  }
}
