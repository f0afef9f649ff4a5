import { randomUUID } from "node:crypto";
import { constants, existsSync, mkdirSync, readdirSync, statSync } from "node:fs";
import { copyFile, mkdir, open, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { VolumeName } from "../machine/identifiers.ts";
import { type VolumeRecord, volumeFolder, volumesFolder } from "./layout.ts";

/** A volume cannot be made or opened; the message says why and what to do. */
export class VolumeError extends Error {
  readonly code = "ERR_VOLUME";
}

const NEW_PREFIX = ".new-";
const OLD_PREFIX = ".old-";

/** Makes what happened in a folder (a rename, a new file) survive a power cut. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

async function syncFile(path: string, sizeBytes?: number): Promise<void> {
  const file = await open(path, "r+");
  try {
    if (sizeBytes !== undefined) await file.truncate(sizeBytes);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Removes what a crash left half made or half deleted. Call before anything is opened. */
export async function removeLeftovers(storage: string): Promise<void> {
  const folder = volumesFolder(storage);
  mkdirSync(folder, { recursive: true });
  for (const name of readdirSync(folder)) {
    if (name.startsWith(NEW_PREFIX) || name.startsWith(OLD_PREFIX)) await rm(join(folder, name), { recursive: true, force: true });
  }
}

/**
 * Makes a volume appear whole or not at all: its folder is filled under another name (`fill` makes the disk at the path
 * it is given), synced, and renamed.
 */
export async function appearVolume(
  storage: string,
  name: VolumeName,
  record: VolumeRecord,
  fill: (diskPath: string) => Promise<void>,
): Promise<void> {
  const final = volumeFolder(storage, name);
  if (existsSync(final)) throw new VolumeError(`a volume named ${name} exists already`);
  const temporary = join(volumesFolder(storage), `${NEW_PREFIX}${randomUUID()}`);
  await mkdir(join(temporary, "snapshots"), { recursive: true, mode: 0o700 });
  try {
    await fill(join(temporary, "disk.raw"));
    const recordFile = join(temporary, "volume.json");
    await writeFile(recordFile, `${JSON.stringify(record, null, 2)}\n`);
    await syncFile(recordFile);
    await syncFolder(temporary);
    await rename(temporary, final);
    await syncFolder(dirname(final));
  } catch (cause) {
    await rm(temporary, { recursive: true, force: true });
    throw cause;
  }
}

/** A sparse file of `sizeBytes`; it takes no room until it is written. */
export async function createSparse(path: string, sizeBytes: number): Promise<void> {
  await (await open(path, "wx", 0o600)).close();
  await syncFile(path, sizeBytes);
}

/** A copy of `origin`, by reflink where the file system can, grown to `sizeBytes` if that is larger. */
export async function createCopy(path: string, origin: string, sizeBytes: number | undefined): Promise<void> {
  if (!existsSync(origin)) throw new VolumeError(`its origin ${origin} does not exist`);
  const originBytes = statSync(origin).size;
  if (sizeBytes !== undefined && sizeBytes < originBytes) {
    throw new VolumeError(`a size of ${sizeBytes} octets is smaller than its origin's ${originBytes}: a clone can grow, not shrink`);
  }
  await copyFile(origin, path, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL);
  await syncFile(path, sizeBytes);
}
