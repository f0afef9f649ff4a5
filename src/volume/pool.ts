import { randomUUID } from "node:crypto";
import { statfsSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { formatSize } from "../machine/config-values.ts";
import type { PoolReport } from "../machine/volume.ts";
import type { Emit } from "../state/events.ts";
import { reflink } from "./copy.ts";
import { VolumeError } from "./error.ts";
import { volumesFolder } from "./layout.ts";

/** Percent of the pool that are worth a word. Lower than the first is well. */
export const POOL_THRESHOLDS: readonly number[] = [80, 95];
/** A warning that was told is told again only after the pool was this much emptier. */
const HYSTERESIS_PERCENT = 2;
/** Imports and full copies leave this much to the disks that are in use. */
const RESERVED_PERCENT = 5;
const MAX_RESERVED_BYTES = 1024 ** 3;
const WATCH_EVERY_MS = 5_000;

/** statfs(2), f_type. */
const FILE_SYSTEMS: Readonly<Record<number, string>> = {
  1481003842: "xfs",
  2435016766: "btrfs",
  61267: "ext4",
  16914836: "tmpfs",
  801189825: "zfs",
  2035054128: "overlayfs",
  26985: "nfs",
};

/** The file system that the store is on: what it can do, and how full it is. */
export class Pool {
  readonly #storage: string;
  readonly #emit: Emit;
  #reflink = false;
  #told = 0;
  #lastPercent = -1;
  #timer: NodeJS.Timeout | undefined;

  constructor(storage: string, emit: Emit) {
    this.#storage = storage;
    this.#emit = emit;
  }

  /** Whether clones share their blocks; known after {@link probe}. */
  get reflink(): boolean {
    return this.#reflink;
  }

  /** Tries to clone a small file. */
  async probe(): Promise<void> {
    const [from, to] = [".new-probe-", ".new-probe-"].map((prefix) => join(volumesFolder(this.#storage), prefix + randomUUID()));
    if (from === undefined || to === undefined) return;
    try {
      await writeFile(from, Buffer.alloc(4096, 1));
      this.#reflink = await reflink(from, to);
    } finally {
      await rm(from, { force: true });
      await rm(to, { force: true });
    }
  }

  report(): PoolReport {
    const { type, bsize, blocks, bavail } = statfsSync(this.#storage);
    return {
      path: this.#storage,
      fileSystem: FILE_SYSTEMS[type] ?? `0x${type.toString(16)}`,
      reflink: this.#reflink,
      sizeBytes: blocks * bsize,
      freeBytes: bavail * bsize,
    };
  }

  /** Throws {@link VolumeError} where `bytes` more would take what is kept for the disks in use. */
  requireRoom(what: string, bytes: number): void {
    const { sizeBytes, freeBytes } = this.report();
    const reservedBytes = Math.min((sizeBytes * RESERVED_PERCENT) / 100, MAX_RESERVED_BYTES);
    if (bytes <= freeBytes - reservedBytes) return;
    const kept = `${readable(freeBytes)} are free in the pool, of which ${readable(reservedBytes)} are kept for the disks in use`;
    throw new VolumeError(`${what} needs ${readable(bytes)}, and ${kept}; delete what nobody needs, or give the store a larger disk`);
  }

  /** Tells how full the pool is now, and again when that changes. `onThreshold` hears of every one that was passed upwards, `onLook` of every look. */
  watch(onThreshold: (percent: number) => void, onLook: () => void = () => undefined): void {
    const look = (): void => {
      onLook();
      try {
        this.#look(onThreshold);
      } catch (cause) {
        this.#emit({ type: "pool.unknown", reason: (cause as Error).message });
      }
    };
    look();
    this.#timer = setInterval(look, WATCH_EVERY_MS);
    this.#timer.unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #look(onThreshold: (percent: number) => void): void {
    const report = this.report();
    const percent = report.sizeBytes === 0 ? 0 : Math.floor(100 * (1 - report.freeBytes / report.sizeBytes));
    if (percent !== this.#lastPercent) this.#emit({ type: "pool.measured", ...report });
    this.#lastPercent = percent;
    const threshold = POOL_THRESHOLDS.findLast((each) => percent >= each) ?? 0;
    if (threshold > this.#told) {
      this.#told = threshold;
      this.#emit({ type: "pool.filling", percent, freeBytes: report.freeBytes });
      onThreshold(threshold);
    } else if (percent < this.#told - HYSTERESIS_PERCENT) {
      this.#told = threshold;
      this.#emit({ type: "pool.eased", percent, freeBytes: report.freeBytes });
    }
  }
}

/** Rounded down to tenths, so that a sentence has no eleven digits. */
export function readable(bytes: number): string {
  for (const [unit, factor] of [
    ["T", 1024 ** 4],
    ["G", 1024 ** 3],
    ["M", 1024 ** 2],
    ["K", 1024],
  ] as const) {
    if (bytes >= factor) return `${Number((Math.floor((bytes / factor) * 10) / 10).toFixed(1))}${unit}`;
  }
  return formatSize(bytes);
}
