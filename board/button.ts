import type { Gpio } from "onoff";
import type { GpioLine } from "./board.ts";
import { gpioNumber } from "./gpio.ts";
import { firstPress, HOLD_MS, type Press, type PressInput, step } from "./press.ts";

/** Contacts bounce for some milliseconds; a finger is slower than this. */
const DEBOUNCE_MS = 30;

export type ButtonAction = "identify" | "shutdown";

/** The button of a board, by the interrupts of its GPIO line: no polling. */
export class Button {
  readonly #gpio: Gpio;
  readonly #act: (action: ButtonAction) => void;
  #press: Press;
  #timer: NodeJS.Timeout | undefined;

  private constructor(gpio: Gpio, act: (action: ButtonAction) => void) {
    this.#gpio = gpio;
    this.#act = act;
    this.#press = firstPress(gpio.readSync() === 1);
    gpio.watch((error, value) => {
      if (!error) this.#input({ kind: "level", pressed: value === 1, atMs: performance.now() });
    });
  }

  /** Rejects where there is no such line, or somebody else has it. */
  static async open(line: GpioLine, act: (action: ButtonAction) => void): Promise<Button> {
    const number = gpioNumber(line);
    const { Gpio } = await import("onoff");
    return new Button(new Gpio(number, "in", "both", { debounceTimeout: DEBOUNCE_MS, activeLow: line["active-low"] }), act);
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#gpio.unexport();
  }

  #input(input: PressInput): void {
    const { state, action } = step(this.#press, input);
    if (state.kind === "down" && this.#press.kind !== "down") {
      this.#timer = setTimeout(() => this.#input({ kind: "time", atMs: performance.now() }), HOLD_MS);
    }
    if (state.kind !== "down") clearTimeout(this.#timer);
    this.#press = state;
    if (action !== undefined) this.#act(action);
  }
}
