import type { VolumeName } from "../../machine/identifiers.ts";
import { type DiskLook, openDisk } from "../../volume/look/disk.ts";
import { LookError } from "../../volume/look/error.ts";
import { type ByteRange, totalBytes } from "../../volume/look/ranges.ts";
import type { ReaderPrograms } from "../../volume/look/reader.ts";
import type { DiskFindings } from "./disk-boot.ts";
import { findDiskBoot } from "./find.ts";

/** A whole search; an ordinary one takes some tenths of a second. */
const SEARCH_TIMEOUT_MS = 15_000;
/** What is hashed to see whether a disk has changed where it matters. A search that read more than this is made anew each time. */
const MAX_FINGERPRINT_BYTES = 64 * 2 ** 20;

interface Remembered {
  readonly findings: DiskFindings;
  readonly path: string;
  readonly ranges: readonly ByteRange[];
  readonly fingerprint: string;
  stamp: string | undefined;
}

export interface DiskLooksOptions {
  readonly programs?: ReaderPrograms;
}

/**
 * What the disks of the rack would boot, remembered. A result holds for as long as the octets that it was read from hold:
 * a volume that was not written since costs a stat; one that was costs a hash of those octets, some megabytes, and is searched
 * anew only if they differ. So an ordinary write never costs a search, and no write that matters goes unseen, without a word
 * from the data path.
 */
export class DiskLooks {
  readonly #programs: ReaderPrograms | undefined;
  readonly #remembered = new Map<VolumeName, Remembered>();
  readonly #running = new Map<VolumeName, Promise<DiskFindings>>();

  constructor(options: DiskLooksOptions = {}) {
    this.#programs = options.programs;
  }

  /**
   * The findings of the volume whose file is at `path`. Those who ask at the same time share one search. `generation` is for
   * callers that know more of writes than the file's times tell. Rejects with a LookError.
   */
  find(volume: VolumeName, path: string, generation = ""): Promise<DiskFindings> {
    const running = this.#running.get(volume);
    if (running !== undefined) return running;
    const search = this.#find(volume, path, generation).finally(() => this.#running.delete(volume));
    this.#running.set(volume, search);
    return search;
  }

  /** To be called where a volume's file was replaced as a whole (rolled back, recreated) or is served no longer. */
  forget(volume: VolumeName): void {
    this.#remembered.delete(volume);
  }

  /** Opens a disk for reading one file of it: the caller closes it. */
  open(path: string): Promise<DiskLook> {
    return openDisk(path, this.#programs === undefined ? {} : { programs: this.#programs });
  }

  async #find(volume: VolumeName, path: string, generation: string): Promise<DiskFindings> {
    const timeout = AbortSignal.timeout(SEARCH_TIMEOUT_MS);
    const look = await openDisk(path, { signal: timeout, ...(this.#programs === undefined ? {} : { programs: this.#programs }) });
    try {
      return await this.#findOn(look, volume, path, generation);
    } catch (cause) {
      if (timeout.aborted) throw new LookError("too-long", `looking inside ${volume} took longer than ${SEARCH_TIMEOUT_MS / 1000} s`);
      throw cause;
    } finally {
      await look.close();
    }
  }

  async #findOn(look: DiskLook, volume: VolumeName, path: string, generation: string): Promise<DiskFindings> {
    const stamp = await stampOf(look, generation);
    const known = this.#remembered.get(volume);
    if (known !== undefined && known.path === path) {
      if (stamp !== undefined && known.stamp === stamp) return known.findings;
      if ((await look.fingerprint(known.ranges)) === known.fingerprint) {
        known.stamp = stamp;
        return known.findings;
      }
    }
    this.#remembered.delete(volume);
    const findings = await findDiskBoot(look);
    const ranges = look.touched;
    if (totalBytes(ranges) > MAX_FINGERPRINT_BYTES) return findings;
    const fingerprint = await look.fingerprint(ranges);
    // Written meanwhile: the hash may be of octets that the search has not seen. A block device does not tell, and is believed.
    if ((await stampOf(look, generation)) !== stamp) return findings;
    this.#remembered.set(volume, { findings, path, ranges, fingerprint, stamp });
    return findings;
  }
}

async function stampOf(look: DiskLook, generation: string): Promise<string | undefined> {
  const stamp = await look.stamp();
  return stamp === undefined ? undefined : `${stamp}:${generation}`;
}
