import { randomUUID } from "node:crypto";
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { type FileHandle, link, mkdir, open, readdir, rename, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { exchangePaths } from "../native/extents.ts";
import { VolumeError } from "./error.ts";
import { volumesFolder } from "./layout.ts";

const NEW_PREFIX = ".new-";
const OLD_PREFIX = ".old-";

export function isLeftover(name: string): boolean {
  return name.startsWith(NEW_PREFIX) || name.startsWith(OLD_PREFIX);
}

/** Makes what happened to a file or in a folder (a rename, a new file) survive a power cut. */
export async function syncPath(path: string): Promise<void> {
  await withFile(path, "r", (file) => file.sync());
}

export async function withFile<T>(path: string, flags: string, use: (file: FileHandle) => Promise<T>): Promise<T> {
  const file = await open(path, flags, 0o600);
  try {
    return await use(file);
  } finally {
    await file.close();
  }
}

/** Removes what a crash left half made or half deleted. Call before anything is opened. */
export async function removeLeftovers(storage: string): Promise<void> {
  const folder = volumesFolder(storage);
  mkdirSync(folder, { recursive: true });
  const volumes = foldersIn(folder).filter((name) => !isLeftover(name));
  const inside = volumes.map((name) => join(folder, name));
  for (const each of [folder, ...inside, ...inside.map((volume) => join(volume, "snapshots"))]) {
    if (!existsSync(each)) continue;
    for (const name of readdirSync(each)) if (isLeftover(name)) await rm(join(each, name), { recursive: true, force: true });
  }
}

/** What else lies there is not ours, and is left alone. */
export function foldersIn(path: string): readonly string[] {
  return readdirSync(path, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [entry.name] : []));
}

/** A folder that is filled and synced under another name, and not there yet. */
export interface Prepared {
  /** Puts it in its place, in one step. */
  commit(): Promise<void>;
  /** Forgets it. */
  discard(): Promise<void>;
}

/**
 * Folders that appear, change and disappear whole or not at all. `step` hears of every point at which a crash would leave
 * something else on the disk than one step before; tests crash there.
 */
export class AtomicFolders {
  readonly #step: (step: string) => void;

  constructor(step: (step: string) => void = () => undefined) {
    this.#step = step;
  }

  /** Throws where `folder` exists already. */
  async appear(folder: string, fill: (temporary: string) => Promise<void>): Promise<void> {
    if (existsSync(folder)) throw new VolumeError(`${basename(folder).replace(":", "/")} exists already; choose another name`);
    const prepared = await this.#prepare(folder, fill, async (temporary) => {
      await rename(temporary, folder);
      this.#step("renamed");
      await syncPath(dirname(folder));
    });
    await prepared.commit();
  }

  /** Fills what will stand where `folder` stands; `keep` names folders inside that stay as they are. */
  async prepare(folder: string, keep: readonly string[], fill: (temporary: string) => Promise<void>): Promise<Prepared> {
    const filled = async (temporary: string): Promise<void> => {
      for (const name of keep) await linkTree(join(folder, name), join(temporary, name));
      this.#step("linked");
      await fill(temporary);
    };
    return await this.#prepare(folder, filled, async (temporary) => {
      exchangePaths(temporary, folder);
      this.#step("exchanged");
      await syncPath(dirname(folder));
      await rm(temporary, { recursive: true, force: true });
    });
  }

  async disappear(folder: string): Promise<void> {
    const old = join(dirname(folder), `${OLD_PREFIX}${randomUUID()}`);
    await rename(folder, old);
    this.#step("renamed away");
    await syncPath(dirname(folder));
    await rm(old, { recursive: true, force: true });
    this.#step("removed");
  }

  async move(from: string, to: string): Promise<void> {
    if (existsSync(to)) throw new VolumeError(`${basename(to)} exists already; choose another name`);
    await rename(from, to);
    this.#step("moved");
    await syncPath(dirname(to));
  }

  /** A small file's new contents. */
  async rewrite(path: string, value: unknown): Promise<void> {
    const temporary = join(dirname(path), `${NEW_PREFIX}${randomUUID()}`);
    await writeJson(temporary, value);
    await syncPath(temporary);
    this.#step("written");
    await rename(temporary, path);
    this.#step("rewritten");
    await syncPath(dirname(path));
  }

  async #prepare(
    folder: string,
    fill: (temporary: string) => Promise<void>,
    place: (temporary: string) => Promise<void>,
  ): Promise<Prepared> {
    const temporary = join(dirname(folder), `${NEW_PREFIX}${randomUUID()}`);
    const discard = (): Promise<void> => rm(temporary, { recursive: true, force: true });
    const orDiscard = async (work: () => Promise<void>): Promise<void> => {
      try {
        await work();
      } catch (cause) {
        await discard();
        throw cause;
      }
    };
    await orDiscard(async () => {
      await mkdir(temporary, { recursive: true, mode: 0o700 });
      this.#step("begun");
      await fill(temporary);
      this.#step("filled");
      // One after the other would be a write of the file system's log each.
      const names = await readdir(temporary);
      await Promise.all([temporary, ...names.map((name) => join(temporary, name))].map(syncPath));
      this.#step("synced");
    });
    return { commit: () => orDiscard(() => place(temporary)), discard };
  }
}

export async function writeJson(path: string, value: unknown): Promise<void> {
  await writeFile(path, `${JSON.stringify(value, null, 2)}\n`, { mode: 0o600 });
}

/** The same files under a second name: what is immutable needs no copy. */
async function linkTree(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true, mode: 0o700 });
  for (const entry of await readdir(from, { withFileTypes: true })) {
    if (isLeftover(entry.name)) continue;
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) await linkTree(source, target);
    else await link(source, target);
  }
  await syncPath(to);
}
