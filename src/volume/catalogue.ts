import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseVolumeName, type VolumeName } from "../machine/identifiers.ts";
import { VolumeError } from "./error.ts";
import { foldersIn, isLeftover } from "./files.ts";
import {
  SNAPSHOT_FILE,
  type SnapshotRecord,
  snapshotFolder,
  snapshotsFolder,
  VOLUME_FILE,
  type VolumeRecord,
  volumeFolder,
  volumeOfFolder,
  volumesFolder,
} from "./layout.ts";

export interface StoredVolume {
  readonly name: VolumeName;
  readonly record: VolumeRecord;
  /** The oldest first. */
  readonly snapshots: ReadonlyMap<VolumeName, SnapshotRecord>;
}

/** A snapshot, and the volume that has it today. */
export interface Found {
  readonly volume: StoredVolume;
  readonly snapshot: VolumeName;
  readonly record: SnapshotRecord;
}

/**
 * What is in the store, in memory: read once, and again volume by volume where something was changed. Reads take no time
 * that grows with the number of volumes on the disk, so that ten thousand can be listed at once.
 */
export class Catalogue {
  readonly #storage: string;
  readonly #volumes = new Map<VolumeName, StoredVolume>();
  readonly #bySnapshot = new Map<string, { readonly volume: VolumeName; readonly snapshot: VolumeName }>();

  constructor(storage: string) {
    this.#storage = storage;
  }

  /** Reads everything. What cannot be read is told to `onBad` and left out. */
  load(onBad: (volume: VolumeName, reason: string) => void): void {
    for (const folder of foldersIn(volumesFolder(this.#storage))) {
      const name = isLeftover(folder) ? undefined : volumeOfFolder(folder);
      if (name === undefined) continue;
      try {
        this.refresh(name);
      } catch (cause) {
        onBad(name, `its record cannot be read: ${(cause as Error).message}`);
      }
    }
  }

  /** Reads one volume again; forgets it where it is gone. Throws where its records cannot be read. */
  refresh(name: VolumeName): void {
    this.#forget(name);
    const record = readJson<VolumeRecord>(join(volumeFolder(this.#storage, name), VOLUME_FILE));
    if (record === undefined) return;
    const snapshots = this.#readSnapshots(name);
    this.#volumes.set(name, { name, record, snapshots });
    for (const [snapshot, { uuid }] of snapshots) this.#bySnapshot.set(uuid, { volume: name, snapshot });
  }

  get(name: VolumeName): StoredVolume | undefined {
    return this.#volumes.get(name);
  }

  /** Throws {@link VolumeError} where there is no such volume. */
  need(name: VolumeName): StoredVolume {
    const volume = this.#volumes.get(name);
    if (volume === undefined) throw new VolumeError(`there is no volume ${name}; "rackboot volume list" names them all`);
    return volume;
  }

  /** Throws {@link VolumeError} where the volume has no such snapshot. */
  needSnapshot(volume: StoredVolume, snapshot: VolumeName): SnapshotRecord {
    const record = volume.snapshots.get(snapshot);
    if (record === undefined) {
      throw new VolumeError(`${volume.name} has no snapshot ${snapshot}; "rackboot volume snapshots ${volume.name}" names them all`);
    }
    return record;
  }

  get all(): Iterable<StoredVolume> {
    return this.#volumes.values();
  }

  get size(): number {
    return this.#volumes.size;
  }

  /** By the snapshot's UUID, whatever it and its volume are called today. */
  findSnapshot(uuid: string): Found | undefined {
    const place = this.#bySnapshot.get(uuid);
    const volume = place === undefined ? undefined : this.#volumes.get(place.volume);
    const record = place === undefined ? undefined : volume?.snapshots.get(place.snapshot);
    return place === undefined || volume === undefined || record === undefined ? undefined : { volume, snapshot: place.snapshot, record };
  }

  /** Clones by the UUID of the snapshot that they hang on. */
  clones(): ReadonlyMap<string, readonly VolumeName[]> {
    const clones = new Map<string, VolumeName[]>();
    for (const { name, record } of this.#volumes.values()) {
      const uuid = record.origin?.uuid;
      if (uuid === undefined) continue;
      const others = clones.get(uuid);
      if (others === undefined) clones.set(uuid, [name]);
      else others.push(name);
    }
    return clones;
  }

  #forget(name: VolumeName): void {
    const before = this.#volumes.get(name);
    this.#volumes.delete(name);
    for (const { uuid } of before?.snapshots.values() ?? []) {
      // A renamed volume was read under its new name before it is forgotten under its old one.
      if (this.#bySnapshot.get(uuid)?.volume === name) this.#bySnapshot.delete(uuid);
    }
  }

  #readSnapshots(volume: VolumeName): ReadonlyMap<VolumeName, SnapshotRecord> {
    const found: (readonly [VolumeName, SnapshotRecord])[] = [];
    const snapshots = snapshotsFolder(this.#storage, volume);
    for (const folder of existsSync(snapshots) ? foldersIn(snapshots) : []) {
      if (isLeftover(folder)) continue;
      const name = parseVolumeName(folder);
      const record = readJson<SnapshotRecord>(join(snapshotFolder(this.#storage, volume, name), SNAPSHOT_FILE));
      if (record !== undefined) found.push([name, record]);
    }
    return new Map(found.sort(([, a], [, b]) => a.createdMs - b.createdMs));
  }
}

/** Undefined where there is no such file. */
function readJson<T>(path: string): T | undefined {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw cause;
  }
  return JSON.parse(text) as T;
}
