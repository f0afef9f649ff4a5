import { join } from "node:path";
import { IdentifierError, parseVolumeName, type VolumeName } from "../machine/identifiers.ts";
import type { VolumeSettings } from "../machine/volume.ts";

/**
 * Where the store keeps what, below `storage.path`:
 *
 *     volumes/<name>/volume.json                  identity, origin and settings
 *     volumes/<name>/disk.raw                     the blocks; absent for `file:` volumes, whose blocks are elsewhere
 *     volumes/<name>/snapshots/<s>/disk.raw       immutable
 *     volumes/<name>/snapshots/<s>/snapshot.json  identity
 *     .new-*, .old-* in either                    half made or half deleted; removed at start
 *
 * Everything appears, changes and disappears by one rename(2), so a crash leaves the old or the new, never a mixture.
 * The folder alone says all: moving the SSD to another board moves the disks with their identities.
 */
export interface VolumeRecord {
  /** Given once and never again: serial number and NAA identifier are derived from it. */
  readonly uuid: string;
  readonly createdMs: number;
  /** What `disk.raw` has at least; a file that has less was cut short by somebody else. Absent where the blocks are elsewhere. */
  readonly sizeBytes?: number;
  readonly origin?: OriginRecord;
  /** Of `file:` volumes. */
  readonly file?: string;
  /** Of volumes that no configuration names; absent: the defaults. */
  readonly settings?: VolumeSettings;
  /** The boot that an ephemeral disk was made anew for. */
  readonly boot?: number;
}

/** What a clone was made of. Names are those of that day; the UUID finds the snapshot whatever it is called now. */
export interface OriginRecord {
  readonly volume: VolumeName;
  readonly snapshot?: VolumeName;
  /** Of the snapshot. */
  readonly uuid?: string;
}

export interface SnapshotRecord {
  readonly uuid: string;
  readonly createdMs: number;
  /** Made for a clone; goes with its last clone. */
  readonly automatic: boolean;
  /** What the volume's file was like, so that an unchanged volume needs no second snapshot; absent where time is too coarse to tell. */
  readonly stamp?: string;
}

export const DISK_FILE = "disk.raw";
export const VOLUME_FILE = "volume.json";
export const SNAPSHOT_FILE = "snapshot.json";

export function volumesFolder(storage: string): string {
  return join(storage, "volumes");
}

/** An inline volume's name has a slash, which no chosen name can have; a colon keeps its folder as unmistakable. */
export function volumeFolder(storage: string, name: VolumeName): string {
  return join(volumesFolder(storage), name.replace("/", ":"));
}

/** The name of a folder in {@link volumesFolder}; undefined for what is no volume. */
export function volumeOfFolder(folder: string): VolumeName | undefined {
  try {
    return parseVolumeReference(folder.replace(":", "/"));
  } catch {
    return undefined;
  }
}

export function diskPath(storage: string, name: VolumeName): string {
  return join(volumeFolder(storage, name), DISK_FILE);
}

export function snapshotsFolder(storage: string, name: VolumeName): string {
  return join(volumeFolder(storage, name), "snapshots");
}

export function snapshotFolder(storage: string, name: VolumeName, snapshot: VolumeName): string {
  return join(snapshotsFolder(storage, name), snapshot);
}

export function snapshotPath(storage: string, name: VolumeName, snapshot: VolumeName): string {
  return join(snapshotFolder(storage, name, snapshot), DISK_FILE);
}

/** A volume that is there already: a chosen name, or `machine/lun` of an inline one. Throws IdentifierError. */
export function parseVolumeReference(text: string): VolumeName {
  return /^[a-z0-9][a-z0-9-]{0,62}\/[0-9]{1,3}$/.test(text) ? (text as VolumeName) : parseVolumeName(text);
}

/** `volume` or `volume@snapshot`. Throws IdentifierError. */
export function parseOrigin(text: string): { readonly volume: VolumeName; readonly snapshot?: VolumeName } {
  const [volume = "", snapshot, ...more] = text.split("@");
  if (more.length > 0) throw new IdentifierError(text, "a volume or a snapshot (volume@snapshot)");
  return { volume: parseVolumeReference(volume), ...(snapshot !== undefined && { snapshot: parseVolumeName(snapshot) }) };
}
