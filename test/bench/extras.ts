import { setTimeout as sleep } from "node:timers/promises";
import { type Load, RACK_MACHINES, SHARERS } from "./cases.ts";
import type { Figures } from "./loadgen.ts";
import { Seat } from "./seat.ts";
import { median } from "./statistics.ts";
import { measureStress, type Stress } from "./stress.ts";

/** What is measured once for each target, beside the cases. */
export interface Extras {
  readonly restBytes: number;
  readonly peakBytes: number;
  /** Resident while 256 sessions read. */
  readonly busyBytes?: number;
  /** Share of one core that 40 sessions cost that do nothing. */
  readonly idleShare?: number;
  /** The p99 of nine quiet 4 KiB readers, alone and beside one session at depth 128 of 1 MiB reads. */
  readonly quietP99Microseconds?: number;
  readonly besideHogP99Microseconds?: number;
  /** Large reads with digests, as a share of those without; undefined where a target knows none. */
  readonly digestShare?: number;
  /** rackboot only: 4 KiB reads at depth 1, with the data threads' spin and without. */
  readonly spinningRate?: number;
  readonly sleepingRate?: number;
  /** The same of TCP alone, in turns with those two. */
  readonly rawRate?: number;
  /** rackboot only. */
  readonly stress?: Stress;
}

const MIB = 1024 ** 2;
const SECONDS = 1;
const IDLE_SECONDS = 3;
const BUSY_SESSIONS = 256;
const SAMPLE_MS = 100;

const CROWD: Load = { mode: "read", random: true, blockBytes: 4096, depth: 1, sessions: 9 };
const HOG: Load = { mode: "read", random: false, blockBytes: MIB, depth: 128, sessions: 1 };
const IDLE: Load = { mode: "idle", random: false, blockBytes: 4096, depth: 1, sessions: RACK_MACHINES, disks: SHARERS };
const BUSY: Load = { mode: "read", random: false, blockBytes: 128 * 1024, depth: 2, sessions: BUSY_SESSIONS, disks: SHARERS };
const STREAM: Load = { mode: "read", random: false, blockBytes: 128 * 1024, depth: 32, sessions: 1 };
const SINGLE: Load = { mode: "read", random: true, blockBytes: 4096, depth: 1, sessions: 1 };

const worked = (figures: Figures | string): figures is Figures => typeof figures !== "string";

/** The most that was resident while `work` went on. */
async function residentDuring(seat: Seat, work: Promise<unknown>): Promise<number> {
  let most = 0;
  let going = true;
  const ended = work.finally(() => {
    going = false;
  });
  while (going) {
    most = Math.max(most, seat.residentBytes);
    await sleep(SAMPLE_MS);
  }
  await ended;
  return most;
}

/** The medians of rates of loads that take turns; empty where one of them does not work. */
async function ratesOf(runs: readonly (readonly [Seat, Load])[], rounds: number): Promise<readonly number[]> {
  const rates = runs.map((): number[] => []);
  for (let round = 0; round < rounds; round++) {
    for (const [index, [seat, load]] of runs.entries()) {
      const figures = await seat.measure(load, SECONDS);
      if (!worked(figures)) return [];
      rates[index]?.push(figures.operationsPerSecond);
    }
  }
  return rates.map(median);
}

/** What the data threads' spin is worth, and what TCP leaves: a second daemon goes without spinning, and a server without a disk. */
async function spinRates(seat: Seat, rounds: number): Promise<Partial<Extras>> {
  const sleeper = seat.another({ environment: { RACKBOOT_SPIN_US: "0" } });
  const raw = new Seat("raw", []);
  try {
    const [spinningRate, sleepingRate, rawRate] = await ratesOf([[seat, SINGLE], [sleeper, SINGLE], [raw, SINGLE]], rounds); // biome-ignore format: pairs
    return {
      ...(spinningRate !== undefined && { spinningRate }),
      ...(sleepingRate !== undefined && { sleepingRate }),
      ...(rawRate !== undefined && { rawRate }),
    };
  } finally {
    await sleeper.stop();
    await raw.stop();
  }
}

/** Memory, what sessions cost that do nothing, who waits for whom, and what disturbs. */
export async function measureExtras(seat: Seat, quick: boolean): Promise<Extras> {
  const rounds = quick ? 2 : 5;
  const idle = await seat.measure(IDLE, IDLE_SECONDS);
  const quiet = await seat.measure(CROWD, SECONDS);
  const [beside] = await Promise.all([seat.measure(CROWD, SECONDS), seat.measure(HOG, SECONDS + 1)]);
  const [plain, digested] = await ratesOf([[seat, STREAM], [seat, { ...STREAM, digests: true }]], rounds); // biome-ignore format: pairs
  const ours = seat.name === "rackboot";
  // Peers may take minutes for the logins alone.
  const crowded = ours ? seat.measure(BUSY, SECONDS + 1) : Promise.resolve("not asked for");
  const busyBytes = await residentDuring(seat, crowded);
  const stress = ours ? await measureStress(seat, quick) : undefined;
  return {
    restBytes: seat.restBytes,
    peakBytes: seat.peakBytes,
    ...(worked(await crowded) && { busyBytes }),
    ...(worked(idle) && { idleShare: idle.serverCpuSeconds / idle.seconds }),
    ...(worked(quiet) && { quietP99Microseconds: quiet.latencyMicroseconds.p99 }),
    ...(worked(beside) && { besideHogP99Microseconds: beside.latencyMicroseconds.p99 }),
    ...(plain !== undefined && digested !== undefined && { digestShare: digested / plain }),
    ...(ours && (await spinRates(seat, rounds))),
    ...(stress !== undefined && { stress }),
  };
}
