import { type FSWatcher, watch } from "node:fs";
import { basename, dirname } from "node:path";

/** Editors write in several steps; what comes within this time of the last is one change. */
const SETTLE_MS = 250;

/**
 * Calls `changed` once after each change of a file. The folder is watched, not the file: editors and configuration
 * management put a new file in the old one's place. Returns the way out.
 */
export function watchFile(file: string, changed: () => void): () => void {
  let timer: NodeJS.Timeout | undefined;
  const name = basename(file);
  let watcher: FSWatcher | undefined;
  try {
    watcher = watch(dirname(file), { persistent: false }, (_event, about) => {
      if (about !== null && about !== name) return;
      clearTimeout(timer);
      timer = setTimeout(changed, SETTLE_MS);
      timer.unref();
    });
    // A folder that is removed or unmounted: SIGHUP still works.
    watcher.on("error", () => watcher?.close());
  } catch {
    // No inotify watches left: SIGHUP still works.
  }
  return () => {
    clearTimeout(timer);
    watcher?.close();
  };
}
