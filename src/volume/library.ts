import { existsSync, mkdirSync, statSync } from "node:fs";
import type { VolumeName } from "../machine/identifiers.ts";
import { setCopyOnWriteHint } from "../native/extents.ts";
import type { Emit } from "../state/events.ts";
import { Catalogue, type StoredVolume } from "./catalogue.ts";
import { fileBytes } from "./copy.ts";
import { VolumeError } from "./error.ts";
import { AtomicFolders, removeLeftovers } from "./files.ts";
import { diskPath, volumesFolder } from "./layout.ts";
import { Locks } from "./locks.ts";
import { Pool, readable } from "./pool.ts";

/**
 * A write to a shared block takes this much room at once on XFS (its default is 128 KiB), so that what a machine writes over
 * and over grows together into fewer extents; test/bench/volume-figures.ts shows how many.
 */
const COPY_ON_WRITE_BYTES = 1024 * 1024;

export interface LibraryParts {
  readonly storage: string;
  readonly emit: Emit;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Hears of every point at which a crash would leave something else than before; for tests. */
  readonly onStep?: (step: string) => void;
}

/** One store on the disk: what is in it, who works on what, and the file system below. */
export class Library {
  readonly storage: string;
  readonly emit: Emit;
  readonly now: () => number;
  readonly folders: AtomicFolders;
  readonly catalogue: Catalogue;
  readonly locks: Locks<VolumeName> = new Locks();
  readonly pool: Pool;

  private constructor({ storage, emit, now, onStep }: LibraryParts) {
    this.storage = storage;
    this.emit = emit;
    this.now = now;
    this.folders = new AtomicFolders(onStep);
    this.catalogue = new Catalogue(storage);
    this.pool = new Pool(storage, emit);
  }

  /** Makes the folder where it is missing, and clears away what a crash left. One library a folder. */
  static async open(parts: LibraryParts): Promise<Library> {
    mkdirSync(volumesFolder(parts.storage), { recursive: true });
    await removeLeftovers(parts.storage);
    const library = new Library(parts);
    setCopyOnWriteHint(volumesFolder(parts.storage), COPY_ON_WRITE_BYTES);
    await library.pool.probe();
    library.catalogue.load((volume, reason) => parts.emit({ type: "volume.failed", volume, reason }));
    return library;
  }

  /** Where a volume's blocks are. */
  pathOf({ name, record }: StoredVolume): string {
    return record.file ?? diskPath(this.storage, name);
  }

  /** Whether the store can share the volume's blocks instead of copying them. */
  canShare(volume: StoredVolume): boolean {
    if (!this.pool.reflink) return false;
    return volume.record.file === undefined || statSync(volume.record.file).dev === statSync(volumesFolder(this.storage)).dev;
  }

  /** Throws {@link VolumeError} where the blocks, or the last of them, are gone. */
  needBlocks(volume: StoredVolume): string {
    const path = this.pathOf(volume);
    if (!existsSync(path))
      throw new VolumeError(`the blocks of ${volume.name} are gone: ${path} does not exist; restore it, or delete the volume`);
    const { file, sizeBytes = 0 } = volume.record;
    const leftBytes = file === undefined ? fileBytes(path) : sizeBytes;
    if (leftBytes < sizeBytes) {
      const left = `${path} has ${readable(leftBytes)} of the ${readable(sizeBytes)} of ${volume.name}`;
      throw new VolumeError(`${left}: it was cut short; roll back to a snapshot, or restore it from elsewhere`);
    }
    return path;
  }
}
