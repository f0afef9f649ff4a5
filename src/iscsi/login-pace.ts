/**
 * Slows down whoever guesses CHAP secrets: from the fourth failure on, the refusals of an address come late, each time twice
 * as late, and few of them may be waited for at a time. An address that proves itself is never delayed, and a success does
 * not wipe out the failures before it, since one machine's secret must not buy guesses at another's. Pure: a clock comes in.
 */

/** A person who mistypes a secret, or an initiator that tries again after a change, is not delayed. */
export const FREE_FAILURES = 3;
const FIRST_DELAY_MS = 1_000;
/** open-iscsi waits 15 s for a login, and the data plane ends one after 30 s: it shall still hear why it was refused. */
export const LONGEST_DELAY_MS = 8_000;
/** Without a failure for so long, an address starts afresh. */
export const FORGET_AFTER_MS = 600_000;
/** Addresses that are remembered; the one that failed longest ago gives way. */
export const MAX_ADDRESSES = 1_024;
/** Refusals that one address waits for at a time: with them its guesses are as slow side by side as one after the other. */
export const MAX_HELD_REFUSALS = 4;

interface Failures {
  count: number;
  lastMs: number;
  held: number;
}

export interface Slowed {
  /** How long to hold the refusal back; 0 for none. */
  readonly delayMs: number;
  /** The first delay of this address since it started afresh, with how often it has failed. */
  readonly began?: number;
}

export class LoginPace {
  /** In the order of their last failures. */
  readonly #addresses = new Map<string, Failures>();

  /** A login from there failed to authenticate. With a delay, call {@link released} when it is over. */
  failed(address: string, nowMs: number): Slowed {
    const known = this.#addresses.get(address);
    const fresh = known === undefined || (known.held === 0 && nowMs - known.lastMs >= FORGET_AFTER_MS);
    const failures: Failures = fresh ? { count: 0, lastMs: nowMs, held: 0 } : known;
    failures.count++;
    failures.lastMs = nowMs;
    this.#addresses.delete(address);
    this.#addresses.set(address, failures);
    for (const [oldest] of this.#addresses) {
      if (this.#addresses.size <= MAX_ADDRESSES) break;
      this.#addresses.delete(oldest);
    }
    const delayed = failures.count - FREE_FAILURES;
    if (delayed <= 0) return { delayMs: 0 };
    failures.held++;
    const delayMs = Math.min(FIRST_DELAY_MS * 2 ** (delayed - 1), LONGEST_DELAY_MS);
    return delayed === 1 ? { delayMs, began: failures.count } : { delayMs };
  }

  released(address: string): void {
    const failures = this.#addresses.get(address);
    if (failures !== undefined && failures.held > 0) failures.held--;
  }

  /** Whether a new connection from there may begin a login. */
  mayTry(address: string): boolean {
    return (this.#addresses.get(address)?.held ?? 0) < MAX_HELD_REFUSALS;
  }
}
