import type { State } from "../src/state/state.ts";
import { LAMPS, type Lamp, showing } from "./led-policy.ts";
import { isOn, PATTERNS, type PatternName, TICK_MS } from "./patterns.ts";

/** The policy is asked again after this even if no event came: a stranger's time runs out without one. */
const LOOK_AGAIN_MS = 1000;
/** Disks are busy for this long after a command: a lamp that is on for a microsecond is a lamp that is off. */
const IO_SHOWN_MS = 400;

export interface LampsOptions {
  readonly state: () => State;
  /** Commands that disks have answered so far. */
  readonly ioOperations: () => number;
  readonly write: (lamp: Lamp, on: boolean) => void;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
  /** A clock that never goes back, in milliseconds: whoever sets the time must not stop the light. */
  readonly nowMs?: () => number;
}

interface Playing {
  readonly pattern: PatternName;
  readonly sinceMs: number;
  readonly on: boolean;
}

/**
 * Plays what the policy says on the lamps, from the event loop that also answers machines: where READY stands still,
 * nothing is answered either.
 */
export class Lamps {
  readonly #options: Required<LampsOptions>;
  readonly #playing = new Map<Lamp, Playing>();
  #timer: NodeJS.Timeout | undefined;
  #lookedAtMs = Number.NEGATIVE_INFINITY;
  #seen: State | undefined;
  #ioOperations = 0;
  #ioAtMs = Number.NEGATIVE_INFINITY;
  #ioBusy = false;

  constructor(options: LampsOptions) {
    this.#options = { now: Date.now, nowMs: () => performance.now(), ...options };
  }

  start(): void {
    this.#timer = setInterval(() => this.tick(), TICK_MS);
    this.#timer.unref();
    this.tick();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** Switches what has to be switched at this moment. */
  tick(): void {
    const atMs = this.#options.nowMs();
    this.#decide(atMs);
    for (const [lamp, playing] of this.#playing) {
      const on = isOn(PATTERNS[playing.pattern], atMs - playing.sinceMs);
      if (on === playing.on) continue;
      this.#playing.set(lamp, { ...playing, on });
      this.#options.write(lamp, on);
    }
  }

  #decide(atMs: number): void {
    const state = this.#options.state();
    const ioBusy = this.#isBusy(atMs);
    if (state === this.#seen && ioBusy === this.#ioBusy && atMs - this.#lookedAtMs < LOOK_AGAIN_MS) return;
    this.#seen = state;
    this.#ioBusy = ioBusy;
    this.#lookedAtMs = atMs;
    const wanted = showing({ state, nowMs: this.#options.now(), ioBusy });
    for (const lamp of LAMPS) {
      const before = this.#playing.get(lamp);
      if (before?.pattern === wanted[lamp]) continue;
      this.#playing.set(lamp, { pattern: wanted[lamp], sinceMs: atMs, on: before?.on ?? false });
    }
  }

  #isBusy(atMs: number): boolean {
    const operations = this.#options.ioOperations();
    if (operations !== this.#ioOperations) this.#ioAtMs = atMs;
    this.#ioOperations = operations;
    return atMs - this.#ioAtMs < IO_SHOWN_MS;
  }
}
