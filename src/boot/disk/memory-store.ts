import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { VolumeName } from "../../machine/identifiers.ts";
import { type DiskMemory, NO_MEMORY } from "./memory.ts";

/** What is remembered of disks, in SQLite: on the medium when a call returns. Methods throw what SQLite throws. */
export class DiskMemories {
  readonly #database: DatabaseSync;
  readonly #upsert: StatementSync;
  readonly #known = new Map<VolumeName, DiskMemory>();

  constructor(database: DatabaseSync) {
    this.#database = database;
    // Only this file reads the value, and what it holds has no question that SQL would have to answer.
    database.exec("CREATE TABLE IF NOT EXISTS disk_memory (volume TEXT PRIMARY KEY, memory TEXT NOT NULL) STRICT, WITHOUT ROWID");
    this.#upsert = database.prepare("INSERT OR REPLACE INTO disk_memory (volume, memory) VALUES (?, ?)");
    for (const { volume, memory } of database.prepare("SELECT volume, memory FROM disk_memory").all()) {
      this.#known.set(String(volume) as VolumeName, JSON.parse(String(memory)) as DiskMemory);
    }
  }

  get(volume: VolumeName): DiskMemory {
    return this.#known.get(volume) ?? NO_MEMORY;
  }

  set(volume: VolumeName, memory: DiskMemory): void {
    const text = JSON.stringify(memory);
    if (text === JSON.stringify(this.get(volume))) return;
    this.#known.set(volume, memory);
    this.#upsert.run(volume, text);
  }

  rename(volume: VolumeName, to: VolumeName): void {
    const memory = this.get(volume);
    this.forget(volume);
    this.set(to, memory);
  }

  forget(volume: VolumeName): void {
    if (this.#known.delete(volume)) this.#database.prepare("DELETE FROM disk_memory WHERE volume = ?").run(volume);
  }
}
