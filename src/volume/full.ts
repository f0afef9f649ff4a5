import { statfsSync, statSync } from "node:fs";
import type { VolumeName } from "../machine/identifiers.ts";
import type { Emit } from "../state/events.ts";

/** Less is soon gone again. */
const ROOM_BYTES = 1024 ** 2;

/** Volumes that could not grow: told once, however often a machine tries again, and once more when there is room. */
export class FullVolumes {
  readonly #emit: Emit;
  /** Where its blocks are, and how often it was refused room, in all and since the last look. */
  readonly #full = new Map<VolumeName, { readonly path: string; refusals: number; lately: number }>();

  constructor(emit: Emit) {
    this.#emit = emit;
  }

  /** A write found no room. */
  refused(volume: VolumeName, path: string): void {
    const known = this.#full.get(volume);
    if (known === undefined) {
      this.#full.set(volume, { path, refusals: 1, lately: 1 });
      this.#emit({ type: "volume.full", volume });
      return;
    }
    known.refusals++;
    known.lately++;
  }

  /** Every few seconds: whoever was not refused since the last time, and has room, is well again. */
  look(): void {
    for (const [volume, state] of this.#full) {
      const isRefused = state.lately > 0;
      state.lately = 0;
      if (isRefused || freeBytes(state.path) < ROOM_BYTES) continue;
      this.#full.delete(volume);
      this.#emit({ type: "volume.eased", volume, refusals: state.refusals });
    }
  }
}

function freeBytes(path: string): number {
  try {
    const { bavail, bsize } = statfsSync(path);
    return bavail * bsize;
  } catch {
    // It is gone, which others tell of.
    return Number.POSITIVE_INFINITY;
  }
}

/** What a file takes, and what its file system has left. Octets. */
export interface FileRoom {
  readonly usedBytes: number;
  readonly freeBytes: number;
}

/** Undefined where it is gone, or no file. */
export function roomOfFile(path: string | undefined): FileRoom | undefined {
  const stats = path === undefined ? undefined : statSync(path, { throwIfNoEntry: false });
  // `st_blocks` counts sectors of 512 octets everywhere.
  return path !== undefined && stats?.isFile() === true ? { usedBytes: stats.blocks * 512, freeBytes: freeBytes(path) } : undefined;
}
