import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Emit } from "../src/state/events.ts";
import type { Board, GpioLine } from "./board.ts";
import { gpioNumber } from "./gpio.ts";
import { LAMPS, type Lamp } from "./led-policy.ts";

/** One light that can be switched. Both throw what the system says. */
interface Light {
  write(on: boolean): void;
  close(): void;
}

/** Opens an output; `number` is sysfs's. */
export type OpenLine = (number: number, activeLow: boolean) => Light;

export interface LedsOptions {
  readonly emit: Emit;
  readonly gpioFolder?: string;
  readonly ledsFolder?: string;
  /** By onoff where absent, which is loaded only by a board that has lines. */
  readonly openLine?: OpenLine;
}

/**
 * The lights of a board: the lamps on its GPIO lines, and its own ones, which carry READY and FAULT whether or not lamps
 * are wired (nobody can tell). A light that is missing, busy or broken is told once as `panel.missing`; the others work.
 */
export class Leds {
  readonly #emit: Emit;
  readonly #lights: readonly { readonly lamp: Lamp; readonly what: string; readonly light: Light }[];
  readonly #broken = new Set<Light>();

  private constructor(emit: Emit, lights: Leds["lights"]) {
    this.#emit = emit;
    this.#lights = lights;
  }

  get lights(): readonly { readonly lamp: Lamp; readonly what: string; readonly light: Light }[] {
    return this.#lights;
  }

  static async open(board: Board, options: LedsOptions): Promise<Leds> {
    const { emit, ledsFolder = "/sys/class/leds" } = options;
    const lights: { lamp: Lamp; what: string; light: Light }[] = [];
    const attempt = (lamp: Lamp, what: string, open: () => Light): void => {
      try {
        lights.push({ lamp, what, light: open() });
      } catch (cause) {
        emit({ type: "panel.missing", part: what, reason: (cause as Error).message });
      }
    };
    const wired = LAMPS.flatMap((lamp) => (board.lamps[lamp] === undefined ? [] : [{ lamp, ...board.lamps[lamp] }]));
    if (wired.length > 0) {
      const openLine = await opener(options);
      for (const line of wired) {
        const number = (): number => gpioNumber(line, options.gpioFolder);
        attempt(line.lamp, describe(line), () => openLine(number(), line["active-low"]));
      }
    }
    for (const lamp of ["ready", "fault"] as const) {
      const names = board.leds[lamp];
      if (names === undefined) continue;
      const name = names.find((each) => existsSync(join(ledsFolder, each)));
      attempt(lamp, `the light ${name ?? names[0]} for ${lamp}`, () => openLed(ledsFolder, name));
    }
    return new Leds(emit, lights);
  }

  /** Switches every light of a lamp. Never throws. */
  write(lamp: Lamp, on: boolean): void {
    for (const each of this.#lights) if (each.lamp === lamp) this.#guard(each.what, each.light, () => each.light.write(on));
  }

  /** Leaves all lights off. */
  close(): void {
    for (const { what, light } of this.#lights) {
      this.#guard(what, light, () => {
        light.write(false);
        light.close();
      });
    }
  }

  #guard(what: string, light: Light, work: () => void): void {
    if (this.#broken.has(light)) return;
    try {
      work();
    } catch (cause) {
      this.#broken.add(light);
      this.#emit({ type: "panel.missing", part: what, reason: (cause as Error).message });
    }
  }
}

function describe({ lamp, chip, line, pin }: GpioLine & { readonly lamp: Lamp }): string {
  return `the lamp ${lamp} (${chip} line ${line}${pin === undefined ? "" : `, pin ${pin}`})`;
}

/** Where onoff cannot be loaded (no epoll for this Node), every line says so. */
async function opener({ openLine }: LedsOptions): Promise<OpenLine> {
  if (openLine !== undefined) return openLine;
  try {
    const { Gpio } = await import("onoff");
    return (number, activeLow) => {
      const gpio = new Gpio(number, activeLow ? "high" : "low", "none", { activeLow });
      // The line stays exported: whoever takes a lamp over after us finds it where it was.
      return { write: (on) => gpio.writeSync(on ? 1 : 0), close: () => undefined };
    };
  } catch (cause) {
    return () => {
      throw cause;
    };
  }
}

function openLed(folder: string, name: string | undefined): Light {
  if (name === undefined) throw new Error("this kernel does not have it");
  const brightness = join(folder, name, "brightness");
  // What it showed before (the card's activity, the power) would be taken for ours.
  writeFileSync(join(folder, name, "trigger"), "none");
  const brightest = readFileSync(join(folder, name, "max_brightness"), "utf8").trim();
  const write = (on: boolean): void => writeFileSync(brightness, on ? brightest : "0");
  write(false);
  return { write, close: () => undefined };
}
