import { once } from "node:events";
import { extname } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import { Worker } from "node:worker_threads";
import { LeaseDatabase } from "./lease-database.ts";
import type { Lease } from "./leases.ts";

/** Where leases outlive the daemon. */
export interface LeaseStore {
  /** Those of before, once and first of all. */
  load(): readonly Lease[];
  /** Resolves when all of them survive kill -9 and power loss; rejects with the reason, and then none was stored. One commit at a time. */
  commit(leases: readonly Lease[]): Promise<void>;
  close(): Promise<void>;
}

/** `database` has the tables of LEASES, and becomes the store's. What lies in memory only has nothing to wait for. */
export function openLeaseStore(database: DatabaseSync): LeaseStore {
  const file = database.location();
  return file === null ? new MemoryLeases(database) : new DiskLeases(database, file);
}

class MemoryLeases implements LeaseStore {
  readonly #database: DatabaseSync;
  readonly #leases: LeaseDatabase;

  constructor(database: DatabaseSync) {
    this.#database = database;
    this.#leases = new LeaseDatabase(database);
  }

  load(): readonly Lease[] {
    return this.#leases.load();
  }

  async commit(leases: readonly Lease[]): Promise<void> {
    this.#leases.commit(leases);
  }

  async close(): Promise<void> {
    this.#database.close();
  }
}

/** What the thread is given, and what it says of a commit. */
export interface WriterData {
  readonly file: string;
}
export interface Stored {
  /** Why nothing was stored. */
  readonly reason?: string;
}

/** The thread's heap holds a group of leases and little else. */
const WRITER_LIMITS = { maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 2 } as const;

/** A flush takes as long as the disk likes, so a thread of its own waits for it. It is there from the first commit on. */
class DiskLeases implements LeaseStore {
  readonly #file: string;
  #database: DatabaseSync | undefined;
  #writer: Worker | undefined;
  #underway: { readonly done: () => void; readonly failed: (error: Error) => void } | undefined;

  constructor(database: DatabaseSync, file: string) {
    this.#database = database;
    this.#file = file;
  }

  load(): readonly Lease[] {
    return this.#database === undefined ? [] : new LeaseDatabase(this.#database).load();
  }

  commit(leases: readonly Lease[]): Promise<void> {
    this.#release();
    this.#writer ??= this.#begin();
    this.#writer.postMessage(leases);
    return new Promise((done, failed) => {
      this.#underway = { done, failed };
    });
  }

  async close(): Promise<void> {
    this.#release();
    const writer = this.#writer;
    if (writer === undefined) return;
    const ended = once(writer, "exit");
    writer.postMessage(undefined);
    await ended;
  }

  /** The thread locks the file. */
  #release(): void {
    this.#database?.close();
    this.#database = undefined;
  }

  #begin(): Worker {
    const workerData: WriterData = { file: this.#file };
    const program = new URL(`./lease-writer${extname(import.meta.url)}`, import.meta.url);
    const writer = new Worker(program, { workerData, resourceLimits: WRITER_LIMITS });
    writer.on("message", ({ reason }: Stored) => this.#settle(reason === undefined ? undefined : new Error(reason)));
    const ended = (error: Error): void => {
      if (this.#writer !== writer) return;
      // The next commit begins another one.
      this.#writer = undefined;
      this.#settle(error);
    };
    writer.on("error", ended);
    writer.on("exit", () => ended(new Error("the thread that stores them has ended")));
    return writer;
  }

  #settle(error: Error | undefined): void {
    const underway = this.#underway;
    this.#underway = undefined;
    if (error === undefined) underway?.done();
    else underway?.failed(error);
  }
}
