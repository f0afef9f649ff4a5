import { existsSync, mkdirSync, statSync } from "node:fs";
import { mkdir, readFile, rm } from "node:fs/promises";
import { dirname, isAbsolute, join } from "node:path";
import { type ImageName, parseImageName } from "../machine/identifiers.ts";
import type { ImageFacts, ImageReport } from "../machine/image.ts";
import type { CopyProgress } from "../machine/volume.ts";
import type { Emit } from "../state/events.ts";
import { duplicate } from "../volume/copy.ts";
import { AtomicFolders, foldersIn, isLeftover, syncPath, withFile, writeJson } from "../volume/files.ts";
import type { Pool } from "../volume/pool.ts";
import { type DescribeOptions, describe } from "./describe.ts";
import { ImageError } from "./error.ts";
import { filesBelow, type MediumTree, openFolder, openIso } from "./tree.ts";

export interface ImageOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: CopyProgress) => void;
}

/** An image that can be installed from. */
export interface StoredImage {
  readonly report: ImageReport;
  readonly tree: MediumTree;
}

export interface ImageStoreParts {
  readonly storage: string;
  /** Asked before anything is copied. */
  readonly room: () => Pick<Pool, "requireRoom">;
  readonly now: () => number;
  readonly emit: Emit;
  /** Hears of every point at which a crash would leave something else than before; for tests. */
  readonly onStep?: (step: string) => void;
}

interface ImageRecord extends ImageFacts {
  readonly medium: ImageReport["medium"];
  readonly sizeBytes: number;
  readonly importedMs: number;
}

const RECORD_FILE = "image.json";
const ISO_FILE = "medium.iso";
const FOLDER = "medium";
/** How often a stream of unknown length looks whether there is room. */
const ROOM_EVERY_BYTES = 64 * 1024 ** 2;

/**
 * Installation media, below `storage.path`:
 *
 *     images/<name>/image.json   what is on it
 *     images/<name>/medium.iso   as it was imported; files are served out of its middle, nothing is unpacked
 *     images/<name>/medium/      or a folder
 *
 * An image appears and disappears by one rename, as a volume does.
 */
export class ImageStore {
  readonly #parts: ImageStoreParts;
  readonly #folders: AtomicFolders;
  readonly #open = new Map<ImageName, Promise<StoredImage>>();

  constructor(parts: ImageStoreParts) {
    this.#parts = parts;
    this.#folders = new AtomicFolders(parts.onStep);
  }

  get #root(): string {
    return join(this.#parts.storage, "images");
  }

  /** Clears away what a crash left. Call before anything else. */
  async start(): Promise<void> {
    mkdirSync(this.#root, { recursive: true });
    for (const name of foldersIn(this.#root)) if (isLeftover(name)) await rm(join(this.#root, name), { recursive: true, force: true });
  }

  /** Of every image that can be read. */
  async list(): Promise<readonly ImageReport[]> {
    if (!existsSync(this.#root)) return [];
    const names = foldersIn(this.#root).filter((name) => !isLeftover(name) && existsSync(join(this.#root, name, RECORD_FILE)));
    return await Promise.all(names.sort().map(async (name) => this.#report(parseImageName(name))));
  }

  /** Throws {@link ImageError} where there is none of that name, or it cannot be read. */
  async get(name: ImageName): Promise<StoredImage> {
    const known = this.#open.get(name);
    if (known !== undefined) return await known;
    const opening = this.#load(name);
    this.#open.set(name, opening);
    // What failed is tried again the next time.
    opening.catch(() => this.#open.delete(name));
    return await opening;
  }

  async show(name: string): Promise<ImageReport> {
    return await this.#report(parseImageName(name));
  }

  async #report(name: ImageName): Promise<ImageReport> {
    try {
      const record = JSON.parse(await readFile(join(this.#root, name, RECORD_FILE), "utf8")) as ImageRecord;
      return { name, ...record };
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== "ENOENT")
        throw new ImageError(`image ${name} cannot be read: ${(cause as Error).message}`);
      const hint = 'import it with "rackboot image import FILE.iso"; "rackboot image list" names those there are';
      throw new ImageError(`there is no image ${name}; ${hint}`);
    }
  }

  async #load(name: ImageName): Promise<StoredImage> {
    const report = await this.#report(name);
    const folder = join(this.#root, name);
    return { report, tree: await this.#tree(folder, report.medium) };
  }

  async #tree(folder: string, medium: ImageReport["medium"]): Promise<MediumTree> {
    return medium === "iso" ? await openIso(join(folder, ISO_FILE)) : openFolder(join(folder, FOLDER));
  }

  /** An .iso file or a folder of this system. */
  async importFile(path: string, name: string, options: ImageOptions = {}): Promise<ImageReport> {
    const image = parseImageName(name);
    if (!isAbsolute(path)) throw new ImageError(`${path} is no absolute path; name the file as /FOLDER/FILE.iso`);
    if (!existsSync(path)) throw new ImageError(`${path} does not exist; name an .iso file, or the folder that it is unpacked in`);
    const facts = statSync(path);
    if (facts.isDirectory()) return await this.#import(image, "folder", options, (folder) => this.#copyFolder(path, folder, options));
    if (!facts.isFile() && !facts.isBlockDevice()) throw new ImageError(`${path} is neither a file nor a folder; name one that is`);
    // Looked into where it lies, so that ten gigabytes are not copied of what is refused.
    await describeAt(path, () => openIso(path), { verify: false });
    return await this.#import(image, "iso", options, (folder) =>
      duplicate(path, join(folder, ISO_FILE), { ...options, room: (bytes) => this.#parts.room().requireRoom(path, bytes) }),
    );
  }

  /** An .iso file as it comes. */
  async importStream(stream: AsyncIterable<Uint8Array>, name: string, options: ImageOptions = {}): Promise<ImageReport> {
    return await this.#import(parseImageName(name), "iso", options, (folder) =>
      withFile(join(folder, ISO_FILE), "wx", async (file) => {
        let doneBytes = 0;
        let nextLook = 0;
        for await (const piece of stream) {
          options.signal?.throwIfAborted();
          if (doneBytes >= nextLook) {
            this.#parts.room().requireRoom("the rest of the image", piece.length);
            nextLook = doneBytes + ROOM_EVERY_BYTES;
          }
          await file.writeFile(piece);
          doneBytes += piece.length;
          options.onProgress?.({ doneBytes });
        }
      }),
    );
  }

  async #import(
    name: ImageName,
    medium: ImageReport["medium"],
    options: ImageOptions,
    fill: (folder: string) => Promise<void>,
  ): Promise<ImageReport> {
    const target = join(this.#root, name);
    if (existsSync(target)) throw new ImageError(`there is an image ${name} already; choose another name, or delete it first`);
    mkdirSync(this.#root, { recursive: true });
    await this.#folders.appear(target, async (folder) => {
      await fill(folder);
      const facts = await describeAt(name, () => this.#tree(folder, medium), options);
      options.signal?.throwIfAborted();
      const record: ImageRecord = { ...facts, medium, sizeBytes: await this.#size(folder, medium), importedMs: this.#parts.now() };
      await writeJson(join(folder, RECORD_FILE), record);
    });
    const report = await this.#report(name);
    this.#parts.emit({ type: "image.imported", image: name, system: `${report.system} ${report.version}`, sizeBytes: report.sizeBytes });
    return report;
  }

  async #size(folder: string, medium: ImageReport["medium"]): Promise<number> {
    if (medium === "iso") return statSync(join(folder, ISO_FILE)).size;
    let sizeBytes = 0;
    for await (const file of filesBelow(join(folder, FOLDER))) sizeBytes += file.sizeBytes;
    return sizeBytes;
  }

  async #copyFolder(from: string, folder: string, options: ImageOptions): Promise<void> {
    const files = [];
    for await (const file of filesBelow(from)) files.push(file);
    const totalBytes = files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    this.#parts.room().requireRoom(from, totalBytes);
    const to = join(folder, FOLDER);
    const made = new Set<string>();
    let doneBytes = 0;
    for (const { path, sizeBytes } of files) {
      options.signal?.throwIfAborted();
      const target = join(to, path);
      await mkdir(dirname(target), { recursive: true });
      await duplicate(join(from, path), target);
      await syncPath(target);
      made.add(dirname(target));
      doneBytes += sizeBytes;
      options.onProgress?.({ doneBytes, totalBytes });
    }
    await mkdir(to, { recursive: true });
    for (const each of made) await syncPath(each);
  }

  /** A machine that reads it right now finds the rest of a file, and no further file. */
  async delete(name: string): Promise<void> {
    const image = parseImageName(name);
    await this.#report(image);
    this.#open.delete(image);
    await this.#folders.disappear(join(this.#root, image));
    this.#parts.emit({ type: "image.deleted", image });
  }
}

/** What is wrong with a medium is said with its name before it. */
async function describeAt(what: string, tree: () => Promise<MediumTree>, options: DescribeOptions): Promise<ImageFacts> {
  try {
    return await describe(await tree(), options);
  } catch (cause) {
    throw cause instanceof ImageError ? new ImageError(`${what}: ${cause.message}`) : cause;
  }
}
