import { existsSync } from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import { dirname, isAbsolute } from "node:path";
import { parseVolumeName, type VolumeName } from "../machine/identifiers.ts";
import { type CopyProgress, DEFAULT_VOLUME_SETTINGS, type VolumeReport, type VolumeSettings } from "../machine/volume.ts";
import type { Source } from "./clones.ts";
import { type CopyOptions, duplicate, fileBytes, growFile, writeSparse } from "./copy.ts";
import { VolumeError } from "./error.ts";
import { syncPath, withFile } from "./files.ts";
import { convertImage, formatOf, formatOfFile, inspectImage, MAGIC_BYTES, needQemuImg } from "./formats.ts";
import { checkSize, type VolumeOperations } from "./operations.ts";
import type { VolumeStore } from "./store.ts";

export interface ImportOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: CopyProgress) => void;
  /** Grown to this; absent: as large as the image. */
  readonly sizeBytes?: number;
  readonly settings?: Partial<VolumeSettings>;
}

/** How often the pool is looked at while a stream of unknown length comes in. */
const ROOM_EVERY_BYTES = 64 * 1024 ** 2;
/** Stream writes are whole pieces of this, at multiples of it, so that zeroes become holes. */
const PIECE_BYTES = 1024 * 1024;

/** Disks into the store and out of it. Everything that {@link VolumeOperations} promises holds here too. */
export class VolumeTransfers {
  readonly #store: VolumeStore;
  readonly #operations: VolumeOperations;

  constructor(store: VolumeStore, operations: VolumeOperations) {
    this.#store = store;
    this.#operations = operations;
  }

  /** A raw file, a block device, or an image that qemu-img reads. `format` is qemu-img's name where the file does not tell. */
  async importFile(path: string, name: string, options: ImportOptions & { readonly format?: string } = {}): Promise<VolumeReport> {
    const volume = parseVolumeName(name);
    if (!isAbsolute(path)) throw new VolumeError(`${path} is no absolute path; name the file as /FOLDER/FILE`);
    if (!existsSync(path)) throw new VolumeError(`${path} does not exist; name a file that does`);
    const sizeBytes = fileBytes(path);
    const format = options.format ?? (await formatOfFile(path));
    if (format === "raw") {
      return await this.#import(volume, options, async (file, settings) => {
        const to = finalSize(sizeBytes, settings.blockSize, options.sizeBytes);
        await duplicate(path, file, { ...options, room: (bytes) => this.#store.library.pool.requireRoom(`${path}`, bytes) });
        await growFile(file, to);
      });
    }
    const qemuImg = await needQemuImg(format);
    const image = await inspectImage(qemuImg, format, path);
    return await this.#import(volume, options, async (file, settings) => {
      this.#store.library.pool.requireRoom(path, Math.min(image.dataBytes, image.virtualBytes));
      await withFile(file, "wx", (target) => target.truncate(finalSize(image.virtualBytes, settings.blockSize, options.sizeBytes)));
      await convertImage(qemuImg, format, path, file, {
        ...(options.signal !== undefined && { signal: options.signal }),
        onProgress: (done) => options.onProgress?.({ doneBytes: Math.round(done * image.virtualBytes), totalBytes: image.virtualBytes }),
      });
    });
  }

  /** A raw disk as it comes; its end is the end of the disk. */
  async importStream(stream: AsyncIterable<Uint8Array>, name: string, options: ImportOptions = {}): Promise<VolumeReport> {
    const volume = parseVolumeName(name);
    const { pool } = this.#store.library;
    return await this.#import(volume, options, (file, settings) =>
      withFile(file, "wx", async (target) => {
        let doneBytes = 0;
        let nextLook = 0;
        for await (const piece of pieces(stream)) {
          options.signal?.throwIfAborted();
          if (doneBytes === 0) refuseImages(piece);
          if (doneBytes >= nextLook) {
            pool.requireRoom("the rest of the stream", PIECE_BYTES);
            nextLook = doneBytes + ROOM_EVERY_BYTES;
          }
          await writeSparse(target, piece, doneBytes);
          doneBytes += piece.length;
          options.onProgress?.({ doneBytes });
        }
        await target.truncate(finalSize(doneBytes, settings.blockSize, options.sizeBytes));
      }),
    );
  }

  async #import(
    name: VolumeName,
    { settings: given, signal }: ImportOptions,
    fill: (file: string, settings: VolumeSettings) => Promise<void>,
  ): Promise<VolumeReport> {
    const settings = { ...DEFAULT_VOLUME_SETTINGS, ...given };
    await this.#operations.make(name, "imported", settings, async (file) => {
      await fill(file, settings);
      signal?.throwIfAborted();
    });
    return await this.#operations.show(name);
  }

  /** Calls `send` with a stream of the octets of one instant; nothing can take the disk away until it is done. */
  async exportStream(
    reference: string,
    signal: AbortSignal,
    send: (stream: AsyncIterable<Uint8Array>, sizeBytes: number) => Promise<void>,
  ): Promise<void> {
    await this.#store.clones.withSource(reference, (source) => send(readDisk(source, signal), fileBytes(source.path)));
  }

  /** As a sparse raw file that appears when it is whole. `path` must not exist. */
  async exportFile(reference: string, path: string, options: CopyOptions = {}): Promise<{ readonly sizeBytes: number }> {
    if (!isAbsolute(path)) throw new VolumeError(`${path} is no absolute path; name the file as /FOLDER/FILE`);
    if (existsSync(path)) throw new VolumeError(`${path} exists already; choose another name, or remove it`);
    if (!existsSync(dirname(path))) throw new VolumeError(`there is no folder ${dirname(path)}; make it first`);
    return await this.#store.clones.withSource(reference, async (source) => {
      const partial = `${path}.partial`;
      try {
        await rm(partial, { force: true });
        await duplicate(source.path, partial, options);
        source.verify?.();
        await syncPath(partial);
        await rename(partial, path);
        await syncPath(dirname(path));
      } catch (cause) {
        await rm(partial, { force: true });
        throw (cause as NodeJS.ErrnoException).code === "ENOSPC"
          ? new VolumeError(`there is no room left for ${path}; name another place`)
          : cause;
      }
      return { sizeBytes: fileBytes(source.path) };
    });
  }
}

/** The octets of a disk as a stream, holes as zeroes. Throws where `signal` aborts, or the disk was written to meanwhile. */
export async function* readDisk(source: Source, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const sizeBytes = fileBytes(source.path);
  const file = await open(source.path, "r");
  try {
    for (let at = 0; at < sizeBytes; ) {
      signal.throwIfAborted();
      // A buffer of its own each time: who reads the stream may hold on to what it was given.
      const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(PIECE_BYTES), 0, Math.min(PIECE_BYTES, sizeBytes - at), at);
      if (bytesRead === 0) throw new VolumeError(`${source.path} was cut short while it was read`);
      at += bytesRead;
      // Who has the last octet takes the stream for good: whether it is has to be known before that.
      if (at >= sizeBytes) source.verify?.();
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
  }
}

/** Whole blocks, and at least the smallest disk there is. */
function finalSize(imageBytes: number, blockSize: number, asked: number | undefined): number {
  if (imageBytes === 0) throw new VolumeError("there is nothing in it; name an image that has something");
  const wholeBytes = Math.ceil(imageBytes / blockSize) * blockSize;
  if (asked !== undefined && asked < wholeBytes) {
    throw new VolumeError(`the image has ${wholeBytes} octets, more than the ${asked} that were asked for; choose a larger size`);
  }
  const sizeBytes = Math.max(asked ?? wholeBytes, 1024 ** 2);
  checkSize(sizeBytes, blockSize);
  return sizeBytes;
}

function refuseImages(beginning: Uint8Array): void {
  const format = formatOf(beginning.subarray(0, MAGIC_BYTES));
  if (format === "raw") return;
  throw new VolumeError(`it is a ${format} image, which can be read only from a file; save it, and import the file`);
}

/** The same octets in pieces of {@link PIECE_BYTES}, the last one shorter. */
async function* pieces(stream: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  const piece = Buffer.alloc(PIECE_BYTES);
  let filled = 0;
  for await (const chunk of stream) {
    for (let at = 0; at < chunk.length; ) {
      const taken = Math.min(chunk.length - at, PIECE_BYTES - filled);
      piece.set(chunk.subarray(at, at + taken), filled);
      filled += taken;
      at += taken;
      if (filled < PIECE_BYTES) continue;
      yield piece;
      filled = 0;
    }
  }
  if (filled > 0) yield piece.subarray(0, filled);
}
