/**
 * What disks cost: clones against extents and size, the pause of a live snapshot against extents and dirty octets, a list of
 * ten thousand volumes, and what the copy-on-write hint does for fragmentation. XFS on a loop device, so root is needed.
 * Usage: node test/bench/volume-figures.ts [--help] [--quick] [--folder FOLDER]
 * Writes test/bench/results/<host>/volumes.json, volumes.txt and two plots. Exit code: 0 done, 1 failed, 2 usage.
 */
import { closeSync, fdatasyncSync, mkdirSync, openSync, statSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { VolumeName } from "../../src/machine/identifiers.ts";
import { openDataPlane } from "../../src/native/data-plane.ts";
import { measureExtents, setCopyOnWriteHint } from "../../src/native/extents.ts";
import { reflink } from "../../src/volume/copy.ts";
import { VolumeOperations } from "../../src/volume/operations.ts";
import { VolumeStore } from "../../src/volume/store.ts";
import { Resources } from "../harness/resources.ts";
import { mountFileSystem } from "../volume/file-systems.ts";
import { sparse } from "../volume/support.ts";
import { describeHost, hostLine, hostName } from "./host.ts";
import { renderPlot } from "./plot.ts";
import { compact, summarize } from "./statistics.ts";
import { renderTable } from "./table.ts";

const MIB = 1024 ** 2;
const GIB = 1024 ** 3;
const BLOCK = 4096;
const root = join(import.meta.dirname, "..", "..");
/** The figures to reach, of the project's own promises. */
const CLONE_BASE_MS = 10;
const CLONE_PER_EXTENT_MS = 0.02;
const PAUSE_MS = 100;
const LIST_MS = 1000;

interface Point {
  readonly x: number;
  readonly medianMs: number;
  readonly leastMs: number;
  readonly mostMs: number;
}

/** A file of `extents` extents: every other block is written, so that none can grow together with the next. */
function fragment(path: string, extents: number): void {
  const fd = openSync(path, "r+");
  const block = Buffer.alloc(BLOCK, 0x5a);
  for (let index = 0; index < extents; index++) writeSync(fd, block, 0, BLOCK, index * 2 * BLOCK);
  fdatasyncSync(fd);
  closeSync(fd);
}

class Bench {
  readonly operations: VolumeOperations;
  readonly store: VolumeStore;
  readonly #storage: string;
  readonly #rounds: number;
  #names = 0;

  constructor(resources: Resources, storage: string, rounds: number) {
    const plane = openDataPlane({ threads: 1, memoryBytes: 16 * MIB, onEvents: () => undefined });
    resources.defer("data plane", () => plane.close());
    this.store = new VolumeStore({ dataPlane: plane, emit: () => undefined, now: Date.now });
    this.operations = new VolumeOperations(this.store, { machinesWith: () => [], fence: async () => undefined });
    this.#storage = storage;
    this.#rounds = rounds;
  }

  path(name: string): string {
    return join(this.#storage, "volumes", name, "disk.raw");
  }

  async #point(x: number, once: () => Promise<number>): Promise<Point> {
    const times: number[] = [];
    for (let round = 0; round < this.#rounds; round++) times.push(await once());
    const { median, least, most } = summarize(times);
    console.log(`  ${compact(x)}: ${compact(median)} ms (${compact(least)} to ${compact(most)})`);
    return { x, medianMs: median, leastMs: least, mostMs: most };
  }

  /** Of an immutable snapshot; `pure` is the system call alone, which no design can undercut. */
  async clone(
    extents: number,
    sizeBytes: number,
    x: number,
  ): Promise<{ readonly whole: Point; readonly pure: Point; readonly found: number }> {
    const name = `source${this.#names++}`;
    await this.operations.create(name, sizeBytes);
    fragment(this.path(name), extents);
    await this.operations.snapshot(name, "s");
    const [facts] = await measureExtents([this.path(name)]);
    const origin = join(this.#storage, "volumes", name, "snapshots", "s", "disk.raw");
    const whole = await this.#point(x, async () => {
      const begun = performance.now();
      await this.operations.clone(`${name}@s`, `clone${this.#names++}`);
      return performance.now() - begun;
    });
    const pure = await this.#point(x, async () => {
      const begun = performance.now();
      await reflink(origin, join(this.#storage, `pure${this.#names++}`));
      return performance.now() - begun;
    });
    return { whole, pure, found: facts?.extents ?? 0 };
  }

  /** Of a served volume with `dirtyBytes` that nobody flushed. */
  async pause(extents: number, dirtyBytes: number, x: number): Promise<Point> {
    const name = `live${this.#names++}`;
    const retire = await this.store.apply({ storage: this.#storage, volumes: new Map([[name as VolumeName, sparse(64 * GIB)]]) });
    await retire();
    fragment(this.path(name), extents);
    const dirty = Buffer.alloc(MIB, 0x33);
    return await this.#point(x, async () => {
      const fd = openSync(this.path(name), "r+");
      for (let at = 0; at < dirtyBytes; at += MIB) writeSync(fd, dirty, 0, MIB, 32 * GIB + at);
      closeSync(fd);
      // Earlier snapshots stay: blocks that come back in the background would be measured too.
      return (await this.operations.snapshot(name, `s${this.#names++}`)).pauseMs;
    });
  }

  async list(volumes: number): Promise<{ readonly first: number; readonly again: Point }> {
    for (let index = 0; index < volumes; index++) await this.operations.create(`many${index}`, GIB);
    const begun = performance.now();
    await this.operations.list();
    const first = performance.now() - begun;
    const again = await this.#point(volumes, async () => {
      const start = performance.now();
      await this.operations.list();
      return performance.now() - start;
    });
    return { first, again };
  }
}

interface Fragmentation {
  readonly hintBytes: number;
  readonly writes: number;
  readonly extents: number;
  readonly usedBytes: number;
}

const HINT_DISK_BYTES = 64 * MIB;

/** What a clone of one extent has become after random writes of 4 KiB, with the file system's own hint (0) and with ours. */
async function fragmentation(mounted: string): Promise<readonly Fragmentation[]> {
  const blocks = HINT_DISK_BYTES / BLOCK;
  const results: Fragmentation[] = [];
  for (const hintBytes of [0, MIB]) {
    const folder = join(mounted, `hint${hintBytes}`);
    mkdirSync(folder);
    if (hintBytes > 0) setCopyOnWriteHint(folder, hintBytes);
    const [origin, clone] = [join(folder, "origin"), join(folder, "clone")];
    writeFileSync(origin, Buffer.alloc(HINT_DISK_BYTES, 1), { flush: true });
    await reflink(origin, clone);
    const fd = openSync(clone, "r+");
    const block = Buffer.alloc(BLOCK, 2);
    let state = 12345;
    for (let index = 1; index <= 5 * blocks; index++) {
      state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
      writeSync(fd, block, 0, BLOCK, ((state >> 8) % blocks) * BLOCK);
      // As a machine does that writes for long: what is dirty goes to the disk in small lots.
      if (index % 256 === 0) fdatasyncSync(fd);
      if (index !== blocks / 4 && index !== blocks && index !== 5 * blocks) continue;
      fdatasyncSync(fd);
      const [facts] = await measureExtents([clone]);
      results.push({ hintBytes, writes: index, extents: facts?.extents ?? 0, usedBytes: statSync(clone).blocks * 512 });
    }
    closeSync(fd);
  }
  return results;
}

const HELP = "Usage: node test/bench/volume-figures.ts [--help] [--quick] [--folder FOLDER]";

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      help: { type: "boolean" },
      quick: { type: "boolean", default: false },
      folder: { type: "string", default: join(root, "build", "bench") },
    },
  });
  if (values.help === true) return console.log(HELP);
  if (process.getuid?.() !== 0) throw new Error("mounting a file system takes root; run this as root");
  const { quick } = values;
  const resources = new Resources();
  try {
    mkdirSync(values.folder, { recursive: true });
    const mounted = await mountFileSystem(resources, "xfs", quick ? 2048 : 6144, values.folder);
    const storage = join(mounted, "data");
    const bench = new Bench(resources, storage, quick ? 3 : 9);
    await bench.store.recover(storage);

    console.log("list of volumes");
    const list = await bench.list(quick ? 1000 : 10_000);
    console.log("clone of a snapshot, by extents");
    const byExtents = [];
    for (const extents of quick ? [1, 1000, 5000] : [1, 1000, 5000, 20_000, 100_000])
      byExtents.push(await bench.clone(extents, 64 * GIB, extents));
    console.log("clone of a snapshot of 1000 extents, by size in GiB");
    const bySize = [];
    for (const gib of [1, 64, 1024, 65_536]) bySize.push(await bench.clone(1000, gib * GIB, gib));
    console.log("pause of a live snapshot, by extents");
    const pauseByExtents = [];
    for (const extents of quick ? [1, 1000, 5000] : [1, 1000, 5000, 20_000]) pauseByExtents.push(await bench.pause(extents, 0, extents));
    console.log("pause of a live snapshot of 1000 extents, by dirty MiB");
    const pauseByDirty = [];
    for (const mib of quick ? [0, 64] : [0, 16, 64, 256]) pauseByDirty.push(await bench.pause(1000, mib * MIB, mib));
    const hints = await fragmentation(mounted);

    const allowed = (extents: number): number => CLONE_BASE_MS + CLONE_PER_EXTENT_MS * extents;
    const rows = [
      ...byExtents.map(({ whole, pure }) => [
        `clone, ${whole.x} extents`,
        compact(whole.medianMs),
        compact(whole.leastMs),
        compact(pure.leastMs),
        compact(allowed(whole.x)),
      ]),
      ...bySize.map(({ whole, pure }) => [
        `clone, ${whole.x} GiB`,
        compact(whole.medianMs),
        compact(whole.leastMs),
        compact(pure.leastMs),
        compact(allowed(1000)),
      ]),
      ...pauseByExtents.map(({ x, medianMs, leastMs }) => [
        `pause, ${x} extents`,
        compact(medianMs),
        compact(leastMs),
        "",
        x <= 5000 ? compact(PAUSE_MS) : "",
      ]),
      ...pauseByDirty.map((point) => [
        `pause, ${point.x} MiB dirty`,
        compact(point.medianMs),
        compact(point.leastMs),
        "",
        compact(PAUSE_MS),
      ]),
      [`list of ${list.again.x}, first`, compact(list.first), "", "", compact(LIST_MS)],
      [`list of ${list.again.x}, again`, compact(list.again.medianMs), compact(list.again.leastMs), "", compact(LIST_MS)],
    ];
    const hintLines = hints.map(({ hintBytes, writes, extents, usedBytes }) => {
      const hint = hintBytes === 0 ? "the file system's own hint" : `a hint of ${hintBytes / 1024} KiB`;
      return `${writes} random writes of 4 KiB to a clone of ${HINT_DISK_BYTES / MIB} MiB, ${hint}: ${extents} extents, ${Math.round(usedBytes / MIB)} MiB`;
    });
    const host = describeHost();
    const folder = join(import.meta.dirname, "results", hostName(host));
    mkdirSync(folder, { recursive: true });
    const table = renderTable(["", "ms", "least", "FICLONE alone, least", "allowed"], rows);
    const text = `${hostLine(host)}\nXFS on a loop device\n\n${table}\n\n${hintLines.join("\n")}\n`;
    const figures = { host, byExtents, bySize, pauseByExtents, pauseByDirty, list, hints };
    writeFileSync(join(folder, "volumes.json"), `${JSON.stringify(figures, null, 2)}\n`);
    writeFileSync(join(folder, "volumes.txt"), text);
    const line = (name: string, points: readonly Point[]) => ({ name, points: points.map(({ x, medianMs }) => ({ x, y: medianMs })) });
    writeFileSync(
      join(folder, "volumes-clone.svg"),
      renderPlot({
        title: "A clone against its extents",
        xLabel: "extents",
        yLabel: "ms",
        series: [
          line(
            "clone",
            byExtents.map(({ whole }) => whole),
          ),
          line(
            "FICLONE alone",
            byExtents.map(({ pure }) => pure),
          ),
          { name: "allowed", points: byExtents.map(({ whole: { x } }) => ({ x, y: allowed(x) })) },
        ],
      }),
    );
    writeFileSync(
      join(folder, "volumes-pause.svg"),
      renderPlot({
        title: "Pause of a live snapshot",
        xLabel: "dirty MiB, of 1000 extents",
        yLabel: "ms",
        series: [line("pause", pauseByDirty), { name: "allowed", points: pauseByDirty.map(({ x }) => ({ x, y: PAUSE_MS })) }],
      }),
    );
    console.log(`\n${text}`);
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
