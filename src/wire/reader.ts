/** The input ended before the field did. `offset` and `need` are octets; `have` is what was left. */
export class ShortInputError extends Error {
  readonly code = "ERR_SHORT_INPUT";
  readonly offset: number;
  readonly need: number;
  readonly have: number;

  constructor(offset: number, need: number, have: number) {
    super(`input ends early: ${need} octets wanted at offset ${offset}, ${have} left`);
    this.offset = offset;
    this.need = need;
    this.have = have;
  }
}

/**
 * Reads big-endian fields (network order) from a byte array, from front to back.
 * Every read throws {@link ShortInputError} when the input is too short: a short packet is an error, never a clamp.
 */
export class ByteReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #offset = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get offset(): number {
    return this.#offset;
  }

  get remaining(): number {
    return this.#bytes.length - this.#offset;
  }

  #take(count: number): number {
    if (count > this.remaining) throw new ShortInputError(this.#offset, count, this.remaining);
    const at = this.#offset;
    this.#offset += count;
    return at;
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1));
  }

  u16(): number {
    return this.#view.getUint16(this.#take(2));
  }

  u24(): number {
    const at = this.#take(3);
    return (this.#view.getUint8(at) << 16) | this.#view.getUint16(at + 1);
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4));
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#take(8));
  }

  /** A view of the next `count` octets; it shares memory with the input. */
  bytes(count: number): Uint8Array {
    const at = this.#take(count);
    return this.#bytes.subarray(at, at + count);
  }

  /** Everything that is left, as a view. */
  rest(): Uint8Array {
    return this.bytes(this.remaining);
  }

  skip(count: number): void {
    this.#take(count);
  }
}
