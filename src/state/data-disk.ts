import { accessSync, constants, existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { type OpenedDatabase, openDatabase, openMemoryDatabase } from "./database.ts";

/** A board puts it into the folder on which the data disk is mounted; it is seen only while nothing is. */
export const NOT_MOUNTED = ".not-mounted";

export interface DataDisk extends OpenedDatabase {
  /** Why there is none: everything that would be learned is kept in memory until then, and no volume is served. */
  readonly missing?: string;
}

/** Why nothing can be kept in `folder`, which is made where it can be; undefined where all is well. */
export function whyMissing(folder: string): string | undefined {
  if (existsSync(join(folder, NOT_MOUNTED))) return `no disk is mounted on ${folder}`;
  try {
    mkdirSync(folder, { recursive: true });
    accessSync(folder, constants.R_OK | constants.W_OK | constants.X_OK);
    return undefined;
  } catch (cause) {
    return `${folder} cannot be used: ${(cause as Error).message.replace(/,.*/, "")}`;
  }
}

/** Throws what {@link openDatabase} throws where there is a disk whose database cannot be used. */
export function openDataDisk(folder: string): DataDisk {
  const missing = whyMissing(folder);
  return missing === undefined ? openDatabase(folder) : { database: openMemoryDatabase(), missing };
}
