import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { setFlagsFromString } from "node:v8";
import { loadAddon } from "./addon.ts";

/** What the addon exports for this door. */
interface Exports {
  replaceProcess(file: string, args: readonly string[]): never;
  trimMemory(): void;
}

/** The oldest Node that has all this daemon uses; package.json pins a newer one. */
const OLDEST_NODE_MAJOR = 24;

/** execve(2): this process becomes `file`, with the same pid, so that signals and supervisors keep what they hold. `args` is without argv[0]. Throws. */
export function replaceProcess(file: string, args: readonly string[]): never {
  return loadAddon<Exports>().replaceProcess(file, args);
}

/**
 * Returns if this Node is new enough; otherwise becomes the pinned Node of node_modules with the same arguments, or ends
 * the process with the next step where that is missing.
 */
export function usePinnedNode(): void {
  const major = Number(process.versions.node.split(".")[0]);
  if (major >= OLDEST_NODE_MAJOR) return;
  const pinned = fileURLToPath(new URL("../../../node_modules/node/bin/node", import.meta.url));
  if (!existsSync(pinned)) {
    process.stderr.write(
      `rackboot needs Node ${OLDEST_NODE_MAJOR} or newer and found ${process.version}; run "npm ci" to get the pinned one.\n`,
    );
    process.exit(1);
  }
  replaceProcess(pinned, [...process.execArgv, ...process.argv.slice(1)]);
}

/**
 * Keeps V8's young generation as small as it starts: of what a packet makes little lives long, and on a small board the megabytes that
 * it would grow to are better spent on the page cache. Before anything else is loaded.
 */
export function keepHeapSmall(): void {
  setFlagsFromString("--semi-space-growth-factor=1");
}

/** Gives back the memory that only starting needed; what turns out to be needed again comes back from the page cache. */
export function trimMemory(): void {
  loadAddon<Exports>().trimMemory();
}
