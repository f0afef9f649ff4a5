import { randomUUID } from "node:crypto";
import type { DatabaseSync } from "node:sqlite";
import type { VolumeName } from "../machine/identifiers.ts";

/** What the store remembers of a volume besides its blocks. */
export interface CatalogueEntry {
  readonly name: VolumeName;
  /** Given once and never again: serial number and NAA identifier are derived from it. */
  readonly uuid: string;
  readonly createdMs: number;
}

const SCHEMA = `CREATE TABLE IF NOT EXISTS volumes (
  name TEXT PRIMARY KEY,
  uuid TEXT NOT NULL UNIQUE,
  created_ms INTEGER NOT NULL
) STRICT`;

/**
 * The identities of volumes, in the state database. An initiator knows a disk by its identity (/dev/disk/by-id, dm-multipath):
 * it must outlive restarts, renames of the file and changes of the configuration.
 */
export class VolumeCatalogue {
  readonly #database: DatabaseSync;

  constructor(database: DatabaseSync) {
    this.#database = database;
    database.exec(SCHEMA);
  }

  /** The entry of `name`, made now if this is the first time it is seen. */
  ensure(name: VolumeName, nowMs: number): CatalogueEntry {
    const known = this.find(name);
    if (known !== undefined) return known;
    const entry = { name, uuid: randomUUID(), createdMs: nowMs };
    this.#database.prepare("INSERT INTO volumes (name, uuid, created_ms) VALUES (?, ?, ?)").run(name, entry.uuid, nowMs);
    return entry;
  }

  find(name: VolumeName): CatalogueEntry | undefined {
    const row = this.#database.prepare("SELECT uuid, created_ms FROM volumes WHERE name = ?").get(name);
    if (row === undefined) return undefined;
    return { name, uuid: String(row["uuid"]), createdMs: Number(row["created_ms"]) };
  }
}
