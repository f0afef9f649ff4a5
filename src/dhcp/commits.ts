import type { Mac } from "../machine/identifiers.ts";
import type { LeaseStore } from "./lease-store.ts";
import type { Lease } from "./leases.ts";

/** Acknowledgements that may wait for the disk in a group. A disk that stalls costs no more memory than this; further clients ask again. */
export const ACKS_WAITING_MAX = 4096;

/**
 * After a group of this size the next one gathers for a moment: each flush costs the processor as much as several leases, and no client
 * notices. A client that comes alone waits for the disk only.
 */
export const RUSH_LEASES = 8;
export const GATHER_MS = 2;

/** Called when the lease is durable (true), or could not be stored. */
export type Settled = (isDurable: boolean) => void;

export interface CommitEvents {
  /** With the first commit that fails, until one succeeds again. */
  readonly failed: (reason: string) => void;
  readonly recovered: () => void;
}

/**
 * Group commit: while one group of leases is on its way to the disk, the next one gathers. How large they get follows from how long the
 * disk takes, and nobody waits for longer than two flushes.
 */
export class LeaseCommits {
  readonly #store: Pick<LeaseStore, "commit">;
  readonly #events: CommitEvents;
  /** Of the group that gathers: those last changed last, so that whoever takes an address is written after whoever gave it up. */
  #changed = new Map<Mac, Lease>();
  #waiting: Settled[] = [];
  #running: Promise<void> | undefined;
  #hasFailed = false;
  #isRush = false;

  constructor(store: Pick<LeaseStore, "commit">, events: CommitEvents) {
    this.#store = store;
    this.#events = events;
  }

  /** False where too many wait already: the lease is stored all the same, but nobody will be told. */
  add(lease: Lease, settled?: Settled): boolean {
    this.#changed.delete(lease.mac);
    this.#changed.set(lease.mac, lease);
    this.#running ??= this.#run();
    if (settled === undefined) return true;
    if (this.#waiting.length >= ACKS_WAITING_MAX) return false;
    this.#waiting.push(settled);
    return true;
  }

  /** Resolves when everything is stored, or was tried. */
  async settled(): Promise<void> {
    if (this.#changed.size > 0) this.#running ??= this.#run();
    while (this.#running !== undefined) await this.#running;
  }

  async #run(): Promise<void> {
    do {
      // What arrived in one batch is one group at least.
      await (this.#isRush ? new Promise((resolve) => setTimeout(resolve, GATHER_MS)) : undefined);
      const [leases, waiting] = [this.#changed, this.#waiting];
      this.#changed = new Map();
      this.#waiting = [];
      this.#isRush = leases.size >= RUSH_LEASES;
      const isDurable = await this.#commit(leases);
      for (const settled of waiting) settled(isDurable);
      // What fails is tried again with the next lease that changes.
    } while (this.#waiting.length > 0 || (!this.#hasFailed && this.#changed.size > 0));
    this.#running = undefined;
  }

  async #commit(leases: ReadonlyMap<Mac, Lease>): Promise<boolean> {
    try {
      await this.#store.commit([...leases.values()]);
    } catch (error) {
      const newer = this.#changed;
      const older = [...leases].filter(([mac]) => !newer.has(mac));
      this.#changed = new Map([...older, ...newer]);
      if (!this.#hasFailed) this.#events.failed((error as Error).message);
      this.#hasFailed = true;
      return false;
    }
    if (this.#hasFailed) this.#events.recovered();
    this.#hasFailed = false;
    return true;
  }
}
