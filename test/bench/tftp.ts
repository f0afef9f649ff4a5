/**
 * TFTP beside atftpd, tftpd-hpa and dnsmasq, in one interleaved run over loopback: a file of 100 MiB in lock step and in windows, on a
 * wire that loses blocks, and to forty clients at once. Every octet is compared. Needs root. Usage: node test/bench/tftp.ts [--help]
 * [--quick] [--only TEXT]
 * Writes test/bench/results/<host>/tftp.json, .txt, .svg and .md. Exit code: 0 reached, 1 failed or not reached, 2 usage.
 */
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { run, runOrThrow } from "../harness/process.ts";
import { Resources } from "../harness/resources.ts";
import { type Goal, writeFigures } from "./file-figures.ts";
import { type FileServer, type FileServerName, startFileServer, TFTP_PORT } from "./file-servers.ts";
import type { BarChart } from "./plot.ts";
import { cpuSeconds } from "./processes.ts";
import { Progress } from "./progress.ts";
import { compact } from "./statistics.ts";
import { renderTable } from "./table.ts";

const MIB = 1024 ** 2;
const GIB = 1024 ** 3;
const CLIENT = join(import.meta.dirname, "..", "..", "build", "bench", "tftp-client");
/** A peer that is slower than this on a lossy wire is told by how far it came. */
const TIMEOUT_SECONDS = 60;
const SIZES = { large: 100 * MIB, small: 10 * MIB } as const;
const MACHINES = 40;

interface Case {
  readonly title: string;
  readonly file: keyof typeof SIZES;
  readonly words: readonly string[];
  readonly servers: readonly FileServerName[];
  /** Median of so many runs, servers in turn. */
  readonly repeats: number;
}

interface Result {
  readonly title: string;
  readonly server: FileServerName;
  readonly bytesPerSecond: number;
  /** DATA packets for each that is needed. */
  readonly packets: number;
  /** NaN where it cannot be told. */
  readonly cpuPerGib: number;
  readonly isIntact: boolean;
}

const ALL = ["rackboot", "atftpd", "tftpd-hpa", "dnsmasq"] as const;
const WINDOWED = ["rackboot", "atftpd"] as const;
/** Has a process for each transfer, and does not wait for them: what they took is nowhere. */
const UNCOUNTED: ReadonlySet<FileServerName> = new Set(["tftpd-hpa"]);
const WINDOWS = [8, 16, 64] as const;
const LOCK_STEP = "lock step";
const LOST = "windowsize 8, 1 % lost";
const MANY = `${MACHINES} at once, windowsize 8 where known`;
const MANY_LOCK_STEP = `${MACHINES} at once, lock step`;
/** The client's further words, and the most packets a block that are allowed. */
const OURS_ON_BAD_WIRES: Readonly<Record<string, readonly [words: readonly string[], most: number]>> = {
  "windowsize 8, 5 % lost": [[], 1.3],
  "the same, every block behind a hole answered": [["--answers", "always"], 1.3],
  // Five of a hundred on either way: nobody promised anything, but it should not run away.
  "the same, ACKs lost, too": [["--answers", "always", "--ack-loss", "5"], 1.4],
};

function casesOf(repeats: number): readonly Case[] {
  const windows = (windowsize: number, ...words: string[]): string[] => ["--windowsize", String(windowsize), ...words];
  const large = { file: "large", repeats } as const;
  const small = { file: "small", servers: ALL, repeats } as const;
  return [
    { title: LOCK_STEP, words: [], servers: ALL, ...large },
    ...WINDOWS.map((size): Case => ({ title: `windowsize ${size}`, words: windows(size), servers: WINDOWED, ...large })),
    // A slow peer takes its minute.
    { title: LOST, words: windows(8, "--loss", "1"), servers: WINDOWED, file: "large", repeats: 1 },
    ...Object.entries(OURS_ON_BAD_WIRES).map(([title, [words]]): Case => {
      return { title, words: windows(8, "--loss", "5", ...words), servers: ["rackboot"], file: "large", repeats: Math.min(repeats, 2) };
    }),
    { title: MANY_LOCK_STEP, words: ["--sessions", String(MACHINES)], ...small },
    { title: MANY, words: windows(8, "--sessions", String(MACHINES)), ...small },
  ];
}

interface ClientReport {
  readonly seconds: number;
  readonly bytes: number;
  readonly sessions: number;
  readonly finished: number;
  readonly wrong: number;
  readonly blocks: number;
  readonly dataPackets: number;
}

/** `seed` decides which packets are lost. */
async function measure(server: FileServer, one: Case, root: string, seed: number): Promise<Result> {
  const cpuBefore = cpuSeconds(server.pid);
  const times = ["--timeout", String(TIMEOUT_SECONDS), "--seed", String(seed)];
  const words = [server.address, String(TFTP_PORT), one.file, join(root, one.file), ...times, ...one.words];
  const { stdout, stderr } = await run([CLIENT, ...words], { timeoutMs: (TIMEOUT_SECONDS + 30) * 1000 });
  if (stdout === "") throw new Error(`the client failed: ${stderr}`);
  const report = JSON.parse(stdout) as ClientReport;
  const isIntact = report.finished === report.sessions && report.wrong === 0;
  // Of a transfer that did not end, what came.
  const bytes = isIntact ? report.bytes : Math.min(report.dataPackets / report.blocks, 1) * SIZES[one.file] * report.sessions;
  return {
    title: one.title,
    server: server.name,
    bytesPerSecond: bytes / report.seconds,
    packets: report.dataPackets / report.blocks,
    cpuPerGib: UNCOUNTED.has(server.name) ? Number.NaN : (cpuSeconds(server.pid) - cpuBefore) / (bytes / GIB),
    isIntact,
  };
}

/** The run with the median rate; the worst of the packets, since a promise is for every transfer. */
function median(results: readonly Result[]): Result {
  const sorted = [...results].sort((left, right) => left.bytesPerSecond - right.bytesPerSecond);
  const middle = sorted[Math.floor(sorted.length / 2)];
  if (middle === undefined) throw new RangeError("nothing was measured");
  return { ...middle, packets: Math.max(...results.map(({ packets }) => packets)), isIntact: results.every(({ isIntact }) => isIntact) };
}

class Results {
  readonly all: Result[] = [];

  of(title: string, server: FileServerName): Result | undefined {
    return this.all.find((each) => each.title === title && each.server === server);
  }

  /** Ours beside every peer that was measured. */
  times(title: string, least: number, peers: readonly FileServerName[] = ALL): readonly Goal[] {
    const ours = this.of(title, "rackboot");
    return peers.flatMap((peer): Goal[] => {
      const theirs = this.of(title, peer);
      if (peer === "rackboot" || ours === undefined || theirs === undefined) return [];
      const factor = ours.bytesPerSecond / theirs.bytesPerSecond;
      return [[`${title}: ${factor.toFixed(2)} x ${peer}, at least ${least} x`, factor >= least]];
    });
  }

  fewPackets(title: string, most: number): readonly Goal[] {
    const ours = this.of(title, "rackboot");
    if (ours === undefined) return [];
    const { packets, isIntact } = ours;
    const what = `${isIntact ? "intact" : "NOT intact"}, ${packets.toFixed(3)} packets a block, at most ${most}`;
    return [[`${title}: ${what}`, isIntact && packets <= most]];
  }

  lessCpu(title: string, peer: FileServerName): readonly Goal[] {
    const [ours, theirs] = [this.of(title, "rackboot")?.cpuPerGib, this.of(title, peer)?.cpuPerGib];
    if (ours === undefined || theirs === undefined) return [];
    return [[`${title}: ${compact(ours)} s of CPU a GiB, less than ${peer}'s ${compact(theirs)}`, ours < theirs]];
  }

  goals(): readonly Goal[] {
    return [
      ...this.times(LOCK_STEP, 1),
      ...WINDOWS.flatMap((size) => this.times(`windowsize ${size}`, 1.2)),
      ...this.times(LOST, 20),
      ...Object.entries(OURS_ON_BAD_WIRES).flatMap(([title, [, most]]) => this.fewPackets(title, most)),
      ...this.times(MANY, 2, ["dnsmasq"]),
      ...this.lessCpu(MANY, "dnsmasq"),
    ];
  }

  chart(title: string): readonly BarChart[] {
    const found = this.all.filter((each) => each.title === title);
    const bars = found.map(({ server, bytesPerSecond }) => ({ name: server, value: bytesPerSecond / 1e6 }));
    return bars.length < 2 ? [] : [{ title, unit: "MB/s", bars }];
  }

  processorChart(title: string): readonly BarChart[] {
    const found = this.all.filter((each) => each.title === title && !Number.isNaN(each.cpuPerGib));
    const bars = found.map(({ server, cpuPerGib }) => ({ name: server, value: cpuPerGib }));
    return bars.length < 2 ? [] : [{ title: `${title}: processor time`, unit: "s a GiB", bars }];
  }

  /** `lock step 30.1 MB/s (atftpd 26.0, dnsmasq 26.2)`. */
  words(title: string): string {
    const rate = (result: Result | undefined): string => compact((result?.bytesPerSecond ?? Number.NaN) / 1e6);
    const peers = this.all.filter((each) => each.title === title && each.server !== "rackboot");
    return `${title} ${rate(this.of(title, "rackboot"))} MB/s (${peers.map((peer) => `${peer.server} ${rate(peer)}`).join(", ")})`;
  }
}

/** Writes and prints it; whether all of it is as it should be. */
function report(results: Results, cases: readonly Case[], isWhole: boolean): boolean {
  const rows = results.all.map((each) => [
    `${each.title}, ${each.server}`,
    compact(each.bytesPerSecond / 1e6),
    each.packets.toFixed(3),
    compact(each.cpuPerGib),
    each.isIntact ? "yes" : "NO",
  ]);
  const compared = cases.filter(({ servers }) => servers.length > 1).map(({ title }) => title);
  return writeFigures({
    name: "tftp",
    heading: `TFTP over loopback, blksize 1468, ${SIZES.large / MIB} MiB (${MACHINES} at once: ${SIZES.small / MIB} MiB each). Blocks are lost at the client, which
compares every octet. Medians of runs in turn; of packets a block the most.`,
    table: renderTable(["", "MB/s", "packets a block", "CPU s a GiB", "intact"], rows),
    goals: results.goals(),
    summary: `TFTP (\`make bench-tftp\`): ${compared.map((title) => results.words(title)).join("; ")}.`,
    charts: [...compared.flatMap((title) => results.chart(title)), ...results.processorChart(MANY)],
    results: results.all,
    isWhole,
  });
}

const HELP = `Usage: node test/bench/tftp.ts [--help] [--quick] [--only TEXT]
  --quick       one run of each instead of the median of three
  --only TEXT   the cases whose name begins so; nothing is written then`;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { help: { type: "boolean" }, quick: { type: "boolean", default: false }, only: { type: "string", default: "" } },
  });
  if (values.help === true) return console.log(HELP);
  if (process.getuid?.() !== 0) throw new Error("port 69 takes root; run this as root");
  await runOrThrow(["make", "--no-print-directory", "-C", join(import.meta.dirname, "tftp")], { timeoutMs: 120_000 });
  const resources = new Resources();
  try {
    const root = mkdtempSync(join(tmpdir(), "rackboot-bench-files-"));
    resources.defer(root, () => rmSync(root, { recursive: true, force: true }));
    for (const [name, sizeBytes] of Object.entries(SIZES)) writeFileSync(join(root, name), randomBytes(sizeBytes));
    const servers: FileServer[] = [];
    for (const name of ALL) servers.push(await startFileServer(resources, name, root));
    const cases = casesOf(values.quick ? 1 : 3).filter(({ title }) => title.startsWith(values.only));
    const progress = new Progress(cases.reduce((sum, one) => sum + one.repeats * one.servers.length, 0));
    const results = new Results();
    for (const one of cases) {
      progress.begin(one.title);
      const runs = new Map<FileServerName, Result[]>();
      for (let repeat = 1; repeat <= one.repeats; repeat++) {
        for (const server of servers.filter(({ name }) => one.servers.includes(name))) {
          runs.set(server.name, [...(runs.get(server.name) ?? []), await measure(server, one, root, repeat)]);
          progress.step(server.name);
        }
      }
      for (const each of runs.values()) results.all.push(median(each));
    }
    progress.stop();
    if (!report(results, cases, values.only === "")) process.exitCode = 1;
  } finally {
    await resources.close();
  }
}

try {
  await main();
} catch (error) {
  const isUsage = (error as { code?: string }).code?.startsWith("ERR_PARSE_ARGS") === true;
  console.error(isUsage ? `${(error as Error).message}\n${HELP}` : error);
  process.exitCode = isUsage ? 2 : 1;
}
