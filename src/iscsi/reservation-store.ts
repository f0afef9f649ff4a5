import type { DatabaseSync, StatementSync } from "node:sqlite";
import { NO_RESERVATIONS, type Registration, type Reservations } from "../scsi/reservations.ts";

/**
 * Registrations and reservations that persist through loss of power (APTPL, SPC-4, 5.13.5), in SQLite. What
 * {@link save} returned from is on the medium.
 */
export class ReservationStore {
  readonly #database: DatabaseSync;
  readonly #upsert: StatementSync;
  readonly #delete: StatementSync;
  readonly #saved = new Set<string>();

  /** Throws where the database cannot be written. */
  constructor(database: DatabaseSync) {
    this.#database = database;
    database.exec("CREATE TABLE IF NOT EXISTS reservation (unit TEXT PRIMARY KEY, state TEXT NOT NULL) STRICT, WITHOUT ROWID");
    this.#upsert = database.prepare("INSERT OR REPLACE INTO reservation (unit, state) VALUES (?, ?)");
    this.#delete = database.prepare("DELETE FROM reservation WHERE unit = ?");
  }

  /** By the unit's NAA identifier, with PRGENERATION as after a start. */
  load(): readonly (readonly [unit: string, reservations: Reservations])[] {
    const rows = this.#database.prepare("SELECT unit, state FROM reservation").all();
    return rows.map((row) => {
      const unit = String(row["unit"]);
      this.#saved.add(unit);
      return [unit, decode(String(row["state"]))];
    });
  }

  /** Keeps what is to be kept, forgets what is not. Throws what SQLite throws, and has changed nothing then. */
  save(unit: string, reservations: Reservations): void {
    if (reservations.aptpl && reservations.registrations.length > 0) {
      this.#upsert.run(unit, encode(reservations));
      this.#saved.add(unit);
    } else if (this.#saved.has(unit)) {
      this.#delete.run(unit);
      this.#saved.delete(unit);
    }
  }
}

interface Stored {
  readonly registrations: readonly (Omit<Registration, "key"> & { readonly key: string })[];
  readonly held?: Reservations["held"];
}

function encode({ registrations, held }: Reservations): string {
  const stored: Stored = {
    registrations: registrations.map(({ nexus, key }) => ({ nexus, key: key.toString(16) })),
    ...(held !== undefined && { held }),
  };
  return JSON.stringify(stored);
}

function decode(text: string): Reservations {
  const { registrations, held } = JSON.parse(text) as Stored;
  return {
    ...NO_RESERVATIONS,
    aptpl: true,
    registrations: registrations.map(({ nexus, key }) => ({ nexus, key: BigInt(`0x${key}`) })),
    ...(held !== undefined && { held }),
  };
}
