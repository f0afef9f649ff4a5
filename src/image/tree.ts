import { type FileHandle, open, readdir, realpath, stat } from "node:fs/promises";
import { join, sep } from "node:path";
import { ImageError } from "./error.ts";
import { type Extent, type IsoEntry, type IsoIndex, type ReadAt, readIso } from "./iso9660.ts";

/** A file on a medium. `path` where a file of this system has exactly its octets; else `extents` of {@link MediumFile.container}. */
export interface MediumFile {
  readonly sizeBytes: number;
  /** The file of this system that holds it. */
  readonly container: string;
  /** Absent: it is the whole container. */
  readonly extents?: readonly Extent[];
}

/** The files of a medium, whatever it is kept as. */
export interface MediumTree {
  /** By its path from the root, symbolic links followed; undefined where there is no such file, or it is not inside. */
  file(path: string): Promise<MediumFile | undefined>;
}

/** Symbolic links that lead to one another. */
const MAX_LINKS = 16;

/** The whole tree of an ISO image is read once: some thousand folders at most, and every later question costs nothing. */
export async function openIso(path: string): Promise<MediumTree> {
  const handle = await open(path, "r");
  try {
    const { size } = await handle.stat();
    const index = await readIso(reader(handle), size);
    return { file: async (asked) => resolveLinks(index, path, asked) };
  } finally {
    await handle.close();
  }
}

/** Reads exactly what was asked for. */
function reader(handle: FileHandle): ReadAt {
  return async (offset, length) => {
    const octets = Buffer.alloc(length);
    for (let filled = 0; filled < length; ) {
      const { bytesRead } = await handle.read(octets, filled, length - filled, offset + filled);
      if (bytesRead === 0) throw new ImageError("it ends in the middle of a folder: it was cut short; copy it anew");
      filled += bytesRead;
    }
    return octets;
  };
}

/** Links of whole folders too: `AppStream/Packages` may lead elsewhere on the same medium, and nowhere outside of it. */
export function resolveLinks(index: IsoIndex, container: string, asked: string): MediumFile | undefined {
  let parts = asked.split("/");
  for (let hops = 0; hops <= MAX_LINKS; hops++) {
    const found = index.get(parts.join("/"));
    if (found?.kind === "file") return { sizeBytes: found.sizeBytes, container, extents: found.extents };
    const link = firstLink(index, parts);
    if (link === undefined || link.target.startsWith("/")) return undefined;
    const next: string[] = parts.slice(0, link.at);
    for (const part of [...link.target.split("/"), ...parts.slice(link.at + 1)]) {
      if (part === "" || part === ".") continue;
      if (part !== "..") next.push(part);
      else if (next.pop() === undefined) return undefined;
    }
    parts = next;
  }
  return undefined;
}

function firstLink(index: IsoIndex, parts: readonly string[]): { readonly at: number; readonly target: string } | undefined {
  for (let at = 0; at < parts.length; at++) {
    const entry: IsoEntry | undefined = index.get(parts.slice(0, at + 1).join("/"));
    if (entry?.kind === "link") return { at, target: entry.target };
  }
  return undefined;
}

/** The files below a folder of this system; what a symbolic link leads out of it to is not there. */
export function openFolder(folder: string): MediumTree {
  return {
    file: async (asked) => {
      try {
        const root = await realpath(folder);
        const path = await realpath(join(root, asked));
        if (!path.startsWith(root + sep)) return undefined;
        const found = await stat(path);
        return found.isFile() ? { sizeBytes: found.size, container: path } : undefined;
      } catch {
        return undefined;
      }
    },
  };
}

/** The octets of a file on a medium, in pieces. */
export async function* contentOf(file: MediumFile, pieceBytes: number): AsyncGenerator<Uint8Array> {
  const handle = await open(file.container, "r");
  try {
    const read = reader(handle);
    for (const { offset, length } of file.extents ?? [{ offset: 0, length: file.sizeBytes }]) {
      for (let at = 0; at < length; at += pieceBytes) yield await read(offset + at, Math.min(pieceBytes, length - at));
    }
  } finally {
    await handle.close();
  }
}

/** The whole of a small file; throws {@link ImageError} where it has more than `maxBytes`. */
export async function contentOfSmall(file: MediumFile, maxBytes: number): Promise<Buffer> {
  if (file.sizeBytes > maxBytes) throw new ImageError(`one of its files has ${file.sizeBytes} octets where at most ${maxBytes} make sense`);
  const pieces: Uint8Array[] = [];
  for await (const piece of contentOf(file, maxBytes)) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** Every regular file below `folder` with its size, as paths from there. Symbolic links are not followed. */
export async function* filesBelow(folder: string, below = ""): AsyncGenerator<{ readonly path: string; readonly sizeBytes: number }> {
  for (const entry of await readdir(join(folder, below), { withFileTypes: true })) {
    const path = below === "" ? entry.name : `${below}/${entry.name}`;
    if (entry.isDirectory()) yield* filesBelow(folder, path);
    else if (entry.isFile()) yield { path, sizeBytes: (await stat(join(folder, path))).size };
  }
}
