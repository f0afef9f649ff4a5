import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { z } from "zod";
import type { Lamp } from "./led-policy.ts";

/** A GPIO line as the kernel names it: the chip by its label, since numbers differ from kernel to kernel. */
export interface GpioLine {
  readonly chip: string;
  readonly line: number;
  /** Of the header, for people. */
  readonly pin?: number;
  readonly "active-low": boolean;
}

export interface Uart {
  readonly device: string;
  /** Bits a second. */
  readonly speed: number;
  /** Where a person finds it. */
  readonly connector: string;
}

/** board/<board>/board.yaml. All but the title is optional: a board has what its file says. */
export interface BoardDescription {
  readonly title: string;
  /** What the root of its device tree is compatible with; any of them. */
  readonly compatible: readonly string[];
  readonly lamps: Readonly<Partial<Record<Lamp, GpioLine>>>;
  /** The board's own lights under /sys/class/leds, by the names that kernels gave them; the first that is there. */
  readonly leds: Readonly<Partial<Record<"ready" | "fault", readonly string[]>>>;
  readonly button?: GpioLine;
  /** The first is the console's unless it is told otherwise. */
  readonly uarts: readonly Uart[];
  /** Which disk is the data disk: the first on that bus, or the one with that serial number. */
  readonly "data-disk"?: { readonly bus: "usb"; readonly serial?: string };
  /** The NIC that faces the rack. */
  readonly interface?: string;
}

export interface Board extends BoardDescription {
  /** That of its folder. */
  readonly name: string;
}

const text = z.string().min(1);
const line = z.strictObject({
  chip: text,
  line: z.int().min(0).max(1023),
  pin: z.int().min(1).exactOptional(),
  "active-low": z.boolean().default(false),
});
const lights = z.array(text.regex(/^[A-Za-z0-9:_-]+$/)).min(1);

const schema: z.ZodType<BoardDescription> = z.strictObject({
  title: text,
  compatible: z.array(text).default([]),
  lamps: z
    .strictObject({ ready: line.exactOptional(), rack: line.exactOptional(), disk: line.exactOptional(), fault: line.exactOptional() })
    .default({}),
  leds: z.strictObject({ ready: lights.exactOptional(), fault: lights.exactOptional() }).default({}),
  button: line.exactOptional(),
  uarts: z.array(z.strictObject({ device: z.string().startsWith("/dev/"), speed: z.int().min(1200), connector: text })).default([]),
  "data-disk": z.strictObject({ bus: z.enum(["usb"]), serial: text.exactOptional() }).exactOptional(),
  interface: text.exactOptional(),
});

/** Somebody asked for a board that there is none of, or a description is wrong; the message says which. */
export class BoardError extends Error {
  readonly code = "ERR_BOARD";
}

/** A Linux box of any kind: nothing to light, nothing to press. */
export const GENERIC_BOARD = "generic";
const FOLDER: string = import.meta.dirname;
const DEVICE_TREE = "/proc/device-tree/compatible";
const FILE = "board.yaml";

/** Every folder with a description is a board. */
export function boardNames(folder: string = FOLDER): readonly string[] {
  const isBoard = (name: string): boolean => readText(join(folder, name, FILE)) !== undefined;
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() && isBoard(entry.name) ? [entry.name] : []));
}

/** Throws {@link BoardError}. */
export function loadBoard(name: string, folder: string = FOLDER): Board {
  const known = boardNames(folder);
  if (!known.includes(name)) throw new BoardError(`there is no board ${name}; there are ${known.join(", ")}`);
  const file = join(folder, name, FILE);
  const result = schema.safeParse(parse(readText(file) ?? ""));
  if (result.success) return { name, ...result.data };
  throw new BoardError(`${file}: ${result.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`).join("; ")}`);
}

/** The board that was asked for, or else the one that the device tree names. Throws {@link BoardError}. */
export function findBoard(wanted: string | undefined, deviceTree: string = DEVICE_TREE, folder: string = FOLDER): Board {
  if (wanted !== undefined) return loadBoard(wanted, folder);
  const compatible = new Set(readText(deviceTree)?.split("\0"));
  if (compatible.size > 0) {
    for (const name of boardNames(folder)) {
      const board = loadBoard(name, folder);
      if (board.compatible.some((id) => compatible.has(id))) return board;
    }
  }
  return loadBoard(GENERIC_BOARD, folder);
}

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}
