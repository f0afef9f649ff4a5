import { existsSync, mkdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { FirmwareKind } from "../machine/firmware.ts";
import type { MachineName } from "../machine/identifiers.ts";
import type { BootStage } from "./events.ts";
import { type BootRecord, currentBoot, MAX_BOOTS_KEPT } from "./state.ts";
import type { Store } from "./store.ts";

/** The data disk has a database that cannot be used as it is. The message says why and what to do. */
export class DatabaseError extends Error {
  readonly code = "ERR_DATABASE";
  /** A sentence without its full stop, as the next. */
  readonly reason: string;
  readonly next: string;
  /** Another daemon has it: this one must keep away from the volumes as well. */
  readonly isInUse: boolean;

  constructor(reason: string, next: string, options: ErrorOptions & { readonly isInUse?: boolean } = {}) {
    super(`${reason}. ${next.charAt(0).toUpperCase()}${next.slice(1)}.`, options);
    this.reason = reason;
    this.next = next;
    this.isInUse = options.isInUse === true;
  }
}

export interface OpenedDatabase {
  readonly database: DatabaseSync;
  /** A damaged file was found; it is kept under this name, and a new one was begun. */
  readonly setAside?: string;
}

/** What a database holds. `name`.sqlite is its file, and each migration leads from the version of its index to the next. */
export interface DatabaseLayout {
  readonly name: string;
  readonly migrations: readonly string[];
}

/** Of everything that the daemon learns, but for leases. */
export const STATE: DatabaseLayout = {
  name: "state",
  migrations: [
    `CREATE TABLE boots (
     number INTEGER PRIMARY KEY, machine TEXT NOT NULL, firmware TEXT, began_at_ms INTEGER NOT NULL, outcome TEXT NOT NULL, reason TEXT
   ) STRICT;
   CREATE INDEX boots_of_a_machine ON boots (machine, number);
   CREATE TABLE boot_stages (
     boot INTEGER NOT NULL REFERENCES boots (number) ON DELETE CASCADE, stage TEXT NOT NULL, at_ms INTEGER NOT NULL, PRIMARY KEY (boot, stage)
   ) STRICT, WITHOUT ROWID;`,
    "ALTER TABLE boots ADD COLUMN notes TEXT NOT NULL DEFAULT '[]';",
    "CREATE TABLE pending (place INTEGER PRIMARY KEY, mac TEXT NOT NULL UNIQUE, said TEXT NOT NULL) STRICT;",
  ],
};

/** Result codes of SQLite (https://sqlite.org/rescode.html); the low octet of an extended one. */
const SQLITE_BUSY = 5;
const SQLITE_CORRUPT = 11;
const SQLITE_NOTADB = 26;

const SIDE_FILES = ["", "-wal", "-shm"];

/**
 * Opens a database in `folder`, and makes it if need be. It is locked: two daemons on one data disk would write into each
 * other's volumes. What a COMMIT returned from survives power loss. A damaged file is set aside, never dropped. Throws {@link DatabaseError}.
 */
export function openDatabase(folder: string, layout: DatabaseLayout = STATE, now: () => Date = () => new Date()): OpenedDatabase {
  const file = join(folder, `${layout.name}.sqlite`);
  try {
    mkdirSync(folder, { recursive: true });
    return { database: openDatabaseFile(file, layout) };
  } catch (error) {
    if (!isDamage(error)) throw explained(error, file, folder);
  }
  const setAside = `${file}.damaged-${now().toISOString().replace(/[:.]/g, "-")}`;
  try {
    for (const suffix of SIDE_FILES) if (existsSync(file + suffix)) renameSync(file + suffix, setAside + suffix);
    return { database: openDatabaseFile(file, layout), setAside };
  } catch (error) {
    throw explained(error, file, folder);
  }
}

/**
 * For a daemon that must run although a database cannot be used: another file beside it, which keeps a second daemon away as well;
 * where not even that can be had (a full disk), memory. Throws {@link DatabaseError} where another daemon has it.
 */
export function openStandIn(folder: string, layout: DatabaseLayout): DatabaseSync {
  try {
    return openDatabase(folder, { ...layout, name: `${layout.name}.stand-in` }).database;
  } catch (error) {
    if (error instanceof DatabaseError && error.isInUse) throw error;
    return openMemoryDatabase(layout);
  }
}

/** Forgets everything when it is closed. */
export function openMemoryDatabase(layout: DatabaseLayout): DatabaseSync {
  return openDatabaseFile(":memory:", layout);
}

/** Throws what SQLite throws, or {@link DatabaseError}. */
export function openDatabaseFile(file: string, { migrations }: DatabaseLayout): DatabaseSync {
  const database = new DatabaseSync(file, { enableForeignKeyConstraints: true });
  try {
    database.exec(
      "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 4194304;",
    );
    const check = database.prepare("PRAGMA quick_check(1)").get();
    if (check?.["quick_check"] !== "ok") throw new DamagedError(String(check?.["quick_check"]));
    migrate(database, file, migrations);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

class DamagedError extends Error {}

function migrate(database: DatabaseSync, file: string, migrations: readonly string[]): void {
  const version = Number(database.prepare("PRAGMA user_version").get()?.["user_version"]);
  if (version > migrations.length) {
    throw new DatabaseError(
      `${file} was written by a newer rackboot (version ${version} of its tables)`,
      "run that one, or move the file away",
    );
  }
  // Also where there is nothing to do: the write takes the lock that keeps a second daemon out.
  database.exec("BEGIN IMMEDIATE");
  for (const migration of migrations.slice(version)) database.exec(migration);
  database.exec(`PRAGMA user_version = ${migrations.length}; COMMIT;`);
}

/** The primary result code of an error of node:sqlite. */
function resultCode(error: unknown): number | undefined {
  const code = (error as { readonly errcode?: unknown }).errcode;
  return typeof code === "number" ? code & 0xff : undefined;
}

function isDamage(error: unknown): boolean {
  const code = resultCode(error);
  return error instanceof DamagedError || code === SQLITE_CORRUPT || code === SQLITE_NOTADB;
}

function explained(error: unknown, file: string, folder: string): DatabaseError {
  if (error instanceof DatabaseError) return error;
  if (resultCode(error) === SQLITE_BUSY) {
    const next = "stop that one, or give this one a storage.path of its own";
    return new DatabaseError(`${file} is in use by another rackboot`, next, { cause: error, isInUse: true });
  }
  const next = `check that this user may write to ${folder} and that there is space left`;
  return new DatabaseError(`${file} cannot be opened: ${(error as Error).message}`, next, { cause: error });
}

/** Machine timelines, kept over restarts. */
export class Timelines {
  readonly #database: DatabaseSync;

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  /** Every boot that is kept, oldest first. */
  load(): readonly BootRecord[] {
    const stages = new Map<number, Partial<Record<BootStage, number>>>();
    for (const row of this.#database.prepare("SELECT boot, stage, at_ms FROM boot_stages").all()) {
      const boot = Number(row["boot"]);
      stages.set(boot, { ...stages.get(boot), [row["stage"] as BootStage]: Number(row["at_ms"]) });
    }
    return this.#database
      .prepare("SELECT * FROM boots ORDER BY number")
      .all()
      .map((row): BootRecord => {
        const number = Number(row["number"]);
        return {
          number,
          machine: row["machine"] as MachineName,
          ...(row["firmware"] !== null && { firmware: row["firmware"] as FirmwareKind }),
          beganAtMs: Number(row["began_at_ms"]),
          outcome: row["outcome"] as BootRecord["outcome"],
          ...(row["reason"] !== null && { reason: String(row["reason"]) }),
          stages: stages.get(number) ?? {},
          notes: JSON.parse(String(row["notes"])) as readonly string[],
        };
      });
  }

  /** 0 where there is none. */
  lastNumber(): number {
    return Number(this.#database.prepare("SELECT max(number) AS last FROM boots").get()?.["last"] ?? 0);
  }

  /** All or nothing. Of each machine, the latest few boots are kept. Throws what SQLite throws. */
  save(records: readonly BootRecord[]): void {
    const boot = this.#database.prepare(
      `INSERT INTO boots (number, machine, firmware, began_at_ms, outcome, reason, notes) VALUES (?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (number) DO UPDATE
       SET firmware = excluded.firmware, outcome = excluded.outcome, reason = excluded.reason, notes = excluded.notes`,
    );
    const stage = this.#database.prepare("INSERT OR REPLACE INTO boot_stages (boot, stage, at_ms) VALUES (?, ?, ?)");
    const trim = this.#database.prepare(
      "DELETE FROM boots WHERE machine = ?1 AND number NOT IN (SELECT number FROM boots WHERE machine = ?1 ORDER BY number DESC LIMIT ?2)",
    );
    this.#database.exec("BEGIN IMMEDIATE");
    try {
      for (const record of records) {
        boot.run(
          record.number,
          record.machine,
          record.firmware ?? null,
          Math.round(record.beganAtMs),
          record.outcome,
          record.reason ?? null,
          JSON.stringify(record.notes),
        );
        for (const [name, atMs] of Object.entries(record.stages)) stage.run(record.number, name, Math.round(atMs));
        trim.run(record.machine, MAX_BOOTS_KEPT);
      }
      this.#database.exec("COMMIT");
    } catch (error) {
      this.#database.exec("ROLLBACK");
      throw error;
    }
  }
}

/** Timelines may wait this long for the disk: a commit takes milliseconds, and a boot has many stages. */
const SAVE_AFTER_MS = 500;

/**
 * Saves every boot that changes, some at a time. `onError` hears of a disk that is full or gone; the daemon goes on, and
 * tries again with the next change. The returned function saves what is left and ends it.
 */
export function saveTimelines(store: Store, timelines: Timelines, onError: (error: unknown) => void): () => void {
  const dirty = new Map<number, BootRecord>();
  let timer: NodeJS.Timeout | undefined;
  const flush = (): void => {
    timer = undefined;
    if (dirty.size === 0) return;
    try {
      timelines.save([...dirty.values()]);
      dirty.clear();
    } catch (error) {
      onError(error);
    }
  };
  const unsubscribe = store.subscribe((event, state) => {
    if (event.type === "clock.jumped") {
      for (const { boots } of Object.values(state.machines)) for (const boot of boots) dirty.set(boot.number, boot);
      timer ??= setTimeout(flush, SAVE_AFTER_MS);
    }
    if (!event.type.startsWith("boot.") || !("boot" in event)) return;
    const record = state.machines[event.machine]?.boots.find((boot) => boot.number === event.boot) ?? currentBoot(state, event.machine);
    if (record === undefined) return;
    dirty.set(record.number, record);
    timer ??= setTimeout(flush, SAVE_AFTER_MS);
  });
  return () => {
    unsubscribe();
    clearTimeout(timer);
    flush();
  };
}
