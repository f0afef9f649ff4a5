import type { Emit } from "./events.ts";

export const DEFAULT_IDENTIFY_MS = 60_000;
/** Somebody walks to the rack, looks for it, and forgets to switch it off. */
export const MAX_IDENTIFY_MS: number = 60 * 60_000;

/** "Here I am": all lamps blink for a while. Who looks for the appliance asks for it by `rackboot identify`, who has found it presses the button. */
export class Identify {
  readonly #emit: Emit;
  #timer: NodeJS.Timeout | undefined;

  constructor(emit: Emit) {
    this.#emit = emit;
  }

  /** Begins, or begins anew with another time. */
  start(forMs: number = DEFAULT_IDENTIFY_MS): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.stop(), forMs);
    this.#timer.unref();
    this.#emit({ type: "identify.started", forMs });
  }

  stop(): void {
    if (this.#timer === undefined) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#emit({ type: "identify.ended" });
  }

  toggle(): void {
    if (this.#timer === undefined) this.start();
    else this.stop();
  }
}
