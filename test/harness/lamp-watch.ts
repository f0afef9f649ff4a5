import { setTimeout as sleep } from "node:timers/promises";
import { type Board, LAMP_LINES, type LampName } from "./board.ts";

/** What a person says of a lamp: so many blinks and a pause, over and over; or it never changes; or it never pauses. */
export type Light = "off" | "solid" | "fast" | number;

/** Longer than any dark within a group of blinks, and shorter than the pause behind a group (board/patterns.ts). */
const PAUSE_MS = 600;
/** Longer than the pause behind any group. */
const STEADY_MS = 4000;
/** More than the seven blinks of the highest fault. */
const MANY_BLINKS = 10;
const LOOK_EVERY_MS = 15;

/**
 * One lamp as it is looked at. An emulated board may be late with a blink, so that a light counts as seen when two groups in a row
 * had as many blinks.
 */
export class LampReader {
  light: Light | undefined;
  #on: boolean | undefined;
  #changedAtMs = 0;
  #blinks = 0;
  /** Of the group before; the first is seen from its middle. */
  #before: number | undefined;
  #isWhole = false;

  see(on: boolean, atMs: number): void {
    if (this.#on === undefined) this.#changedAtMs = atMs;
    if (on === this.#on || this.#on === undefined) {
      this.#on = on;
      this.#stays(on, atMs - this.#changedAtMs);
      return;
    }
    this.#on = on;
    this.#changedAtMs = atMs;
    if (this.light === "off" || this.light === "solid") this.light = undefined;
    if (on && ++this.#blinks > MANY_BLINKS) this.light = "fast";
  }

  #stays(on: boolean, forMs: number): void {
    if (forMs >= STEADY_MS) this.light = on ? "solid" : "off";
    if (on || forMs < PAUSE_MS || this.#blinks === 0) return;
    if (this.#isWhole && this.#before === this.#blinks) this.light = this.#blinks;
    this.#before = this.#isWhole ? this.#blinks : undefined;
    this.#isWhole = true;
    this.#blinks = 0;
  }
}

/** Resolves when the lamps are as wanted, all of them at once. Throws what they were instead. */
export async function lampsShow(board: Board, wanted: Readonly<Partial<Record<LampName, Light>>>, timeoutMs = 120_000): Promise<void> {
  const names = Object.keys(LAMP_LINES) as LampName[];
  const readers = new Map(names.map((name) => [name, new LampReader()]));
  const isShown = (name: LampName): boolean => wanted[name] === undefined || readers.get(name)?.light === wanted[name];
  const started = performance.now();
  while (!names.every(isShown)) {
    if (performance.now() - started > timeoutMs) {
      const seen = names.map((name) => `${name} ${readers.get(name)?.light ?? "no rhythm"}`);
      throw new Error(`The lamps were not seen as ${JSON.stringify(wanted)}; at last they were: ${seen.join(", ")}`);
    }
    const lit = await board.lamps();
    for (const name of names) readers.get(name)?.see(lit[name], performance.now());
    await sleep(LOOK_EVERY_MS);
  }
}
