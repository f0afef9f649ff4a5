/**
 * HTTP beside nginx, in one interleaved run over loopback by curl: one cached file of 1 GiB, and forty downloads at once; how fast,
 * how even, and what memory and processor time the server takes for it. Needs root.
 * Usage: node test/bench/http.ts [--help] [--quick]
 * Writes test/bench/results/<host>/http.json, .txt, .svg and .md. Exit code: 0 reached, 1 failed or not reached, 2 usage.
 */
import { randomBytes } from "node:crypto";
import { appendFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { runOrThrow } from "../harness/process.ts";
import { Resources } from "../harness/resources.ts";
import { type Goal, writeFigures } from "./file-figures.ts";
import { type FileServer, type FileServerName, HTTP_PORT, startFileServer } from "./file-servers.ts";
import type { BarChart } from "./plot.ts";
import { cpuSeconds, memoryOf } from "./processes.ts";
import { Progress } from "./progress.ts";
import { compact, median } from "./statistics.ts";
import { renderTable } from "./table.ts";

const MIB = 1024 ** 2;
const GIB = 1024 ** 3;
const CLIENTS = 40;
const SIZES = { large: GIB, small: 128 * MIB } as const;
const SERVERS = ["rackboot", "nginx"] as const;
/** The figures to reach. */
const BYTES_PER_SECOND = 1e9;
/** "Flat": no more than one download's buffers, however large the file. */
const MEMORY_BYTES = 16 * MIB;
/**
 * The slowest of forty by the median of them: nobody starves. The first is no measure, since it has the wire for itself until the
 * others have begun.
 */
const EVEN = 1.25;

/** Of one run: one download, and then many at once. */
interface Run {
  readonly bytesPerSecond: number;
  readonly cpuPerGib: number;
  readonly manyBytesPerSecond: number;
  readonly manyCpuPerGib: number;
  /** Seconds of the slowest of those at once, by their median. */
  readonly uneven: number;
}

interface Figures extends Run {
  readonly server: FileServerName;
  /** Resident memory after all runs, less what it was after the first download. */
  readonly memoryBytes: number;
}

/** Fetches one file so many times at once, each from an address of its own as a rack does; seconds that each one took. */
async function fetchAtOnce({ address }: FileServer, name: keyof typeof SIZES, count: number): Promise<readonly number[]> {
  const url = `http://${address}:${HTTP_PORT}/${name}`;
  const words = Array.from({ length: count }, (_, index) => [
    ...(index === 0 ? [] : ["--next"]),
    ...["-sS", "--interface", `127.78.0.${index + 1}`, "-w", "%{http_code} %{size_download} %{time_total}\\n", "-o", "/dev/null", url],
  ]);
  const parallel = ["--parallel", "--parallel-immediate", "--parallel-max", String(count)];
  const stdout = await runOrThrow(["curl", ...(count > 1 ? parallel : []), ...words.flat()], { timeoutMs: 120_000 });
  const lines = stdout.trim().split("\n");
  if (lines.length !== count || lines.some((line) => !line.startsWith(`200 ${SIZES[name]} `))) {
    throw new Error(`curl did not get everything: ${stdout}`);
  }
  return lines.map((line) => Number(line.split(" ")[2]));
}

/** Seconds of every download, and the server's processor time for each GiB of them. */
async function timed(server: FileServer, name: keyof typeof SIZES, count: number): Promise<[seconds: readonly number[], cpu: number]> {
  const before = cpuSeconds(server.pid);
  const seconds = await fetchAtOnce(server, name, count);
  return [seconds, (cpuSeconds(server.pid) - before) / ((SIZES[name] * count) / GIB)];
}

async function measure(server: FileServer): Promise<Run> {
  const [[seconds = Number.NaN], cpuPerGib] = await timed(server, "large", 1);
  const [many, manyCpuPerGib] = await timed(server, "small", CLIENTS);
  const slowest = Math.max(...many);
  return {
    bytesPerSecond: SIZES.large / seconds,
    cpuPerGib,
    manyBytesPerSecond: (CLIENTS * SIZES.small) / slowest,
    manyCpuPerGib,
    uneven: slowest / median(many),
  };
}

function middle(server: FileServerName, runs: readonly Run[], memoryBytes: number): Figures {
  const of = (key: keyof Run): number => median(runs.map((run) => run[key]));
  return {
    server,
    bytesPerSecond: of("bytesPerSecond"),
    cpuPerGib: of("cpuPerGib"),
    manyBytesPerSecond: of("manyBytesPerSecond"),
    manyCpuPerGib: of("manyCpuPerGib"),
    uneven: of("uneven"),
    memoryBytes,
  };
}

/** Writes and prints it; whether all of it is as it should be. */
function report(all: readonly Figures[]): boolean {
  const [ours, ...peers] = all;
  if (ours === undefined) throw new RangeError("nothing was measured");
  const goals: readonly Goal[] = [
    [`${compact(ours.bytesPerSecond / 1e6)} MB/s, at least ${BYTES_PER_SECOND / 1e6}`, ours.bytesPerSecond >= BYTES_PER_SECOND],
    [`memory grew by ${compact(ours.memoryBytes / MIB)} MiB, at most ${MEMORY_BYTES / MIB}`, ours.memoryBytes <= MEMORY_BYTES],
    [`the slowest of ${CLIENTS} took ${ours.uneven.toFixed(2)} x their median, at most ${EVEN} x`, ours.uneven <= EVEN],
  ];
  const table = renderTable(
    ["", "MB/s", "CPU s a GiB", `${CLIENTS} at once, MB/s`, "CPU s a GiB", "slowest by median", "memory, MiB"],
    all.map((each) => [
      each.server,
      compact(each.bytesPerSecond / 1e6),
      compact(each.cpuPerGib),
      compact(each.manyBytesPerSecond / 1e6),
      compact(each.manyCpuPerGib),
      each.uneven.toFixed(2),
      compact(each.memoryBytes / MIB),
    ]),
  );
  const bars = (title: string, unit: string, value: (each: Figures) => number): BarChart => {
    return { title, unit, bars: all.map((each) => ({ name: each.server, value: value(each) })) };
  };
  const rates = (value: (each: Figures) => number): string => {
    return `${compact(value(ours))} MB/s (${peers.map((peer) => `${peer.server} ${compact(value(peer))}`).join(", ")})`;
  };
  const one = rates(({ bytesPerSecond }) => bytesPerSecond / 1e6);
  const many = rates(({ manyBytesPerSecond }) => manyBytesPerSecond / 1e6);
  return writeFigures({
    name: "http",
    heading: `HTTP over loopback by curl, medians of runs in turn: a cached file of ${SIZES.large / MIB} MiB, and ${CLIENTS} downloads of ${SIZES.small / MIB} MiB at once.`,
    table,
    goals,
    summary: `HTTP (\`make bench-http\`): a cached gigabyte at ${one}; ${CLIENTS} downloads at once ${many}, the slowest in ${ours.uneven.toFixed(2)} times their median.`,
    charts: [
      bars("one download of a cached file", "MB/s", ({ bytesPerSecond }) => bytesPerSecond / 1e6),
      bars(`${CLIENTS} downloads at once`, "MB/s", ({ manyBytesPerSecond }) => manyBytesPerSecond / 1e6),
      bars(`${CLIENTS} downloads at once: processor time`, "s a GiB", ({ manyCpuPerGib }) => manyCpuPerGib),
    ],
    results: all,
    isWhole: true,
  });
}

const HELP = `Usage: node test/bench/http.ts [--help] [--quick]
  --quick   one run instead of the median of five`;

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { help: { type: "boolean" }, quick: { type: "boolean", default: false } } });
  if (values.help === true) return console.log(HELP);
  if (process.getuid?.() !== 0) throw new Error("port 80 takes root; run this as root");
  const repeats = values.quick ? 1 : 5;
  const resources = new Resources();
  try {
    const root = mkdtempSync(join(tmpdir(), "rackboot-bench-files-"));
    resources.defer(root, () => rmSync(root, { recursive: true, force: true }));
    for (const [name, sizeBytes] of Object.entries(SIZES)) {
      for (let at = 0; at < sizeBytes; at += 64 * MIB) appendFileSync(join(root, name), randomBytes(64 * MIB));
    }
    const seats: { server: FileServer; restBytes: number; runs: Run[] }[] = [];
    for (const name of SERVERS) {
      const server = await startFileServer(resources, name, root);
      await fetchAtOnce(server, "large", 1);
      seats.push({ server, restBytes: memoryOf(server.pid, "VmRSS"), runs: [] });
    }
    const progress = new Progress(repeats * seats.length);
    for (let repeat = 1; repeat <= repeats; repeat++) {
      progress.begin(`run ${repeat}`);
      for (const { server, runs } of seats) {
        runs.push(await measure(server));
        progress.step(server.name);
      }
    }
    progress.stop();
    const all = seats.map(({ server, restBytes, runs }) => middle(server.name, runs, memoryOf(server.pid, "VmRSS") - restBytes));
    if (!report(all)) process.exitCode = 1;
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
