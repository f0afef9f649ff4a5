import { constants, existsSync, mkdirSync, statSync } from "node:fs";
import { copyFile, open, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { VolumeName } from "../machine/identifiers.ts";

/** A volume cannot be made or opened; the message says why and what to do. */
export class VolumeError extends Error {
  readonly code = "ERR_VOLUME";
}

/** Largest volume that is made: what XFS and a 16-octet CDB with 512-octet blocks both hold with room to spare. */
export const MAX_VOLUME_BYTES: number = 64 * 2 ** 40;

/** An inline volume's name has a slash, which no chosen name can have; a colon keeps its file as unmistakable. */
export function volumePath(storage: string, name: VolumeName): string {
  return join(storage, "volumes", `${name.replace("/", ":")}.raw`);
}

/**
 * Makes a file appear under its name whole or not at all: it is filled under a temporary name, synced, renamed, and the
 * folder is synced. A crash in between leaves a `.new` file that the next attempt overwrites.
 */
async function appear(path: string, fill: (temporary: string) => Promise<void>): Promise<void> {
  mkdirSync(dirname(path), { recursive: true });
  const temporary = `${path}.new`;
  await rm(temporary, { force: true });
  try {
    await fill(temporary);
    await rename(temporary, path);
  } catch (cause) {
    await rm(temporary, { force: true });
    throw cause;
  }
  const folder = await open(dirname(path), "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

async function setSizeAndSync(path: string, sizeBytes: number | undefined): Promise<void> {
  const file = await open(path, "r+");
  try {
    if (sizeBytes !== undefined) await file.truncate(sizeBytes);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** A sparse file of `sizeBytes`; it takes no room until it is written. */
export async function createSparse(path: string, sizeBytes: number): Promise<void> {
  await appear(path, async (temporary) => {
    await (await open(temporary, "wx", 0o600)).close();
    await setSizeAndSync(temporary, sizeBytes);
  });
}

/** A copy of `origin`, by reflink where the file system can, grown to `sizeBytes` if that is larger. */
export async function createClone(path: string, origin: string, sizeBytes: number | undefined): Promise<void> {
  if (!existsSync(origin)) throw new VolumeError(`its origin ${origin} does not exist`);
  const originBytes = statSync(origin).size;
  if (sizeBytes !== undefined && sizeBytes < originBytes) {
    throw new VolumeError(`size ${sizeBytes} is smaller than its origin's ${originBytes}: a clone can grow, not shrink`);
  }
  await appear(path, async (temporary) => {
    await copyFile(origin, temporary, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL);
    await setSizeAndSync(temporary, sizeBytes);
  });
}
