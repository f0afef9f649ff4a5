/**
 * TFTP beside atftpd and dnsmasq, in one run over loopback: a file of 100 MiB in lock step and in windows, on a wire that
 * loses blocks, and to forty clients at once. Every octet is compared. Needs root. Usage: node test/bench/tftp.ts [--help] [--quick]
 * Writes test/bench/results/<host>/tftp.json and tftp.txt. Exit code: 0 reached, 1 failed or not reached, 2 usage.
 */
import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { run, runOrThrow } from "../harness/process.ts";
import { Resources } from "../harness/resources.ts";
import { type FileServer, type FileServerName, startFileServer, TFTP_PORT } from "./file-servers.ts";
import { describeHost, hostLine, hostName } from "./host.ts";
import { cpuSeconds } from "./processes.ts";
import { compact } from "./statistics.ts";
import { renderTable } from "./table.ts";

const MIB = 1024 ** 2;
const GIB = 1024 ** 3;
const CLIENT = join(import.meta.dirname, "..", "..", "build", "bench", "tftp-client");
/** A peer that is slower than this on a lossy wire is told by how far it came. */
const TIMEOUT_SECONDS = 60;

interface Case {
  readonly title: string;
  readonly file: "large" | "small";
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
  readonly cpuPerGib: number;
  readonly isIntact: boolean;
}

const ALL = ["rackboot", "atftpd", "dnsmasq"] as const;
const WINDOWED = ["rackboot", "atftpd"] as const;

function casesOf(repeats: number): readonly Case[] {
  const windows = (windowsize: number, ...words: string[]): string[] => ["--windowsize", String(windowsize), ...words];
  return [
    { title: "lock step", file: "large", words: [], servers: ALL, repeats },
    ...[8, 16, 64].map((size): Case => ({ title: `windowsize ${size}`, file: "large", words: windows(size), servers: WINDOWED, repeats })),
    { title: "windowsize 8, 1 % lost", file: "large", words: windows(8, "--loss", "1"), servers: WINDOWED, repeats: 1 },
    { title: "windowsize 8, 5 % lost", file: "large", words: windows(8, "--loss", "5"), servers: ["rackboot"], repeats: 1 },
    {
      title: "the same, every block behind a hole answered",
      file: "large",
      words: windows(8, "--loss", "5", "--answers", "always"),
      servers: ["rackboot"],
      repeats: 1,
    },
    { title: "5 % lost both ways", file: "large", words: windows(8, "--loss", "5", "--ack-loss", "5"), servers: ["rackboot"], repeats: 1 },
    {
      title: "40 at once, windowsize 8",
      file: "small",
      words: windows(8, "--sessions", "40"),
      servers: ["rackboot", "dnsmasq"],
      repeats: 1,
    },
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

async function measure(server: FileServer, one: Case, root: string, sizeBytes: number): Promise<Result> {
  const cpuBefore = cpuSeconds(server.pid);
  const words = [server.address, String(TFTP_PORT), one.file, join(root, one.file), "--timeout", String(TIMEOUT_SECONDS), ...one.words];
  const { stdout, stderr } = await run([CLIENT, ...words], { timeoutMs: (TIMEOUT_SECONDS + 30) * 1000 });
  if (stdout === "") throw new Error(`the client failed: ${stderr}`);
  const report = JSON.parse(stdout) as ClientReport;
  const isIntact = report.finished === report.sessions && report.wrong === 0;
  // Of a transfer that did not end, what came.
  const bytes = isIntact
    ? report.bytes
    : Math.min((report.dataPackets / report.blocks) * sizeBytes * report.sessions, sizeBytes * report.sessions);
  return {
    title: one.title,
    server: server.name,
    bytesPerSecond: bytes / report.seconds,
    packets: report.dataPackets / report.blocks,
    cpuPerGib: (cpuSeconds(server.pid) - cpuBefore) / (bytes / GIB),
    isIntact,
  };
}

function median(results: readonly Result[]): Result {
  const sorted = [...results].sort((left, right) => left.bytesPerSecond - right.bytesPerSecond);
  const middle = sorted[Math.floor(sorted.length / 2)];
  if (middle === undefined) throw new RangeError("nothing was measured");
  return { ...middle, isIntact: results.every(({ isIntact }) => isIntact) };
}

type Goal = readonly [text: string, isReached: boolean];

function goalsOf(results: readonly Result[]): readonly Goal[] {
  const of = (title: string, server: FileServerName): Result => {
    const found = results.find((each) => each.title === title && each.server === server);
    if (found === undefined) throw new RangeError(`${server}, ${title} was not measured`);
    return found;
  };
  const times = (title: string, peer: FileServerName, least: number): Goal => {
    const factor = of(title, "rackboot").bytesPerSecond / of(title, peer).bytesPerSecond;
    return [`${title}: ${factor.toFixed(2)} x ${peer}, at least ${least} x`, factor >= least];
  };
  const packets = (title: string): Goal => {
    const { packets: ratio, isIntact } = of(title, "rackboot");
    return [`${title}: ${isIntact ? "intact" : "NOT intact"}, ${ratio.toFixed(3)} packets a block, at most 1.3`, isIntact && ratio <= 1.3];
  };
  const forty = "40 at once, windowsize 8";
  const [ours, theirs] = [of(forty, "rackboot").cpuPerGib, of(forty, "dnsmasq").cpuPerGib];
  return [
    ...ALL.slice(1).map((peer) => times("lock step", peer, 1)),
    ...[8, 16, 64].map((size) => times(`windowsize ${size}`, "atftpd", 1.2)),
    times("windowsize 8, 1 % lost", "atftpd", 20),
    packets("windowsize 8, 5 % lost"),
    packets("the same, every block behind a hole answered"),
    times(forty, "dnsmasq", 2),
    [`${forty}: ${compact(ours)} s of CPU a GiB, less than dnsmasq's ${compact(theirs)}`, ours < theirs],
  ];
}

const HELP = `Usage: node test/bench/tftp.ts [--help] [--quick]
  --quick   one run of each instead of the median of three`;

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { help: { type: "boolean" }, quick: { type: "boolean", default: false } } });
  if (values.help === true) return console.log(HELP);
  if (process.getuid?.() !== 0) throw new Error("port 69 takes root; run this as root");
  await runOrThrow(["make", "--no-print-directory", "-C", join(import.meta.dirname, "tftp")], { timeoutMs: 120_000 });
  const resources = new Resources();
  try {
    const root = mkdtempSync(join(tmpdir(), "rackboot-bench-files-"));
    resources.defer(root, () => rmSync(root, { recursive: true, force: true }));
    const sizes = { large: 100 * MIB, small: 10 * MIB };
    for (const [name, sizeBytes] of Object.entries(sizes)) writeFileSync(join(root, name), randomBytes(sizeBytes));
    const servers = new Map<FileServerName, FileServer>();
    for (const name of ALL) servers.set(name, await startFileServer(resources, name, root));
    const results: Result[] = [];
    for (const one of casesOf(values.quick ? 1 : 3)) {
      const runs = new Map<FileServerName, Result[]>();
      for (let repeat = 0; repeat < one.repeats; repeat++) {
        for (const name of one.servers) {
          const server = servers.get(name);
          if (server === undefined) continue;
          runs.set(name, [...(runs.get(name) ?? []), await measure(server, one, root, sizes[one.file])]);
        }
      }
      for (const each of runs.values()) results.push(median(each));
      console.log(
        `  ${one.title}: ${results
          .filter(({ title }) => title === one.title)
          .map((each) => `${each.server} ${compact(each.bytesPerSecond / 1e6)} MB/s`)
          .join(", ")}`,
      );
    }
    if (!report(results)) process.exitCode = 1;
  } finally {
    await resources.close();
  }
}

/** Writes and prints it; whether all of it is as it should be. */
function report(results: readonly Result[]): boolean {
  const host = describeHost();
  const goals = goalsOf(results);
  const rows = results.map((each) => [
    `${each.title}, ${each.server}`,
    compact(each.bytesPerSecond / 1e6),
    each.packets.toFixed(3),
    compact(each.cpuPerGib),
    each.isIntact ? "yes" : "NO",
  ]);
  const text = `${hostLine(host)}
TFTP over loopback, blksize 1468, 100 MiB (forty at once: 10 MiB each). Blocks are lost at the client, which compares every octet.

${renderTable(["", "MB/s", "packets a block", "CPU s a GiB", "intact"], rows)}

${goals.map(([goal, reached]) => `${reached ? "reached    " : "NOT REACHED"}  ${goal}`).join("\n")}
`;
  const folder = join(import.meta.dirname, "results", hostName(host));
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "tftp.json"), `${JSON.stringify({ host, results }, null, 2)}\n`);
  writeFileSync(join(folder, "tftp.txt"), text);
  console.log(`\n${text}`);
  return goals.every(([, reached]) => reached);
}

try {
  await main();
} catch (error) {
  const isUsage = (error as { code?: string }).code?.startsWith("ERR_PARSE_ARGS") === true;
  console.error(isUsage ? `${(error as Error).message}\n${HELP}` : error);
  process.exitCode = isUsage ? 2 : 1;
}
