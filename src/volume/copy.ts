import { constants, readFileSync, type Stats, statSync } from "node:fs";
import { copyFile, type FileHandle } from "node:fs/promises";
import type { CopyProgress } from "../machine/volume.ts";
import { dataRange } from "../native/extents.ts";
import { VolumeError } from "./error.ts";
import { withFile } from "./files.ts";

/** One read. Large enough that the calls cost nothing, small enough that a board's memory does not notice. */
const CHUNK_BYTES = 1024 * 1024;
/** What is left out when it is all zeroes: the block of every file system that matters. */
const HOLE_BYTES = 4096;
const ZEROES: Buffer = Buffer.alloc(HOLE_BYTES);

export interface CopyOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: CopyProgress) => void;
  /** Called before so many octets are written; throws where there is no room for them. */
  readonly room?: (bytes: number) => void;
}

/** Errors that say that this file system, or this pair of files, cannot share blocks. */
const NO_REFLINK: ReadonlySet<string> = new Set(["EOPNOTSUPP", "ENOTSUP", "EXDEV", "EINVAL", "ENOTTY", "ENOSYS", "ETXTBSY"]);

/** FICLONE: `to` (which must not exist) shares every block of `from`. False where that cannot be, with nothing left behind. */
export async function reflink(from: string, to: string): Promise<boolean> {
  try {
    await copyFile(from, to, constants.COPYFILE_FICLONE_FORCE | constants.COPYFILE_EXCL);
    return true;
  } catch (cause) {
    if (NO_REFLINK.has((cause as NodeJS.ErrnoException).code ?? "")) return false;
    throw cause;
  }
}

/** A copy of `from` as a new file, by reflink where possible, else octet by octet with holes for zeroes. */
export async function duplicate(from: string, to: string, options: CopyOptions = {}): Promise<void> {
  if (await reflink(from, to)) return;
  await copySparse(from, to, options);
}

/** Copies data and leaves holes, also for zeroes that the origin wrote out. */
export async function copySparse(from: string, to: string, options: CopyOptions = {}): Promise<void> {
  const totalBytes = dataBytes(from);
  options.room?.(totalBytes);
  await withFile(from, "r", (source) =>
    withFile(to, "wx", async (target) => {
      await target.truncate(fileBytes(from));
      const chunk = Buffer.alloc(CHUNK_BYTES);
      let doneBytes = 0;
      for (let range = dataRange(source.fd, 0); range !== undefined; range = dataRange(source.fd, range.endBytes)) {
        for (let at = range.startBytes; at < range.endBytes; ) {
          options.signal?.throwIfAborted();
          const { bytesRead } = await source.read(chunk, 0, Math.min(CHUNK_BYTES, range.endBytes - at), at);
          if (bytesRead === 0) return;
          await writeSparse(target, chunk.subarray(0, bytesRead), at);
          at += bytesRead;
          doneBytes += bytesRead;
          options.onProgress?.({ doneBytes, totalBytes: Math.max(totalBytes, doneBytes) });
        }
      }
      // The last block is seldom whole.
      options.onProgress?.({ doneBytes, totalBytes: doneBytes });
    }),
  );
}

/** Writes what is not zero; `at` is a multiple of {@link HOLE_BYTES}, and what is there already reads as zeroes. */
export async function writeSparse(file: FileHandle, data: Buffer, at: number): Promise<void> {
  for (const [start, end] of dataRuns(data)) {
    for (let from = start; from < end; ) from += (await file.write(data, from, end - from, at + from)).bytesWritten;
  }
}

/** The runs of blocks that are not all zeroes. */
export function* dataRuns(data: Buffer): Generator<readonly [start: number, end: number]> {
  let start = -1;
  for (let at = 0; at < data.length; at += HOLE_BYTES) {
    const end = Math.min(at + HOLE_BYTES, data.length);
    const isHole = data.compare(ZEROES, 0, end - at, at, end) === 0;
    if (!isHole && start < 0) start = at;
    if (isHole && start >= 0) {
      yield [start, at];
      start = -1;
    }
  }
  if (start >= 0) yield [start, data.length];
}

/** A sparse file of `sizeBytes`; it takes no room until it is written. */
export async function createSparse(path: string, sizeBytes: number): Promise<void> {
  await withFile(path, "wx", (file) => file.truncate(sizeBytes));
}

/** Grows a file; what is there stays. Shrinking is refused by whoever calls. */
export async function growFile(path: string, sizeBytes: number): Promise<void> {
  await withFile(path, "r+", async (file) => {
    await file.truncate(sizeBytes);
    await file.sync();
  });
}

/** Of a regular file or a block device. Throws {@link VolumeError} for anything else. */
export function fileBytes(path: string): number {
  const facts = statSync(path);
  if (facts.isFile()) return facts.size;
  if (facts.isBlockDevice()) return blockDeviceBytes(facts.rdev);
  throw new VolumeError(`${path} is neither a file nor a block device; name one that is`);
}

/** What a copy will write at most: holes are not counted. */
function dataBytes(path: string): number {
  return Math.min(fileBytes(path), allocatedBytes(statSync(path)) ?? Number.POSITIVE_INFINITY);
}

/** What a file takes; undefined for a device. `st_blocks` counts sectors of 512 octets everywhere. */
export function allocatedBytes(facts: Stats): number | undefined {
  return facts.isFile() ? facts.blocks * 512 : undefined;
}

/** stat tells no size of a block device; sysfs counts it in sectors of 512 octets whatever the device's own block size is. */
function blockDeviceBytes(rdev: number): number {
  const major = (rdev >> 8) & 0xfff;
  const minor = (rdev & 0xff) | ((rdev >> 12) & 0xfff00);
  return Number(readFileSync(`/sys/dev/block/${major}:${minor}/size`, "utf8")) * 512;
}
