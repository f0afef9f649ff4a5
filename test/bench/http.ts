/**
 * HTTP over loopback by curl: one cached file of 1 GiB, and forty downloads at once; how fast, how even, and what memory the daemon
 * takes for it. Needs root. Usage: node test/bench/http.ts [--help] [--quick]
 * Writes test/bench/results/<host>/http.json and http.txt. Exit code: 0 reached, 1 failed or not reached, 2 usage.
 */
import { randomBytes } from "node:crypto";
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { runOrThrow } from "../harness/process.ts";
import { Resources } from "../harness/resources.ts";
import { type FileServer, HTTP_PORT, startFileServer } from "./file-servers.ts";
import { describeHost, hostLine, hostName } from "./host.ts";
import { cpuSeconds, memoryOf } from "./processes.ts";
import { compact } from "./statistics.ts";

const MIB = 1024 ** 2;
const GIB = 1024 ** 3;
const CLIENTS = 40;
/** The figures to reach. */
const BYTES_PER_SECOND = 1e9;
/** "Flat": no more than one download's buffers, however large the file. */
const MEMORY_BYTES = 16 * MIB;
/** The first and the last of forty that began together. */
const EVEN = 1.5;

interface Figures {
  readonly bytesPerSecond: number;
  readonly cpuPerGib: number;
  readonly memoryBytes: number;
  readonly manyBytesPerSecond: number;
  /** Seconds of the slowest of those at once, by those of the fastest. */
  readonly uneven: number;
}

/** Fetches one file so many times at once, each from an address of its own as a rack does; seconds that each one took. */
async function fetchAtOnce({ address }: FileServer, name: string, count: number): Promise<readonly number[]> {
  const url = `http://${address}:${HTTP_PORT}/${name}`;
  const words = Array.from({ length: count }, (_, index) => [
    ...(index === 0 ? [] : ["--next"]),
    ...["-sS", "--interface", `127.78.0.${index + 1}`, "-w", "%{http_code} %{time_total}\\n", "-o", "/dev/null", url],
  ]);
  const parallel = ["--parallel", "--parallel-immediate", "--parallel-max", String(count)];
  const stdout = await runOrThrow(["curl", ...parallel, ...words.flat()], { timeoutMs: 120_000 });
  const lines = stdout.trim().split("\n");
  if (lines.length !== count || lines.some((line) => !line.startsWith("200 "))) throw new Error(`curl did not get everything: ${stdout}`);
  return lines.map((line) => Number(line.split(" ")[1]));
}

async function measure(server: FileServer, sizes: { large: number; small: number }, repeats: number): Promise<Figures> {
  await fetchAtOnce(server, "large", 1);
  const resident = memoryOf(server.pid, "VmRSS");
  const cpuBefore = cpuSeconds(server.pid);
  const seconds: number[] = [];
  for (let repeat = 0; repeat < repeats; repeat++) seconds.push((await fetchAtOnce(server, "large", 1))[0] ?? Number.NaN);
  const cpuPerGib = (cpuSeconds(server.pid) - cpuBefore) / ((repeats * sizes.large) / GIB);
  const memoryBytes = memoryOf(server.pid, "VmRSS") - resident;
  const many = await fetchAtOnce(server, "small", CLIENTS);
  const slowest = Math.max(...many);
  return {
    bytesPerSecond: sizes.large / ([...seconds].sort((left, right) => left - right)[Math.floor(repeats / 2)] ?? Number.NaN),
    cpuPerGib,
    memoryBytes,
    manyBytesPerSecond: (CLIENTS * sizes.small) / slowest,
    uneven: slowest / Math.min(...many),
  };
}

/** Writes and prints it; whether all of it is as it should be. */
function report(figures: Figures, largeBytes: number): boolean {
  const host = describeHost();
  const goals = [
    [`${compact(figures.bytesPerSecond / 1e6)} MB/s, at least ${BYTES_PER_SECOND / 1e6}`, figures.bytesPerSecond >= BYTES_PER_SECOND],
    [`memory grew by ${compact(figures.memoryBytes / MIB)} MiB, at most ${MEMORY_BYTES / MIB}`, figures.memoryBytes <= MEMORY_BYTES],
    [`the slowest of ${CLIENTS} took ${figures.uneven.toFixed(2)} x the fastest, at most ${EVEN} x`, figures.uneven <= EVEN],
  ] as const;
  const text = `${hostLine(host)}
HTTP over loopback by curl: a cached file of ${largeBytes / MIB} MiB, and ${CLIENTS} downloads at once.

one download       ${compact(figures.bytesPerSecond / 1e6)} MB/s, ${compact(figures.cpuPerGib)} s of CPU a GiB
${CLIENTS} at once         ${compact(figures.manyBytesPerSecond / 1e6)} MB/s in all

${goals.map(([goal, reached]) => `${reached ? "reached    " : "NOT REACHED"}  ${goal}`).join("\n")}
`;
  const folder = join(import.meta.dirname, "results", hostName(host));
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "http.json"), `${JSON.stringify({ host, ...figures }, null, 2)}\n`);
  writeFileSync(join(folder, "http.txt"), text);
  console.log(text);
  return goals.every(([, reached]) => reached);
}

const HELP = `Usage: node test/bench/http.ts [--help] [--quick]
  --quick   one run instead of the median of five`;

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { help: { type: "boolean" }, quick: { type: "boolean", default: false } } });
  if (values.help === true) return console.log(HELP);
  if (process.getuid?.() !== 0) throw new Error("port 80 takes root; run this as root");
  const resources = new Resources();
  try {
    const root = mkdtempSync(join(tmpdir(), "rackboot-bench-files-"));
    resources.defer(root, () => rmSync(root, { recursive: true, force: true }));
    const sizes = { large: GIB, small: 64 * MIB };
    for (const [name, sizeBytes] of Object.entries(sizes)) {
      for (let at = 0; at < sizeBytes; at += 64 * MIB) appendFileSync(join(root, name), randomBytes(64 * MIB));
    }
    const server = await startFileServer(resources, "rackboot", root);
    if (!report(await measure(server, sizes, values.quick ? 1 : 5), sizes.large)) process.exitCode = 1;
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
