import { type FileHandle, open } from "node:fs/promises";
import type { BootFile } from "./files.ts";

/** Octets that a transfer sends, at any offset, without reading the whole of them first. */
export interface ByteSource {
  readonly sizeBytes: number;
  /** Where the octets lie, if that is one stretch of a file: for senders that need no copy of them. Valid until {@link ByteSource.release}. */
  readonly stored?: { readonly fd: number; readonly offsetBytes: number };
  /** Another one for other content of the same name, where that is known. */
  readonly version?: string;
  /** The octets as views, in order, where they are in memory; `undefined` where {@link ByteSource.read} is needed. */
  peek(offset: number, length: number): readonly Uint8Array[] | undefined;
  /** The same octets, read where they are not in memory. Rejects with a sentence for people where the file cannot be read. */
  read(offset: number, length: number): Promise<readonly Uint8Array[]>;
  /** Call once when no more is read. */
  release(): void;
}

/** A source of octets that are in memory already. */
export function bytesSource(bytes: Uint8Array): ByteSource {
  return {
    sizeBytes: bytes.length,
    peek: (offset, length) => [bytes.subarray(offset, offset + length)],
    read: async (offset, length) => [bytes.subarray(offset, offset + length)],
    release: () => {},
  };
}

/** Opens what a resolver found. Rejects with what the system says where it cannot be opened. */
export async function openFile(found: BootFile, openFiles: OpenFiles): Promise<ByteSource> {
  switch (found.kind) {
    case "bytes":
      return bytesSource(found.bytes);
    case "file":
      return openFiles.open(found.path);
    case "disk":
      return found.open();
  }
}

/** Read in pieces this large: one trip to a file thread serves some 90 blocks. */
const PIECE_BYTES = 128 * 1024;
/** Pieces kept per file: machines that boot together read the same ones, and each reader apart from them has two of its own. */
const MIN_PIECES = 16;
const PIECES_PER_READER = 2;

/** The file was cut while it was being sent. */
export class FileShrankError extends Error {
  readonly code = "ERR_FILE_SHRANK";
}

/**
 * Files open for reading, each once however many clients read it. A file that was replaced on disk is another file:
 * transfers that run finish with the old one, the next one opens the new one.
 */
export class OpenFiles {
  readonly #files = new Map<string, SharedFile>();

  /** Throws what the system says where the file cannot be opened. */
  async open(path: string): Promise<ByteSource> {
    const handle = await open(path, "r");
    try {
      const { dev, ino, mtimeMs, size } = await handle.stat();
      const key = [dev, ino, Math.round(mtimeMs * 1000), size].map((part) => part.toString(16)).join("-");
      const known = this.#files.get(key);
      if (known !== undefined) {
        // Shared first: while the second handle closes, the last other reader may let go of the first.
        const source = known.share();
        await handle.close();
        return source;
      }
      const file = new SharedFile(handle, size, key, () => this.#files.delete(key));
      this.#files.set(key, file);
      return file.share();
    } catch (error) {
      await handle.close().catch(() => {});
      throw error;
    }
  }

  get size(): number {
    return this.#files.size;
  }
}

class SharedFile {
  readonly #handle: FileHandle;
  readonly #sizeBytes: number;
  readonly #version: string;
  readonly #forget: () => void;
  /** In order of last use; the first is the first to go. */
  readonly #pieces = new Map<number, Uint8Array>();
  readonly #loading = new Map<number, Promise<Uint8Array>>();
  #users = 0;

  constructor(handle: FileHandle, sizeBytes: number, version: string, forget: () => void) {
    this.#handle = handle;
    this.#sizeBytes = sizeBytes;
    this.#version = version;
    this.#forget = forget;
  }

  share(): ByteSource {
    this.#users++;
    let released = false;
    return {
      sizeBytes: this.#sizeBytes,
      stored: { fd: this.#handle.fd, offsetBytes: 0 },
      version: this.#version,
      peek: (offset, length) => this.#peek(offset, length),
      read: (offset, length) => this.#read(offset, length),
      release: () => {
        if (!released) this.#release();
        released = true;
      },
    };
  }

  #peek(offset: number, length: number): readonly Uint8Array[] | undefined {
    const views: Uint8Array[] = [];
    for (const part of this.#parts(offset, length)) {
      const piece = this.#pieces.get(part.index);
      if (piece === undefined) return undefined;
      views.push(piece.subarray(part.from, part.to));
      if (part.from === 0) this.#entered(part.index, piece);
    }
    return views;
  }

  async #read(offset: number, length: number): Promise<readonly Uint8Array[]> {
    const views: Uint8Array[] = [];
    for (const part of this.#parts(offset, length)) {
      const piece = this.#pieces.get(part.index) ?? (await this.#piece(part.index));
      views.push(piece.subarray(part.from, part.to));
      if (part.from === 0) this.#entered(part.index, piece);
    }
    return views;
  }

  #parts(offset: number, length: number): { index: number; from: number; to: number }[] {
    const parts = [];
    const end = Math.min(offset + length, this.#sizeBytes);
    for (let at = offset; at < end; ) {
      const index = Math.floor(at / PIECE_BYTES);
      const start = index * PIECE_BYTES;
      const to = Math.min(end - start, PIECE_BYTES);
      parts.push({ index, from: at - start, to });
      at = start + to;
    }
    return parts;
  }

  /** A reader comes into a piece: it stays longest of all, and the next one is fetched meanwhile. */
  #entered(index: number, piece: Uint8Array): void {
    this.#pieces.delete(index);
    this.#pieces.set(index, piece);
    const next = index + 1;
    if (next * PIECE_BYTES < this.#sizeBytes && !this.#pieces.has(next)) this.#piece(next).catch(() => {});
  }

  /** The piece, read from the file; one read however many wait for it. */
  #piece(index: number): Promise<Uint8Array> {
    const running = this.#loading.get(index);
    if (running !== undefined) return running;
    const reading = this.#load(index).finally(() => this.#loading.delete(index));
    this.#loading.set(index, reading);
    return reading;
  }

  async #load(index: number): Promise<Uint8Array> {
    const offset = index * PIECE_BYTES;
    const piece = Buffer.allocUnsafeSlow(Math.min(PIECE_BYTES, this.#sizeBytes - offset));
    let filled = 0;
    while (filled < piece.length) {
      const { bytesRead } = await this.#handle.read(piece, filled, piece.length - filled, offset + filled);
      if (bytesRead === 0) throw new FileShrankError("the file was shortened while it was being sent");
      filled += bytesRead;
    }
    if (this.#pieces.size >= Math.max(MIN_PIECES, PIECES_PER_READER * this.#users)) {
      const [oldest] = this.#pieces.keys();
      if (oldest !== undefined) this.#pieces.delete(oldest);
    }
    this.#pieces.set(index, piece);
    return piece;
  }

  #release(): void {
    this.#users--;
    if (this.#users > 0) return;
    this.#forget();
    this.#pieces.clear();
    // A read under way keeps the descriptor: it is closed when that has ended.
    void Promise.allSettled(this.#loading.values()).then(() => this.#handle.close().catch(() => {}));
  }
}
