import { type FSWatcher, realpathSync, watch } from "node:fs";
import { basename, dirname } from "node:path";

/** Editors write in several steps; what comes within this time of the last is one change. */
const SETTLE_MS = 250;

/**
 * Calls `changed` once after something happened to a file. Folders are watched, not the file: editors and configuration
 * management put a new file in the old one's place; a symbolic link's own folder and that of what it leads to. Returns the way out.
 */
export function watchFile(file: string, changed: () => void): () => void {
  let timer: NodeJS.Timeout | undefined;
  let watchers: readonly FSWatcher[] = [];
  const close = (): void => {
    clearTimeout(timer);
    for (const watcher of watchers) watcher.close();
  };
  const open = (): void => {
    close();
    watchers = [...new Set([file, targetOf(file)])].flatMap((path) => watchName(path, touched));
  };
  const touched = (): void => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      // The link may lead elsewhere now. Looked at before the file is read, so that nothing is missed in between.
      open();
      changed();
    }, SETTLE_MS);
    timer.unref();
  };
  open();
  return close;
}

/** Where the symbolic links end; the path itself while there is nothing. */
function targetOf(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

function watchName(path: string, touched: () => void): readonly FSWatcher[] {
  const name = basename(path);
  try {
    const watcher = watch(dirname(path), { persistent: false }, (_event, about) => {
      if (about === null || about === name) touched();
    });
    // A folder that is removed or unmounted: SIGHUP still works.
    watcher.on("error", () => watcher.close());
    return [watcher];
  } catch {
    // No inotify watches left: SIGHUP still works.
    return [];
  }
}
