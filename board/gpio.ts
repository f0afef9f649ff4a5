import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { GpioLine } from "./board.ts";

export const GPIO_FOLDER = "/sys/class/gpio";

/**
 * The number by which sysfs knows a line: the base of the chip with that label and the line. Bases are the kernel's
 * to choose (from 512 upwards since 6.6), so they are looked up each time. Throws with what is there instead.
 */
export function gpioNumber({ chip, line }: Pick<GpioLine, "chip" | "line">, folder: string = GPIO_FOLDER): number {
  const read = (name: string, attribute: string): string => readFileSync(join(folder, name, attribute), "utf8").trim();
  let chips: readonly string[];
  try {
    chips = readdirSync(folder).filter((name) => name.startsWith("gpiochip"));
  } catch {
    throw new Error(`the kernel offers no GPIO in ${folder} (CONFIG_GPIO_SYSFS)`);
  }
  const labels = new Map(chips.map((name) => [read(name, "label"), name]));
  const name = labels.get(chip);
  if (name === undefined) throw new Error(`there is no GPIO chip ${chip} (there are: ${[...labels.keys()].join(", ") || "none"})`);
  const lines = Number(read(name, "ngpio"));
  if (line >= lines) throw new Error(`the GPIO chip ${chip} has ${lines} lines, and none with the number ${line}`);
  return Number(read(name, "base")) + line;
}
