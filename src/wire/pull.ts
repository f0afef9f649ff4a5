/** Octets that come in pieces of any size, taken as they are needed. Keeps one piece, and what is peeked at. */
export class Pull {
  readonly #pieces: AsyncIterator<Uint8Array>;
  #piece: Uint8Array = new Uint8Array(0);
  #takenBytes = 0;

  constructor(pieces: AsyncIterable<Uint8Array>) {
    this.#pieces = pieces[Symbol.asyncIterator]();
  }

  /** Taken or skipped so far. */
  get takenBytes(): number {
    return this.#takenBytes;
  }

  /** The next `length` octets, fewer at the end, without taking them. */
  async peek(length: number): Promise<Uint8Array> {
    while (this.#piece.length < length && (await this.#more(true)));
    return this.#piece.subarray(0, length);
  }

  /** The next `length` octets, fewer at the end. */
  async take(length: number): Promise<Uint8Array> {
    const taken = await this.peek(length);
    this.#advance(taken.length);
    return taken;
  }

  /** Leaves `length` octets out; returns how many there were. */
  async skip(length: number): Promise<number> {
    let left = length;
    while (left > 0 && (this.#piece.length > 0 || (await this.#more(false)))) {
      const part = Math.min(left, this.#piece.length);
      this.#advance(part);
      left -= part;
    }
    return length - left;
  }

  /** Everything that follows, as it comes. */
  async *rest(): AsyncGenerator<Uint8Array, void, void> {
    while (this.#piece.length > 0 || (await this.#more(false))) {
      const piece = this.#piece;
      this.#advance(piece.length);
      yield piece;
    }
  }

  /** Ends the source, which may be in the middle of something. */
  async close(): Promise<void> {
    await this.#pieces.return?.();
  }

  #advance(length: number): void {
    this.#piece = this.#piece.subarray(length);
    this.#takenBytes += length;
  }

  async #more(keep: boolean): Promise<boolean> {
    const next = await this.#pieces.next();
    if (next.done === true) return false;
    this.#piece = keep && this.#piece.length > 0 ? Buffer.concat([this.#piece, next.value]) : next.value;
    return true;
  }
}
