import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseVolumeName, type VolumeName } from "../machine/identifiers.ts";

/**
 * Where the store keeps what, below `storage.path`:
 *
 *     volumes/<name>/volume.json          identity and origin, written once
 *     volumes/<name>/disk.raw             the blocks; absent for `file:` volumes, whose blocks are elsewhere
 *     volumes/<name>/snapshots/<s>.raw    immutable
 *     volumes/.new-*, volumes/.old-*      half made or half deleted; removed at start
 *
 * Everything appears, changes and disappears by one rename(2), so a crash leaves the old or the new, never a mixture.
 * The folder alone says all: moving the SSD to another board moves the disks with their identities.
 */
export interface VolumeRecord {
  /** Given once and never again: serial number and NAA identifier are derived from it. */
  readonly uuid: string;
  readonly createdMs: number;
  /** `volume@snapshot` that it was cloned from. */
  readonly origin?: string;
}

export function volumesFolder(storage: string): string {
  return join(storage, "volumes");
}

/** An inline volume's name has a slash, which no chosen name can have; a colon keeps its folder as unmistakable. */
export function volumeFolder(storage: string, name: VolumeName): string {
  return join(volumesFolder(storage), name.replace("/", ":"));
}

export function diskPath(storage: string, name: VolumeName): string {
  return join(volumeFolder(storage, name), "disk.raw");
}

export function recordPath(storage: string, name: VolumeName): string {
  return join(volumeFolder(storage, name), "volume.json");
}

export function snapshotsFolder(storage: string, name: VolumeName): string {
  return join(volumeFolder(storage, name), "snapshots");
}

export function snapshotPath(storage: string, name: VolumeName, snapshot: string): string {
  return join(snapshotsFolder(storage, name), `${snapshot}.raw`);
}

/** The record of a volume, or undefined if the store has no such volume. Throws if it is there and cannot be read. */
export function readRecord(storage: string, name: VolumeName): VolumeRecord | undefined {
  let text: string;
  try {
    text = readFileSync(recordPath(storage, name), "utf8");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw cause;
  }
  return JSON.parse(text) as VolumeRecord;
}

/** `volume` or `volume@snapshot`, as `clone:` names it. */
export function parseOrigin(text: string): { readonly volume: VolumeName; readonly snapshot?: string } {
  const at = text.indexOf("@");
  if (at < 0) return { volume: parseVolumeName(text) };
  return { volume: parseVolumeName(text.slice(0, at)), snapshot: parseVolumeName(text.slice(at + 1)) };
}
