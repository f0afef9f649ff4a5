import type { Ipv4, Mac } from "../machine/identifiers.ts";

/**
 * Who has an address? The kernel is made to ask (ARP, RFC 826) by a datagram to that address, and a moment later its table is
 * looked into. Nothing waits but the one client whose address it is.
 */

/** What the kernel does for it. */
export interface Neighbours {
  /** What the kernel knows of the address is forgotten, and it asks the wire. */
  readonly ask: (address: Ipv4) => void;
  /** Who answered. */
  readonly look: (address: Ipv4) => Mac | undefined;
}

/** An answer takes milliseconds on a rack's network; firmware waits seconds for its offer. */
export const PROBE_WAIT_MS = 250;
/** As many addresses are probed in a window: a rack that powers up. In a rush beyond that, addresses are offered unprobed, and clients find out (DECLINE). */
export const PROBES_MAX = 64;
export const PROBE_WINDOW_MS = 10_000;
/** An address that nobody had is not asked for again meanwhile: clients repeat their questions. */
export const QUIET_FOR_MS = 30_000;

export class AddressProber {
  readonly #neighbours: Neighbours;
  readonly #nowMs: () => number;
  readonly #underway = new Map<Ipv4, Promise<Mac | undefined>>();
  /** Address -> since when it is known that nobody has it; at most as many as may be probed while it counts. */
  readonly #quiet = new Map<Ipv4, number>();
  #windowMs = Number.NEGATIVE_INFINITY;
  #inWindow = 0;

  /** `nowMs` is a clock that nobody sets. */
  constructor(neighbours: Neighbours, nowMs: () => number) {
    this.#neighbours = neighbours;
    this.#nowMs = nowMs;
  }

  /** Resolves with whoever answers for the address. Undefined where there is nothing to wait for: it was probed lately, or too many are. */
  probe(address: Ipv4): Promise<Mac | undefined> | undefined {
    const underway = this.#underway.get(address);
    if (underway !== undefined) return underway;
    const nowMs = this.#nowMs();
    for (const [quiet, sinceMs] of this.#quiet) {
      if (nowMs - sinceMs < QUIET_FOR_MS) break;
      this.#quiet.delete(quiet);
    }
    if (this.#quiet.has(address)) return undefined;
    if (nowMs - this.#windowMs >= PROBE_WINDOW_MS) {
      this.#windowMs = nowMs;
      this.#inWindow = 0;
    }
    if (this.#inWindow >= PROBES_MAX) return undefined;
    this.#inWindow++;
    return this.whoHas(address);
  }

  /** As {@link probe}, whatever was found before. */
  whoHas(address: Ipv4): Promise<Mac | undefined> {
    const before = this.#underway.get(address);
    if (before !== undefined) return before;
    this.#neighbours.ask(address);
    const answer = new Promise<Mac | undefined>((resolve) => {
      setTimeout(() => {
        this.#underway.delete(address);
        const found = this.#neighbours.look(address);
        this.#quiet.delete(address);
        if (found === undefined) this.#quiet.set(address, this.#nowMs());
        resolve(found);
      }, PROBE_WAIT_MS);
    });
    this.#underway.set(address, answer);
    return answer;
  }
}
