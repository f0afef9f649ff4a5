import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { SanitizeJob } from "../scsi/unit-job.ts";

/** A SANITIZE that has not ended well. */
export interface KnownSanitize {
  readonly passes: SanitizeJob["passes"];
  /** It ended, and badly. Otherwise it was interrupted. */
  readonly failed: boolean;
}

/**
 * What is being sanitized, or failed to be, so that neither a restart of the daemon nor a power cut makes a disk look erased that
 * is not (SBC-3, 4.11.2). By the unit's NAA identifier.
 */
export class SanitizeStore {
  readonly #upsert: StatementSync;
  readonly #delete: StatementSync;
  readonly #known: Map<string, KnownSanitize>;

  /** Throws where the database cannot be written. */
  constructor(database: DatabaseSync) {
    database.exec("CREATE TABLE IF NOT EXISTS sanitize (unit TEXT PRIMARY KEY, job TEXT NOT NULL) STRICT, WITHOUT ROWID");
    this.#upsert = database.prepare("INSERT OR REPLACE INTO sanitize (unit, job) VALUES (?, ?)");
    this.#delete = database.prepare("DELETE FROM sanitize WHERE unit = ?");
    const rows = database.prepare("SELECT unit, job FROM sanitize").all();
    this.#known = new Map(rows.map((row) => [String(row["unit"]), decode(String(row["job"]))]));
  }

  get(unit: string): KnownSanitize | undefined {
    return this.#known.get(unit);
  }

  /** On the medium when it returns. Throws what SQLite throws, and has changed nothing then. */
  save(unit: string, known: KnownSanitize): void {
    this.#upsert.run(unit, encode(known));
    this.#known.set(unit, known);
  }

  forget(unit: string): void {
    if (!this.#known.has(unit)) return;
    this.#delete.run(unit);
    this.#known.delete(unit);
  }
}

interface Stored {
  /** Base64; null: blocks are erased. */
  readonly passes: readonly (string | null)[];
  readonly failed: boolean;
}

function encode({ passes, failed }: KnownSanitize): string {
  const stored: Stored = { passes: passes.map((pass) => (pass === undefined ? null : Buffer.from(pass).toString("base64"))), failed };
  return JSON.stringify(stored);
}

function decode(text: string): KnownSanitize {
  const { passes, failed } = JSON.parse(text) as Stored;
  return { passes: passes.map((pass) => (pass === null ? undefined : Uint8Array.from(Buffer.from(pass, "base64")))), failed };
}
