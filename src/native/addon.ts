import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import type { DataPlane, DataPlaneOptions } from "./data-plane.ts";
import type { DatagramSocketOptions } from "./datagrams.ts";

/** What rackboot.node exports; only the doors in this folder call it. */
export interface Addon {
  openDataPlane(options: DataPlaneOptions): DataPlane;
  openDatagramSocket(options: DatagramSocketOptions): number;
  setNeighbour(device: string, address: string, mac: Uint8Array): boolean;
  measureExtents(paths: readonly string[]): Promise<Float64Array>;
  dataRange(fd: number, fromBytes: number): readonly [startBytes: number, endBytes: number] | undefined;
  exchangePaths(left: string, right: string): void;
  setCopyOnWriteHint(folder: string, bytes: number): boolean;
  replaceProcess(file: string, args: readonly string[]): never;
}

export class AddonMissingError extends Error {
  readonly code = "ERR_ADDON_MISSING";
}

let addon: Addon | undefined;

/** Beside the compiled doors in dist/; from the sources (tests) in dist/ as well. RACKBOOT_ADDON names another build, such as the sanitized one. */
function addonPath(): string {
  const chosen = process.env["RACKBOOT_ADDON"];
  if (chosen !== undefined && chosen !== "") return chosen;
  const beside = fileURLToPath(new URL("./rackboot.node", import.meta.url));
  return existsSync(beside) ? beside : fileURLToPath(new URL("../../dist/src/native/rackboot.node", import.meta.url));
}

/** Loads the addon once. Throws {@link AddonMissingError} with the next step. */
export function loadAddon(): Addon {
  if (addon !== undefined) return addon;
  const path = addonPath();
  try {
    addon = createRequire(import.meta.url)(path) as Addon;
  } catch (cause) {
    throw new AddonMissingError(`the native part could not be loaded from ${path}: ${(cause as Error).message}. Run "make build".`, {
      cause,
    });
  }
  return addon;
}
