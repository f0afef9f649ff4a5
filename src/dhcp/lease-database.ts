import type { DatabaseSync, StatementSync } from "node:sqlite";
import { type Ipv4, ipv4FromNumber, ipv4ToNumber, type Mac, parseMac } from "../machine/identifiers.ts";
import type { DatabaseLayout } from "../state/database.ts";
import type { Lease } from "./leases.ts";

/**
 * A file of its own, so that leases wait for nobody else's writes. Rows stand by address: those that are handed out one after the other
 * lie beside each other, and a commit touches few pages. A client that moves leaves its old row behind until somebody else gets that
 * address; the row written last is the client's.
 */
export const LEASES: DatabaseLayout = {
  name: "leases",
  migrations: [
    `CREATE TABLE lease (
       address INTEGER PRIMARY KEY,
       mac TEXT NOT NULL,
       expires_ms INTEGER,             -- since the epoch; NULL: never
       written INTEGER NOT NULL        -- number of the commit
     ) STRICT;`,
  ],
};

/** The leases in SQLite. A commit is on the medium when it returns, and carries as many leases as have gathered. */
export class LeaseDatabase {
  readonly #database: DatabaseSync;
  readonly #put: StatementSync;
  #written: number;

  /** With the tables of {@link LEASES}; it stays its owner's. */
  constructor(database: DatabaseSync) {
    this.#database = database;
    this.#put = database.prepare("INSERT OR REPLACE INTO lease (address, mac, expires_ms, written) VALUES (?, ?, ?, ?)");
    this.#written = Number(database.prepare("SELECT max(written) AS last FROM lease").get()?.["last"] ?? 0);
  }

  load(): Lease[] {
    const rows = this.#database.prepare("SELECT address, mac, expires_ms FROM lease ORDER BY written").all();
    const leases = rows.map(({ mac, address, expires_ms }): readonly [Mac, Lease] => {
      const client = parseMac(String(mac));
      const expiresMs = expires_ms === null ? Number.POSITIVE_INFINITY : Number(expires_ms);
      return [client, { mac: client, address: ipv4FromNumber(Number(address)) satisfies Ipv4, expiresMs }];
    });
    return [...new Map(leases).values()];
  }

  /** All of them, durably, or none: throws with the database's reason. A client stands in them once; of an address, the last one counts. */
  commit(leases: readonly Lease[]): void {
    this.#written++;
    this.#database.exec("BEGIN IMMEDIATE");
    try {
      for (const { mac, address, expiresMs } of leases) {
        this.#put.run(ipv4ToNumber(address), mac, expiresMs === Number.POSITIVE_INFINITY ? null : Math.floor(expiresMs), this.#written);
      }
      this.#database.exec("COMMIT");
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
      throw error;
    }
  }
}
