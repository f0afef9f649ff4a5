import { closeSync, fdatasyncSync, mkdirSync, openSync, readFileSync, writeSync } from "node:fs";
import { basename, join } from "node:path";
import { openDataPlane } from "../../src/native/data-plane.ts";
import { reflink } from "../../src/volume/copy.ts";
import { VolumeOperations } from "../../src/volume/operations.ts";
import { VolumeStore } from "../../src/volume/store.ts";
import { runOrThrow } from "../harness/process.ts";
import type { Resources } from "../harness/resources.ts";

const MIB = 1024 ** 2;
const SECTOR = 512;

/** XFS on a loop device with direct I/O: what it reads comes from the disk below, and no second cache hides it. */
export class Disk {
  readonly mountPoint: string;
  readonly #device: string;

  private constructor(device: string, mountPoint: string) {
    this.#device = device;
    this.mountPoint = mountPoint;
  }

  static async make(resources: Resources, parent: string, sizeBytes: number): Promise<Disk> {
    const folder = join(parent, `rackboot-storm-${process.pid}`);
    const mountPoint = join(folder, "xfs");
    mkdirSync(mountPoint, { recursive: true });
    resources.defer(folder, async () => void (await runOrThrow(["rm", "-rf", folder])));
    const image = join(folder, "xfs.img");
    await runOrThrow(["truncate", "-s", String(sizeBytes), image]);
    await runOrThrow(["mkfs.xfs", "-q", image]);
    const device = (await runOrThrow(["losetup", "--direct-io=on", "--find", "--show", image])).trim();
    resources.defer(device, async () => void (await runOrThrow(["losetup", "--detach", device])));
    await runOrThrow(["mount", device, mountPoint]);
    resources.defer(mountPoint, async () => void (await runOrThrow(["umount", mountPoint])));
    return new Disk(device, mountPoint);
  }

  /** Nothing of it is in the page cache afterwards, and nothing else on this machine is disturbed. */
  async forget(): Promise<void> {
    await runOrThrow(["umount", this.mountPoint]);
    await runOrThrow(["mount", this.#device, this.mountPoint]);
  }

  /** Octets read since the device was made: Documentation/block/stat.rst, the third number. */
  get bytesRead(): number {
    const numbers = readFileSync(`/sys/block/${basename(this.#device)}/stat`, "utf8")
      .trim()
      .split(/\s+/);
    return Number(numbers[2]) * SECTOR;
  }
}

/** What the page cache holds of these files. */
export async function cachedBytes(files: readonly string[]): Promise<number> {
  const sizes = await runOrThrow(["fincore", "--bytes", "--noheadings", "--output", "RES", ...files]);
  return sizes.split("\n").reduce((sum, line) => sum + Number(line.trim()), 0);
}

function writeNoise(path: string, sizeBytes: number): void {
  const chunk = Buffer.alloc(4 * MIB);
  const fd = openSync(path, "r+");
  for (let at = 0; at < sizeBytes; at += chunk.length) {
    for (let from = 0; from < chunk.length; from += 65_536) crypto.getRandomValues(chunk.subarray(from, from + 65_536));
    writeSync(fd, chunk, 0, Math.min(chunk.length, sizeBytes - at), at);
  }
  fdatasyncSync(fd);
  closeSync(fd);
}

/** The golden disk, its snapshot and its clones, as the daemon itself makes them, and reflink copies for the peers. */
export async function makeDisks(storage: string, sizeBytes: number, machines: number): Promise<{ readonly copies: readonly string[] }> {
  const plane = openDataPlane({ threads: 1, memoryBytes: 16 * MIB, onEvents: () => undefined });
  try {
    const store = new VolumeStore({ dataPlane: plane, emit: () => undefined, now: Date.now });
    await store.recover(storage);
    const operations = new VolumeOperations(store, { machinesWith: () => [], fence: async () => undefined });
    await operations.create("golden", sizeBytes);
    writeNoise(join(storage, "volumes", "golden", "disk.raw"), sizeBytes);
    await operations.snapshot("golden", "v1");
    const copies: string[] = [];
    for (let index = 0; index < machines; index++) {
      await operations.clone("golden@v1", `clone${index}`);
      const copy = join(storage, `copy${index}`);
      if (!(await reflink(join(storage, "volumes", "golden", "snapshots", "v1", "disk.raw"), copy))) throw new Error("no reflink here");
      copies.push(copy);
    }
    return { copies };
  } finally {
    await plane.close();
  }
}
