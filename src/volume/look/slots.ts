import { LookError } from "./error.ts";

/** Readers at once, however many machines boot: two cores are shared with their I/O. */
export const MAX_READERS = 2;
/** Looks that wait for a reader; a rack that comes back from a power cut has fewer machines. */
export const MAX_WAITING = 512;

/** Who may run a reader now; the others wait in line. */
export class ReaderSlots {
  readonly #limit: number;
  readonly #waiting: (() => void)[] = [];
  #taken = 0;

  constructor(limit: number = MAX_READERS) {
    this.#limit = limit;
  }

  /** Resolves with what gives the slot back. Rejects with {@link LookError} `busy` or `cancelled`. */
  take(signal?: AbortSignal): Promise<() => void> {
    if (signal?.aborted === true) return Promise.reject(cancelled());
    if (this.#taken < this.#limit) {
      this.#taken++;
      return Promise.resolve(this.#releaseOnce());
    }
    if (this.#waiting.length >= MAX_WAITING) {
      return Promise.reject(new LookError("busy", `${MAX_WAITING} looks inside disks are waiting already`));
    }
    return new Promise((resolve, reject) => {
      const abort = (): void => {
        const at = this.#waiting.indexOf(enter);
        if (at >= 0) this.#waiting.splice(at, 1);
        reject(cancelled());
      };
      const enter = (): void => {
        signal?.removeEventListener("abort", abort);
        resolve(this.#releaseOnce());
      };
      signal?.addEventListener("abort", abort, { once: true });
      this.#waiting.push(enter);
    });
  }

  /** The slot goes to the next in line without being free in between. */
  #releaseOnce(): () => void {
    let released = false;
    return () => {
      if (released) return;
      released = true;
      const next = this.#waiting.shift();
      if (next === undefined) this.#taken--;
      else next();
    };
  }
}

function cancelled(): LookError {
  return new LookError("cancelled", "the look was cancelled");
}
