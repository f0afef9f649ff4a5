import {
  closeSync,
  fchmodSync,
  fchownSync,
  fsyncSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";

/** The file cannot be written, or is not what it was. */
export class ConfigStoreError extends Error {
  readonly code = "ERR_CONFIG_STORE";
}

/** Throws {@link ConfigStoreError}. */
export function readConfigText(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    throw new ConfigStoreError(`${file} cannot be read (${(cause as Error).message})`, { cause });
  }
}

/**
 * Puts `after` in the place of `file` in one step, if it still holds `before`: whoever wrote it meanwhile keeps their work.
 * A crash leaves the old or the new. Owner, mode and symbolic links stay. Throws {@link ConfigStoreError}, and nothing was changed.
 */
export function replaceConfig(file: string, before: string, after: string): void {
  try {
    const path = realpathSync(file);
    const temporary = join(dirname(path), `.${basename(path)}.${process.pid}.new`);
    try {
      writeWhole(temporary, after, path);
      if (readFileSync(path, "utf8") !== before)
        throw new ConfigStoreError(`${file} was changed by somebody else meanwhile; look at it and try again`);
      renameSync(temporary, path);
    } catch (cause) {
      rmSync(temporary, { force: true });
      throw cause;
    }
    syncFolder(dirname(path));
  } catch (cause) {
    if (cause instanceof ConfigStoreError) throw cause;
    throw new ConfigStoreError(`${file} cannot be written (${(cause as Error).message}); change it where it comes from`, { cause });
  }
}

/** With the owner and mode of `like`, and on the disk when this returns. */
function writeWhole(path: string, text: string, like: string): void {
  const { mode, uid, gid } = statSync(like);
  rmSync(path, { force: true });
  const file = openSync(path, "wx", 0o600);
  try {
    writeSync(file, text);
    fchmodSync(file, mode & 0o777);
    if (process.getuid?.() === 0) fchownSync(file, uid, gid);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

function syncFolder(path: string): void {
  const folder = openSync(path, "r");
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

/** Makes `file` hold `text`, whatever was there; a crash leaves the old or the new. Throws {@link ConfigStoreError}. */
export function writeConfigText(file: string, text: string): void {
  const temporary = `${file}.new`;
  try {
    const descriptor = openSync(temporary, "w", 0o600);
    try {
      writeSync(descriptor, text);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    renameSync(temporary, file);
    syncFolder(dirname(file));
  } catch (cause) {
    throw new ConfigStoreError(`${file} cannot be written (${(cause as Error).message})`, { cause });
  }
}
