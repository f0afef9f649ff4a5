import type { DiskLook } from "../../volume/look/disk.ts";
import type { ByteSource } from "../open-files.ts";
import type { DiskFile } from "./disk-boot.ts";

/** Read by one reader at a time: some hundredths of a second, so that a place in the line is never held for long. */
const PIECE_BYTES = 4 * 1024 * 1024;
/** The piece being sent, the one before it for what is sent again, and the next one, which is being read. */
const MAX_PIECES = 3;

/**
 * A file inside a disk as a transfer sends it: in pieces, the next one fetched while one is sent. Takes `look` over and closes
 * it when it is released.
 */
export class DiskSource implements ByteSource {
  readonly sizeBytes: number;
  readonly #look: DiskLook;
  readonly #file: DiskFile;
  /** In order of last use. */
  readonly #pieces = new Map<number, Promise<Uint8Array>>();
  readonly #present = new Map<number, Uint8Array>();

  constructor(look: DiskLook, file: DiskFile) {
    this.#look = look;
    this.#file = file;
    this.sizeBytes = file.sizeBytes;
  }

  peek(offset: number, length: number): readonly Uint8Array[] | undefined {
    const views: Uint8Array[] = [];
    for (const { index, from, to } of this.#parts(offset, length)) {
      const piece = this.#present.get(index);
      if (piece === undefined) return undefined;
      views.push(piece.subarray(from, to));
      if (from === 0) this.#fetchAfter(index);
    }
    return views;
  }

  async read(offset: number, length: number): Promise<readonly Uint8Array[]> {
    const views: Uint8Array[] = [];
    for (const { index, from, to } of this.#parts(offset, length)) {
      const piece = await this.#piece(index);
      views.push(piece.subarray(from, to));
      this.#fetchAfter(index);
    }
    return views;
  }

  release(): void {
    this.#pieces.clear();
    this.#present.clear();
    void this.#look.close().catch(() => {});
  }

  #parts(offset: number, length: number): { index: number; from: number; to: number }[] {
    const parts = [];
    const end = Math.min(offset + length, this.sizeBytes);
    for (let at = offset; at < end; ) {
      const index = Math.floor(at / PIECE_BYTES);
      const to = Math.min(end - index * PIECE_BYTES, PIECE_BYTES);
      parts.push({ index, from: at - index * PIECE_BYTES, to });
      at = index * PIECE_BYTES + to;
    }
    return parts;
  }

  #fetchAfter(index: number): void {
    if ((index + 1) * PIECE_BYTES >= this.sizeBytes || this.#pieces.has(index + 1)) return;
    // Whoever needs the piece hears of a failure then.
    this.#piece(index + 1).catch(() => {});
  }

  #piece(index: number): Promise<Uint8Array> {
    const known = this.#pieces.get(index);
    if (known !== undefined) return known;
    const offset = index * PIECE_BYTES;
    const length = Math.min(PIECE_BYTES, this.sizeBytes - offset);
    const reading = this.#look.readAt(this.#file.device, this.#file.path, offset, length).then((octets) => {
      if (octets.length !== length) throw new Error(`${this.#file.path} was shortened on its disk while it was being sent`);
      if (this.#pieces.get(index) === reading) this.#present.set(index, octets);
      return octets;
    });
    this.#pieces.set(index, reading);
    // A piece that failed is read anew by whoever asks again.
    reading.catch(() => this.#forget(index));
    for (const oldest of this.#pieces.keys()) {
      if (this.#pieces.size <= MAX_PIECES) break;
      this.#forget(oldest);
    }
    return reading;
  }

  #forget(index: number): void {
    this.#pieces.delete(index);
    this.#present.delete(index);
  }
}
