/**
 * Ways to flush a rack's disks that share one file system, beside each other and without a network: why the data plane does it as it does.
 * XFS on a loop device with direct I/O where root may make one. Usage: node test/bench/flushes.ts [--seconds S] [--rounds N]
 * Writes test/bench/results/<processor>/flushes.txt. Exit code: 0 measured, 1 failed, 2 usage.
 */
import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { runOrThrow } from "../harness/process.ts";
import { Resources } from "../harness/resources.ts";
import { describeHost, hostLine, hostName } from "./host.ts";
import { preparePlace } from "./places.ts";
import { compact, median, summarize } from "./statistics.ts";
import { renderTable } from "./table.ts";

interface Way {
  readonly name: string;
  readonly words: readonly [way: string, workers: string];
}

interface Run {
  readonly rate: number;
  readonly p50Microseconds: number;
  readonly p99Microseconds: number;
  /** Of the whole machine: what the disk's driver does is part of it. */
  readonly cpuPerMillion: number;
  readonly deviceFlushesPerOperation: number;
}

const WAYS: readonly Way[] = [
  { name: "io_uring, as many waiting as the kernel lets", words: ["ring", "0"] },
  { name: "io_uring, 16 waiting", words: ["ring", "16"] },
  { name: "io_uring, 64 waiting (the data plane)", words: ["ring", "64"] },
  { name: "the same, writeback begun first", words: ["early", "64"] },
  { name: "the same, a batch after the other", words: ["batch", "64"] },
  { name: "40 threads", words: ["threads", "40"] },
  { name: "one syncfs for all that wait", words: ["syncfs", "1"] },
];
/** In the stat file of a block device: flush requests that the device has completed. */
const FLUSHES_FIELD = 15;
const root = join(import.meta.dirname, "..", "..");

function busyMs(): number {
  return cpus().reduce((sum, { times }) => sum + times.user + times.nice + times.sys + times.irq, 0);
}

function deviceFlushes(file: string): number {
  const { dev } = statSync(file);
  const [major, minor] = [(dev >> 8) & 0xfff, (dev & 0xff) | ((dev >> 12) & 0xfff00)];
  return Number(readFileSync(`/sys/dev/block/${major}:${minor}/stat`, "utf8").trim().split(/\s+/)[FLUSHES_FIELD]);
}

async function runOnce({ words }: Way, seconds: number, files: readonly string[]): Promise<Run> {
  const [file = ""] = files;
  const [busy, flushes] = [busyMs(), deviceFlushes(file)];
  const stdout = await runOrThrow([join(root, "build", "bench", "flush-ways"), ...words, String(seconds), ...files]);
  const [operations = 0, took = 1, p50Microseconds = 0, p99Microseconds = 0] = stdout.trim().split(" ").map(Number);
  return {
    rate: operations / took,
    p50Microseconds,
    p99Microseconds,
    cpuPerMillion: ((busyMs() - busy) / 1000 / operations) * 1e6,
    deviceFlushesPerOperation: (deviceFlushes(file) - flushes) / operations,
  };
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { seconds: { type: "string", default: "1" }, rounds: { type: "string", default: "5" } } });
  await runOrThrow(["make", "--no-print-directory", "-C", join(import.meta.dirname, "flush")], { timeoutMs: 120_000 });
  const resources = new Resources();
  try {
    const place = await preparePlace(resources, "rack", 0, join(root, "build", "bench"));
    const runs = new Map<Way, Run[]>(WAYS.map((way) => [way, []]));
    for (let round = 0; round < Number(values.rounds); round++) {
      for (const way of WAYS) runs.get(way)?.push(await runOnce(way, Number(values.seconds), place.files));
      console.log(`round ${round + 1} of ${values.rounds}`);
    }
    const rows = [...runs].map(([{ name }, all]) => {
      const rate = summarize(all.map((run) => run.rate));
      const middle = (pick: (run: Run) => number): string => compact(median(all.map(pick)));
      return [
        name,
        compact(rate.median),
        `${Math.round(rate.spread * 100)} %`,
        `${middle((run) => run.p50Microseconds)} / ${middle((run) => run.p99Microseconds)}`,
        middle((run) => run.cpuPerMillion),
        middle((run) => run.deviceFlushesPerOperation),
      ];
    });
    const header = [
      "40 files, 16 KiB written and flushed",
      "op/s",
      "spread",
      "p50 / p99, us",
      "machine's CPU s per million",
      "device flushes per op",
    ];
    const host = describeHost();
    const text = `${hostLine(host)}\n${place.description}; medians of ${values.rounds} interleaved rounds of ${values.seconds} s.\n\n${renderTable(header, rows)}\n`;
    const folder = join(import.meta.dirname, "results", hostName(host));
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "flushes.txt"), text);
    console.log(`\n${text}`);
  } finally {
    await resources.close();
  }
}

try {
  await main();
} catch (error) {
  const isUsage = (error as { code?: string }).code?.startsWith("ERR_PARSE_ARGS") === true;
  console.error(`flushes: ${(error as Error).message}`);
  process.exitCode = isUsage ? 2 : 1;
}
