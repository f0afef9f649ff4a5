import { accessSync, constants, existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import {
  DatabaseError,
  type DatabaseLayout,
  type OpenedDatabase,
  openDatabase,
  openMemoryDatabase,
  openStandIn,
  STATE,
} from "./database.ts";
import type { FaultCause } from "./faults.ts";

/** A board puts it into the folder on which the data disk is mounted; it is seen only while nothing is. */
export const NOT_MOUNTED = ".not-mounted";

const READ_ONLY_NEXT = "look for its write-protect switch, or replace it: flash that is worn out ends like this";

export interface DataDisk extends OpenedDatabase {
  /** Why there is none: everything that would be learned is kept in memory until then, and no volume is served. */
  readonly missing?: FaultCause;
  /** Why what was learned before is not there, while another database stands in for its own. */
  readonly unusable?: FaultCause;
}

/** Why nothing can be kept in `folder`, which is made where it can be; undefined where all is well. */
export function whyMissing(folder: string): FaultCause | undefined {
  if (existsSync(join(folder, NOT_MOUNTED))) return { reason: `no disk is mounted on ${folder}` };
  try {
    mkdirSync(folder, { recursive: true });
    accessSync(folder, constants.R_OK | constants.W_OK | constants.X_OK);
    return undefined;
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === "EROFS") return { reason: `the disk under ${folder} can only be read`, next: READ_ONLY_NEXT };
    return { reason: `${folder} cannot be used: ${message.replace(/,.*/, "")}` };
  }
}

/**
 * What keeps the database from being used keeps no volume from being served: another one stands in for it. Throws
 * DatabaseError where another daemon has the disk.
 */
export function openDataDisk(folder: string, layout: DatabaseLayout = STATE): DataDisk {
  const missing = whyMissing(folder);
  if (missing !== undefined) return { database: openMemoryDatabase(layout), missing };
  try {
    return openDatabase(folder, layout);
  } catch (error) {
    if (!(error instanceof DatabaseError) || error.isInUse) throw error;
    return { database: openStandIn(folder, layout), unusable: { reason: error.reason, next: error.next } };
  }
}
