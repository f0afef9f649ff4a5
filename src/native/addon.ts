import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

export class AddonMissingError extends Error {
  readonly code = "ERR_ADDON_MISSING";
}

let addon: unknown;

/** Beside the compiled doors in dist/; from the sources (tests) in dist/ as well. RACKBOOT_ADDON names another build, such as the sanitized one. */
function addonPath(): string {
  const chosen = process.env["RACKBOOT_ADDON"];
  if (chosen !== undefined && chosen !== "") return chosen;
  const beside = fileURLToPath(new URL("./rackboot.node", import.meta.url));
  return existsSync(beside) ? beside : fileURLToPath(new URL("../../dist/src/native/rackboot.node", import.meta.url));
}

/** Loads the addon once; `Exports` is the part of it that the calling door opens. Throws {@link AddonMissingError} with the next step. */
export function loadAddon<Exports>(): Exports {
  if (addon !== undefined) return addon as Exports;
  const path = addonPath();
  try {
    addon = createRequire(import.meta.url)(path);
  } catch (cause) {
    throw new AddonMissingError(`the native part could not be loaded from ${path}: ${(cause as Error).message}. Run "make build".`, {
      cause,
    });
  }
  return addon as Exports;
}
