import { readFileSync, writeFileSync } from "node:fs";
import { basename } from "node:path";
import type { ControlClient } from "../../src/control/client.ts";
import { Console } from "./console.ts";
import type { Line } from "./line.ts";
import { OwnLine } from "./own-line.ts";
import { homeScreen } from "./screens/home.ts";
import { SerialLine } from "./serial-line.ts";

export interface RunOptions {
  readonly daemon: ControlClient;
  /** Absent: the terminal that the command was typed on. */
  readonly device?: { readonly path: string; readonly speed: number };
  /** What asks for a name and a password, where the daemon does not answer. */
  readonly login: readonly string[];
  readonly tell: (sentence: string) => void;
}

/** The console, until the person leaves or `signal` aborts. */
export async function runConsole(options: RunOptions, signal: AbortSignal): Promise<void> {
  const { device, daemon, login, tell } = options;
  const line: Line = device === undefined ? new OwnLine(process.stdin, process.stdout) : new SerialLine(device);
  if (device !== undefined) quietKernel(device.path, tell);
  await new Console({ line, daemon, home: homeScreen(device === undefined), login, tell }).run(signal);
}

/** Where the kernel writes to this very line, its messages would go across the menu: from now on only emergencies do. */
function quietKernel(path: string, tell: (sentence: string) => void): void {
  try {
    const consoles = readFileSync("/proc/consoles", "utf8").split("\n");
    if (!consoles.some((line) => line.split(" ")[0] === basename(path))) return;
    writeFileSync("/proc/sys/kernel/printk", "1");
  } catch (error) {
    tell(`the kernel's messages stay on ${path}: ${(error as Error).message}`);
  }
}
