import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Load } from "./cases.ts";
import { RELOADS } from "./goals.ts";
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
/** The machines that read are elsewhere: how long their part of this machine's cores waits behind JavaScript is no figure of the server's. */
const CLIENT_PRIORITY = process.getuid?.() === 0 ? ["chrt", "--rr", "1"] : [];
/** Of a round's time: what is asked for is over before the reads are. */
const BUSY_SHARE = 0.95;
/** Signals that come while JavaScript is busy are one: so many more are sent than are asked for. */
const RESERVE = 1.1;
const SETTLE_MS = 250;

/** Configurations that were put in force, in the daemon's own count. A scrape is work for it: never asked for while reads are measured. */
async function loadsOf(url: string): Promise<number> {
  const text = await (await fetch(url)).text();
  return Number(/^rackboot_events_total\{type="config\.loaded",reason=""\} (\d+)$/m.exec(text)?.[1] ?? 0);
}

/** Changes every machine's kernel line `times` times, spread evenly over `seconds`. */
async function reload(target: Target, times: number, seconds: number): Promise<void> {
  const file = join(target.folder, "rackboot.yaml");
  const configuration = JSON.parse(readFileSync(file, "utf8")) as { machines: Record<string, { arguments?: string }> };
  const start = performance.now();
  for (let change = 0; change < times; change++) {
    await sleep(Math.max(0, start + (change / times) * seconds * 1000 - performance.now()));
    for (const machine of Object.values(configuration.machines)) machine.arguments = `change=${start}.${change}`;
    writeFileSync(`${file}.new`, JSON.stringify(configuration));
    renameSync(`${file}.new`, file);
    process.kill(target.pid, "SIGHUP");
  }
}

/** Undefined where the load does not work. */
export async function measureStress(seat: Seat, quick: boolean): Promise<Stress | undefined> {
  const seconds = quick ? 8 : 12;
  const rounds = quick ? 3 : 4;
  const times = Math.ceil((RELOADS * RESERVE) / rounds);
  const disturbed = seat.another({ nodeFlags: ["--expose-gc", "--import", join(import.meta.dirname, "forced-gc.ts")], http: true });
  try {
    const target = await disturbed.target();
    const url = target.metricsUrl;
    if (url === undefined) return undefined;
    const quiet: number[] = [];
    const stressed: number[] = [];
    const first = await loadsOf(url);
    for (let round = 0; round < rounds; round++) {
      const alone = await disturbed.measure(READS, seconds, CLIENT_PRIORITY);
      process.kill(target.pid, "SIGUSR2");
      const [beside] = await Promise.all([disturbed.measure(READS, seconds, CLIENT_PRIORITY), reload(target, times, seconds * BUSY_SHARE)]);
      process.kill(target.pid, "SIGUSR2");
      if (typeof alone === "string" || typeof beside === "string") return undefined;
      quiet.push(alone.latencyMicroseconds.p99);
      stressed.push(beside.latencyMicroseconds.p99);
    }
    await sleep(SETTLE_MS);
    return { quietP99Microseconds: median(quiet), stressedP99Microseconds: median(stressed), reloads: (await loadsOf(url)) - first };
  } finally {
    await disturbed.stop();
  }
}
