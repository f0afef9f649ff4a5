import { loadAddon } from "./addon.ts";

/** What the addon exports for this door. */
interface Exports {
  /** Three numbers a path; the first is negative where nothing is known. */
  measureExtents(paths: readonly string[]): Promise<Float64Array>;
  dataRange(fd: number, fromBytes: number): readonly [startBytes: number, endBytes: number] | undefined;
  dataRuns(path: string, fromBytes: number, most: number): Promise<Float64Array>;
  exchangePaths(left: string, right: string): void;
  setCopyOnWriteHint(folder: string, bytes: number): boolean;
}

/**
 * What a file system knows of a file's extents, as far as volumes need it and Node does not offer it: which octets are data
 * and which are holes, what is shared with other files, and the exchange of two names in one step.
 */

/** Of one file. Octets of extents that exist; holes count nowhere. */
export interface ExtentFacts {
  readonly extents: number;
  /** In extents that no other file has: what deleting the file would give back. */
  readonly ownBytes: number;
  /** In extents that at least one other file has too (FIEMAP_EXTENT_SHARED). */
  readonly sharedBytes: number;
}

/**
 * FIEMAP over many files at once, off the JavaScript thread. Nothing is flushed, so that looking costs no write. Undefined
 * where the file is gone or its file system cannot tell. Never rejects.
 */
export async function measureExtents(paths: readonly string[]): Promise<readonly (ExtentFacts | undefined)[]> {
  if (paths.length === 0) return [];
  const numbers = await loadAddon<Exports>().measureExtents(paths);
  return paths.map((_, index) => {
    const [extents = -1, ownBytes = 0, sharedBytes = 0] = numbers.subarray(index * 3, index * 3 + 3);
    return extents < 0 ? undefined : { extents, ownBytes, sharedBytes };
  });
}

/**
 * The first run of data at or after `fromBytes` of an open file (SEEK_DATA, SEEK_HOLE); undefined where only a hole follows.
 * A file system that knows no holes has one run. Throws with the system's `code`.
 */
export function dataRange(fd: number, fromBytes: number): { readonly startBytes: number; readonly endBytes: number } | undefined {
  const range = loadAddon<Exports>().dataRange(fd, fromBytes);
  return range === undefined ? undefined : { startBytes: range[0], endBytes: range[1] };
}

/**
 * At most `most` runs of data at or after `fromBytes` of a file, in order, off the JavaScript thread; fewer where only a
 * hole follows. The first one begins no earlier than `fromBytes`. Rejects with the system's `code`.
 */
export async function dataRuns(
  path: string,
  fromBytes: number,
  most: number,
): Promise<readonly { readonly startBytes: number; readonly endBytes: number }[]> {
  const numbers = await loadAddon<Exports>().dataRuns(path, fromBytes, most);
  return Array.from({ length: numbers.length / 2 }, (_, at) => ({ startBytes: numbers[2 * at] ?? 0, endBytes: numbers[2 * at + 1] ?? 0 }));
}

/**
 * renameat2(2) with RENAME_EXCHANGE: after it `left` names what `right` named and the other way round, and at no moment is
 * either name without a file. Throws with the system's `code` (EINVAL: this file system cannot).
 */
export function exchangePaths(left: string, right: string): void {
  loadAddon<Exports>().exchangePaths(left, right);
}

/**
 * XFS: room for new files below `folder` is taken in pieces this large where a shared block is written for the first time
 * (FS_XFLAG_COWEXTSIZE), so that random writes to a clone do not leave one extent a block. Returns false where the file
 * system has no such hint.
 */
export function setCopyOnWriteHint(folder: string, bytes: number): boolean {
  return loadAddon<Exports>().setCopyOnWriteHint(folder, bytes);
}
