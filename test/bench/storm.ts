/**
 * The boot storm: forty machines whose disks are clones of one read the same first part of them at once, from cold. Beside tgt
 * and istgt on as many reflink copies, in one run: what the device below was asked for, what the page cache took, and how fast
 * it went. And how long it takes until a much fragmented clone reads through its origin. XFS on a loop device that takes no
 * cache of its own, so root is needed. Usage: node test/bench/storm.ts [--help] [--quick] [--machines N] [--folder FOLDER]
 * Writes test/bench/results/<host>/storm.json, storm.txt and storm.svg. Exit code: 0 reached, 1 failed or not reached, 2 usage.
 */
import { closeSync, fdatasyncSync, mkdirSync, openSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { openDataPlane } from "../../src/native/data-plane.ts";
import { reflink } from "../../src/volume/copy.ts";
import { run } from "../harness/process.ts";
import { Resources } from "../harness/resources.ts";
import { describeHost, hostLine, hostName } from "./host.ts";
import { buildLoadgen, runLoadgen } from "./loadgen.ts";
import { type BarChart, renderBars } from "./plot.ts";
import { compact } from "./statistics.ts";
import { cachedBytes, Disk, makeDisks } from "./storm-disk.ts";
import { renderTable } from "./table.ts";
import { startTarget, type TargetName } from "./targets.ts";

const MIB = 1024 ** 2;
const GIB = 1024 ** 3;
const BLOCK = 4096;
const root = join(import.meta.dirname, "..", "..");
/** The figures to reach, of the project's own promises. */
const DEVICE_READS = 1.1;
const PAGE_CACHE = 1.2;
const TIMES_BEST_PEER = 3;
const OPEN_MS = 1000;
/** A storm of a slow peer. */
const STORM_TIMEOUT_SECONDS = 1200;

interface Storm {
  readonly target: TargetName;
  readonly seconds: number;
  readonly bytesPerSecond: number;
  /** Of what one machine read. */
  readonly deviceReads: number;
  readonly pageCache: number;
  readonly serverCpuSeconds: number;
}

interface Opening {
  readonly extents: number;
  /** For how long the thread that opens it waits. */
  readonly callMs: number;
  /** Until it reads through its origin. */
  readonly mappedMs: number;
  readonly sharedBytes: number;
}

const SETTLE_MS = 50;

/** Waits until every map is in force: the daemon counts them among its events. */
async function untilMapped(url: string, machines: number): Promise<void> {
  for (const end = Date.now() + 60_000; Date.now() < end; await new Promise((resolve) => setTimeout(resolve, SETTLE_MS))) {
    const text = await (await fetch(url)).text();
    const found = /^rackboot_events_total\{type="volume\.shared",reason=""\} (\d+)$/m.exec(text);
    if (Number(found?.[1] ?? 0) >= machines) return;
  }
  throw new Error("the clones were not mapped in a minute");
}

interface StormOptions {
  readonly disk: Disk;
  readonly storage: string;
  readonly machines: number;
  readonly regionBytes: number;
  /** Whose pages count. */
  readonly files: readonly string[];
  readonly copies: readonly string[];
}

async function storm(name: TargetName, { disk, storage, machines, regionBytes, files, copies }: StormOptions): Promise<Storm> {
  await disk.forget();
  const ours = name === "rackboot";
  const volumes = Array.from({ length: machines }, (_, index) => `clone${index}`);
  const target = await startTarget(name, ours ? volumes : copies, ours ? { storage } : {});
  try {
    if (target.metricsUrl !== undefined) await untilMapped(target.metricsUrl, machines);
    const before = { read: disk.bytesRead, cached: await cachedBytes(files) };
    const figures = await runLoadgen(
      [
        ...target.words,
        "--mode=read",
        "--once",
        "--block=128K",
        "--depth=4",
        `--sessions=${machines}`,
        `--disks=${machines}`,
        `--region=${regionBytes}`,
        `--seconds=${STORM_TIMEOUT_SECONDS}`,
        "--timeout=120",
        `--server-pid=${target.pid}`,
      ],
      STORM_TIMEOUT_SECONDS,
    );
    if (figures.bytes !== machines * regionBytes) throw new Error(`${name} was not read to the end`);
    return {
      target: name,
      seconds: figures.seconds,
      bytesPerSecond: figures.bytesPerSecond,
      deviceReads: (disk.bytesRead - before.read) / regionBytes,
      pageCache: ((await cachedBytes(files)) - before.cached) / regionBytes,
      serverCpuSeconds: figures.serverCpuSeconds,
    };
  } finally {
    await target.stop();
  }
}

/** A clone of a disk of `extents` extents, opened from cold. */
async function opening(disk: Disk, extents: number): Promise<Opening> {
  const [origin, clone] = [join(disk.mountPoint, `fragments${extents}`), join(disk.mountPoint, `clone${extents}`)];
  writeFileSync(origin, "");
  const fd = openSync(origin, "r+");
  const block = Buffer.alloc(BLOCK, 0x5a);
  for (let index = 0; index < extents; index++) writeSync(fd, block, 0, BLOCK, index * 2 * BLOCK);
  fdatasyncSync(fd);
  closeSync(fd);
  await reflink(origin, clone);
  await disk.forget();
  const mapped = Promise.withResolvers<number>();
  const plane = openDataPlane({
    threads: 1,
    memoryBytes: 16 * MIB,
    onEvents: (events) => {
      for (const event of events) if (event.type === "volume-mapped") mapped.resolve(event.sharedBytes);
    },
  });
  try {
    const begun = performance.now();
    plane.openVolume({ path: clone, sizeBytes: 0, blockSize: 512, readOnly: false, writeCache: true, thin: true, origins: [origin] });
    const callMs = performance.now() - begun;
    const sharedBytes = await mapped.promise;
    return { extents, callMs, mappedMs: performance.now() - begun, sharedBytes };
  } finally {
    await plane.close();
  }
}

const HELP = `Usage: node test/bench/storm.ts [--help] [--quick] [--machines N] [--folder FOLDER]
  --quick        an eighth of the data, and 8 machines
  --machines N   how many clones are read at once (40)
  --folder       where the disk's image lies (build/bench)`;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      help: { type: "boolean" },
      quick: { type: "boolean", default: false },
      machines: { type: "string" },
      folder: { type: "string", default: join(root, "build", "bench") },
    },
  });
  if (values.help === true) return console.log(HELP);
  if (process.getuid?.() !== 0) throw new Error("mounting a file system takes root; run this as root");
  if ((await run(["fincore", "--version"])).code !== 0)
    throw new Error("fincore is missing; it is in Debian's util-linux-extra or util-linux");
  const machines = Number(values.machines ?? (values.quick ? 8 : 40));
  const [diskBytes, regionBytes] = values.quick ? [GIB / 4, GIB / 8] : [2 * GIB, GIB];
  const resources = new Resources();
  try {
    await buildLoadgen();
    const disk = await Disk.make(resources, values.folder, diskBytes + 4 * GIB);
    const storage = join(disk.mountPoint, "data");
    console.log(`${machines} clones of a disk of ${diskBytes / MIB} MiB of noise`);
    const { copies } = await makeDisks(storage, diskBytes, machines);
    const volumes = join(storage, "volumes");
    const files = [
      join(volumes, "golden", "disk.raw"),
      join(volumes, "golden", "snapshots", "v1", "disk.raw"),
      ...Array.from({ length: machines }, (_, index) => join(volumes, `clone${index}`, "disk.raw")),
      ...copies,
    ];
    const storms: Storm[] = [];
    for (const name of ["rackboot", "tgt", "istgt"] as const) {
      const one = await storm(name, { disk, storage, machines, regionBytes, files, copies });
      storms.push(one);
      console.log(
        `  ${name}: ${compact(one.bytesPerSecond / 1e6)} MB/s in ${compact(one.seconds)} s, the device read ${compact(one.deviceReads)} x, the page cache took ${compact(one.pageCache)} x`,
      );
    }
    const openings: Opening[] = [];
    for (const extents of values.quick ? [1000, 10_000] : [1000, 10_000, 100_000]) openings.push(await opening(disk, extents));
    const isReached = report({ machines, diskBytes, regionBytes, storms, openings });
    if (!isReached) process.exitCode = 1;
  } finally {
    await resources.close();
  }
}

interface Figures {
  readonly machines: number;
  readonly diskBytes: number;
  readonly regionBytes: number;
  readonly storms: readonly Storm[];
  readonly openings: readonly Opening[];
}

/** Writes and prints it; whether all of it is as it should be. */
function report(figures: Figures): boolean {
  const { machines, diskBytes, regionBytes, storms, openings } = figures;
  const host = describeHost();
  const ours = storms.find(({ target }) => target === "rackboot");
  const best = Math.max(...storms.filter(({ target }) => target !== "rackboot").map(({ bytesPerSecond }) => bytesPerSecond));
  if (ours === undefined) throw new Error("rackboot was not measured");
  const times = ours.bytesPerSecond / best;
  const table = renderTable(
    ["", "MB/s", "seconds", "device reads", "page cache", "server CPU s"],
    storms.map((one) => [
      one.target,
      compact(one.bytesPerSecond / 1e6),
      compact(one.seconds),
      `${one.deviceReads.toFixed(3)} x`,
      `${one.pageCache.toFixed(3)} x`,
      compact(one.serverCpuSeconds),
    ]),
  );
  const slowest = Math.max(...openings.map(({ mappedMs }) => mappedMs));
  const goals = [
    [`device reads ${ours.deviceReads.toFixed(3)} x, at most ${DEVICE_READS} x`, ours.deviceReads <= DEVICE_READS],
    [`page cache ${ours.pageCache.toFixed(3)} x, at most ${PAGE_CACHE} x`, ours.pageCache <= PAGE_CACHE],
    [`throughput ${times.toFixed(2)} x the best peer's, at least ${TIMES_BEST_PEER} x`, times >= TIMES_BEST_PEER],
    [`mapped in ${compact(slowest)} ms, less than ${OPEN_MS} ms`, slowest < OPEN_MS],
  ] as const;
  const opened = renderTable(
    ["opening a clone", "call, ms", "mapped, ms"],
    openings.map(({ extents, callMs, mappedMs }) => [`${extents} extents`, compact(callMs), compact(mappedMs)]),
  );
  const text = `${hostLine(host)}
${machines} machines read the first ${regionBytes / MIB} MiB of a clone each of one disk of ${diskBytes / MIB} MiB, from cold; XFS on a loop device.
Device reads and page cache are in multiples of those ${regionBytes / MIB} MiB.

${table}

${opened}

${goals.map(([goal, reached]) => `${reached ? "reached    " : "NOT REACHED"}  ${goal}`).join("\n")}
`;
  const folder = join(import.meta.dirname, "results", hostName(host));
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "storm.json"), `${JSON.stringify({ host, ...figures }, null, 2)}\n`);
  writeFileSync(join(folder, "storm.txt"), text);
  const bars = (title: string, unit: string, value: (one: Storm) => number): BarChart => ({
    title,
    unit,
    bars: storms.map((one) => ({ name: one.target, value: value(one) })),
  });
  writeFileSync(
    join(folder, "storm.svg"),
    renderBars([
      bars(`${machines} machines boot from clones of one disk: rate together`, "MB/s", (one) => one.bytesPerSecond / 1e6),
      bars("read from the device, for each octet of the disk", "x", (one) => one.deviceReads),
      bars("taken of the page cache", "x", (one) => one.pageCache),
      bars("the server's processor time", "s", (one) => one.serverCpuSeconds),
    ]),
  );
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
