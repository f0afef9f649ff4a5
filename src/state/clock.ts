import type { State } from "./state.ts";

/** What a time server corrects step by step stays below this; what somebody sets, or a first answer after a cold start, does not. */
export const JUMP_MS = 1000;

export interface ClockLook {
  /** Milliseconds since the epoch. */
  readonly nowMs: number;
  /** By how much the time of day was set since the last look: 0 almost always. */
  readonly jumpedMs: number;
}

/**
 * The time of day, and whether it was set meanwhile: a board without a clock of its own starts in the past and learns the
 * time when a server answers. Durations are taken from the other clock, which nobody sets.
 */
export class WallClock {
  readonly #wall: () => number;
  readonly #steady: () => number;
  #apartMs: number;

  /** Both in milliseconds. */
  constructor(wall: () => number = Date.now, steady: () => number = () => performance.now()) {
    this.#wall = wall;
    this.#steady = steady;
    this.#apartMs = wall() - steady();
  }

  look(): ClockLook {
    const nowMs = this.#wall();
    const apartMs = nowMs - this.#steady();
    const jumpedMs = apartMs - this.#apartMs;
    if (Math.abs(jumpedMs) < JUMP_MS) return { nowMs, jumpedMs: 0 };
    this.#apartMs = apartMs;
    return { nowMs, jumpedMs: Math.round(jumpedMs) };
  }
}

/** As the state names its times; nothing but times is called so. */
const TIME_KEY = /^(stages|sinceMs|[a-zA-Z]+AtMs)$/;

/**
 * The state after the clock jumped by `byMs`: what happened between `fromMs` and `toMs` of the old time, since this daemon
 * began, happened at those times of the new one, so that ages and durations stay what they were. What an earlier run had
 * written down stays as it is: its clock may have been right.
 */
export function shiftTimes(state: State, byMs: number, fromMs: number, toMs: number): State {
  const moved = (ms: number): number => (ms >= fromMs && ms <= toMs ? ms + byMs : ms);
  // `isTime` holds for everything in a boot's stages: their keys are the stages' names.
  const shift = (value: unknown, isTime: boolean): unknown => {
    if (typeof value === "number") return isTime ? moved(value) : value;
    if (typeof value !== "object" || value === null) return value;
    if (Array.isArray(value)) return value.map((item) => shift(item, isTime));
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, shift(item, isTime || TIME_KEY.test(key))]));
  };
  return shift(state, false) as State;
}
