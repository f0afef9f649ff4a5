/** Held for this long, the button means a shutdown; let go before, "here I am". */
export const HOLD_MS = 3000;

export type Press =
  /** Since before anybody looked: somebody at power-on, whom init has heard already. */
  | { readonly kind: "stuck" }
  | { readonly kind: "up" }
  | { readonly kind: "down"; readonly sinceMs: number }
  /** Its shutdown was asked for; letting go says nothing more. */
  | { readonly kind: "held" };

export type PressInput =
  /** Without bounces. */
  { readonly kind: "level"; readonly pressed: boolean; readonly atMs: number } | { readonly kind: "time"; readonly atMs: number };

export interface PressStep {
  readonly state: Press;
  readonly action?: "identify" | "shutdown";
}

export function firstPress(pressed: boolean): Press {
  return { kind: pressed ? "stuck" : "up" };
}

/** What the button means. `atMs` is of a clock that never goes back. */
export function step(state: Press, input: PressInput): PressStep {
  const isOver = state.kind === "down" && input.atMs - state.sinceMs >= HOLD_MS;
  if (input.kind === "time") return isOver ? { state: { kind: "held" }, action: "shutdown" } : { state };
  if (input.pressed) return { state: state.kind === "up" ? { kind: "down", sinceMs: input.atMs } : state };
  if (state.kind !== "down") return { state: { kind: "up" } };
  // The event loop may be late with the time, and never misses what the finger did.
  return { state: { kind: "up" }, action: isOver ? "shutdown" : "identify" };
}
