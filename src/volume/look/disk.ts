import { type FileHandle, open } from "node:fs/promises";
import { LookError } from "./error.ts";
import { fingerprint } from "./fingerprint.ts";
import { type DirectoryEntry, type DiskDevice, diskPath, isDeviceName, parseDevices, parseListing } from "./output.ts";
import { type ByteRange, mergeRanges } from "./ranges.ts";
import { findReader, type ReaderPrograms, type ReaderRun, runReader } from "./reader.ts";

/** What a list of devices or of a folder may be long at most. */
const MAX_LISTING_BYTES = 1024 * 1024;
/** Of a configuration file, where the caller does not say. */
const DEFAULT_READ_BYTES = 1024 * 1024;
/** A kernel or initramfs is read in pieces this large: a reader that holds a place in the line for long makes others wait. */
const STREAM_PIECE_BYTES = 4 * 1024 * 1024;

export interface OpenDiskOptions {
  readonly programs?: ReaderPrograms;
  readonly signal?: AbortSignal;
}

/**
 * Opens a raw image or block device for looking inside: read-only, without mounting, by GRUB's own readers in a confined
 * child ({@link DiskLook}). Nothing is read yet. Throws {@link LookError} where the file cannot be opened.
 */
export async function openDisk(path: string, options: OpenDiskOptions = {}): Promise<DiskLook> {
  const programs = options.programs ?? findReader();
  try {
    return new DiskLook(await open(path, "r"), programs, options.signal);
  } catch (cause) {
    throw new LookError("not-found", `${path} cannot be opened: ${(cause as Error).message}`);
  }
}

/**
 * One disk, seen as the machine's own GRUB would see it: a file system with a dirty log is read as it stands on the disk,
 * without replaying the log. Devices are GRUB's names, paths begin with `/` at the root of the device's file system; symbolic
 * links are followed within it. Each call is a process of its own, so a disk that kills its reader spoils one answer.
 * All calls reject with {@link LookError} and nothing else.
 */
export class DiskLook {
  readonly #disk: FileHandle;
  readonly #programs: ReaderPrograms;
  readonly #closed = new AbortController();
  readonly #signal: AbortSignal;
  readonly #running = new Set<Promise<unknown>>();
  #touched: readonly ByteRange[] = [];

  constructor(disk: FileHandle, programs: ReaderPrograms, signal?: AbortSignal) {
    this.#disk = disk;
    this.#programs = programs;
    this.#signal = signal === undefined ? this.#closed.signal : AbortSignal.any([this.#closed.signal, signal]);
  }

  /** The octets of the disk that looking has depended on so far, merged. What {@link stream} sends is not among them. */
  get touched(): readonly ByteRange[] {
    return this.#touched;
  }

  /** What changes whenever a regular file is written; undefined for a block device, which tells nothing of the kind. */
  async stamp(): Promise<string | undefined> {
    const facts = await this.#keep(() => this.#disk.stat({ bigint: true }));
    return facts.isFile() ? `${facts.dev}:${facts.ino}:${facts.size}:${facts.mtimeNs}:${facts.ctimeNs}` : undefined;
  }

  /** Ends what is under way and closes the disk. */
  async close(): Promise<void> {
    this.#closed.abort();
    // A run still opens the disk by the descriptor's number, which must not become another file's before it has.
    await Promise.allSettled(this.#running);
    await this.#disk.close();
  }

  /** The whole disk, its partitions and logical volumes. */
  async devices(): Promise<readonly DiskDevice[]> {
    const { output } = await this.#look(["ls", "--", "-l"], MAX_LISTING_BYTES);
    return parseDevices(text(output));
  }

  /** `not-found` where there is no such folder, or the device has no file system that GRUB knows. */
  async list(device: string, folder: string): Promise<readonly DirectoryEntry[]> {
    const path = this.#path(device, folder);
    const { output } = await this.#look(["ls", "--", "-l", path.endsWith("/") ? path : `${path}/`], MAX_LISTING_BYTES);
    const entries = parseListing(text(output));
    if (entries === undefined) throw new LookError("not-found", `${path} is no folder on this disk`);
    return entries;
  }

  /** The whole file, `too-large` where it is longer than `limitBytes`. */
  async read(
    device: string,
    file: string,
    { limitBytes = DEFAULT_READ_BYTES }: { readonly limitBytes?: number } = {},
  ): Promise<Uint8Array> {
    const path = this.#path(device, file);
    const run = await this.#look(["-n", String(limitBytes + 1), "cat", path], limitBytes);
    return contents(run, path);
  }

  /**
   * `length` octets from `offset`, fewer at the end of the file. At an offset beyond the end it is empty.
   * What it reads does not count as {@link touched}.
   */
  async readAt(device: string, file: string, offset: number, length: number): Promise<Uint8Array> {
    const path = this.#path(device, file);
    if (length === 0) return new Uint8Array(0);
    const run = await this.#run(["-s", String(offset), "-n", String(length), "cat", path], length);
    if (/invalid skip value/.test(run.complaint)) return new Uint8Array(0);
    return contents(run, path);
  }

  /** The octets of a file in pieces; the next piece is being read while the last one is used. */
  async *stream(
    device: string,
    file: string,
    { offset = 0, length = Number.POSITIVE_INFINITY }: { readonly offset?: number; readonly length?: number } = {},
  ): AsyncGenerator<Uint8Array, void, void> {
    const end = offset + length;
    const piece = (at: number): Promise<Uint8Array> => this.readAt(device, file, at, Math.max(0, Math.min(STREAM_PIECE_BYTES, end - at)));
    let next = piece(offset);
    for (let at = offset; at < end; ) {
      const octets = await next;
      at += octets.length;
      const last = octets.length < STREAM_PIECE_BYTES || at >= end;
      if (!last) {
        next = piece(at);
        // Whoever stops listening must not leave a rejection that nobody hears.
        next.catch(() => {});
      }
      if (octets.length > 0) yield octets;
      if (last) return;
    }
  }

  /** See {@link fingerprint}: equal while nothing of `ranges` has changed. */
  async fingerprint(ranges: readonly ByteRange[] = this.#touched): Promise<string> {
    return this.#keep(() => fingerprint(this.#disk, ranges, this.#signal));
  }

  #path(device: string, path: string): string {
    const normal = diskPath(path);
    if (!isDeviceName(device) || normal === undefined) throw new LookError("not-found", "there is no such name on a disk");
    return `(${device})${normal}`;
  }

  async #look(args: readonly string[], limitBytes: number): Promise<ReaderRun> {
    const run = await this.#run(args, limitBytes);
    this.#touched = mergeRanges([...this.#touched, ...run.report.ranges]);
    return run;
  }

  async #run(args: readonly string[], limitBytes: number): Promise<ReaderRun> {
    return this.#keep(() => runReader(this.#programs, this.#disk, args, { limitBytes, signal: this.#signal }));
  }

  /** Keeps the disk open until `use` has ended, and makes every failure a {@link LookError}. */
  async #keep<T>(use: () => Promise<T>): Promise<T> {
    if (this.#signal.aborted) throw new LookError("cancelled", "the look was cancelled");
    const running = use();
    this.#running.add(running);
    try {
      return await running;
    } catch (cause) {
      if (cause instanceof LookError) throw cause;
      if (this.#signal.aborted) throw new LookError("cancelled", "the look was cancelled");
      throw new LookError("unreadable", `the disk cannot be read: ${(cause as Error).message}`);
    } finally {
      this.#running.delete(running);
    }
  }
}

function contents(run: ReaderRun, path: string): Uint8Array {
  if (run.report.ended?.value === 0) return run.output;
  const complaint = run.complaint.trim().replace(/^\S*fstest: error: /, "");
  const missing = /not found|not a regular file|not a directory|no such (disk|partition)|unknown filesystem/.test(complaint);
  throw new LookError(
    missing ? "not-found" : "unreadable",
    missing ? `${path} is no file on this disk` : `${path}: ${complaint.slice(0, 200)}`,
  );
}

function text(octets: Uint8Array): string {
  return new TextDecoder().decode(octets);
}
