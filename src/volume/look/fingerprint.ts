import { createHash } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import type { ByteRange } from "./ranges.ts";

/** Read and hashed at a time: short enough that no other work waits. */
const PIECE_BYTES = 256 * 1024;

/**
 * A hash of what the disk holds in `ranges` now. Two of them alike mean that nobody has changed what a look read, whatever
 * else was written since: that is how a result is known to be good without a hook in the path of writes.
 */
export async function fingerprint(disk: FileHandle, ranges: readonly ByteRange[], signal?: AbortSignal): Promise<string> {
  const hash = createHash("sha256");
  const piece = Buffer.allocUnsafe(PIECE_BYTES);
  for (const { offset, length } of ranges) {
    hash.update(`${offset}+${length}:`);
    for (let done = 0; done < length; ) {
      signal?.throwIfAborted();
      const { bytesRead } = await disk.read(piece, 0, Math.min(PIECE_BYTES, length - done), offset + done);
      // A disk that has shrunk is another disk.
      if (bytesRead === 0) return "short";
      hash.update(piece.subarray(0, bytesRead));
      done += bytesRead;
    }
  }
  return hash.digest("hex");
}
