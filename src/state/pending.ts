import type { DatabaseSync } from "node:sqlite";
import type { State, StrangerState } from "./state.ts";
import type { Store } from "./store.ts";

/** Hardware that waits to be adopted, kept over restarts: it may be switched off when somebody comes to adopt it. */

type Strangers = State["strangers"];

/** A flush every so often at most, however many ask; what a crash loses of it asks again. */
const SAVE_AFTER_MS = 5000;

export class PendingHardware {
  readonly #database: DatabaseSync;

  /** With the tables of STATE. */
  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  /** Those seen last are last. */
  load(): Strangers {
    const rows = this.#database.prepare("SELECT mac, said FROM pending ORDER BY place").all();
    return Object.fromEntries(rows.map(({ mac, said }) => [String(mac), JSON.parse(String(said)) as StrangerState]));
  }

  /** These and no others; a state has few of them. Throws what SQLite throws. */
  save(strangers: Strangers): void {
    const insert = this.#database.prepare("INSERT INTO pending (place, mac, said) VALUES (?, ?, ?)");
    this.#database.exec("BEGIN IMMEDIATE");
    try {
      this.#database.exec("DELETE FROM pending");
      Object.entries(strangers).forEach(([mac, stranger], place) => {
        insert.run(place, mac, JSON.stringify(stranger));
      });
      this.#database.exec("COMMIT");
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
      throw error;
    }
  }
}

/**
 * Saves who waits, some at a time. `onError` hears of a disk that is full or gone; the daemon goes on, and tries again with the
 * next that asks. The returned function saves what is left and ends it.
 */
export function savePending(store: Store, pending: PendingHardware, onError: (error: unknown) => void): () => void {
  let timer: NodeJS.Timeout | undefined;
  const flush = (): void => {
    timer = undefined;
    try {
      pending.save(Object.fromEntries(Object.entries(store.snapshot().strangers).filter(([, stranger]) => stranger.pending === true)));
    } catch (error) {
      onError(error);
    }
  };
  const unsubscribe = store.subscribe(({ type }) => {
    if (type === "dhcp.pending" || type === "config.loaded") timer ??= setTimeout(flush, SAVE_AFTER_MS);
  });
  return () => {
    unsubscribe();
    if (timer === undefined) return;
    clearTimeout(timer);
    flush();
  };
}
