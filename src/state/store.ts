import { JUMP_MS, shiftTimes, WallClock } from "./clock.ts";
import type { Emit, StateEvent, TimedEvent } from "./events.ts";
import { reduce, withHistory } from "./reducer.ts";
import { type BootRecord, initialState, type State } from "./state.ts";

/** Hears of every event after the state has changed, in order. */
export type Listener = (event: TimedEvent, state: State) => void;

export interface StoreOptions {
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
  /** A clock that nobody sets, in milliseconds; where `now` is given alone, that one is taken for such. */
  readonly steady?: () => number;
  /** A listener threw: a bug of ours, which must not reach the service that emitted. */
  readonly onListenerError?: (error: unknown) => void;
}

/**
 * Where everything that happens becomes state. {@link emit} changes the state at once; listeners are called later, from
 * a microtask, so that no service ever runs somebody else's code in the middle of its own, and a listener may emit.
 */
export class Store {
  readonly #clock: WallClock;
  readonly #beganSteadyMs: number;
  readonly #steady: () => number;
  readonly #onListenerError: (error: unknown) => void;
  readonly #listeners = new Set<Listener>();
  #pending: (readonly [TimedEvent, State])[] = [];
  #draining = false;
  #state: State;

  constructor(options: StoreOptions = {}) {
    const now = options.now ?? Date.now;
    this.#steady = options.steady ?? options.now ?? ((): number => performance.now());
    this.#beganSteadyMs = this.#steady();
    this.#clock = new WallClock(now, this.#steady);
    this.#onListenerError = options.onListenerError ?? (() => undefined);
    this.#state = initialState(now());
  }

  /** Never throws, never blocks. Bound: it can be handed out as it is. */
  readonly emit: Emit = (event: StateEvent): void => {
    this.#take({ ...event, atMs: this.#look() });
  };

  #take(timed: TimedEvent): void {
    this.#state = reduce(this.#state, timed);
    if (this.#listeners.size === 0) return;
    this.#pending.push([timed, this.#state]);
    if (this.#draining) return;
    this.#draining = true;
    queueMicrotask(() => this.#drain());
  }

  /** The time of day. Where it was set since the last event, that is an event of its own, and the state's times follow. */
  #look(): number {
    const { nowMs, jumpedMs } = this.#clock.look();
    if (jumpedMs !== 0) {
      const beforeMs = nowMs - jumpedMs;
      const ranForMs = this.#steady() - this.#beganSteadyMs;
      this.#state = shiftTimes(this.#state, jumpedMs, beforeMs - ranForMs - JUMP_MS, beforeMs + JUMP_MS);
      this.#take({ type: "clock.jumped", byMs: jumpedMs, atMs: nowMs });
    }
    return nowMs;
  }

  /** As of the last event, in today's time; immutable. */
  snapshot(): State {
    this.#look();
    return this.#state;
  }

  /** Returns the way out. */
  subscribe(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Timelines that the data disk remembers, oldest first; before the first event. */
  restore(boots: readonly BootRecord[]): void {
    this.#state = withHistory(this.#state, boots);
  }

  /** Hardware that waited to be adopted, those seen last last; before the first event. */
  restorePending(strangers: State["strangers"]): void {
    this.#state = { ...this.#state, strangers };
  }

  #drain(): void {
    while (this.#pending.length > 0) {
      const batch = this.#pending;
      this.#pending = [];
      for (const [event, state] of batch) {
        for (const listener of [...this.#listeners]) {
          try {
            listener(event, state);
          } catch (error) {
            this.#onListenerError(error);
          }
        }
      }
    }
    this.#draining = false;
  }
}
