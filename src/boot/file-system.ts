import { readdir, readFile, realpath, stat } from "node:fs/promises";
import { join, sep } from "node:path";
import type { FileRole } from "../state/events.ts";
import type { BootFile } from "./files.ts";
import { type LoaderTraits, loaderTraits } from "./loader-traits.ts";
import type { FileOrigin } from "./plan.ts";

/** The regular file at `path`, symbolic links followed; `undefined` where there is none or it may not be looked at. */
export async function fileAt(path: string, role: FileRole): Promise<BootFile | undefined> {
  try {
    const real = await realpath(path);
    const { size, isFile } = await stat(real).then((found) => ({ size: found.size, isFile: found.isFile() }));
    return isFile ? { kind: "file", role, path: real, sizeBytes: size } : undefined;
  } catch {
    return undefined;
  }
}

/** The octets behind an origin, if they are there. */
export async function fileOf(origin: FileOrigin, role: FileRole): Promise<BootFile | undefined> {
  return origin.kind === "path" ? fileAt(origin.path, role) : { kind: "disk", role, sizeBytes: origin.sizeBytes, open: origin.open };
}

/** As {@link fileAt}, below `folder`: what a symbolic link leads out of the folder to is not there. */
export async function fileWithin(folder: string, segments: readonly string[], role: FileRole): Promise<BootFile | undefined> {
  const found = await fileAt(join(folder, ...segments), role);
  if (found?.kind !== "file") return undefined;
  const root = await realpath(folder).catch(() => undefined);
  return root !== undefined && found.path.startsWith(root.endsWith(sep) ? root : root + sep) ? found : undefined;
}

/** As {@link fileWithin} for one name, whose case firmware may have changed. */
export async function fileNamed(folder: string, name: string, role: FileRole): Promise<BootFile | undefined> {
  const exact = await fileWithin(folder, [name], role);
  if (exact !== undefined) return exact;
  const wanted = name.toLowerCase();
  const other = (await readdir(folder).catch((): string[] => [])).find((each) => each.toLowerCase() === wanted);
  return other === undefined ? undefined : fileWithin(folder, [other], role);
}

/** A boot loader is some megabytes; what is larger is not looked into. */
const MAX_LOADER_BYTES = 64 * 1024 * 1024;
/** Loaders remembered; a rack uses a handful. */
const MAX_REMEMBERED = 64;

/** What a boot loader's own octets tell of it, remembered until the file changes. */
export class LoaderInspector {
  readonly #known = new Map<string, LoaderTraits>();

  async inspect(path: string): Promise<LoaderTraits | undefined> {
    try {
      const { mtimeMs, size, ino } = await stat(path);
      if (size > MAX_LOADER_BYTES) return undefined;
      const key = `${path}\0${ino}:${mtimeMs}:${size}`;
      const known = this.#known.get(key);
      if (known !== undefined) return known;
      const traits = loaderTraits(await readFile(path));
      if (this.#known.size >= MAX_REMEMBERED) this.#known.clear();
      this.#known.set(key, traits);
      return traits;
    } catch {
      return undefined;
    }
  }
}
