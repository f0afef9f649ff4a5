import { DatabaseSync, type StatementSync } from "node:sqlite";
import { type Ipv4, ipv4FromNumber, ipv4ToNumber, type Mac, parseMac } from "../machine/identifiers.ts";
import type { Lease } from "./leases.ts";

/**
 * The leases in SQLite. A commit is on the medium when it returns (write-ahead log, synchronous = FULL), so an
 * acknowledged lease survives kill -9 and power loss. One commit carries as many leases as have gathered.
 */
export class LeaseStore {
  readonly #database: DatabaseSync;
  readonly #owned: boolean;
  readonly #upsert: StatementSync;

  /** A path is opened and closed by the store; an open database stays its owner's. Throws where it cannot be opened or written. */
  constructor(database: DatabaseSync | string) {
    this.#owned = typeof database === "string";
    this.#database = typeof database === "string" ? new DatabaseSync(database) : database;
    this.#database.exec(`
      PRAGMA journal_mode = WAL;
      PRAGMA synchronous = FULL;
      CREATE TABLE IF NOT EXISTS lease (
        mac TEXT PRIMARY KEY,
        address INTEGER NOT NULL UNIQUE,
        expires_ms INTEGER              -- since the epoch; NULL: never
      ) STRICT, WITHOUT ROWID`);
    // REPLACE also removes whoever had the address before: both columns are unique.
    this.#upsert = this.#database.prepare("INSERT OR REPLACE INTO lease (mac, address, expires_ms) VALUES (?, ?, ?)");
  }

  load(): Lease[] {
    const rows = this.#database.prepare("SELECT mac, address, expires_ms FROM lease").all();
    return rows.map(({ mac, address, expires_ms }) => ({
      mac: parseMac(String(mac)) satisfies Mac,
      address: ipv4FromNumber(Number(address)) satisfies Ipv4,
      expiresMs: expires_ms === null ? Number.POSITIVE_INFINITY : Number(expires_ms),
    }));
  }

  /** All of them, durably, or none: throws with the database's reason. */
  commit(leases: readonly Lease[]): void {
    if (leases.length === 0) return;
    this.#database.exec("BEGIN IMMEDIATE");
    try {
      for (const { mac, address, expiresMs } of leases) {
        this.#upsert.run(mac, ipv4ToNumber(address), expiresMs === Number.POSITIVE_INFINITY ? null : Math.floor(expiresMs));
      }
      this.#database.exec("COMMIT");
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
      throw error;
    }
  }

  close(): void {
    if (this.#owned) this.#database.close();
  }
}
