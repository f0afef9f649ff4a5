import { type FileHandle, open } from "node:fs/promises";
import type { MediumFile } from "../../image/tree.ts";
import type { ByteSource } from "../open-files.ts";

/** The octets of a file that lies in pieces in the middle of an image. */
export class MediumSource implements ByteSource {
  readonly sizeBytes: number;
  readonly stored?: { readonly fd: number; readonly offsetBytes: number };
  readonly #handle: FileHandle;
  readonly #file: MediumFile;
  #released = false;

  private constructor(handle: FileHandle, file: MediumFile) {
    this.#handle = handle;
    this.#file = file;
    this.sizeBytes = file.sizeBytes;
    const [first, ...others] = file.extents ?? [{ offset: 0, length: this.sizeBytes }];
    if (first !== undefined && others.length === 0) this.stored = { fd: handle.fd, offsetBytes: first.offset };
  }

  /** Rejects with what the system says where the image is gone. */
  static async open(file: MediumFile): Promise<MediumSource> {
    return new MediumSource(await open(file.container, "r"), file);
  }

  peek(): undefined {
    return undefined;
  }

  async read(offset: number, length: number): Promise<readonly Uint8Array[]> {
    const pieces: Uint8Array[] = [];
    const end = Math.min(offset + length, this.sizeBytes);
    let begins = 0;
    for (const extent of this.#file.extents ?? [{ offset: 0, length: this.sizeBytes }]) {
      const from = Math.max(offset, begins);
      const to = Math.min(end, begins + extent.length);
      if (from < to) pieces.push(await this.#exactly(extent.offset + from - begins, to - from));
      begins += extent.length;
    }
    return pieces;
  }

  async #exactly(offset: number, length: number): Promise<Uint8Array> {
    const octets = Buffer.allocUnsafe(length);
    for (let filled = 0; filled < length; ) {
      const { bytesRead } = await this.#handle.read(octets, filled, length - filled, offset + filled);
      if (bytesRead === 0) throw new Error(`${this.#file.container} was cut short while it was read`);
      filled += bytesRead;
    }
    return octets;
  }

  release(): void {
    if (this.#released) return;
    this.#released = true;
    void this.#handle.close().catch(() => {});
  }
}
